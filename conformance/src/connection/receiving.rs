//! Receiving: every byte is checked as it comes, and so is how the connection ends.

use std::io::Read;
use std::time::Duration;

use harness::deadline::Deadline;
use harness::wait::{Interest, wait};
use report::{Failure, FailureKind};

use super::{Connection, End, READ_BYTES, Read1, is_again};

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
                    if !self
                        .clock
                        .waiting(|| wait(&self.socket, Interest::Read, deadline.left()))?
                    {
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
                    if !self
                        .clock
                        .waiting(|| wait(&self.socket, Interest::Read, deadline.left()))?
                    {
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
                    if !self
                        .clock
                        .waiting(|| wait(&self.socket, Interest::Read, deadline.left()))?
                    {
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
