//! What the threads of a load tell each other: that it is over, and how far each has come.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::mpsc::Sender;

/// What a thread tells the one that has started it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum News {
    /// All its connections are open.
    Opened,
    /// Its number of messages has come back.
    WindowOver,
    /// It has ended, for whatever reason.
    Ended,
}

/// Why a thread stopped early.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Stop {
    /// The user wants it so, or another thread has given up.
    Asked,
    /// It makes no sense to go on.
    GivenUp(String),
}

/// What all threads of a load see.
#[derive(Debug)]
pub(crate) struct Shared<'a> {
    /// The user's.
    interrupted: &'a AtomicBool,
    given_up: AtomicBool,
    counters: Vec<ThreadCounter>,
    news: Sender<News>,
}

/// Written by one thread for every message, so it has a cache line of its own.
#[derive(Debug, Default)]
#[repr(align(128))]
struct ThreadCounter(AtomicU64);

impl<'a> Shared<'a> {
    pub(crate) fn new(interrupted: &'a AtomicBool, threads: usize, news: Sender<News>) -> Self {
        let counters = (0..threads).map(|_| ThreadCounter::default()).collect();
        Self { interrupted, given_up: AtomicBool::new(false), counters, news }
    }

    pub(crate) fn is_interrupted(&self) -> bool {
        self.interrupted.load(Ordering::Relaxed)
    }

    /// Whether all threads are to end.
    pub(crate) fn is_stopped(&self) -> bool {
        self.is_interrupted() || self.given_up.load(Ordering::Relaxed)
    }

    /// Ends all threads.
    pub(crate) fn give_up(&self) {
        self.given_up.store(true, Ordering::Relaxed);
    }

    /// A thread has had so many echoes in all.
    #[inline]
    pub(crate) fn count(&self, thread: usize, echoed: u64) {
        self.counters[thread].0.store(echoed, Ordering::Relaxed);
    }

    /// Echoes of all threads, warm-up included.
    pub(crate) fn echoed(&self) -> u64 {
        self.counters.iter().map(|counter| counter.0.load(Ordering::Relaxed)).sum()
    }

    pub(crate) fn opened(&self) {
        self.tell(News::Opened);
    }

    pub(crate) fn window_over(&self) {
        self.tell(News::WindowOver);
    }

    pub(crate) fn ended(&self) {
        self.tell(News::Ended);
    }

    fn tell(&self, news: News) {
        // Nobody listens any more once the load is over.
        let _ = self.news.send(news);
    }
}
