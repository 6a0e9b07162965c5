//! Receiving: the judge checks every byte as it arrives, and how the connection ends. A wrong byte
//! gets its kind of failure here.

use std::io::{self, ErrorKind, Read, Write as _};
use std::net::Shutdown;
use std::sync::Arc;
use std::thread;
use std::time::Duration;

use harness::deadline::Deadline;
use harness::wait::{Interest, wait};
use report::{Failure, FailureKind};

use super::{Connection, End, READ_BYTES, Read1, is_again};
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
    /// As [`Connection::receive`].
    pub fn receive_all(&mut self) -> Result<(), Failure> {
        self.receive(self.sent - self.received)
    }

    /// As [`Connection::receive`], all of it within `limit`, which is judged as a time.
    ///
    /// # Errors
    /// As [`Connection::receive`], and `slow`.
    pub fn receive_within(&mut self, length: u64, limit: Duration) -> Result<(), Failure> {
        self.receive_in("echo", length, limit)
    }

    /// As [`Connection::receive_within`], under another name in the cell's margins.
    pub(crate) fn receive_in(
        &mut self,
        what: &str,
        length: u64,
        limit: Duration,
    ) -> Result<(), Failure> {
        let deadline = self.clock.within(limit);
        self.receive_by(length, Some(deadline))?;
        self.clock.judge_time(what, deadline.elapsed(), limit)
    }

    /// As [`Connection::receive`], all of it by this deadline.
    pub(crate) fn receive_before(&mut self, length: u64, whole: Deadline) -> Result<(), Failure> {
        self.receive_by(length, Some(whole))
    }

    fn receive_by(&mut self, length: u64, whole: Option<Deadline>) -> Result<(), Failure> {
        let end = self.received + length;
        let mut deadline = whole.unwrap_or_else(|| self.clock.progress());
        while self.received < end {
            let room = usize::try_from(end - self.received).unwrap_or(READ_BYTES);
            match self.try_receive(room.min(READ_BYTES))? {
                Read1::Bytes(_) if whole.is_some() => {}
                Read1::Bytes(n) => self.clock.put_off(&mut deadline, n),
                Read1::Nothing => {
                    if !self.clock.wait_for(&self.socket, Interest::Read, deadline)? {
                        return Err(self.overdue(end - self.received, &deadline));
                    }
                }
                Read1::End => return Err(self.ended_early(end)),
            }
        }
        Ok(())
    }

    /// Reads at most `room` bytes, without waiting, and checks them.
    ///
    /// # Errors
    /// A payload failure or `reset`.
    pub fn try_receive(&mut self, room: usize) -> Result<Read1, Failure> {
        let mut buffer = [0; READ_BYTES];
        self.try_receive_into(&mut buffer[..room.min(READ_BYTES)])
    }

    /// As [`Connection::try_receive`], through a buffer of the caller's.
    ///
    /// # Errors
    /// A payload failure or `reset`.
    pub fn try_receive_into(&mut self, buffer: &mut [u8]) -> Result<Read1, Failure> {
        match (&self.socket).read(buffer) {
            Ok(0) => Ok(Read1::End),
            Ok(n) => {
                let right = self.payload.matching(self.received, &buffer[..n]);
                let overshoot = (self.received + n as u64).saturating_sub(self.sent);
                if right < n || overshoot > 0 {
                    let owed = usize::try_from(self.sent - self.received).unwrap_or(n);
                    return Err(self.wrong(right.min(owed), &buffer[..n]));
                }
                if self.received == 0 {
                    self.clock.note_served(self.number);
                }
                self.received += n as u64;
                Ok(Read1::Bytes(n))
            }
            Err(e) if is_again(&e) => Ok(Read1::Nothing),
            Err(e) => Err(self.closed_while("receiving", &e)),
        }
    }

    /// Receives everything that was sent and has not come back yet, then the server's FIN.
    ///
    /// # Errors
    /// A payload failure, `lost` when FIN comes too early, `reset`, `timeout`.
    pub fn expect_end(&mut self) -> Result<(), Failure> {
        self.expect_end_by(None)
    }

    /// As [`Connection::expect_end`], all of it within `limit`, which is judged as a time.
    ///
    /// # Errors
    /// As [`Connection::expect_end`], and `slow`.
    pub fn expect_end_within(&mut self, limit: Duration) -> Result<(), Failure> {
        let deadline = self.clock.within(limit);
        self.expect_end_by(Some(deadline))?;
        self.clock.judge_time("the server's FIN", deadline.elapsed(), limit)
    }

    fn expect_end_by(&mut self, whole: Option<Deadline>) -> Result<(), Failure> {
        let mut deadline = whole.unwrap_or_else(|| self.clock.progress_to_end());
        loop {
            match self.try_receive(READ_BYTES)? {
                Read1::End if self.received == self.sent => return Ok(()),
                Read1::End => {
                    let actual = format!("FIN after {} of them", self.received);
                    let expected = format!("{} bytes, then FIN", self.sent);
                    return Err(Failure::new(FailureKind::Lost, expected, actual));
                }
                Read1::Bytes(_) if whole.is_some() => {}
                Read1::Bytes(n) => self.clock.put_off(&mut deadline, n),
                Read1::Nothing => {
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

    /// Reads until the connection ends, by FIN or reset, and checks what still comes.
    ///
    /// # Errors
    /// A payload failure or `timeout`.
    pub fn drain_to_any_end(&mut self) -> Result<End, Failure> {
        let mut deadline = self.clock.progress_to_end();
        loop {
            match self.try_receive(READ_BYTES) {
                Ok(Read1::End) => return Ok(End::Fin),
                Ok(Read1::Bytes(n)) => self.clock.put_off(&mut deadline, n),
                Ok(Read1::Nothing) => {
                    if !self.clock.wait_for(&self.socket, Interest::Read, deadline)? {
                        return Err(deadline.failure("the connection's end"));
                    }
                }
                Err(e) if e.kind == FailureKind::Reset => return Ok(End::Reset),
                Err(e) => return Err(e),
            }
        }
    }

    /// Listens for `time` and accepts neither bytes nor an end.
    ///
    /// # Errors
    /// A payload failure, `closed` or `reset`.
    pub fn expect_silence(&mut self, time: Duration) -> Result<(), Failure> {
        let deadline = self.clock.within(time);
        while wait(&self.socket, Interest::Read, deadline.left())? {
            match self.try_receive(READ_BYTES)? {
                Read1::Nothing => {}
                Read1::End => {
                    return Err(Failure::new(FailureKind::Closed, "an open connection", "its end"));
                }
                Read1::Bytes(n) => {
                    return Err(Failure::new(FailureKind::Extra, "silence", format!("{n} bytes")));
                }
            }
        }
        Ok(())
    }
}

impl Connection {
    /// Sends `length` bytes with a single call and receives them while it runs. A call that is
    /// larger than every buffer on its way is taken whole by a blocking socket only, so this is the
    /// one place where a connection blocks, with a thread to write.
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
                // Ends the call, which may wait for a server that takes no more. It fails on a
                // connection that is already gone, and then the call has ended too.
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
            Ok(Err(e)) => Err(self.closed_while("sending", &e)),
            Err(_) => Err(Failure::new(FailureKind::Harness, "a writing thread", "its panic")),
        }
    }

    /// Receives all that is outstanding. Each read follows a poll, so that it does not block.
    fn receive_while_blocking(&mut self) -> Result<(), Failure> {
        let mut deadline = self.clock.progress();
        let mut buffer = vec![0; 64 * 1024];
        while self.received < self.sent {
            if !self.clock.wait_for(&self.socket, Interest::Read, deadline)? {
                let missing = self.sent - self.received;
                return Err(deadline.failure(&format!("{missing} more bytes")));
            }
            match self.try_receive_into(&mut buffer)? {
                Read1::Bytes(n) => self.clock.put_off(&mut deadline, n),
                Read1::Nothing => {}
                Read1::End => {
                    let actual = format!("its end after {} bytes", self.received);
                    let expected = format!("{} bytes", self.sent);
                    return Err(Failure::new(FailureKind::Closed, expected, actual));
                }
            }
        }
        Ok(())
    }

    /// Makes this socket and its clones, which share the mode, block for at most `limit`; or not
    /// at all without one.
    fn block_for(&self, limit: Option<Duration>) -> io::Result<()> {
        self.socket.set_write_timeout(limit)?;
        self.socket.set_read_timeout(limit)?;
        self.socket.set_nonblocking(limit.is_none())
    }
}

/// How much is looked at behind a wrong byte before it gets its name.
const TAIL_BYTES: usize = 192 * 1024;
/// How long the stream behind a wrong byte may pause before it gets its name.
const TAIL_PAUSE: Duration = Duration::from_millis(200);

impl Connection {
    /// A failure that says what stands where a right byte should.
    pub(super) fn wrong(&mut self, right: usize, buffer: &[u8]) -> Failure {
        let position = self.received + right as u64;
        let sent = self.sent;
        let mut tail = buffer[right..].to_vec();
        // A few more records show where the stream goes on. After FIN there are none.
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
        Failure::new(mismatch.kind, expected, mismatch.found).at(position)
    }

    /// Bytes did not come in time. FIN tells a server that holds them back from one that lost
    /// them: after it, the rest comes or the end does.
    pub(crate) fn overdue(&mut self, missing: u64, deadline: &Deadline) -> Failure {
        let timeout = deadline.failure(&format!("{missing} more bytes"));
        if self.socket.shutdown(Shutdown::Write).is_err() {
            return timeout;
        }
        let grace = self.clock.within(Duration::from_secs(1));
        while !grace.is_over() && wait(&self.socket, Interest::Read, grace.left()) == Ok(true) {
            match self.try_receive(READ_BYTES) {
                Ok(Read1::Bytes(_) | Read1::Nothing) => {}
                Ok(Read1::End) if self.received < self.sent => {
                    let expected = format!("{} bytes", self.sent);
                    let actual = format!("{}, and FIN when asked for the rest", self.received);
                    return Failure::new(FailureKind::Lost, expected, actual);
                }
                Ok(Read1::End) => return timeout,
                Err(found) => return found,
            }
        }
        timeout
    }

    /// The server's FIN came before all bytes had: they are lost if ours had been sent, because
    /// then FIN is the server's last word; otherwise it closed on us.
    pub(crate) fn ended_early(&self, goal: u64) -> Failure {
        let kind = if self.has_finished { FailureKind::Lost } else { FailureKind::Closed };
        let actual = format!("its end after {} bytes", self.received);
        Failure::new(kind, format!("{goal} bytes"), actual)
    }

    pub(super) fn closed_while(&self, doing: &str, error: &io::Error) -> Failure {
        let expected = format!("connection {} open while {doing}", self.number);
        let actual = format!("{error} after {} bytes", self.received);
        let is_closed = matches!(
            error.kind(),
            ErrorKind::ConnectionReset
                | ErrorKind::ConnectionAborted
                | ErrorKind::BrokenPipe
                | ErrorKind::NotConnected
        );
        let kind = if is_closed { FailureKind::Reset } else { FailureKind::Harness };
        Failure::new(kind, expected, actual)
    }
}
