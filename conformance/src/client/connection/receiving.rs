//! Receiving: the judge checks every byte as it arrives, and how the connection ends. It finds out
//! what kind of failure a wrong byte is.

use std::io::{self, ErrorKind, Read, Write as _};
use std::net::Shutdown;
use std::sync::Arc;
use std::thread;
use std::time::Duration;

use harness::deadline::Deadline;
use harness::wait::{Interest, wait};
use report::{Failure, FailureKind};

use super::{Connection, End, READ_BYTES, ReadResult, is_retryable};
use crate::client::harness_failure;
use crate::client::payload::RECORD_BYTES;

impl Connection {
    /// Receives the next `length` bytes and checks them.
    ///
    /// # Errors
    /// A payload failure, `timeout` without progress, `closed` or `reset`.
    pub fn receive(&mut self, length: u64) -> Result<(), Failure> {
        self.receive_by(length, None)
    }

    /// Receives everything that was sent and has not come back yet.
    ///
    /// # Errors
    /// Those of [`Connection::receive`].
    pub fn receive_all(&mut self) -> Result<(), Failure> {
        self.receive(self.sent - self.received)
    }

    /// Like [`Connection::receive`], and judges whether all bytes arrive within `limit`.
    ///
    /// # Errors
    /// Those of [`Connection::receive`], and `slow`.
    pub fn receive_within(&mut self, length: u64, limit: Duration) -> Result<(), Failure> {
        self.receive_and_judge("echo", length, limit)
    }

    /// Like [`Connection::receive_within`], under the name `what` in the cell's margins.
    pub(crate) fn receive_and_judge(
        &mut self,
        what: &str,
        length: u64,
        limit: Duration,
    ) -> Result<(), Failure> {
        let deadline = self.clock.deadline_after(limit);
        self.receive_by(length, Some(deadline))?;
        self.clock.judge_time(what, deadline.elapsed(), limit)
    }

    /// Like [`Connection::receive`], with one deadline for all bytes.
    pub(crate) fn receive_by_deadline(
        &mut self,
        length: u64,
        whole: Deadline,
    ) -> Result<(), Failure> {
        self.receive_by(length, Some(whole))
    }

    fn receive_by(&mut self, length: u64, whole: Option<Deadline>) -> Result<(), Failure> {
        let end = self.received + length;
        let mut deadline = whole.unwrap_or_else(|| self.clock.progress_deadline());
        while self.received < end {
            let room = usize::try_from(end - self.received).unwrap_or(READ_BYTES);
            match self.try_receive(room.min(READ_BYTES))? {
                ReadResult::Bytes(_) if whole.is_some() => {}
                ReadResult::Bytes(n) => self.clock.extend_on_progress(&mut deadline, n),
                ReadResult::Nothing => {
                    if !self.clock.wait_for(&self.socket, Interest::Read, deadline)? {
                        return Err(self.overdue_failure(end - self.received, &deadline));
                    }
                }
                ReadResult::End => return Err(self.early_end_failure(end)),
            }
        }
        Ok(())
    }

    /// Reads at most `room` bytes, without waiting, and checks them.
    ///
    /// # Errors
    /// A payload failure or `reset`.
    pub fn try_receive(&mut self, room: usize) -> Result<ReadResult, Failure> {
        let mut buffer = [0; READ_BYTES];
        self.try_receive_into(&mut buffer[..room.min(READ_BYTES)])
    }

    /// Like [`Connection::try_receive`], with the caller's buffer.
    ///
    /// # Errors
    /// A payload failure or `reset`.
    pub fn try_receive_into(&mut self, buffer: &mut [u8]) -> Result<ReadResult, Failure> {
        match (&self.socket).read(buffer) {
            Ok(0) => Ok(ReadResult::End),
            Ok(n) => {
                let right = self.payload.count_matching(self.received, &buffer[..n]);
                let overshoot = (self.received + n as u64).saturating_sub(self.sent);
                if right < n || overshoot > 0 {
                    let owed = usize::try_from(self.sent - self.received).unwrap_or(n);
                    return Err(self.mismatch_failure(right.min(owed), &buffer[..n]));
                }
                if self.received == 0 {
                    self.clock.note_accepted(self.number);
                }
                self.received += n as u64;
                Ok(ReadResult::Bytes(n))
            }
            Err(e) if is_retryable(&e) => Ok(ReadResult::Nothing),
            Err(e) => Err(self.io_failure("receiving", &e)),
        }
    }

    /// Receives everything that was sent and has not come back yet, then the server's FIN.
    ///
    /// # Errors
    /// A payload failure, `lost` when FIN arrives too early, `reset`, `timeout`.
    pub fn expect_end(&mut self) -> Result<(), Failure> {
        self.expect_end_by(None)
    }

