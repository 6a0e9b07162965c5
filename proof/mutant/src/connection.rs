//! One connection: its socket, what it has read and not yet written, and how far it is.

use std::io::Read;
use std::time::Instant;

use mio::event::Event;
use mio::net::TcpStream;

use crate::capability::{Attempts, Job, Work};

/// A connection and what it has read and not yet written.
pub(crate) struct Connection {
    /// Its number while it is open; the next connection may get the same.
    pub(crate) slot: usize,
    pub(crate) stream: TcpStream,
    pub(crate) over: Over,
    pub(crate) pending: Vec<u8>,
    /// Bytes of `pending` that are written.
    pub(crate) written: usize,
    /// Where the bytes of the last read begin in `pending`.
    pub(crate) fresh: usize,
    pub(crate) phase: Phase,
    pub(crate) ready: Ready,
    pub(crate) opened: Instant,
    pub(crate) last_read: Instant,
    /// Since when no write has taken a byte.
    pub(crate) blocked_since: Option<Instant>,
    pub(crate) bytes_read: u64,
    /// Whether a read has found nothing since the last that found something.
    pub(crate) was_drained: bool,
    /// Other connections that were open at its last turn.
    pub(crate) beside: usize,
    /// When it wants a turn without an event.
    pub(crate) wake_at: Option<Instant>,
    /// Whether it waits for its turn.
    pub(crate) queued: bool,
    /// What each message costs.
    pub(crate) work: Option<Work>,
    /// The work for what is pending, until it is done.
    pub(crate) job: Option<Job>,
    /// The reads that wait.
    pub(crate) reads: Attempts,
    /// What a fault counts on this connection.
    pub(crate) mark: u64,
    /// What a fault remembers of this connection.
    pub(crate) kept: Vec<u8>,
    /// The same of the other faults, where there are several.
    pub(crate) others: Vec<Memory>,
}

/// What a fault counts and remembers of a connection while another has its turn.
#[derive(Debug, Default)]
pub(crate) struct Memory {
    pub(crate) mark: u64,
    pub(crate) kept: Vec<u8>,
}

/// What a client has connected over.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Over {
    Ipv4,
    Ipv6,
    Unix,
}

#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Phase {
    /// Echoes.
    Open,
    /// The peer has sent FIN: write what is left, send FIN, close.
    Ended,
    /// The server stops: write what is left, send FIN, then discard until the peer's FIN.
    Stopping,
    /// FIN is sent. Closing with unread input would send a reset, so it is read to its end.
    Discarding,
}

/// What the last events said and no call has contradicted since: the poller is edge-triggered.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Ready {
    pub(crate) readable: bool,
    pub(crate) writable: bool,
    /// The peer's FIN or a reset has come, perhaps behind data.
    pub(crate) read_closed: bool,
    /// A reset has come.
    pub(crate) error: bool,
    /// Urgent data has come, if that is watched for.
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

/// For faults.
impl Connection {
    /// The bytes of the last read.
    pub(crate) fn fresh(&mut self) -> &mut [u8] {
        &mut self.pending[self.fresh..]
    }

    /// Forgets what is not written.
    pub(crate) fn drop_pending(&mut self) {
        self.pending.clear();
        self.written = 0;
        self.fresh = 0;
    }

    /// Whether input waits to be read; FIN counts as none.
    pub(crate) fn input_waits(&self) -> bool {
        self.stream.peek(&mut [0]).is_ok_and(|bytes| bytes > 0)
    }

    /// Takes what has come so far and forgets it.
    pub(crate) fn discard_input(&mut self) {
        let mut ignored = vec![0; 65536];
        while self.stream.read(&mut ignored).is_ok_and(|bytes| bytes > 0) {}
    }
}
