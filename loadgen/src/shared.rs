//! What the threads of a load share: how many echoes each has received, and when to stop.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::mpsc::Sender;

/// What a thread tells the thread that started it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum ThreadEvent {
    /// All its connections are open.
    Opened,
    /// Its measured part is over, in a load that ends after a number of messages.
    WindowOver,
    /// It has ended, for whatever reason.
    Ended,
}

/// Why a thread stopped early.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Stop {
    /// The user interrupted the load, or another thread gave up.
    Asked,
    /// The load cannot continue, for this reason.
    GivenUp(String),
}

#[derive(Debug)]
pub(crate) struct Shared<'a> {
    /// Set when the user interrupts the load.
    interrupted: &'a AtomicBool,
    given_up: AtomicBool,
    counters: Vec<ThreadCounter>,
    events: Sender<ThreadEvent>,
}

/// Each thread writes its counter for every message, so each counter has its own cache line.
#[derive(Debug, Default)]
#[repr(align(128))]
struct ThreadCounter(AtomicU64);

impl<'a> Shared<'a> {
    pub(crate) fn new(
        interrupted: &'a AtomicBool,
        threads: usize,
        events: Sender<ThreadEvent>,
    ) -> Self {
        let counters = (0..threads).map(|_| ThreadCounter::default()).collect();
        Self { interrupted, given_up: AtomicBool::new(false), counters, events }
    }

    pub(crate) fn is_interrupted(&self) -> bool {
        self.interrupted.load(Ordering::Relaxed)
    }

    /// Whether all threads must stop.
    pub(crate) fn is_stopped(&self) -> bool {
        self.is_interrupted() || self.given_up.load(Ordering::Relaxed)
    }

    /// Tells all threads to stop.
    pub(crate) fn give_up(&self) {
        self.given_up.store(true, Ordering::Relaxed);
    }

    /// Publishes the number of echoes that a thread has received so far.
    #[inline]
    pub(crate) fn publish_echoed(&self, thread: usize, echoed: u64) {
        self.counters[thread].0.store(echoed, Ordering::Relaxed);
    }

    /// Echoes of all threads, including those of the warm-up.
    pub(crate) fn echoed(&self) -> u64 {
        self.counters.iter().map(|counter| counter.0.load(Ordering::Relaxed)).sum()
    }

    pub(crate) fn report_opened(&self) {
        self.send(ThreadEvent::Opened);
    }

    pub(crate) fn report_window_over(&self) {
        self.send(ThreadEvent::WindowOver);
    }

    pub(crate) fn report_ended(&self) {
        self.send(ThreadEvent::Ended);
    }

    fn send(&self, event: ThreadEvent) {
        // The receiver is gone once the load is over.
        let _ = self.events.send(event);
    }
}
