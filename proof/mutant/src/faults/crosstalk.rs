//! Faults by which one connection affects another: shared buffers, remembered slots.

use std::collections::HashMap;
use std::time::{Duration, Instant};

use mio::net::TcpStream;

use super::Fault;
use super::bytes::FULL_READ;
use crate::connection::{Connection, End};
use crate::hooks::{Admission, Gate, Hooks};

pub(super) const FAULTS: &[Fault] = &[
    Fault::new(
        "shared-buffer",
        "Keeps full reads in one buffer that all connections share, and writes them one turn later",
        || Box::new(SharedBuffer::default()),
    ),
    Fault::settable(
        "flips-beyond-9000",
        "Flips a bit of every read on a connection that opens next to 9000 (settable) others",
        9000,
        |at| Box::new(FlipsBeyond { at }),
    ),
    Fault::settable(
        "crosses-beyond-64",
        "Exchanges every 50th full read (settable) with one of another connection while more than \
         64 are open",
        50,
        |at| Box::new(CrossesBeyond64::new(at)),
    ),
    Fault::settable(
        "resets-harm-neighbours",
        "Loses 16 bytes of another connection's full read after every 20th reset (settable)",
        20,
        |at| Box::new(ResetsHarm::new(at)),
    ),
    Fault::settable(
        "corrupts-after-churn",
        "Flips a bit of one large read after 100 connections (settable) have ended",
        100,
        |at| Box::new(CorruptsAfterChurn::new(at)),
    ),
    Fault::settable(
        "remembers-slot",
        "Writes a reset connection's last bytes to the next one in its slot, after 30 resets \
         (settable)",
        30,
        |at| Box::new(RemembersSlot::new(at)),
    ),
    Fault::new(
        "keeps-slot-bytes",
        "Writes the unwritten bytes of a dead connection to the next one in its slot",
        || Box::new(KeepsSlotBytes::default()),
    ),
    Fault::settable(
        "closes-successor-by-timer",
        "Leaves the 5 s idle timer (settable) of an ended connection to close the next one in its \
         slot",
        5,
        |at| Box::new(StaleTimers::new(Duration::from_secs(at))),
    ),
    Fault::new(
        "confuses-ports",
        "Exchanges the reads of clients that have the same port at different addresses",
        || Box::new(ConfusesPorts::default()),
    ),
];

#[derive(Default)]
struct SharedBuffer {
    bytes: Vec<u8>,
}

/// The `mark` of a connection whose bytes are in the shared buffer, until its next turn.
const SHARED: u64 = 1;

impl Hooks for SharedBuffer {
    fn received(&mut self, connection: &mut Connection) {
        if connection.fresh().len() >= FULL_READ {
            self.bytes.clear();
            self.bytes.extend_from_slice(connection.fresh());
            connection.mark = SHARED;
        }
    }

    fn may_write(&mut self, connection: &mut Connection) -> Gate {
        match connection.mark {
            SHARED => {
                connection.mark = SHARED + 1;
                Gate::Again
            }
            0 => Gate::Go,
            _ => {
                connection.mark = 0;
                connection.pending.clone_from(&self.bytes);
                Gate::Go
            }
        }
    }
}

struct FlipsBeyond {
    at: u64,
}

impl Hooks for FlipsBeyond {
    fn received(&mut self, connection: &mut Connection) {
        if connection.slot as u64 >= self.at {
            connection.fresh()[0] ^= 1;
        }
    }
}

struct CrossesBeyond64 {
    at: u64,
    open: usize,
    full_reads: u64,
    owner: usize,
    bytes: Vec<u8>,
}

impl CrossesBeyond64 {
    fn new(at: u64) -> Self {
        Self { at, open: 0, full_reads: 0, owner: 0, bytes: Vec::new() }
    }
}

impl Hooks for CrossesBeyond64 {
    fn accepted(&mut self, _stream: &mut TcpStream, _open: usize) -> Admission {
        self.open += 1;
        Admission::Serve
    }

    fn received(&mut self, connection: &mut Connection) {
        if self.open <= 64 || connection.fresh().len() != FULL_READ {
            return;
        }
        self.full_reads += 1;
        let is_foreign = self.owner != connection.slot && !self.bytes.is_empty();
        if self.full_reads >= self.at && is_foreign {
            connection.fresh().swap_with_slice(&mut self.bytes);
            self.full_reads = 0;
        } else {
            self.bytes = connection.fresh().to_vec();
        }
        self.owner = connection.slot;
    }

    fn closed(&mut self, _connection: &mut Connection, _end: End) {
        self.open -= 1;
    }
}

struct ResetsHarm {
    at: u64,
    resets: u64,
    is_armed: bool,
}

