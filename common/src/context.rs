//! The context of a serving backend.

use std::io;
use std::sync::Arc;
use std::time::Duration;

use crate::announcement::{Announce, Announcement};
use crate::life::Life;
use crate::log::{self, Limiter};
use crate::recovery::BACK_OFF;
use crate::{BACKLOG, Cancel, Drained, Driver, Recovery, Wait, classify};

/// The server's options, its stop and its drain. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Context(Arc<Shared>);

#[derive(Debug)]
struct Shared {
    announcement: Announcement,
    announce: Announce,
    driver: Driver,
    workers: usize,
    buffer_bytes: usize,
    cancel: Cancel,
    life: Arc<Life>,
    accept_errors: Limiter,
    connection_errors: Limiter,
}

impl Context {
    pub(crate) fn new(
        announcement: Announcement,
        announce: Announce,
        driver: Driver,
        workers: usize,
        buffer_bytes: usize,
        cancel: Cancel,
        life: Arc<Life>,
    ) -> Self {
        Self(Arc::new(Shared {
            announcement,
            announce,
            driver,
            workers,
            buffer_bytes,
            cancel,
            life,
            accept_errors: Limiter::default(),
            connection_errors: Limiter::default(),
        }))
    }

    /// The backend's name, such as `tokio`.
    pub(crate) fn backend(&self) -> &'static str {
        self.0.announcement.backend
    }

    /// The driver to run on. There is no fallback.
    pub fn driver(&self) -> Driver {
        self.0.driver
    }

    /// The number of threads that do I/O; at least 1.
    pub fn workers(&self) -> usize {
        self.0.workers
    }

    /// Size of the buffer of a connection, in bytes; at least 1.
    pub fn buffer_bytes(&self) -> usize {
        self.0.buffer_bytes
    }

    /// How long operations may wait before they are cancelled and started again.
    pub fn cancel_limits(&self) -> Cancel {
        self.0.cancel
    }

    /// Announces the server. Call this once, when every worker can accept.
    pub fn announce(&self) {
        self.0.announcement.print(self.0.announce);
    }

    /// Resolves once the server has been told to stop. The future may be dropped and created again.
    pub fn stopped(&self) -> Wait {
        self.0.life.stop.wait()
    }

    /// Calls `act` once the server is told to stop; at once if it already has been. `act` may be
    /// called twice, and on any thread, and must not wait. This is for loops that sleep in a poller
    /// or a ring and poll no future.
    pub fn on_stop(&self, act: impl Fn() + Send + Sync + 'static) {
        self.0.life.stop.on_set(act);
    }

    /// Whether the server has been told to stop.
    pub fn stopping(&self) -> bool {
        self.0.life.stopping()
    }

    /// Counts a connection as open until the guard is dropped.
    pub fn count_connection(&self) -> Connection {
        self.0.life.connection_opened();
        Connection(self.clone())
    }

    /// Decides what an accept loop does after an error of `accept`, and logs the error, at most one
    /// line per second. A fatal error stops the server, as [`Context::fail`] does.
    pub fn after_accept_error(&self, error: &io::Error) -> Recovery {
        let recovery = classify(error);
        let limiter = &self.0.accept_errors;
        match recovery {
            Recovery::Retry => limiter.line(format_args!("accept: {error}; skipped")),
            Recovery::BackOff(pause) => {
                limiter.line(format_args!("accept: {error}; trying again in {pause:?}"));
            }
            Recovery::Fatal => self.fail("accept", error),
        }
        recovery
    }

    /// Logs that no thread could be started for a client, at most one line per second. Returns how
    /// long to wait before the next accept.
    pub fn after_spawn_error(&self, error: &io::Error) -> Duration {
        let limiter = &self.0.accept_errors;
        limiter.line(format_args!("start a thread: {error}; the client is dropped"));
        BACK_OFF
    }

    /// Takes the clients left in the accept queue of a listener that is about to be closed: closing
    /// it would reset them. `accept` must not wait, and returns `WouldBlock` once the queue is
    /// empty.
    pub fn accept_queued<S>(
        &self,
        mut accept: impl FnMut() -> io::Result<S>,
    ) -> impl Iterator<Item = S> {
        // Linux queues one client more than the backlog. The range also bounds the number of calls
        // if an error persists.
        let results = (0..=BACKLOG).map(move |_| accept());
        let may_have_more = |result: &io::Result<S>| match result {
            Ok(_) => true,
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => false,
            Err(error) => match classify(error) {
                Recovery::Retry => true,
                Recovery::BackOff(_) => {
                    self.0.accept_errors.line(format_args!("accept: {error}; trying once more"));
                    true
                }
                // Another worker may have shut the listener down.
                Recovery::Fatal => false,
            },
        };
        results.take_while(may_have_more).flatten()
    }

    /// Decides what a loop does after an error of receiving a datagram, and logs the error, at most
    /// one line per second. A fatal error stops the server, as [`Context::fail`] does.
    ///
    /// An error that concerns one client is not logged: on Windows, `recvfrom` fails if nobody
    /// received an earlier reply (WSAECONNRESET).
    pub fn after_receive_error(&self, error: &io::Error) -> Recovery {
        let recovery = classify(error);
        match recovery {
            Recovery::Retry => {}
            Recovery::BackOff(pause) => {
                let limiter = &self.0.accept_errors;
                limiter.line(format_args!("receive: {error}; trying again in {pause:?}"));
            }
            Recovery::Fatal => self.fail("receive", error),
        }
        recovery
    }

    /// Logs that a reply was dropped because it could not be sent, at most one line per second.
    /// Nothing is logged if the receiver has gone or its queue is full.
    pub fn dropped_reply(&self, error: &io::Error) {
        let is_of_receiver = matches!(
            error.kind(),
            io::ErrorKind::WouldBlock
                | io::ErrorKind::ConnectionRefused
                | io::ErrorKind::ConnectionReset
                | io::ErrorKind::NotFound
        );
        if !is_of_receiver {
            let limiter = &self.0.connection_errors;
            limiter.line(format_args!("a reply was dropped: {error}"));
        }
    }

    /// Stops the server because `operation`, such as `epoll_wait`, has failed for good. The
    /// connections are drained as after a stop signal, and the exit status is 1. The first failure
    /// is logged.
    pub fn fail(&self, operation: &str, error: &io::Error) {
        let reason = format!("{operation}: {error}");
        if self.0.life.fail(reason.clone()) {
            log::line(format_args!("error: {reason}; draining the connections"));
        }
    }

    /// Resolves after the stop, when no connection is open any more or the drain deadline is over.
    /// Await this only after every accept loop has ended, because only then can the number of open
    /// connections no longer rise from 0.
    pub fn drained(&self) -> impl Future<Output = Drained> + Send + 'static {
        Arc::clone(&self.0.life).drained()
    }
}

