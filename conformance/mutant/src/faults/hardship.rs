//! Faults that show when a server is suspended or signalled.

use std::time::{Duration, Instant};

use crate::connection::Connection;
use crate::hooks::Hooks;

/// Forgets what it reads first after a long gap in the middle of work.
#[derive(Default)]
pub(super) struct LosesAfterGap {
    last: Option<Instant>,
}

impl Hooks for LosesAfterGap {
    fn received(&mut self, connection: &mut Connection) {
        let gap = self.last.replace(Instant::now()).map(|last| last.elapsed());
        let is_late = gap.is_some_and(|gap| gap > Duration::from_millis(300));
        if is_late && connection.beside >= 4 && connection.fresh().len() >= super::bytes::FULL_READ
        {
            connection.pending.truncate(connection.fresh);
        }
    }
}
