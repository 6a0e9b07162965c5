//! Sending: the next bytes of the stream, in pieces of any shape, and FIN.

use std::io::{self, ErrorKind, IoSlice, Write};
use std::net::{Shutdown, SocketAddr};
use std::thread;
use std::time::{Duration, Instant};

use harness::wait::{Interest, wait};
use report::{Failure, FailureKind};
use socket2::Socket;

use super::{Connection, is_again};
use crate::client::harness_failure;
use crate::client::passing::{Copies, Passed};
use crate::client::queues::queues;

impl Connection {
    /// Sends the next `length` bytes of the stream, waiting while the server does not take them.
    ///
    /// # Errors
    /// `timeout` without progress, `reset` when the server closed.
    pub fn send(&mut self, length: u64) -> Result<(), Failure> {
        let end = self.sent + length;
        let mut deadline = self.clock.progress();
        while self.sent < end {
            let taken = self.try_send(end - self.sent)?;
            if taken > 0 {
                self.clock.put_off(&mut deadline, taken);
            } else if !self.clock.wait_for(&self.socket, Interest::Write, deadline)? {
                return Err(deadline.failure("the server to take bytes"));
            }
        }
        Ok(())
    }

    /// Sends what the kernel takes of the next `length` bytes at once: 0 when it takes nothing.
    ///
    /// # Errors
    /// `reset` when the server closed.
    pub fn try_send(&mut self, length: u64) -> Result<usize, Failure> {
        let length = usize::try_from(length).unwrap_or(usize::MAX).min(256 * 1024);
        let bytes = self.payload.bytes(self.sent, length);
        let n = self.write(|socket| (&*socket).write(&bytes))?;
        self.sent += n as u64;
        Ok(n)
    }

    /// Sends the next `pieces * piece_bytes` bytes with one vectored call.
    ///
    /// # Errors
    /// `reset` when the server closed.
    pub fn try_send_vectored(
        &mut self,
        pieces: usize,
        piece_bytes: usize,
    ) -> Result<usize, Failure> {
        let bytes = self.payload.bytes(self.sent, pieces * piece_bytes);
        let slices: Vec<IoSlice> = bytes.chunks(piece_bytes).map(IoSlice::new).collect();
        let n = self.write(|socket| socket.send_vectored(&slices))?;
        self.sent += n as u64;
        Ok(n)
    }

    /// Sends the next `length` bytes of the stream with descriptors, all at once.
    ///
    /// # Errors
    /// `reset` when the server closed, `harness` when the system does not pass any.
    pub fn send_passing(
        &mut self,
        length: usize,
        passed: Passed,
        copies: Copies,
    ) -> Result<(), Failure> {
        let bytes = self.payload.bytes(self.sent, length);
        let mut passed = Some(passed);
        let n = self.write(|socket| {
            passed.take().map_or(Ok(0), |passed| passed.send_with(socket, &bytes, copies))
        })?;
        self.sent += n as u64;
        if n == length {
            return Ok(());
        }
        let actual = format!("{n} were taken");
        Err(Failure::new(FailureKind::Harness, format!("room for {length} bytes"), actual))
    }

    pub(super) fn write(
        &self,
        call: impl FnOnce(&Socket) -> io::Result<usize>,
    ) -> Result<usize, Failure> {
        match call(&self.socket) {
            Ok(n) => Ok(n),
            Err(e) if is_again(&e) => Ok(0),
            Err(e) => Err(self.closed_while("sending", &e)),
        }
    }

    /// Sends until the kernel has taken nothing for `quiet`, at most `limit` bytes. `quiet` is
    /// scaled here, and put off by held-back time: a server without a processor is not blocked.
    ///
    /// # Errors
    /// `reset` when the server closed, `timeout` when it takes bytes until the cell ends.
    pub fn send_until_blocked(&mut self, quiet: Duration, limit: u64) -> Result<u64, Failure> {
        let start = self.sent;
        let end = self.clock.cell_end();
        while self.sent - start < limit {
            if self.try_send(limit - (self.sent - start))? == 0 && !self.has_room_within(quiet)? {
                break;
            }
            if end.is_over() {
                return Err(end.failure("a server that takes no more bytes"));
            }
        }
        Ok(self.sent - start)
    }

    fn has_room_within(&self, time: Duration) -> Result<bool, Failure> {
        let deadline = self.clock.within(time);
        loop {
            if wait(&self.socket, Interest::Write, deadline.left())? {
                return Ok(true);
            }
            if deadline.is_over() {
                return Ok(false);
            }
        }
    }

    /// Sends until the server has left bytes unread for `quiet`, at most `limit` bytes. Little
    /// waits then, so that what is sent next, such as FIN, reaches a server that is blocked. Where
    /// the system does not tell what is unread, sends until the kernel takes no more. `quiet` is
    /// scaled as there.
    ///
    /// # Errors
    /// `reset` when the server closed, `timeout` when it takes bytes until the cell ends.
    pub fn send_until_unread(&mut self, quiet: Duration, limit: u64) -> Result<u64, Failure> {
        /// Less than any receive buffer, so that the kernel's end of the server has room for it.
        const PIECE: u64 = 8 * 1024;
        if self.untaken().is_err() {
            return self.send_until_blocked(quiet, limit);
        }
        let start = self.sent;
        let end = self.clock.cell_end();
        while self.sent - start < limit {
            if end.is_over() {
                return Err(end.failure("a server that takes no more bytes"));
            }
            self.send(PIECE.min(limit - (self.sent - start)))?;
            if !self.is_taken_within(quiet)? {
                break;
            }
        }
        Ok(self.sent - start)
    }

