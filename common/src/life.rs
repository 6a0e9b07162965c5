//! A server's life: it serves, it is told to stop, it drains until a deadline.

use std::{
    io,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering},
    },
    thread,
    time::Duration,
};

use crate::event::{Event, block_on};

/// What the stop signal, the connections and the drain deadline know of each other.
#[derive(Debug)]
pub(crate) struct Life {
    /// Time that the connections get after the stop signal.
    drain: Duration,
    pub(crate) stop: Arc<Event>,
    drained: Arc<Event>,
    /// Whether the backend says that no connection will be added.
    accepted_all: AtomicBool,
    open: AtomicUsize,
    served: AtomicU64,
    cut: AtomicUsize,
    failed: AtomicBool,
}

/// How a drain ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Drained {
    /// Connections that were still open at the drain deadline.
    pub cut: usize,
}

impl Life {
    pub(crate) fn new(drain: Duration) -> Arc<Life> {
        Arc::new(Life {
            drain,
            stop: Arc::default(),
            drained: Arc::default(),
            accepted_all: AtomicBool::new(false),
            open: AtomicUsize::new(0),
            served: AtomicU64::new(0),
            cut: AtomicUsize::new(0),
            failed: AtomicBool::new(false),
        })
    }

    pub(crate) fn stopping(&self) -> bool {
        self.stop.is_set()
    }

    /// Begins the drain, once.
    pub(crate) fn stop(&self) {
        if self.stop.set() {
            self.settle();
        }
    }

    /// Keeps the deadline of the drain, on a thread that waits for the stop from now on: by then
    /// there may be none to be had.
    ///
    /// # Errors
    /// When there is none now.
    pub(crate) fn keep_deadline(self: &Arc<Life>) -> io::Result<()> {
        let life = Arc::clone(self);
        let deadline = move || {
            block_on(life.stop.wait());
            thread::sleep(life.drain);
            life.cut_off();
        };
        thread::Builder::new().name("drain-deadline".into()).spawn(deadline).map(drop)
    }

    /// Begins the drain because the server cannot go on; it will end with exit status 1.
    pub(crate) fn fail(&self) {
        self.failed.store(true, Ordering::SeqCst);
        self.stop();
    }

    pub(crate) fn failed(&self) -> bool {
        self.failed.load(Ordering::SeqCst)
    }

    pub(crate) fn open(&self) -> usize {
        self.open.load(Ordering::SeqCst)
    }

    pub(crate) fn served(&self) -> u64 {
        self.served.load(Ordering::SeqCst)
    }

    pub(crate) fn connection_opened(&self) {
        self.open.fetch_add(1, Ordering::SeqCst);
        self.served.fetch_add(1, Ordering::SeqCst);
    }

    pub(crate) fn connection_closed(&self) {
        self.open.fetch_sub(1, Ordering::SeqCst);
        self.settle();
    }

    /// Waits until no connection is left or the drain deadline is over.
    pub(crate) async fn drained(self: Arc<Life>) -> Drained {
        self.accepted_all.store(true, Ordering::SeqCst);
        self.settle();
        self.drained.wait().await;
        Drained { cut: self.cut.load(Ordering::SeqCst) }
    }

    // Called after each change of the three conditions, so the last change sees all of them.
    fn settle(&self) {
        if self.stopping() && self.accepted_all.load(Ordering::SeqCst) && self.open() == 0 {
            self.drained.set();
        }
    }

    fn cut_off(&self) {
        if !self.drained.is_set() {
            self.cut.store(self.open(), Ordering::SeqCst);
            self.drained.set();
        }
    }
}

#[cfg(test)]
mod tests {
    use std::{
        future::Future,
        pin::{Pin, pin},
        sync::mpsc,
        task::{Context, Poll, Waker},
        time::Instant,
    };

    use super::*;

    const FOREVER: Duration = Duration::from_secs(3600);

    fn poll(future: Pin<&mut impl Future<Output = Drained>>) -> Poll<Drained> {
        future.poll(&mut Context::from_waker(Waker::noop()))
    }

    #[test]
    fn a_drain_ends_with_the_last_connection_after_the_stop() {
        let life = Life::new(FOREVER);
        life.connection_opened();
        life.connection_opened();
        life.connection_closed();
        life.stop();
        let mut drained = pin!(Arc::clone(&life).drained());
        assert_eq!(poll(drained.as_mut()), Poll::Pending);
        life.connection_closed();
        assert_eq!(poll(drained), Poll::Ready(Drained { cut: 0 }));
        assert_eq!(life.served(), 2);
    }

    #[test]
    fn no_connection_before_the_stop_is_not_a_drain() {
        let life = Life::new(FOREVER);
        let mut drained = pin!(Arc::clone(&life).drained());
        assert_eq!(poll(drained.as_mut()), Poll::Pending);
        life.stop();
        assert_eq!(poll(drained), Poll::Ready(Drained { cut: 0 }));
    }

    #[test]
    fn a_connection_taken_from_the_queue_after_the_stop_is_waited_for() {
        let life = Life::new(FOREVER);
        life.stop();
        life.connection_opened();
        let mut drained = pin!(Arc::clone(&life).drained());
        assert_eq!(poll(drained.as_mut()), Poll::Pending);
        life.connection_closed();
        assert_eq!(poll(drained), Poll::Ready(Drained { cut: 0 }));
    }

    #[test]
    fn the_deadline_starts_at_the_stop_and_counts_whom_it_cuts() {
        let drain = Duration::from_millis(50);
        let life = Life::new(drain);
        life.connection_opened();
        life.connection_opened();
        life.keep_deadline().unwrap();
        let begun = Instant::now();
        life.stop();
        let (sender, receiver) = mpsc::channel();
        let waiting = Arc::clone(&life);
        thread::spawn(move || sender.send(block_on(waiting.drained())));
        let drained = receiver.recv_timeout(Duration::from_secs(20)).unwrap();
        assert_eq!(drained, Drained { cut: 2 });
        assert!(begun.elapsed() >= drain);
    }

    #[test]
    fn a_failure_is_a_stop_that_is_remembered() {
        let life = Life::new(FOREVER);
        assert!(!life.stopping());
        life.stop();
        assert!(life.stopping());
        assert!(!life.failed());
        life.fail();
        assert!(life.failed());
    }
}
