//! A connection and its thread, which sleeps in `read` and in `write`. Nothing but its client wakes
//! it, so a stop is told to the client: it gets FIN, and its own ends the read.

use std::{
    collections::HashMap,
    io,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicU8, AtomicU64, Ordering},
    },
};

use common::{Context, Work, burn};

use crate::transport::Stream;

/// The connections that there are, to be told of a stop.
#[derive(Debug, Default)]
pub(crate) struct Connections {
    open: Mutex<HashMap<u64, Arc<Peer>>>,
    entered: AtomicU64,
}

/// A place among the connections, until it is dropped.
#[derive(Debug)]
pub(crate) struct Entry {
    connections: Arc<Connections>,
    number: u64,
}

/// A client.
#[derive(Debug)]
pub(crate) struct Peer {
    stream: Stream,
    /// What its thread does; FIN is sent by who changes it from one to [`FINISHED`].
    turn: AtomicU8,
}

/// The thread is about to read, reads, or has read and not yet looked here again.
const READING: u8 = 0;
/// It writes what it has read.
const ANSWERING: u8 = 1;
/// FIN is sent, or about to be: what is read now comes too late.
const FINISHED: u8 = 2;

impl Connections {
    pub(crate) fn enter(self: &Arc<Connections>, peer: &Arc<Peer>) -> Entry {
        let number = self.entered.fetch_add(1, Ordering::Relaxed);
        self.lock().insert(number, Arc::clone(peer));
        Entry { connections: Arc::clone(self), number }
    }

    /// Sends FIN to the clients from whom a thread waits to hear. The other threads see the stop
    /// when they have written.
    pub(crate) fn finish(&self) {
        for peer in self.lock().values() {
            // A client that has gone cannot be told, and its thread knows.
            let _ = peer.finish(READING);
        }
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<u64, Arc<Peer>>> {
        self.open.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Entry {
    fn drop(&mut self) {
        self.connections.lock().remove(&self.number);
    }
}

impl Peer {
    pub(crate) fn new(stream: Stream) -> Peer {
        Peer { stream, turn: AtomicU8::new(ANSWERING) }
    }

    /// Echoes until the client ends or the server stops, then reads to the client's FIN.
    pub(crate) fn echo(&self, work: Option<Work>, context: &Context) -> io::Result<()> {
        let mut buffer = vec![0; context.buffer_bytes()];
        while !context.stopping() {
            if !self.passes(ANSWERING, READING) {
                break;
            }
            // A stop between the two looks found nobody who waits.
            if context.stopping() && self.passes(READING, ANSWERING) {
                break;
            }
            let n = self.stream.read(&mut buffer)?;
            if !self.passes(READING, ANSWERING) {
                break;
            }
            if n == 0 {
                return self.finish(ANSWERING);
            }
            self.answer(&buffer[..n], work)?;
        }
        // The stop came while this thread did not wait for the client: what has arrived is echoed.
        if self.turn.load(Ordering::SeqCst) == ANSWERING {
            self.stream.set_nonblocking(true)?;
            let read = self.stream.read(&mut buffer);
            self.stream.set_nonblocking(false)?;
            match read {
                Ok(n) => self.answer(&buffer[..n], work)?,
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                Err(error) => return Err(error),
            }
            self.finish(ANSWERING)?;
        }
        while self.stream.read(&mut buffer)? > 0 {}
        Ok(())
    }

    fn answer(&self, message: &[u8], work: Option<Work>) -> io::Result<()> {
        match work {
            // Both are this thread, on which nobody else depends.
            Some(Work::Offloaded(time) | Work::Inline(time)) => burn(time),
            None => {}
        }
        self.stream.write_all(message)
    }

    /// Sends FIN if the thread's turn is `turn`.
    fn finish(&self, turn: u8) -> io::Result<()> {
        if self.passes(turn, FINISHED) {
            return self.stream.finish();
        }
        Ok(())
    }

    fn passes(&self, from: u8, to: u8) -> bool {
        self.turn.compare_exchange(from, to, Ordering::SeqCst, Ordering::SeqCst).is_ok()
    }
}
