//! A connection, and how far it gets before it has to wait.
//!
//! The poller is edge-triggered: it says once that a socket has become ready, so what it said is
//! kept until the socket itself says that it would block.

use std::{
    io::{self, Read as _, Write as _},
    net::Shutdown,
    time::Duration,
};

use common::{Connection as Counted, Work, burn};
use mio::event::Event;

use crate::stream::Stream;

/// Reads in a row after which other connections get a turn.
const TURN: usize = 16;

pub(crate) struct Connection {
    pub(crate) stream: Stream,
    pub(crate) counted: Counted,
    /// Tells it from others that have had its key.
    pub(crate) number: u64,
    work: Option<Work>,
    phase: Phase,
    readable: bool,
    writable: bool,
    /// The client's FIN or a reset has come, which no further edge says.
    ends: bool,
    /// What was read and not yet written; empty while the client keeps up.
    pending: Vec<u8>,
    /// It stands in the loop's queue.
    pub(crate) queued: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Phase {
    Echoing,
    /// Another thread works for a message, which is pending.
    Working,
    /// The server stops: one more read.
    Stopping,
    /// What was read last is to be written, then FIN.
    Answering,
    /// FIN is sent; what still comes is dropped, up to the client's own.
    Ending,
}

/// Why a connection stops for now.
pub(crate) enum Pause {
    /// Its socket would block.
    Blocked,
    /// It has had its turn.
    Turn,
    /// Its message costs so much time, which another thread has to spend.
    Work(Duration),
    /// It is over.
    Ended,
}

impl Connection {
    pub(crate) fn new(
        stream: Stream,
        counted: Counted,
        number: u64,
        work: Option<Work>,
    ) -> Connection {
        Connection {
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

    /// Keeps what the poller says.
    pub(crate) fn note(&mut self, event: &Event) {
        self.readable |= event.is_readable() || event.is_read_closed() || event.is_error();
        self.writable |= event.is_writable() || event.is_write_closed() || event.is_error();
        self.ends |= event.is_read_closed() || event.is_error();
    }

    /// The work for its message has been done.
    pub(crate) fn worked(&mut self, stopping: bool) {
        self.phase = if stopping { Phase::Answering } else { Phase::Echoing };
    }

    /// The server stops.
    pub(crate) fn stop(&mut self) {
        if self.phase == Phase::Echoing {
            self.phase = Phase::Stopping;
            // What has arrived is still echoed, whether or not an edge has said so.
            self.readable = true;
        }
    }

    /// Goes on until it has to wait, with the loop's buffer for what is read.
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

    /// Reads if there may be something; none if there is not.
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

    /// Writes a message, and keeps what the socket does not take.
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

    /// Writes what is pending; whether all of it is gone. Nothing is read before it is.
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
