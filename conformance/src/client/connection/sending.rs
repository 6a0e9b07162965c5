//! Sending: the next bytes of the stream, in pieces of any shape, and FIN.

use std::io::{self, ErrorKind, IoSlice, Write};
use std::net::{Shutdown, SocketAddr};
use std::thread;
use std::time::{Duration, Instant};

use harness::wait::{Interest, wait};
use report::{Failure, FailureKind};
use socket2::Socket;

use super::{Connection, READ_BYTES, ReadResult, is_retryable};
use crate::client::harness_failure;
use crate::client::passing::{Copies, PassedEnd};
use crate::client::queues::read_queues;

impl Connection {
    /// Sends the next `length` bytes of the stream. Waits while the server does not take them.
    ///
    /// # Errors
    /// `timeout` without progress, `reset` when the server closed.
    pub fn send(&mut self, length: u64) -> Result<(), Failure> {
        let end = self.sent + length;
        let mut deadline = self.clock.progress_deadline();
        while self.sent < end {
            let taken = self.try_send(end - self.sent)?;
            if taken > 0 {
                self.clock.extend_on_progress(&mut deadline, taken);
            } else if !self.clock.wait_for(&self.socket, Interest::Write, deadline)? {
                return Err(deadline.failure("the server to take bytes"));
            }
        }
        Ok(())
    }

    /// Like [`Connection::send`], but receives while the kernel takes nothing. The socket buffers
    /// of a Unix path may hold less than a message and its echo (8 KiB each on macOS,
    /// `net.local.stream`). A server that echoes at once then takes no more until the client reads.
    ///
    /// # Errors
    /// Those of [`Connection::send`], `closed`, or a payload failure.
    pub fn send_and_receive(&mut self, length: u64) -> Result<(), Failure> {
        let end = self.sent + length;
        let mut deadline = self.clock.progress_deadline();
        while self.sent < end {
            let mut moved = self.try_send(end - self.sent)?;
            if moved == 0 {
                moved = match self.try_receive(READ_BYTES)? {
                    ReadResult::Bytes(n) => n,
                    ReadResult::Nothing => 0,
                    ReadResult::End => return Err(self.early_end_failure(end)),
                };
            }
            if moved > 0 {
                self.clock.extend_on_progress(&mut deadline, moved);
            } else if !self.clock.wait_for(&self.socket, Interest::Both, deadline)? {
                return Err(deadline.failure("the server to take bytes"));
            }
        }
        Ok(())
    }

    /// Sends as much of the next `length` bytes as the kernel takes at once. Returns 0 if it takes
    /// nothing.
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

    /// Sends the next `pieces * piece_bytes` bytes with one vectored call. Returns how many the
    /// kernel took.
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

    /// Sends the next `length` bytes of the stream and copies of a descriptor in one message.
    ///
    /// # Errors
    /// `reset` when the server closed, `harness` when the system cannot pass descriptors or has no
    /// room.
    pub fn send_with_descriptors(
        &mut self,
        length: usize,
        passed: PassedEnd,
        copies: Copies,
    ) -> Result<(), Failure> {
        let bytes = self.payload.bytes(self.sent, length);
        let mut passed = Some(passed);
        let n = self.write(|socket| {
            passed.take().map_or(Ok(0), |passed| passed.send_on_stream(socket, &bytes, copies))
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
            Err(e) if is_retryable(&e) => Ok(0),
            Err(e) => Err(self.io_failure("sending", &e)),
        }
    }

    /// Sends until the kernel has taken nothing for `quiet`, at most `limit` bytes. This function
    /// scales `quiet`, and held-back time extends it: a server without a processor is not blocked.
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
        let deadline = self.clock.deadline_after(time);
        loop {
            if wait(&self.socket, Interest::Write, deadline.left())? {
                return Ok(true);
            }
            if deadline.is_over() {
                return Ok(false);
            }
        }
    }

