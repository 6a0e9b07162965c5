//! The points at which a fault strikes in the loop. The defaults are the correct server; a fault
//! overrides the one or two that it needs and keeps its own memory. `faults/` has them, by what
//! they spoil.

use std::io;
use std::time::{Duration, Instant};

use mio::Interest;
use mio::net::TcpStream;

use crate::capability::Worker;
use crate::connection::{Connection, End};

/// Whether something may be done now.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Gate {
    /// Do it.
    Go,
    /// Wait for the next event of this connection.
    Wait,
    /// Wait for that or for this moment.
    Until(Instant),
    /// Ask again in the next pass of the loop.
    Again,
    /// Close the connection.
    Close,
}

/// What becomes of a connection that was just accepted.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Admission {
    Serve,
    /// It stays open and nobody looks at it again.
    Ignore,
    Close,
}

/// What the loop does after `accept` failed for want of a resource.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum AfterAcceptError {
    /// Wait a little, then try again without any event.
    BackOff,
    /// Try again in the next pass.
    Retry,
    /// Wait for the listener's next event.
    Park,
    /// Accept one client all the same, and close it.
    TurnAway,
}

/// The points at which a fault strikes, in the order in which a connection meets them.
pub(crate) trait Hooks {
    /// Bytes of the buffer that reads go to.
    fn buffer_bytes(&self, asked: usize) -> usize {
        asked
    }

    /// Whether an interrupted system call is made again.
    fn survives_interrupts(&self) -> bool {
        true
    }

    /// How long the loop sleeps at most when it has nothing to do before `planned` is over.
    fn sleep(
        &mut self,
        planned: Option<Duration>,
        _connections: &[Option<Connection>],
    ) -> Option<Duration> {
        planned
    }

    /// The loop woke up with events after it had waited for `quiet`.
    fn woke(&mut self, _quiet: Duration) {}

    /// Before each `accept`, with `open` connections.
    fn may_accept(&mut self, _open: usize) -> bool {
        true
    }

    /// After each `accept`, beside `open` other connections.
    fn accepted(&mut self, _stream: &mut TcpStream, _open: usize) -> Admission {
        Admission::Serve
    }

    /// The same in the second half of the time after which the `accept` would have been cancelled.
    fn accepted_late(&mut self) -> Admission {
        Admission::Serve
    }

    fn accept_failed(&mut self, _error: &io::Error) -> AfterAcceptError {
        AfterAcceptError::BackOff
    }

    /// What a connection is watched for.
    fn interest(&self) -> Interest {
        Interest::READABLE | Interest::WRITABLE
    }

    /// Before each step of a connection.
    fn step(&mut self, _connection: &mut Connection) -> Gate {
        Gate::Go
    }

    /// Nothing is read while a write is pending: that is the backpressure.
    fn may_read(&mut self, connection: &mut Connection) -> Gate {
        if connection.pending.is_empty() { Gate::Go } else { Gate::Wait }
    }

    /// Bytes of the next read, of a buffer of `buffer` bytes.
    fn read_limit(&mut self, _connection: &Connection, buffer: usize) -> usize {
        buffer
    }

    /// The read itself, where it is not the usual one.
    fn read(
        &mut self,
        _connection: &mut Connection,
        _buffer: &mut [u8],
    ) -> Option<io::Result<usize>> {
        None
    }

    /// Bytes have come; they are `connection.pending[connection.fresh..]`.
    fn received(&mut self, _connection: &mut Connection) {}

    /// The same in the second half of the time after which the read would have been cancelled.
    fn received_late(&mut self, _connection: &mut Connection) {}

    /// A message has come that costs work, which `asked` should do.
    fn worker(&mut self, asked: Worker) -> Worker {
        asked
    }

    fn may_write(&mut self, _connection: &mut Connection) -> Gate {
        Gate::Go
    }

    /// Bytes of the next write.
    fn write_limit(&mut self, _connection: &Connection) -> usize {
        usize::MAX
    }

    /// A write took some bytes.
    fn wrote(&mut self, _connection: &mut Connection) {}

    /// A write would block.
    fn blocked(&mut self, _connection: &mut Connection) -> Gate {
        Gate::Wait
    }

    /// The peer sent FIN, and all that came before it is echoed.
    fn peer_ended(&mut self, _connection: &mut Connection) -> Gate {
        Gate::Go
    }

    /// The connection's own FIN was sent, or could not be.
    fn shut_down(&mut self, _result: &io::Result<()>) {}

    /// Whether a stop that was asked for begins. `accepted_since` connections have been accepted
    /// since then.
    fn heeds_stop(&self, _accepted_since: u64, _datagram_sockets: usize) -> bool {
        true
    }

    /// The stop begins, and nothing has been told to any connection.
    fn stop_begins(&mut self, _connections: &mut [Option<Connection>]) {}

    /// Whether a stop closes the listeners.
    fn stops_listening(&self) -> bool {
        true
    }

    /// Whether a stop ends open connections, at the latest when the time to drain is over.
    fn ends_connections(&self) -> bool {
        true
    }

    /// Whether the drain lasts beyond its time.
    fn outlasts_drain(&self, _connections: &[Option<Connection>]) -> bool {
        false
    }

    /// The server was asked to stop while this connection was open.
    fn stopping(&mut self, _connection: &mut Connection) {}

    /// The connection has ended, and its descriptor is still open.
    fn closed(&mut self, _connection: &mut Connection, _end: End) {}

    /// What is left of it, whose descriptor is closed when it is dropped.
    fn freed(&mut self, connection: Connection, _end: End) -> Option<Connection> {
        Some(connection)
    }
}

/// No fault.
pub(crate) struct Correct;

impl Hooks for Correct {}