    /// Whether the server takes all that was sent within `time`, which is scaled and put off as
    /// that of [`Connection::send_until_blocked`].
    ///
    /// # Errors
    /// `harness` where the system does not tell.
    pub fn is_taken_within(&self, time: Duration) -> Result<bool, Failure> {
        self.is_zero_within(time, || self.untaken())
    }

    /// Whether the server reads all that has come to its end within `time`, scaled as there. That
    /// it did is known long before the acknowledgement of a small message, which is delayed.
    ///
    /// # Errors
    /// `harness` where the system does not tell.
    pub fn is_read_within(&self, time: Duration) -> Result<bool, Failure> {
        let (near, far) = self.ends()?;
        self.is_zero_within(time, || Ok(queues(far, near).map_err(|e| self.unseen(&e))?.unread))
    }

    fn is_zero_within(
        &self,
        time: Duration,
        look: impl Fn() -> Result<u64, Failure>,
    ) -> Result<bool, Failure> {
        let patience = self.clock.within(time);
        while look()? > 0 {
            if patience.is_over() {
                return Ok(false);
            }
            thread::sleep(Duration::from_micros(50));
        }
        Ok(true)
    }

    /// The addresses of the judge's end and of the server's.
    fn ends(&self) -> Result<(SocketAddr, SocketAddr), Failure> {
        let far = self.socket.peer_addr().map_err(|e| self.unseen(&e))?.as_socket();
        let far = far.ok_or_else(|| self.unseen(&ErrorKind::Unsupported.into()))?;
        Ok((self.local_address()?, far))
    }

    /// Its queues cannot be seen: it is gone, or the system does not tell.
    fn unseen(&self, error: &io::Error) -> Failure {
        if matches!(error.kind(), ErrorKind::NotFound | ErrorKind::NotConnected) {
            return self.closed_while("sending", &ErrorKind::NotConnected.into());
        }
        harness_failure("see the queues of a connection", error)
    }

    /// Waits until the server has taken nothing for `quiet`: it has done what it can do.
    ///
    /// # Errors
    /// `timeout` when it goes on taking bytes, `harness` where the system does not tell.
    pub fn wait_until_untaken(&self, quiet: Duration) -> Result<(), Failure> {
        let deadline = self.clock.progress();
        let mut last = self.untaken()?;
        let mut since = Instant::now();
        while since.elapsed() < quiet {
            if deadline.is_over() {
                return Err(deadline.failure("a server that takes no more bytes"));
            }
            thread::sleep(Duration::from_millis(5));
            let now = self.untaken()?;
            if now != last {
                last = now;
                since = Instant::now();
            }
        }
        Ok(())
    }

    /// Bytes that the judge has sent and the server has not read: those in the judge's send queue
    /// and those in the server's receive queue.
    ///
    /// # Errors
    /// `harness` where the system does not tell.
    pub fn untaken(&self) -> Result<u64, Failure> {
        let (near, far) = self.ends()?;
        // The near end first: what moves on between the two looks is counted twice, not lost.
        let unacknowledged = queues(near, far).map_err(|e| self.unseen(&e))?.unacknowledged;
        Ok(unacknowledged + queues(far, near).map_err(|e| self.unseen(&e))?.unread)
    }

    /// Whether the server writes all that it has read within `time`, scaled as that of
    /// [`Connection::send_until_blocked`].
    ///
    /// # Errors
    /// `harness` where the system does not tell.
    pub fn is_written_within(&self, time: Duration) -> Result<bool, Failure> {
        self.is_zero_within(time, || self.held())
    }

    /// Bytes of those sent that neither kernel has, nor the judge: the server has read them, and
    /// they are not written. A little less while some are on their way.
    ///
    /// # Errors
    /// `harness` where the system does not tell.
    fn held(&self) -> Result<u64, Failure> {
        let (near, far) = self.ends()?;
        let ends = [
            queues(near, far).map_err(|e| self.unseen(&e))?,
            queues(far, near).map_err(|e| self.unseen(&e))?,
        ];
        let in_kernels: u64 = ends.iter().map(|end| end.unread + end.unacknowledged).sum();
        Ok((self.sent - self.received).saturating_sub(in_kernels))
    }

    /// Sends FIN: the judge will send nothing more.
    ///
    /// # Errors
    /// `reset` when the server closed.
    pub fn finish_sending(&mut self) -> Result<(), Failure> {
        self.has_finished = true;
        let done = self.socket.shutdown(Shutdown::Write);
        done.map_err(|e| self.closed_while("sending FIN", &e))
    }
}
