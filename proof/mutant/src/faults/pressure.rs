//! Faults that show when a client does not read: short writes, lost wake-ups, missing limits.

use std::collections::HashSet;
use std::time::{Duration, Instant};

use socket2::SockRef;

use super::Fault;
use super::bytes::FULL_READ;
use crate::connection::{Connection, End};
use crate::hooks::{Gate, Hooks};

pub(super) const FAULTS: &[Fault] = &[
    Fault::new(
        "ignores-short-write",
        "Calls write(2) once, and discards the bytes that it did not take",
        || Box::new(IgnoresShortWrite),
    ),
    Fault::new("reads-while-writing", "Reads into the buffer of a pending write", || {
        Box::new(ReadsWhileWriting)
    }),
    Fault::settable(
        "queues-1024-reads",
        "Queues up to 64 KiB while a write is blocked, and resets the client after 1024 reads \
         (settable)",
        1024,
        |at| Box::new(QueuesReads { at }),
    ),
    Fault::new(
        "pins-buffers",
        "Queues up to 256 KiB while a write is blocked, and allocates 4 KiB per read",
        || Box::new(PinsBuffers),
    ),
    Fault::new("restarts-short-write", "Writes the whole buffer again after a short write", || {
        Box::new(RestartsShortWrite)
    }),
    Fault::new("swaps-rest", "Writes the second half of the rest of a short write first", || {
        Box::new(SwapsRest)
    }),
    Fault::new(
        "forgets-write-interest",
        "Forgets to wait for writability once a write has blocked",
        || Box::new(ForgetsWriteInterest),
    ),
    Fault::settable(
        "stalls-after-resumes",
        "Resumes at most three writes (settable) that were blocked for at least 20 ms",
        3,
        |at| Box::new(StallsAfterResumes { at }),
    ),
    Fault::new(
        "deadlocks-on-duplex",
        "Resumes a blocked write only when no input waits, and reads nothing meanwhile",
        || Box::new(DeadlocksOnDuplex),
    ),
    Fault::new("retries-write-at-once", "Retries a blocked write without a pause", || {
        Box::new(RetriesWriteAtOnce)
    }),
    Fault::new("spins-on-unread", "Spins while a write is blocked and input waits", || {
        Box::new(SpinsOnUnread)
    }),
    Fault::new(
        "blocking-write",
        "Blocks the loop for up to 500 ms per pass to write to a client that does not read",
        || Box::new(BlockingWrite),
    ),
    Fault::new("unbounded-queue", "Reads without limit while a write is blocked", || {
        Box::new(UnboundedQueue)
    }),
    Fault::new(
        "unbounded-once-resumed",
        "Reads without limit once it has resumed a write that was blocked for 20 ms",
        || Box::new(UnboundedOnceResumed),
    ),
    Fault::new(
        "gives-up-blocked",
        "Resets a connection whose write has been blocked for 500 ms",
        || Box::new(GivesUpBlocked),
    ),
    Fault::settable(
        "pool-of-64",
        "Has 64 buffers (settable) for connections that send much, and never serves the others",
        64,
        |at| Box::new(Pool { left: at }),
    ),
    Fault::settable(
        "deaf-while-blocked",
        "Accepts no clients while the writes of 16 connections (settable) are blocked",
        16,
        |at| Box::new(DeafWhileBlocked::new(at)),
    ),
];

struct IgnoresShortWrite;

impl Hooks for IgnoresShortWrite {
    fn wrote(&mut self, connection: &mut Connection) {
        connection.drop_pending();
    }

    fn blocked(&mut self, connection: &mut Connection) -> Gate {
        connection.drop_pending();
        connection.ready.writable = true;
        Gate::Go
    }
}

struct ReadsWhileWriting;

impl Hooks for ReadsWhileWriting {
    fn may_read(&mut self, _connection: &mut Connection) -> Gate {
        Gate::Go
    }

    fn received(&mut self, connection: &mut Connection) {
        connection.pending.drain(..connection.fresh);
        connection.fresh = 0;
        connection.written = 0;
    }
}

struct SwapsRest;

impl Hooks for SwapsRest {
    fn blocked(&mut self, connection: &mut Connection) -> Gate {
        let rest = &mut connection.pending[connection.written..];
        rest.rotate_left(rest.len() / 2);
        Gate::Wait
    }
}

/// Lets the server read while fewer than `bytes` bytes wait to be written.
fn has_room(connection: &Connection, bytes: usize) -> Gate {
    let waiting = connection.pending.len() - connection.written;
    if waiting < bytes { Gate::Go } else { Gate::Wait }
}

struct QueuesReads {
    at: u64,
}

impl Hooks for QueuesReads {
    fn may_read(&mut self, connection: &mut Connection) -> Gate {
        has_room(connection, 64 * 1024)
    }

    fn received(&mut self, connection: &mut Connection) {
        connection.mark += 1;
    }

    fn wrote(&mut self, connection: &mut Connection) {
        if connection.written == connection.pending.len() {
            connection.mark = 0;
        }
    }

    fn step(&mut self, connection: &mut Connection) -> Gate {
        if connection.mark > self.at { Gate::Close } else { Gate::Go }
    }
}

struct PinsBuffers;

impl Hooks for PinsBuffers {
    fn may_read(&mut self, connection: &mut Connection) -> Gate {
        has_room(connection, 256 * 1024)
    }

    fn received(&mut self, connection: &mut Connection) {
        // Not zeros: zeroed pages take no memory until something writes to them.
        connection.kept.resize(connection.kept.len() + FULL_READ, 0xa5);
    }

    fn wrote(&mut self, connection: &mut Connection) {
        if connection.written == connection.pending.len() {
            connection.kept = Vec::new();
        }
    }
}