    /// Like [`Connection::expect_end`], and judges whether the end arrives within `limit`.
    ///
    /// # Errors
    /// Those of [`Connection::expect_end`], and `slow`.
    pub fn expect_end_within(&mut self, limit: Duration) -> Result<(), Failure> {
        let deadline = self.clock.deadline_after(limit);
        self.expect_end_by(Some(deadline))?;
        self.clock.judge_time("the server's FIN", deadline.elapsed(), limit)
    }

    fn expect_end_by(&mut self, whole: Option<Deadline>) -> Result<(), Failure> {
        let mut deadline = whole.unwrap_or_else(|| self.clock.end_deadline());
        loop {
            match self.try_receive(READ_BYTES)? {
                ReadResult::End if self.received == self.sent => return Ok(()),
                ReadResult::End => {
                    let actual = format!("FIN after {} of them", self.received);
                    let expected = format!("{} bytes, then FIN", self.sent);
                    return Err(Failure::new(FailureKind::Lost, expected, actual));
                }
                ReadResult::Bytes(_) if whole.is_some() => {}
                ReadResult::Bytes(n) => self.clock.extend_on_progress(&mut deadline, n),
                ReadResult::Nothing => {
                    if !self.clock.wait_for(&self.socket, Interest::Read, deadline)? {
                        let missing = self.sent - self.received;
                        let what = if missing == 0 {
                            "the server's FIN".to_owned()
                        } else {
                            format!("{missing} bytes and FIN")
                        };
                        return Err(deadline.failure(&what));
                    }
                }
            }
        }
    }

    /// Reads until the connection ends by FIN or reset, and checks every byte that still arrives.
    ///
    /// # Errors
    /// A payload failure or `timeout`.
    pub fn drain_to_any_end(&mut self) -> Result<End, Failure> {
        let mut deadline = self.clock.end_deadline();
        loop {
            match self.try_receive(READ_BYTES) {
                Ok(ReadResult::End) => return Ok(End::Fin),
                Ok(ReadResult::Bytes(n)) => self.clock.extend_on_progress(&mut deadline, n),
                Ok(ReadResult::Nothing) => {
                    if !self.clock.wait_for(&self.socket, Interest::Read, deadline)? {
                        return Err(deadline.failure("the connection's end"));
                    }
                }
                Err(e) if e.kind == FailureKind::Reset => return Ok(End::Reset),
                Err(e) => return Err(e),
            }
        }
    }

    /// Expects that neither bytes nor an end arrive for `time`.
    ///
    /// # Errors
    /// `extra` or another payload failure, `closed` or `reset`.
    pub fn expect_silence(&mut self, time: Duration) -> Result<(), Failure> {
        let deadline = self.clock.deadline_after(time);
        while wait(&self.socket, Interest::Read, deadline.left())? {
            match self.try_receive(READ_BYTES)? {
                ReadResult::Nothing => {}
                ReadResult::End => {
                    return Err(Failure::new(FailureKind::Closed, "an open connection", "its end"));
                }
                ReadResult::Bytes(n) => {
                    return Err(Failure::new(FailureKind::Extra, "silence", format!("{n} bytes")));
                }
            }
        }
        Ok(())
    }
}

impl Connection {
    /// Sends `length` bytes with a single call and receives them while the call runs. Only a
    /// blocking socket takes a write that is larger than all buffers on the path, so this is the
    /// one place where a connection blocks. A thread of its own makes the call.
    ///
    /// # Errors
    /// A payload failure, `timeout` without progress, `closed` or `reset`.
    pub fn exchange_in_one_write(&mut self, length: usize) -> Result<(), Failure> {
        let bytes = self.payload.bytes(self.sent, length);
        let writer = self.socket.try_clone().map_err(|e| harness_failure("clone a socket", &e))?;
        let limit = self.clock.cell_end().left();
        self.block_for(Some(limit)).map_err(|e| harness_failure("make a socket block", &e))?;
        self.sent += length as u64;
        let clock = Arc::clone(&self.clock);
        let (received, written) = thread::scope(|scope| {
            let call = scope.spawn(|| {
                let _counted = clock.count_this_thread();
                (&writer).write(&bytes)
            });
            let received = self.receive_while_blocking();
            if received.is_err() {
                // Ends the call, which may wait for a server that takes no more bytes. If the
                // shutdown fails, the connection is gone and the call has ended already.
                let _ = self.socket.shutdown(Shutdown::Both);
            }
            (received, call.join())
        });
        received?;
        self.block_for(None).map_err(|e| harness_failure("make a socket non-blocking", &e))?;
        match written {
            Ok(Ok(n)) if n == length => Ok(()),
            Ok(Ok(n)) => {
                let expected = format!("one call to write {length} bytes");
                Err(Failure::new(FailureKind::Harness, expected, format!("{n}")))
            }
            Ok(Err(e)) => Err(self.io_failure("sending", &e)),
            Err(_) => Err(Failure::new(FailureKind::Harness, "a writing thread", "its panic")),
        }
    }