    /// Sends until the server has left bytes unread for `quiet`, at most `limit` bytes. Few bytes
    /// are queued then, so what is sent next, such as FIN, reaches a blocked server. If the system
    /// does not tell how much is unread, sends until the kernel takes no more. `quiet` is scaled
    /// and extended as in [`Connection::send_until_blocked`].
    ///
    /// # Errors
    /// `reset` when the server closed, `timeout` when it takes bytes until the cell ends.
    pub fn send_until_unread(&mut self, quiet: Duration, limit: u64) -> Result<u64, Failure> {
        /// Smaller than any receive buffer, so that a piece fits into the server's.
        const PIECE: u64 = 8 * 1024;
        if self.unread_bytes().is_err() {
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

    /// Whether the server takes everything that was sent within `time`. `time` is scaled and
    /// extended as in [`Connection::send_until_blocked`].
    ///
    /// # Errors
    /// `harness` when the system does not tell.
    pub fn is_taken_within(&self, time: Duration) -> Result<bool, Failure> {
        self.is_zero_within(time, || self.unread_bytes())
    }

    /// Whether the server reads everything that has arrived at its end within `time`. `time` is
    /// scaled and extended as in [`Connection::send_until_blocked`]. For a small message, this is
    /// known long before its acknowledgement, which TCP delays.
    ///
    /// # Errors
    /// `harness` when the system does not tell.
    pub fn is_read_within(&self, time: Duration) -> Result<bool, Failure> {
        let (near, far) = self.end_addresses()?;
        self.is_zero_within(time, || {
            Ok(read_queues(far, near).map_err(|e| self.queue_read_failure(&e))?.unread)
        })
    }

    fn is_zero_within(
        &self,
        time: Duration,
        look: impl Fn() -> Result<u64, Failure>,
    ) -> Result<bool, Failure> {
        let patience = self.clock.deadline_after(time);
        while look()? > 0 {
            if patience.is_over() {
                return Ok(false);
            }
            thread::sleep(Duration::from_micros(50));
        }
        Ok(true)
    }

    /// The addresses of the judge's end and of the server's end.
    fn end_addresses(&self) -> Result<(SocketAddr, SocketAddr), Failure> {
        let far = self.socket.peer_addr().map_err(|e| self.queue_read_failure(&e))?.as_socket();
        let far = far.ok_or_else(|| self.queue_read_failure(&ErrorKind::Unsupported.into()))?;
        Ok((self.local_address()?, far))
    }

    /// The failure when the queues cannot be read: the connection is gone, or the system does not
    /// tell.
    fn queue_read_failure(&self, error: &io::Error) -> Failure {
        if matches!(error.kind(), ErrorKind::NotFound | ErrorKind::NotConnected) {
            return self.io_failure("sending", &ErrorKind::NotConnected.into());
        }
        harness_failure("see the queues of a connection", error)
    }

    /// Waits until the server has taken nothing for `quiet`: it has then done all that it can.
    ///
    /// # Errors
    /// `timeout` when it keeps taking bytes, `harness` when the system does not tell.
    pub fn wait_until_reads_stop(&self, quiet: Duration) -> Result<(), Failure> {
        let deadline = self.clock.progress_deadline();
        let mut last = self.unread_bytes()?;
        let mut since = Instant::now();
        while since.elapsed() < quiet {
            if deadline.is_over() {
                return Err(deadline.failure("a server that takes no more bytes"));
            }
            thread::sleep(Duration::from_millis(5));
            let now = self.unread_bytes()?;
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
    /// `harness` when the system does not tell.
    pub fn unread_bytes(&self) -> Result<u64, Failure> {
        let (near, far) = self.end_addresses()?;
        // The near end is read first: bytes that move between the two reads are counted twice, not
        // missed.
        let unacknowledged =
            read_queues(near, far).map_err(|e| self.queue_read_failure(&e))?.unacknowledged;
        Ok(unacknowledged + read_queues(far, near).map_err(|e| self.queue_read_failure(&e))?.unread)
    }

    /// Whether the server writes everything that it has read within `time`. `time` is scaled and
    /// extended as in [`Connection::send_until_blocked`].
    ///
    /// # Errors
    /// `harness` when the system does not tell.
    pub fn is_written_within(&self, time: Duration) -> Result<bool, Failure> {
        self.is_zero_within(time, || self.unwritten_bytes())
    }

    /// Bytes that the server has read and not written yet: they were sent, have not come back, and
    /// are in no kernel's queue. The result may be slightly too low while bytes are in transit.
    ///
    /// # Errors
    /// `harness` when the system does not tell.
    fn unwritten_bytes(&self) -> Result<u64, Failure> {
        let (near, far) = self.end_addresses()?;
        let ends = [
            read_queues(near, far).map_err(|e| self.queue_read_failure(&e))?,
            read_queues(far, near).map_err(|e| self.queue_read_failure(&e))?,
        ];
        let in_kernels: u64 = ends.iter().map(|end| end.unread + end.unacknowledged).sum();
        Ok((self.sent - self.received).saturating_sub(in_kernels))
    }

    /// Sends FIN: the judge will send nothing more.
    ///
    /// # Errors
    /// `reset` when the server closed.
    pub fn finish_sending(&mut self) -> Result<(), Failure> {
        self.has_sent_fin = true;
        let done = self.socket.shutdown(Shutdown::Write);
        done.map_err(|e| self.io_failure("sending FIN", &e))
    }
}