struct RestartsShortWrite;

impl Hooks for RestartsShortWrite {
    fn blocked(&mut self, connection: &mut Connection) -> Gate {
        connection.written = 0;
        Gate::Wait
    }
}

struct ForgetsWriteInterest;

impl Hooks for ForgetsWriteInterest {
    fn blocked(&mut self, connection: &mut Connection) -> Gate {
        connection.mark = 1;
        Gate::Wait
    }

    fn may_write(&mut self, connection: &mut Connection) -> Gate {
        if connection.mark == 0 { Gate::Go } else { Gate::Wait }
    }
}

struct StallsAfterResumes {
    at: u64,
}

impl Hooks for StallsAfterResumes {
    fn may_write(&mut self, connection: &mut Connection) -> Gate {
        let was_long = |since: Instant| since.elapsed() >= Duration::from_millis(20);
        if !connection.blocked_since.is_some_and(was_long) {
            return Gate::Go;
        }
        if connection.mark == self.at {
            return Gate::Wait;
        }
        connection.mark += 1;
        connection.blocked_since = None;
        Gate::Go
    }
}

struct DeadlocksOnDuplex;

impl Hooks for DeadlocksOnDuplex {
    fn may_write(&mut self, connection: &mut Connection) -> Gate {
        let is_deadlock = connection.blocked_since.is_some() && connection.input_waits();
        if is_deadlock { Gate::Wait } else { Gate::Go }
    }
}

struct RetriesWriteAtOnce;

impl Hooks for RetriesWriteAtOnce {
    fn blocked(&mut self, connection: &mut Connection) -> Gate {
        connection.ready.writable = true;
        Gate::Again
    }
}

struct SpinsOnUnread;

impl Hooks for SpinsOnUnread {
    fn may_read(&mut self, connection: &mut Connection) -> Gate {
        match connection.pending.is_empty() {
            true => Gate::Go,
            false if connection.input_waits() => Gate::Again,
            false => Gate::Wait,
        }
    }
}

struct BlockingWrite;

impl Hooks for BlockingWrite {
    fn blocked(&mut self, connection: &mut Connection) -> Gate {
        let socket = SockRef::from(&connection.stream);
        let _ = socket.set_nonblocking(false);
        let _ = socket.set_write_timeout(Some(Duration::from_millis(500)));
        let sent = socket.send(&connection.pending[connection.written..]);
        let _ = socket.set_nonblocking(true);
        connection.written += sent.unwrap_or(0);
        if connection.written == connection.pending.len() {
            connection.drop_pending();
        }
        connection.ready.writable = true;
        Gate::Again
    }
}

struct UnboundedQueue;

impl Hooks for UnboundedQueue {
    fn may_read(&mut self, _connection: &mut Connection) -> Gate {
        Gate::Go
    }
}

struct UnboundedOnceResumed;

impl Hooks for UnboundedOnceResumed {
    fn may_write(&mut self, connection: &mut Connection) -> Gate {
        let was_long = |since: Instant| since.elapsed() >= Duration::from_millis(20);
        connection.mark |= u64::from(connection.blocked_since.is_some_and(was_long));
        Gate::Go
    }

    fn may_read(&mut self, connection: &mut Connection) -> Gate {
        let may_read = connection.pending.is_empty() || connection.mark == 1;
        if may_read { Gate::Go } else { Gate::Wait }
    }
}

struct GivesUpBlocked;

impl Hooks for GivesUpBlocked {
    fn step(&mut self, connection: &mut Connection) -> Gate {
        let Some(since) = connection.blocked_since else {
            return Gate::Go;
        };
        let gives_up = since + Duration::from_millis(500);
        if Instant::now() < gives_up {
            connection.wake_at = Some(gives_up);
            return Gate::Go;
        }
        let _ = SockRef::from(&connection.stream).set_linger(Some(Duration::ZERO));
        Gate::Close
    }
}

/// The `mark` of a connection that holds a buffer of the [`Pool`].
const HOLDS_BUFFER: u64 = 2;
/// The `mark` of a connection that found no free buffer.
const DEAD: u64 = 3;

struct Pool {
    left: u64,
}

impl Hooks for Pool {
    fn received(&mut self, connection: &mut Connection) {
        if connection.fresh().len() < FULL_READ || connection.mark >= HOLDS_BUFFER {
            return;
        }
        connection.mark += 1;
        if connection.mark == HOLDS_BUFFER && self.left == 0 {
            connection.mark = DEAD;
        } else if connection.mark == HOLDS_BUFFER {
            self.left -= 1;
        }
    }

    fn may_read(&mut self, connection: &mut Connection) -> Gate {
        match connection.pending.is_empty() && connection.mark != DEAD {
            true => Gate::Go,
            false => Gate::Wait,
        }
    }

    fn closed(&mut self, connection: &mut Connection, _end: End) {
        if connection.mark == HOLDS_BUFFER {
            self.left += 1;
        }
    }
}

struct DeafWhileBlocked {
    at: u64,
    blocked: HashSet<usize>,
}

impl DeafWhileBlocked {
    fn new(at: u64) -> Self {
        Self { at, blocked: HashSet::new() }
    }
}

impl Hooks for DeafWhileBlocked {
    fn may_accept(&mut self, _open: usize) -> bool {
        (self.blocked.len() as u64) < self.at
    }

    fn blocked(&mut self, connection: &mut Connection) -> Gate {
        self.blocked.insert(connection.slot);
        Gate::Wait
    }

    fn wrote(&mut self, connection: &mut Connection) {
        self.blocked.remove(&connection.slot);
    }

    fn closed(&mut self, connection: &mut Connection, _end: End) {
        self.blocked.remove(&connection.slot);
    }
}