    /// Receives everything outstanding. Each read follows a poll, so it does not block.
    fn receive_while_blocking(&mut self) -> Result<(), Failure> {
        let mut deadline = self.clock.progress_deadline();
        let mut buffer = vec![0; 64 * 1024];
        while self.received < self.sent {
            if !self.clock.wait_for(&self.socket, Interest::Read, deadline)? {
                let missing = self.sent - self.received;
                return Err(deadline.failure(&format!("{missing} more bytes")));
            }
            match self.try_receive_into(&mut buffer)? {
                ReadResult::Bytes(n) => self.clock.extend_on_progress(&mut deadline, n),
                ReadResult::Nothing => {}
                ReadResult::End => {
                    let actual = format!("its end after {} bytes", self.received);
                    let expected = format!("{} bytes", self.sent);
                    return Err(Failure::new(FailureKind::Closed, expected, actual));
                }
            }
        }
        Ok(())
    }

    /// Makes the socket block for at most `limit`, or not at all for `None`. Clones of the socket
    /// share the mode.
    fn block_for(&self, limit: Option<Duration>) -> io::Result<()> {
        self.socket.set_write_timeout(limit)?;
        self.socket.set_read_timeout(limit)?;
        self.socket.set_nonblocking(limit.is_none())
    }
}

/// How many bytes after a wrong byte are read to find out what went wrong.
const TAIL_BYTES: usize = 192 * 1024;
/// How long to wait for the next of these bytes.
const TAIL_PAUSE: Duration = Duration::from_millis(200);

impl Connection {
    /// The failure that says which bytes arrived in place of the right ones.
    pub(super) fn mismatch_failure(&mut self, right: usize, buffer: &[u8]) -> Failure {
        let position = self.received + right as u64;
        let sent = self.sent;
        let mut tail = buffer[right..].to_vec();
        // A few more records show where the stream continues. After FIN none can be sent.
        let _ = self.try_send(4 * RECORD_BYTES as u64);
        let mut more = [0; READ_BYTES];
        while tail.len() < TAIL_BYTES && wait(&self.socket, Interest::Read, TAIL_PAUSE) == Ok(true)
        {
            match (&self.socket).read(&mut more) {
                Ok(n) if n > 0 => tail.extend_from_slice(&more[..n]),
                Ok(_) | Err(_) => break,
            }
        }
        let mismatch = self.payload.classify(position, &tail, sent);
        let expected = if position < sent {
            format!("byte {position} of connection {}", self.number)
        } else {
            format!("nothing after the {sent} bytes of connection {}", self.number)
        };
        Failure::new(mismatch.kind, expected, mismatch.found).with_position(position)
    }

    /// The failure of bytes that did not arrive in time. FIN tells a server that holds the bytes
    /// back from one that lost them: after FIN, either the rest arrives or the connection ends.
    pub(crate) fn overdue_failure(&mut self, missing: u64, deadline: &Deadline) -> Failure {
        let timeout = deadline.failure(&format!("{missing} more bytes"));
        if self.socket.shutdown(Shutdown::Write).is_err() {
            return timeout;
        }
        let grace = self.clock.deadline_after(Duration::from_secs(1));
        while !grace.is_over() && wait(&self.socket, Interest::Read, grace.left()) == Ok(true) {
            match self.try_receive(READ_BYTES) {
                Ok(ReadResult::Bytes(_) | ReadResult::Nothing) => {}
                Ok(ReadResult::End) if self.received < self.sent => {
                    let expected = format!("{} bytes", self.sent);
                    let actual = format!("{}, and FIN when asked for the rest", self.received);
                    return Failure::new(FailureKind::Lost, expected, actual);
                }
                Ok(ReadResult::End) => return timeout,
                Err(found) => return found,
            }
        }
        timeout
    }

    /// The failure of a FIN that arrived before all bytes. If the judge has sent FIN, the missing
    /// bytes are lost, because nothing can follow the server's FIN. Otherwise the server closed the
    /// connection early.
    pub(crate) fn early_end_failure(&self, goal: u64) -> Failure {
        let kind = if self.has_sent_fin { FailureKind::Lost } else { FailureKind::Closed };
        let actual = format!("its end after {} bytes", self.received);
        Failure::new(kind, format!("{goal} bytes"), actual)
    }

    pub(super) fn io_failure(&self, doing: &str, error: &io::Error) -> Failure {
        let expected = format!("connection {} open while {doing}", self.number);
        let actual = format!("{error} after {} bytes", self.received);
        let is_closed = matches!(
            error.kind(),
            ErrorKind::ConnectionReset
                | ErrorKind::ConnectionAborted
                | ErrorKind::BrokenPipe
                | ErrorKind::NotConnected
                | ErrorKind::TimedOut
        );
        let kind = if is_closed { FailureKind::Reset } else { FailureKind::Harness };
        Failure::new(kind, expected, actual)
    }
}
