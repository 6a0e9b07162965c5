//! The points at which a fault strikes in the loop. The default methods are the correct server.
//! Each fault in `faults/` overrides the one or two methods that it needs, and keeps its own state.

use std::io;
use std::time::{Duration, Instant};

use mio::Interest;
use mio::net::TcpStream;

use crate::capability::Worker;
use crate::connection::{Connection, End};

/// A hook's answer to whether the server may do something now.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Gate {
    /// Do it.
    Go,
    /// Wait for the next event of this connection.
    Wait,
    /// Wait for the next event of this connection, but not beyond this moment.
    Until(Instant),
    /// Ask again in the next pass of the loop.
    Again,
    /// Close the connection.
    Close,
}

/// What the server does with a connection that it has just accepted.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Admission {
    Serve,
    /// Leave the connection open, and never look at it again.
    Ignore,
    Close,
}

/// What the loop does after `accept` has failed because a resource has run out.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum AfterAcceptError {
    /// Pause, then try again without waiting for an event.
    BackOff,
    /// Try again in the next pass.
    Retry,
    /// Wait for the listener's next event.
    Park,
    /// Accept one client with a spare descriptor, and close it.
    TurnAway,
}

/// The points at which a fault strikes, in the order in which a connection reaches them.
pub(crate) trait Hooks {
    /// The size of the read buffer in bytes. `asked` is the value of `--buffer`.
    fn buffer_bytes(&self, asked: usize) -> usize {
        asked
    }

    /// Whether the server repeats a system call that a signal has interrupted.
    fn survives_interrupts(&self) -> bool {
        true
    }

    /// How long the loop waits for events at most. `planned` is the correct answer; `None` means
    /// without limit.
    fn sleep(
        &mut self,
        planned: Option<Duration>,
        _connections: &[Option<Connection>],
    ) -> Option<Duration> {
        planned
    }

    /// Called when the loop has waited for `quiet`, and wakes up with events.
    fn woke(&mut self, _quiet: Duration) {}

    /// Called before each `accept`, with the number of open connections.
    fn may_accept(&mut self, _open: usize) -> bool {
        true
    }

    /// Called after each `accept`, with the number of other open connections.
    fn accepted(&mut self, _stream: &mut TcpStream, _open: usize) -> Admission {
        Admission::Serve
    }

    /// Called in place of [`Hooks::accepted`] if the `accept` has waited for more than half of its
    /// `--cancel` limit.
    fn accepted_late(&mut self) -> Admission {
        Admission::Serve
    }

    fn accept_failed(&mut self, _error: &io::Error) -> AfterAcceptError {
        AfterAcceptError::BackOff
    }

    /// The events for which the poller watches a connection.
    fn interest(&self) -> Interest {
        Interest::READABLE | Interest::WRITABLE
    }

    /// Called before each step of a connection.
    fn step(&mut self, _connection: &mut Connection) -> Gate {
        Gate::Go
    }

    /// Without a fault, the server reads nothing while a write is pending. This is its
    /// backpressure.
    fn may_read(&mut self, connection: &mut Connection) -> Gate {
        if connection.pending.is_empty() { Gate::Go } else { Gate::Wait }
    }

    /// The maximum number of bytes of the next read, into a buffer of `buffer` bytes.
    fn read_limit(&mut self, _connection: &Connection, buffer: usize) -> usize {
        buffer
    }

    /// Reads in place of the server. `None` leaves the read to the server.
    fn read(
        &mut self,
        _connection: &mut Connection,
        _buffer: &mut [u8],
    ) -> Option<io::Result<usize>> {
        None
    }

    /// Called after a read. Its bytes are `connection.pending[connection.fresh..]`.
    fn received(&mut self, _connection: &mut Connection) {}

    /// Called before [`Hooks::received`] if the read has waited for more than half of its
    /// `--cancel` limit.
    fn received_late(&mut self, _connection: &mut Connection) {}

    /// Who does the work of a message. `asked` is the choice of the command line.
    fn worker(&mut self, asked: Worker) -> Worker {
        asked
    }

    fn may_write(&mut self, _connection: &mut Connection) -> Gate {
        Gate::Go
    }

    /// The maximum number of bytes of the next write.
    fn write_limit(&mut self, _connection: &Connection) -> usize {
        usize::MAX
    }

    /// Called when a write has taken bytes.
    fn wrote(&mut self, _connection: &mut Connection) {}

    /// Called when a write would block.
    fn blocked(&mut self, _connection: &mut Connection) -> Gate {
        Gate::Wait
    }

    /// Called when a read has found FIN. Without a fault, everything before it is echoed.
    fn peer_ended(&mut self, _connection: &mut Connection) -> Gate {
        Gate::Go
    }

    /// Called with the result of sending the server's FIN.
    fn shut_down(&mut self, _result: &io::Result<()>) {}

    /// Whether a requested stop begins. `accepted_since` counts the connections accepted since the
    /// request.
    fn heeds_stop(&self, _accepted_since: u64, _datagram_sockets: usize) -> bool {
        true
    }

    /// Called when the stop begins, before any connection is told to stop.
    fn stop_begins(&mut self, _connections: &mut [Option<Connection>]) {}

    /// Whether a stop closes the listeners.
    fn stops_listening(&self) -> bool {
        true
    }

    /// Whether a stop ends open connections, at the latest at the drain deadline.
    fn ends_connections(&self) -> bool {
        true
    }

    /// Whether the drain continues past its deadline.
    fn outlasts_drain(&self, _connections: &[Option<Connection>]) -> bool {
        false
    }

    /// Called for each connection that is open when the server stops.
    fn stopping(&mut self, _connection: &mut Connection) {}

    /// Called when a connection has ended and its descriptor is still open.
    fn closed(&mut self, _connection: &mut Connection, _end: End) {}

    /// Takes a connection that has ended. The server drops what this returns, which closes the
    /// descriptor.
    fn freed(&mut self, connection: Connection, _end: End) -> Option<Connection> {
        Some(connection)
    }
}

/// The server without a fault.
pub(crate) struct Correct;

impl Hooks for Correct {}
