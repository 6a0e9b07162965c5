//! A connection, and how far it gets before its socket would block.
//!
//! The poller is edge-triggered: it reports once that a socket has become ready. So a connection
//! remembers that until a call returns `WouldBlock`.

use std::io::{self, Read as _, Write as _};
use std::net::Shutdown;
use std::time::Duration;

use common::{Connection as Counted, Work, burn};
use mio::event::Event;

use crate::stream::Stream;

/// After this many reads in a row, the other connections get a turn.
const TURN: usize = 16;

pub(crate) struct Connection {
    pub(crate) stream: Stream,
    pub(crate) counted: Counted,
    /// Distinguishes it from others that had its key.
    pub(crate) number: u64,
    work: Option<Work>,
    phase: Phase,
    readable: bool,
    writable: bool,
    /// The client's FIN or a reset has arrived. No later event reports it.
    ends: bool,
    /// Bytes that were read and not written yet; empty while the client keeps up.
    pending: Vec<u8>,
    /// Whether it is in the loop's queue.
    pub(crate) queued: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Phase {
    Echoing,
    /// Another thread spends the CPU time of the pending message.
    Working,
    /// The server stops: one more read takes what has arrived.
    Stopping,
    /// The last message is written, then FIN.
    Answering,
    /// FIN is sent. What still arrives is dropped, until the client's FIN.
    Ending,
}

/// Why a connection pauses.
pub(crate) enum Pause {
    /// Its socket would block.
    Blocked,
    /// It has had its turn.
    Turn,
    /// Another thread has to spend the CPU time of its message.
    Work(Duration),
    /// The connection has ended.
    Ended,
}

impl Connection {
    pub(crate) fn new(stream: Stream, counted: Counted, number: u64, work: Option<Work>) -> Self {
        Self {
            stream,
            counted,
            number,
            work,
            phase: Phase::Echoing,
            readable: false,
            writable: true,
            ends: false,
            pending: Vec::new(),
            queued: false,
        }
    }

    /// Remembers an event.
    pub(crate) fn note(&mut self, event: &Event) {
        self.readable |= event.is_readable() || event.is_read_closed() || event.is_error();
        self.writable |= event.is_writable() || event.is_write_closed() || event.is_error();
        self.ends |= event.is_read_closed() || event.is_error();
    }

    /// Acts as if the poller had reported the socket as ready.
    pub(crate) fn assume_ready(&mut self) {
        self.readable = true;
        self.writable = true;
    }

    /// Another thread has spent the CPU time of the pending message.
    pub(crate) fn worked(&mut self, stopping: bool) {
        self.phase = if stopping { Phase::Answering } else { Phase::Echoing };
    }

    /// The server stops.
    pub(crate) fn stop(&mut self) {
        if self.phase == Phase::Echoing {
            self.phase = Phase::Stopping;
            // What has arrived is still echoed, even if no event has reported it yet.
            self.readable = true;
        }
    }

    /// Reads and writes until the socket would block. `buffer` is the loop's.
    pub(crate) fn advance(&mut self, buffer: &mut [u8]) -> io::Result<Pause> {
        if self.phase == Phase::Working {
            return Ok(Pause::Blocked);
        }
        for _ in 0..TURN {
            if !self.flush()? {
                return Ok(Pause::Blocked);
            }
            if self.phase == Phase::Answering {
                self.finish()?;
            }
            let read = self.read(buffer)?;
            if self.phase == Phase::Stopping && read.is_some() {
                self.phase = Phase::Answering;
            }
            match (self.phase, read) {
                (Phase::Stopping, None) => self.finish()?,
                (_, None) => return Ok(Pause::Blocked),
                (Phase::Ending, Some(0)) => return Ok(Pause::Ended),
                (Phase::Ending, Some(_)) => {}
                (_, Some(0)) => {
                    self.finish()?;
                    return Ok(Pause::Ended);
                }
                (_, Some(bytes)) => match self.work {
                    Some(Work::Offloaded(time)) => {
                        self.pending.extend_from_slice(&buffer[..bytes]);
                        self.phase = Phase::Working;
                        return Ok(Pause::Work(time));
                    }
                    Some(Work::Inline(time)) => {
                        burn(time);
                        self.write(&buffer[..bytes])?;
                    }
                    None => self.write(&buffer[..bytes])?,
                },
            }
        }
        Ok(Pause::Turn)
    }

    /// Reads, if the socket may be readable; `None` if it would block.
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<Option<usize>> {
        while self.readable {
            match self.stream.read(buffer) {
                Ok(bytes) => {
                    let is_short = bytes < buffer.len() && !self.ends;
                    self.readable = !(is_short && self.stream.short_read_is_last());
                    return Ok(Some(bytes));
                }
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => self.readable = false,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
        Ok(None)
    }

    /// Writes a message, and keeps the bytes that the socket does not take.
    fn write(&mut self, mut message: &[u8]) -> io::Result<()> {
        while !message.is_empty() && self.writable {
            match self.stream.write(message) {
                Ok(bytes) => message = &message[bytes..],
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => self.writable = false,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
        self.pending.extend_from_slice(message);
        Ok(())
    }

    /// Writes the pending bytes; whether none is left. Nothing is read before that.
    fn flush(&mut self) -> io::Result<bool> {
        if self.pending.is_empty() {
            return Ok(true);
        }
        let pending = std::mem::take(&mut self.pending);
        self.write(&pending)?;
        Ok(self.pending.is_empty())
    }

    fn finish(&mut self) -> io::Result<()> {
        self.phase = Phase::Ending;
        self.stream.shutdown(Shutdown::Write)
    }
}
