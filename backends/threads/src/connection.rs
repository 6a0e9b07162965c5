//! A connection and its thread, which blocks in `read` and `write`. Only the client can end these
//! calls, so the stop goes through the client: it gets FIN, and its own FIN ends the read.

use std::collections::HashMap;
use std::io;
use std::sync::atomic::{AtomicU8, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use common::{Context, Work, burn};

use crate::transport::Stream;

/// The open connections, which the stop has to reach.
#[derive(Debug, Default)]
pub(crate) struct Connections {
    open: Mutex<HashMap<u64, Arc<Peer>>>,
    entered: AtomicU64,
}

/// A connection's entry, removed when it is dropped.
#[derive(Debug)]
pub(crate) struct Entry {
    connections: Arc<Connections>,
    number: u64,
}

#[derive(Debug)]
pub(crate) struct Peer {
    stream: Stream,
    /// What its thread does. The thread that sets it to [`FINISHED`] sends FIN.
    turn: AtomicU8,
}

/// From before the thread calls `read` until it has checked `turn` after the call.
const READING: u8 = 0;
/// The thread writes what it has read.
const ANSWERING: u8 = 1;
/// FIN is sent, or is about to be: what is read now is too late to be echoed.
const FINISHED: u8 = 2;

impl Connections {
    pub(crate) fn enter(self: &Arc<Self>, peer: &Arc<Peer>) -> Entry {
        let number = self.entered.fetch_add(1, Ordering::Relaxed);
        self.lock().insert(number, Arc::clone(peer));
        Entry { connections: Arc::clone(self), number }
    }

    /// Sends FIN to every client whose thread waits to read from it. The other threads see the stop
    /// when they have written.
    pub(crate) fn finish(&self) {
        for peer in self.lock().values() {
            // Fails if the client has gone; its thread sees that.
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
    pub(crate) fn new(stream: Stream) -> Self {
        Self { stream, turn: AtomicU8::new(ANSWERING) }
    }

    /// Echoes until the client ends or the server stops, then reads to the client's FIN.
    pub(crate) fn echo(&self, work: Option<Work>, context: &Context) -> io::Result<()> {
        let mut buffer = vec![0; context.buffer_bytes()];
        while !context.stopping() {
            if !self.passes(ANSWERING, READING) {
                break;
            }
            // The stop may have come after the loop's check and before this thread waited.
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
        // The stop came while this thread did not wait: what has arrived is echoed.
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
            // Either way it is this thread, which serves nobody else.
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
