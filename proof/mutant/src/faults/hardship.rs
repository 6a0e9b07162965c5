//! Faults that show when a server is suspended or signalled.

use std::time::{Duration, Instant};

use crate::connection::Connection;
use crate::hooks::Hooks;

/// Forgets the first full read after a long gap in the middle of work.
#[derive(Default)]
pub(super) struct LosesAfterGap {
    last: Option<Instant>,
    /// The gap may fall between a read and what is done with it, and that read may be a small one.
    is_late: bool,
}

impl Hooks for LosesAfterGap {
    fn received(&mut self, connection: &mut Connection) {
        let gap = self.last.replace(Instant::now()).map(|last| last.elapsed());
        self.is_late |= gap.is_some_and(|gap| gap > Duration::from_millis(300));
        let is_full = connection.fresh().len() >= super::bytes::FULL_READ;
        if self.is_late && is_full && connection.beside >= 4 {
            self.is_late = false;
            connection.pending.truncate(connection.fresh);
        }
    }
}
