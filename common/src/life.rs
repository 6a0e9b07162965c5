//! The life of a server: it serves, is told to stop, and drains until a deadline.

use std::io;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, OnceLock};
use std::thread;
use std::time::Duration;

use crate::event::{Event, block_on};

/// How long after the deadline of the drain the server may take to end.
const GRACE: Duration = Duration::from_millis(500);

/// The state that the stop, the open connections and the drain deadline share.
#[derive(Debug)]
pub(crate) struct Life {
    /// How long connections may take to end after the stop.
    drain: Duration,
    pub(crate) stop: Arc<Event>,
    drained: Arc<Event>,
    /// Whether the last client has been accepted.
    accepted_all: AtomicBool,
    open: AtomicUsize,
    served: AtomicU64,
    cut: AtomicUsize,
    /// Why the exit status is 1: the first failure.
    failure: OnceLock<String>,
}

/// How a drain ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Drained {
    /// Connections that were still open at the drain deadline.
    pub cut: usize,
}

impl Life {
    pub(crate) fn new(drain: Duration) -> Arc<Self> {
        Arc::new(Self {
            drain,
            stop: Arc::default(),
            drained: Arc::default(),
            accepted_all: AtomicBool::new(false),
            open: AtomicUsize::new(0),
            served: AtomicU64::new(0),
            cut: AtomicUsize::new(0),
            failure: OnceLock::new(),
        })
    }

    pub(crate) fn stopping(&self) -> bool {
        self.stop.is_set()
    }

    /// Begins the drain. A second call changes nothing.
    pub(crate) fn stop(&self) {
        if self.stop.set() {
            self.settle();
        }
    }

    /// Starts a thread that enforces the drain deadline. The thread starts before the server
    /// serves, because the kernel may refuse a thread at the stop. If the process still runs
    /// [`GRACE`] after the deadline, because a computing thread has not noticed the deadline, the
    /// thread calls `overdue`.
    ///
    /// # Errors
    /// The system refuses the thread.
    pub(crate) fn keep_deadline(
        self: &Arc<Self>,
        overdue: impl FnOnce() + Send + 'static,
    ) -> io::Result<()> {
        let life = Arc::clone(self);
        let deadline = move || {
            block_on(life.stop.wait());
            thread::sleep(life.drain);
            life.cut_off();
            thread::sleep(GRACE);
            overdue();
        };
        thread::Builder::new().name("drain-deadline".into()).spawn(deadline).map(drop)
    }

    /// Begins the drain because of a failure, which makes the exit status 1. Returns whether it is
    /// the first failure.
    pub(crate) fn fail(&self, reason: String) -> bool {
        let is_first = self.failure.set(reason).is_ok();
        self.stop();
        is_first
    }

    /// The first failure, if there is one.
    pub(crate) fn failure(&self) -> Option<&str> {
        self.failure.get().map(String::as_str)
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

    /// Waits until no connection is open or the drain deadline is over.
    pub(crate) async fn drained(self: Arc<Self>) -> Drained {
        self.accepted_all.store(true, Ordering::SeqCst);
        self.settle();
        self.drained.wait().await;
        Drained { cut: self.cut() }
    }

    // Called after each change of one of the three conditions, so the last change sees all of them.
    fn settle(&self) {
        if self.stopping() && self.accepted_all.load(Ordering::SeqCst) && self.open() == 0 {
            self.drained.set();
        }
    }

    /// Connections that were still open at the deadline of the drain.
    pub(crate) fn cut(&self) -> usize {
        self.cut.load(Ordering::SeqCst)
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
    use std::future::Future;
    use std::pin::{Pin, pin};
    use std::sync::mpsc;
    use std::task::{Context, Poll, Waker};
    use std::time::Instant;

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
        life.keep_deadline(|| {}).unwrap();
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
    fn the_first_failure_stops_the_server_and_is_remembered() {
        let life = Life::new(FOREVER);
        assert!(!life.stopping());
        life.stop();
        assert!(life.stopping());
        assert_eq!(life.failure(), None);
        assert!(life.fail("epoll_wait: EIO".to_owned()));
        assert!(!life.fail("accept: EBADF".to_owned()));
        assert_eq!(life.failure(), Some("epoll_wait: EIO"));
    }
}
