//! One connection: read, write what was read, and only then read again.

use std::io::{self, ErrorKind, Read, Write};
use std::net::Shutdown;
use std::time::Instant;

use mio::event::Event;
use mio::net::TcpStream;

use crate::capability::{Attempts, Job, Moment, Work};
use crate::hooks::{Gate, Hooks};

/// Steps of one turn: few enough that no connection starves the others.
const STEPS_PER_TURN: usize = 16;

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

/// What a step or a turn leads to.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Step {
    Progress,
    /// Nothing to do before the next event.
    Wait,
    /// Wants another turn in the next pass.
    Again,
    Close(End),
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

    /// Works until it must wait, or until others should have their turn.
    pub(crate) fn turn(&mut self, hooks: &mut dyn Hooks, scratch: &mut [u8]) -> Step {
        for _ in 0..STEPS_PER_TURN {
            match self.step(hooks, scratch) {
                Step::Progress => {}
                end @ (Step::Wait | Step::Again | Step::Close(_)) => return end,
            }
        }
        Step::Again
    }

    fn step(&mut self, hooks: &mut dyn Hooks, scratch: &mut [u8]) -> Step {
        if let Some(job) = &self.job {
            if !job.is_done() {
                return self.passed(Gate::Until(Instant::now() + Job::LOOK_EVERY));
            }
            self.job = None;
        }
        let gate = hooks.step(self);
        if gate != Gate::Go {
            return self.passed(gate);
        }
        if !self.pending.is_empty() && self.ready.writable {
            return self.write(hooks);
        }
        match self.phase {
            Phase::Open => self.read(hooks, scratch),
            Phase::Ended | Phase::Stopping if !self.pending.is_empty() => Step::Wait,
            Phase::Ended => {
                // It fails when the peer is gone already: the connection has ended either way.
                hooks.shut_down(&self.stream.shutdown(Shutdown::Write));
                Step::Close(End::Finished)
            }
            Phase::Stopping => match self.stream.shutdown(Shutdown::Write) {
                Ok(()) => {
                    self.phase = Phase::Discarding;
                    Step::Progress
                }
                Err(_) => Step::Close(End::WriteFailed),
            },
            Phase::Discarding => self.discard(scratch),
        }
    }

    fn write(&mut self, hooks: &mut dyn Hooks) -> Step {
        let gate = hooks.may_write(self);
        if gate != Gate::Go {
            return self.passed(gate);
        }
        let end = self.pending.len().min(self.written.saturating_add(hooks.write_limit(self)));
        match self.stream.write(&self.pending[self.written..end]) {
            Ok(bytes) => {
                self.written += bytes;
                self.blocked_since = None;
                hooks.wrote(self);
                if self.written == self.pending.len() {
                    self.drop_pending();
                }
                Step::Progress
            }
            Err(error) if error.kind() == ErrorKind::Interrupted => Step::Progress,
            Err(error) if error.kind() == ErrorKind::WouldBlock => {
                self.ready.writable = false;
                self.blocked_since.get_or_insert_with(Instant::now);
                let gate = hooks.blocked(self);
                // The next step tries to read, and waits while anything is pending.
                if gate == Gate::Wait { Step::Progress } else { self.passed(gate) }
            }
            Err(_) => Step::Close(End::WriteFailed),
        }
    }

    fn read(&mut self, hooks: &mut dyn Hooks, scratch: &mut [u8]) -> Step {
        let gate = hooks.may_read(self);
        if gate != Gate::Go {
            return self.passed(gate);
        }
        if !self.ready.readable {
            return self.await_input();
        }
        let limit = hooks.read_limit(self, scratch.len());
        match self.stream.read(&mut scratch[..limit]) {
            Ok(0) => {
                let gate = hooks.peer_ended(self);
                if gate == Gate::Go {
                    self.phase = Phase::Ended;
                }
                self.passed(gate)
            }
            Ok(bytes) => {
                self.fresh = self.pending.len();
                self.pending.extend_from_slice(&scratch[..bytes]);
                self.bytes_read += bytes as u64;
                if self.reads.complete() == Moment::Late {
                    hooks.received_late(self);
                }
                hooks.received(self);
                if let Some(work) = self.work {
                    self.job = Work { worker: hooks.worker(work.worker), ..work }.begin();
                }
                self.last_read = Instant::now();
                self.was_drained = false;
                Step::Progress
            }
            Err(error) if error.kind() == ErrorKind::WouldBlock => {
                self.read_failed(&error);
                self.await_input()
            }
            Err(error) => self.read_failed(&error),
        }
    }

    /// Waits for input, or until the read is cancelled and begun anew.
    fn await_input(&mut self) -> Step {
        if self.reads.cancel_if_over() {
            self.ready.readable = true;
            return Step::Progress;
        }
        self.wake_at = self.reads.cancelled_at().or(self.wake_at);
        Step::Wait
    }

    fn discard(&mut self, scratch: &mut [u8]) -> Step {
        if !self.ready.readable {
            return Step::Wait;
        }
        match self.stream.read(scratch) {
            Ok(0) => Step::Close(End::Finished),
            Ok(_) => Step::Progress,
            Err(error) => self.read_failed(&error),
        }
    }

    fn read_failed(&mut self, error: &io::Error) -> Step {
        if error.kind() == ErrorKind::Interrupted {
            return Step::Progress;
        }
        if error.kind() != ErrorKind::WouldBlock {
            return Step::Close(End::ReadFailed);
        }
        self.ready.readable = false;
        self.was_drained = true;
        Step::Wait
    }

    /// What follows from the answer of a hook; [`Gate::Go`] goes on.
    fn passed(&mut self, gate: Gate) -> Step {
        match gate {
            Gate::Go => Step::Progress,
            Gate::Wait => Step::Wait,
            Gate::Until(moment) => {
                self.wake_at = Some(moment);
                Step::Wait
            }
            Gate::Again => Step::Again,
            Gate::Close => Step::Close(End::Finished),
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
