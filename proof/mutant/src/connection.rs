//! One connection: its socket, the bytes that it has read and not yet written, and its phase.

use std::io::Read;
use std::time::Instant;

use mio::event::Event;
use mio::net::TcpStream;

use crate::capability::{Attempts, Job, Work};

pub(crate) struct Connection {
    /// The connection's number while it is open. A later connection may get the same number.
    pub(crate) slot: usize,
    pub(crate) stream: TcpStream,
    pub(crate) over: Over,
    pub(crate) pending: Vec<u8>,
    /// How many bytes of `pending` are written.
    pub(crate) written: usize,
    /// Where the bytes of the last read begin in `pending`.
    pub(crate) fresh: usize,
    pub(crate) phase: Phase,
    pub(crate) ready: Ready,
    pub(crate) opened: Instant,
    pub(crate) last_read: Instant,
    /// When writes began to block. A write that succeeds clears it.
    pub(crate) blocked_since: Option<Instant>,
    pub(crate) bytes_read: u64,
    /// Whether a read has found nothing since the last read that returned bytes.
    pub(crate) was_drained: bool,
    /// How many other connections were open at its last turn.
    pub(crate) beside: usize,
    /// When it needs a turn even without an event.
    pub(crate) wake_at: Option<Instant>,
    /// Whether it is in the queue for a turn.
    pub(crate) queued: bool,
    pub(crate) work: Option<Work>,
    /// The work for the pending bytes, until it is done.
    pub(crate) job: Option<Job>,
    /// Its reads, which `--cancel` may limit.
    pub(crate) reads: Attempts,
    /// A counter for a fault.
    pub(crate) mark: u64,
    /// Bytes that a fault remembers.
    pub(crate) kept: Vec<u8>,
    /// The counters and bytes of all faults, if the server has several.
    pub(crate) others: Vec<Memory>,
}

/// What one of several faults counts and remembers of a connection. [`Connection::mark`] and
/// [`Connection::kept`] hold it while that fault has its turn.
#[derive(Debug, Default)]
pub(crate) struct Memory {
    pub(crate) mark: u64,
    pub(crate) kept: Vec<u8>,
}

/// The transport over which a client has connected.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Over {
    Ipv4,
    Ipv6,
    Unix,
}

#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Phase {
    Open,
    /// The client has sent FIN: write what is left, send FIN, close.
    Ended,
    /// The server stops: write what is left, send FIN, then discard input until the client's FIN.
    Stopping,
    /// FIN is sent. Closing with unread input would send a reset, so the input is read to its end.
    Discarding,
}

/// The readiness that the poller has reported and that no call has contradicted since. The poller
/// is edge-triggered: it reports each change once.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Ready {
    pub(crate) readable: bool,
    pub(crate) writable: bool,
    /// A FIN or a reset has arrived, perhaps after bytes that are still unread.
    pub(crate) read_closed: bool,
    /// A reset has arrived.
    pub(crate) error: bool,
    /// Urgent data has arrived. Only set if [`crate::hooks::Hooks::interest`] asks for it.
    pub(crate) urgent: bool,
}

/// How a connection ended.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum End {
    Finished,
    ReadFailed,
    WriteFailed,
}

impl Connection {
    pub(crate) fn new(slot: usize, stream: TcpStream, over: Over) -> Self {
        let now = Instant::now();
        Self {
            slot,
            stream,
            over,
            pending: Vec::new(),
            written: 0,
            fresh: 0,
            phase: Phase::Open,
            ready: Ready { writable: true, ..Ready::default() },
            opened: now,
            last_read: now,
            blocked_since: None,
            bytes_read: 0,
            was_drained: false,
            beside: 0,
            wake_at: None,
            queued: false,
            work: None,
            job: None,
            reads: Attempts::within(None),
            mark: 0,
            kept: Vec::new(),
            others: Vec::new(),
        }
    }

    pub(crate) fn note(&mut self, event: &Event) {
        self.ready.readable |= event.is_readable() || event.is_read_closed();
        self.ready.writable |= event.is_writable() || event.is_write_closed();
        self.ready.read_closed |= event.is_read_closed();
        self.ready.error |= event.is_error();
        self.ready.urgent |= event.is_priority();
        if event.is_error() {
            // The next call fails and says why.
            self.ready.readable = true;
            self.ready.writable = true;
        }
    }
}

/// What faults use.
impl Connection {
    /// The bytes of the last read.
    pub(crate) fn fresh(&mut self) -> &mut [u8] {
        &mut self.pending[self.fresh..]
    }

    /// Discards the bytes that are not written.
    pub(crate) fn drop_pending(&mut self) {
        self.pending.clear();
        self.written = 0;
        self.fresh = 0;
    }

    /// Whether input waits to be read. A FIN does not count as input.
    pub(crate) fn input_waits(&self) -> bool {
        self.stream.peek(&mut [0]).is_ok_and(|bytes| bytes > 0)
    }

    /// Reads and discards the input that has arrived.
    pub(crate) fn discard_input(&mut self) {
        let mut ignored = vec![0; 65536];
        while self.stream.read(&mut ignored).is_ok_and(|bytes| bytes > 0) {}
    }
}
