//! Faults that show when a server is suspended, signalled, or heard by nobody.

use std::io;
use std::time::{Duration, Instant};

use super::Fault;
use crate::connection::Connection;
use crate::hooks::{AfterAcceptError, Hooks};

/// The table.
pub(super) const FAULTS: &[Fault] = &[
    Fault::new(
        "panics-unheard",
        "Panics when nobody reads what it writes about a failed `accept`",
        || Box::new(PanicsUnheard),
    ),
    Fault::new("dies-of-eintr", "Ends when a system call is interrupted", || Box::new(DiesOfEintr)),
    Fault::new(
        "loses-after-gap",
        "Loses what it reads first after 300 ms in which it did nothing beside four connections",
        || Box::new(LosesAfterGap::default()),
    ),
];

struct PanicsUnheard;

impl Hooks for PanicsUnheard {
    fn accept_failed(&mut self, error: &io::Error) -> AfterAcceptError {
        eprintln!("accept failed: {error}");
        AfterAcceptError::BackOff
    }
}

struct DiesOfEintr;

impl Hooks for DiesOfEintr {
    fn survives_interrupts(&self) -> bool {
        false
    }
}

/// Forgets the first full read after a long gap in the middle of work.
#[derive(Default)]
struct LosesAfterGap {
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