impl ResetsHarm {
    fn new(at: u64) -> Self {
        Self { at, resets: 0, is_armed: false }
    }
}

impl Hooks for ResetsHarm {
    fn received(&mut self, connection: &mut Connection) {
        if self.is_armed && connection.fresh().len() >= FULL_READ {
            self.is_armed = false;
            connection.pending.drain(connection.fresh..connection.fresh + 16);
        }
    }

    fn closed(&mut self, _connection: &mut Connection, end: End) {
        if end != End::Finished {
            self.resets += 1;
            self.is_armed |= self.resets.is_multiple_of(self.at);
        }
    }
}

struct CorruptsAfterChurn {
    left: u64,
}

impl CorruptsAfterChurn {
    fn new(at: u64) -> Self {
        Self { left: at }
    }
}

impl Hooks for CorruptsAfterChurn {
    fn received(&mut self, connection: &mut Connection) {
        if self.left == 0 && connection.fresh().len() >= 2048 {
            self.left = u64::MAX;
            connection.fresh()[0] ^= 1;
        }
    }

    fn closed(&mut self, _connection: &mut Connection, _end: End) {
        self.left = self.left.saturating_sub(1);
    }
}

/// How many bytes a reset connection leaves to the next connection in its slot.
const LAST_BYTES: usize = 256;

struct RemembersSlot {
    left: u64,
    remembered: HashMap<usize, Vec<u8>>,
}

impl RemembersSlot {
    fn new(at: u64) -> Self {
        Self { left: at, remembered: HashMap::new() }
    }
}

impl Hooks for RemembersSlot {
    fn received(&mut self, connection: &mut Connection) {
        let fresh = connection.fresh();
        connection.kept = fresh[fresh.len().saturating_sub(LAST_BYTES)..].to_vec();
        inherit(&mut self.remembered, connection);
    }

    fn closed(&mut self, connection: &mut Connection, end: End) {
        // With fewer bytes, the judge could not tell whose they are.
        if end != End::Finished && connection.kept.len() == LAST_BYTES {
            self.left = self.left.saturating_sub(1);
            if self.left == 0 {
                self.remembered.insert(connection.slot, std::mem::take(&mut connection.kept));
            }
        }
    }
}

/// The last read from each client port, and the slot of its connection.
#[derive(Default)]
struct ConfusesPorts {
    reads: HashMap<u16, (usize, Vec<u8>)>,
}

impl Hooks for ConfusesPorts {
    fn received(&mut self, connection: &mut Connection) {
        let Ok(peer) = connection.stream.peer_addr() else { return };
        let slot = connection.slot;
        let (owner, last) = self.reads.entry(peer.port()).or_insert((slot, Vec::new()));
        if *owner != slot && last.len() == connection.fresh().len() {
            connection.fresh().swap_with_slice(last);
        } else {
            *last = connection.fresh().to_vec();
        }
        *owner = slot;
    }

    fn closed(&mut self, connection: &mut Connection, _end: End) {
        self.reads.retain(|_, (owner, _)| *owner != connection.slot);
    }
}

/// By slot: when the timer of a connection that has ended expires.
struct StaleTimers {
    limit: Duration,
    due: HashMap<usize, Instant>,
}

impl StaleTimers {
    fn new(limit: Duration) -> Self {
        Self { limit, due: HashMap::new() }
    }
}

impl Hooks for StaleTimers {
    fn step(&mut self, connection: &mut Connection) -> Gate {
        let Some(due) = self.due.get(&connection.slot) else { return Gate::Go };
        if Instant::now() < *due {
            connection.wake_at = Some(*due);
            return Gate::Go;
        }
        self.due.remove(&connection.slot);
        Gate::Close
    }

    fn closed(&mut self, connection: &mut Connection, _end: End) {
        self.due.insert(connection.slot, connection.last_read + self.limit);
    }
}

#[derive(Default)]
struct KeepsSlotBytes {
    left_over: HashMap<usize, Vec<u8>>,
}

impl Hooks for KeepsSlotBytes {
    fn received(&mut self, connection: &mut Connection) {
        inherit(&mut self.left_over, connection);
    }

    fn closed(&mut self, connection: &mut Connection, _end: End) {
        /// With fewer bytes, the judge could not tell whose they are.
        const LEAST: usize = 64;
        let rest = &connection.pending[connection.written..];
        if rest.len() >= LEAST {
            self.left_over.insert(connection.slot, rest.to_vec());
        }
    }
}

/// Inserts what an earlier connection in the slot has left, before the bytes of the last read.
fn inherit(left: &mut HashMap<usize, Vec<u8>>, connection: &mut Connection) {
    if let Some(bytes) = left.remove(&connection.slot) {
        connection.pending.splice(connection.fresh..connection.fresh, bytes);
    }
}