/// Keeps a connection counted as open. It holds no descriptor.
#[derive(Debug)]
#[must_use = "dropping it decrements the number of open connections"]
pub struct Connection(Context);

impl Connection {
    /// Decrements the number of open connections. Logs an error that clients do not normally cause,
    /// at most one line per second.
    pub fn ended(self, result: io::Result<()>) {
        if let Err(error) = result
            && !is_normal_end(&error)
        {
            let limiter = &self.0.0.connection_errors;
            limiter.line(format_args!("a connection ended: {error}"));
        }
    }
}

impl Drop for Connection {
    fn drop(&mut self) {
        self.0.0.life.connection_closed();
    }
}

/// Whether a client that disconnects without FIN causes this error.
fn is_normal_end(error: &io::Error) -> bool {
    matches!(
        error.kind(),
        io::ErrorKind::ConnectionReset
            | io::ErrorKind::ConnectionAborted
            | io::ErrorKind::BrokenPipe
            | io::ErrorKind::NotConnected
            | io::ErrorKind::TimedOut
    )
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;
    use crate::backend::tests::BACKEND;
    use crate::event::block_on;

    /// The context of a server with two workers.
    pub(crate) fn context() -> Context {
        let announcement = BACKEND.announcement(&BACKEND.flavors[0], Driver::Epoll, 2, Vec::new());
        let life = Life::new(Duration::from_secs(3600));
        Context::new(announcement, Announce::Json, Driver::Epoll, 2, 4096, Cancel::default(), life)
    }

    #[test]
    fn a_guard_counts_its_connection_until_it_is_dropped() {
        let context = context();
        let (first, second) = (context.count_connection(), context.count_connection());
        assert_eq!(context.0.life.open(), 2);
        first.ended(Err(io::ErrorKind::ConnectionReset.into()));
        drop(second);
        assert_eq!(context.0.life.open(), 0);
        assert_eq!(context.0.life.served(), 2);
    }

    #[test]
    fn a_failure_stops_the_server_and_is_remembered() {
        let context = context();
        assert!(!context.stopping());
        context.fail("epoll_wait", &io::ErrorKind::Other.into());
        assert!(context.stopping());
        assert_eq!(context.0.life.failure(), Some("epoll_wait: other error"));
        block_on(context.stopped());
        assert_eq!(block_on(context.drained()), Drained { cut: 0 });
    }

    #[test]
    fn the_accept_queue_is_emptied_and_clients_that_have_gone_are_skipped() {
        let gone = io::ErrorKind::Interrupted.into();
        let mut queue = [Ok(1), Err(gone), Ok(2)].into_iter();
        let empty = || Err(io::ErrorKind::WouldBlock.into());
        let context = context();
        let clients = context.accept_queued(|| queue.next().unwrap_or_else(empty));
        assert_eq!(clients.collect::<Vec<i32>>(), [1, 2]);
    }

    #[test]
    fn a_loop_that_polls_no_future_is_told_of_the_stop() {
        let context = context();
        let (sender, told) = std::sync::mpsc::channel();
        let early = sender.clone();
        context.on_stop(move || early.send("early").unwrap());
        assert!(told.try_recv().is_err());
        context.fail("epoll_wait", &io::ErrorKind::Other.into());
        assert_eq!(told.try_recv(), Ok("early"));
        context.on_stop(move || sender.send("late").unwrap());
        assert_eq!(told.try_recv(), Ok("late"));
    }

    #[test]
    fn only_ordinary_goodbyes_are_silent() {
        assert!(is_normal_end(&io::ErrorKind::BrokenPipe.into()));
        assert!(!is_normal_end(&io::ErrorKind::WriteZero.into()));
    }
}
