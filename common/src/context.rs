//! What `common` hands to a serving backend.

use std::{io, sync::Arc};

use crate::{
    AcceptError, Cancel, Drained, Driver, Wait,
    announcement::{Announce, Announcement},
    classify,
    life::Life,
    log::{self, Limiter},
};

/// The server's options, and its ties to the stop signal and the drain. Cheap to clone.
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
    ) -> Context {
        Context(Arc::new(Shared {
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

    /// The I/O API to run on, and on no other.
    pub fn driver(&self) -> Driver {
        self.0.driver
    }

    /// How many threads do I/O; at least 1.
    pub fn workers(&self) -> usize {
        self.0.workers
    }

    /// Size of the buffer of a connection, in bytes; at least 1.
    pub fn buffer_bytes(&self) -> usize {
        self.0.buffer_bytes
    }

    /// How long operations may wait before they are cancelled and begun anew.
    pub fn cancel(&self) -> Cancel {
        self.0.cancel
    }

    /// Announces the server. Called once, when every worker has its runtime or ring and every
    /// listener is registered there, so that ready means ready.
    pub fn ready(&self) {
        self.0.announcement.print(self.0.announce);
    }

    /// Resolves once the server has been told to stop. Safe to drop and to create again.
    pub fn stop(&self) -> Wait {
        self.0.life.stop.wait()
    }

    /// Whether the server has been told to stop.
    pub fn stopping(&self) -> bool {
        self.0.life.stopping()
    }

    /// Counts a connection in, until the guard is dropped.
    pub fn connection(&self) -> Connection {
        self.0.life.connection_opened();
        Connection(self.clone())
    }

    /// Says what to do after an error of `accept`, and logs it, at most one line a second.
    pub fn accept_error(&self, error: &io::Error) -> AcceptError {
        let next = classify(error);
        let limiter = &self.0.accept_errors;
        match next {
            AcceptError::Retry => limiter.line(format_args!("accept: {error}; skipped")),
            AcceptError::BackOff(pause) => {
                limiter.line(format_args!("accept: {error}; trying again in {pause:?}"));
            }
            AcceptError::Fatal => log::line(format_args!("accept: {error}; cannot go on")),
        }
        next
    }

    /// Says what to do after an error of receiving a datagram, and logs it, at most one line a
    /// second. Also what a client sent that is gone by now can be such an error: Windows reports
    /// there that nobody listened to an earlier reply.
    pub fn receive_error(&self, error: &io::Error) -> AcceptError {
        let next = classify(error);
        let limiter = &self.0.accept_errors;
        match next {
            AcceptError::Retry => {}
            AcceptError::BackOff(pause) => {
                limiter.line(format_args!("receive: {error}; trying again in {pause:?}"));
            }
            AcceptError::Fatal => log::line(format_args!("receive: {error}; cannot go on")),
        }
        next
    }

    /// Logs that a reply could not be sent and was dropped, as datagrams may be, at most one line a
    /// second. That its receiver has gone, or does not take more, is its own affair.
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

    /// Stops the server because it cannot go on accepting: the connections are drained as after a
    /// stop signal, and the exit status is 1.
    pub fn fail(&self) {
        self.0.life.fail();
    }

    /// Resolves when, after the stop signal, no connection is left or the drain deadline is over.
    /// Awaited only once every accept loop has ended, because it takes the count as final.
    pub fn drained(&self) -> impl Future<Output = Drained> + Send + 'static {
        Arc::clone(&self.0.life).drained()
    }
}

/// A connection in the count of open ones. It holds no descriptor.
#[derive(Debug)]
#[must_use = "dropping it counts the connection out"]
pub struct Connection(Context);

impl Connection {
    /// Ends the connection, and logs an `error` that is not a client's normal way of going, at
    /// most one line a second.
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

/// Whether clients cause this error whenever they go without a goodbye.
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
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::{backend::tests::BACKEND, event::block_on};

    fn context() -> Context {
        let announcement = BACKEND.announcement(&BACKEND.flavors[0], Driver::Epoll, 2, Vec::new());
        let life = Life::new(Duration::from_secs(3600));
        Context::new(announcement, Announce::Json, Driver::Epoll, 2, 4096, Cancel::default(), life)
    }

    #[test]
    fn a_guard_counts_its_connection_until_it_is_dropped() {
        let context = context();
        let (first, second) = (context.connection(), context.connection());
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
        context.fail();
        assert!(context.stopping());
        assert!(context.0.life.failed());
        block_on(context.stop());
        assert_eq!(block_on(context.drained()), Drained { cut: 0 });
    }

    #[test]
    fn only_ordinary_goodbyes_are_silent() {
        assert!(is_normal_end(&io::ErrorKind::BrokenPipe.into()));
        assert!(!is_normal_end(&io::ErrorKind::WriteZero.into()));
    }
}
