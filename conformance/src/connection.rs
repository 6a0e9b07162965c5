//! One connection of the judge: every byte it sends is stamped, every byte it receives is checked.
//! Sockets are non-blocking and waited for with poll(2), so that each wait has its own deadline.

mod one_call;

use std::io::{self, ErrorKind, IoSlice, Read, Write};
use std::net::{Shutdown, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use report::{Failure, FailureKind};
use socket2::{Domain, Socket, Type};

use crate::case::failure;
use crate::clock::{Clock, Deadline};
use crate::payload::{Payload, RECORD_BYTES, hex};
use crate::wait::{Interest, wait};

/// Bytes read in one call when nothing else is asked for.
const READ_BYTES: usize = 16 * 1024;
/// How much is looked at behind a wrong byte before it gets its name.
const TAIL_BYTES: usize = 192 * 1024;
/// How long the stream behind a wrong byte may pause before it gets its name.
const TAIL_PAUSE: Duration = Duration::from_millis(200);

/// How the judge's end of a connection is set up.
#[derive(Clone, Copy, Debug, Default)]
pub struct Setup {
    /// `SO_RCVBUF` before connecting, in bytes; the kernel's default if absent.
    pub receive_buffer: Option<usize>,
    /// `SO_SNDBUF` before connecting, in bytes; the kernel's default if absent.
    pub send_buffer: Option<usize>,
    /// `TCP_MAXSEG` before connecting, in bytes; on Linux only, others take no value beforehand.
    pub segment: Option<u32>,
}

impl Setup {
    /// Less fits between a writer and a server that is blocked: about 2 MiB instead of 9. Linux
    /// gives the server's end room for so many segments, and those of loopback are 64 KiB.
    #[must_use]
    pub fn tight() -> Self {
        Self {
            receive_buffer: Some(32 * 1024),
            send_buffer: Some(64 * 1024),
            segment: Some(1460),
        }
    }

    fn apply(self, socket: &Socket) -> io::Result<()> {
        if let Some(bytes) = self.receive_buffer {
            socket.set_recv_buffer_size(bytes)?;
        }
        if let Some(bytes) = self.send_buffer {
            socket.set_send_buffer_size(bytes)?;
        }
        #[cfg(target_os = "linux")]
        if let Some(bytes) = self.segment {
            socket.set_tcp_mss(bytes)?;
        }
        Ok(())
    }
}

/// A connection that has been asked for and may not be established yet.
#[derive(Debug)]
pub struct Pending {
    socket: Socket,
    number: u32,
    seed: u64,
    clock: Arc<Clock>,
}

/// An established connection.
#[derive(Debug)]
pub struct Connection {
    socket: Socket,
    payload: Payload,
    number: u32,
    sent: u64,
    received: u64,
    has_finished: bool,
    clock: Arc<Clock>,
}

/// What one read gave.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Read1 {
    /// So many bytes, all of them right.
    Bytes(usize),
    /// Nothing at the moment.
    Nothing,
    /// The peer's FIN.
    End,
}

impl Pending {
    /// Asks for a connection to `address` without waiting for it.
    ///
    /// # Errors
    /// `refused`, or `harness` when this host has no more sockets or ports.
    pub fn start(
        address: SocketAddr,
        setup: Setup,
        number: u32,
        seed: u64,
        clock: Arc<Clock>,
    ) -> Result<Self, Failure> {
        let prepare = || -> io::Result<Socket> {
            let socket = Socket::new(Domain::for_address(address), Type::STREAM, None)?;
            setup.apply(&socket)?;
            socket.set_nonblocking(true)?;
            Ok(socket)
        };
        let socket = prepare().map_err(|e| harness("open a socket", &e))?;
        match socket.connect(&address.into()) {
            Ok(()) => {}
            Err(e) if is_in_progress(&e) => {}
            Err(e) => return Err(connect_failure(&e)),
        }
        Ok(Self { socket, number, seed, clock })
    }

    /// Waits until it is established.
    ///
    /// # Errors
    /// `refused` or `timeout`.
    pub fn finish(self, deadline: Deadline) -> Result<Connection, Failure> {
        if !wait(&self.socket, Interest::Write, deadline.left())? {
            return Err(deadline.failure("a connection"));
        }
        match self.socket.take_error() {
            Ok(None) => {}
            Ok(Some(e)) | Err(e) => return Err(connect_failure(&e)),
        }
        // A connection that is already reset may refuse options; the first read will tell.
        let _ = self.socket.set_tcp_nodelay(true);
        Ok(Connection {
            payload: Payload::new(self.seed, self.number),
            socket: self.socket,
            number: self.number,
            sent: 0,
            received: 0,
            has_finished: false,
            clock: self.clock,
        })
    }

    /// Closes it with a reset, established or not.
    pub fn reset(self) {
        reset(self.socket);
    }
}

impl Connection {
    /// Which connection of its cell it is.
    #[must_use]
    pub fn number(&self) -> u32 {
        self.number
    }

    /// Bytes sent so far.
    #[must_use]
    pub fn sent(&self) -> u64 {
        self.sent
    }

    /// Bytes that came back so far.
    #[must_use]
    pub fn received(&self) -> u64 {
        self.received
    }

    /// The judge's own address on this connection.
    ///
    /// # Errors
    /// `harness` when the kernel does not tell.
    pub fn local_address(&self) -> Result<SocketAddr, Failure> {
        let address = self.socket.local_addr().map_err(|e| harness("read an address", &e))?;
        address.as_socket().ok_or_else(|| failure(FailureKind::Harness, "an IP address", "none"))
    }

    /// The socket, for a wait over several connections.
    #[must_use]
    pub fn socket(&self) -> &Socket {
        &self.socket
    }

    /// Sends the next `length` bytes of the stream, waiting while the server does not take them.
    ///
    /// # Errors
    /// `timeout` without progress, `reset` when the server closed.
    pub fn send(&mut self, length: u64) -> Result<(), Failure> {
        let end = self.sent + length;
        let mut deadline = self.clock.progress();
        while self.sent < end {
            if self.try_send(end - self.sent)? > 0 {
                deadline = self.clock.progress();
            } else if !wait(&self.socket, Interest::Write, deadline.left())? {
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

    /// Sends the next `length` bytes in one call, however large.
    ///
    /// # Errors
    /// `reset` when the server closed.
    pub fn try_send_whole(&mut self, length: usize) -> Result<usize, Failure> {
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

    /// Sends one byte of TCP urgent data, which is not part of the stream.
    ///
    /// # Errors
    /// `reset` when the server closed.
    pub fn send_urgent(&mut self) -> Result<(), Failure> {
        self.write(|socket| socket.send_out_of_band(b"!")).map(drop)
    }

    fn write(&self, call: impl FnOnce(&Socket) -> io::Result<usize>) -> Result<usize, Failure> {
        match call(&self.socket) {
            Ok(n) => Ok(n),
            Err(e) if is_again(&e) => Ok(0),
            Err(e) => Err(self.closed_while("sending", &e)),
        }
    }

    /// Sends until the kernel has taken nothing for `quiet`, at most `limit` bytes.
    ///
    /// # Errors
    /// `reset` when the server closed.
    pub fn send_until_blocked(&mut self, quiet: Duration, limit: u64) -> Result<u64, Failure> {
        let start = self.sent;
        while self.sent - start < limit {
            if self.try_send(limit - (self.sent - start))? == 0
                && !wait(&self.socket, Interest::Write, quiet)?
            {
                break;
            }
        }
        Ok(self.sent - start)
    }

    /// Receives the next `length` bytes and checks them.
    ///
    /// # Errors
    /// A payload failure, `timeout` without progress, `closed` or `reset`.
    pub fn receive(&mut self, length: u64) -> Result<(), Failure> {
        self.receive_by(length, None)
    }

    /// As [`Connection::receive`], all of it within `limit`, which is judged as a time.
    ///
    /// # Errors
    /// As [`Connection::receive`], and `slow`.
    pub fn receive_within(&mut self, length: u64, limit: Duration) -> Result<(), Failure> {
        let deadline = self.clock.within(limit);
        self.receive_by(length, Some(deadline))?;
        self.clock.judge_time("echo", deadline.elapsed(), limit)
    }

    fn receive_by(&mut self, length: u64, whole: Option<Deadline>) -> Result<(), Failure> {
        let end = self.received + length;
        let mut deadline = whole.unwrap_or_else(|| self.clock.progress());
        while self.received < end {
            let room = usize::try_from(end - self.received).unwrap_or(READ_BYTES);
            match self.try_receive(room.min(READ_BYTES))? {
                Read1::Bytes(_) if whole.is_some() => {}
                Read1::Bytes(_) => deadline = self.clock.progress(),
                Read1::Nothing => {
                    if !wait(&self.socket, Interest::Read, deadline.left())? {
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

    /// Sends `length` bytes and receives them.
    ///
    /// # Errors
    /// As [`Connection::send`] and [`Connection::receive`].
    pub fn exchange(&mut self, length: u64) -> Result<(), Failure> {
        self.send(length)?;
        self.receive(length)
    }

    /// Sends bytes that are not stamped and receives the same.
    ///
    /// # Errors
    /// `altered` with the first difference, `timeout`, `closed` or `reset`.
    pub fn exchange_literal(&mut self, bytes: &[u8]) -> Result<(), Failure> {
        let mut rest = bytes;
        let mut got = Vec::new();
        let mut deadline = self.clock.progress();
        while got.len() < bytes.len() {
            let n = if rest.is_empty() { 0 } else { self.write(|s| (&*s).write(rest))? };
            rest = &rest[n..];
            let mut buffer = [0; READ_BYTES];
            let m = match (&self.socket).read(&mut buffer) {
                Ok(0) => {
                    let actual = format!("its end after {} bytes", got.len());
                    return Err(failure(
                        FailureKind::Closed,
                        format!("{} bytes", bytes.len()),
                        actual,
                    ));
                }
                Ok(m) => m,
                Err(e) if is_again(&e) => 0,
                Err(e) => return Err(self.closed_while("receiving", &e)),
            };
            got.extend_from_slice(&buffer[..m]);
            if let Some(place) = got.iter().zip(bytes).position(|(a, b)| a != b) {
                let expected = format!("{} at byte {place}", hex(&bytes[place..]));
                return Err(failure(FailureKind::Altered, expected, hex(&got[place..])));
            }
            if n + m > 0 {
                deadline = self.clock.progress();
            } else if !wait(&self.socket, Interest::of(!rest.is_empty()), deadline.left())? {
                return Err(self.overdue((bytes.len() - got.len()) as u64, &deadline));
            }
        }
        if got.len() > bytes.len() {
            let extra = hex(&got[bytes.len()..]);
            return Err(failure(FailureKind::Extra, "nothing more", extra));
        }
        Ok(())
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
        let mut deadline = whole.unwrap_or_else(|| self.clock.progress());
        loop {
            match self.try_receive(READ_BYTES)? {
                Read1::End if self.received == self.sent => return Ok(()),
                Read1::End => {
                    let actual = format!("FIN after {} of them", self.received);
                    let expected = format!("{} bytes, then FIN", self.sent);
                    return Err(failure(FailureKind::Lost, expected, actual));
                }
                Read1::Bytes(_) if whole.is_some() => {}
                Read1::Bytes(_) => deadline = self.clock.progress(),
                Read1::Nothing => {
                    if !wait(&self.socket, Interest::Read, deadline.left())? {
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
        let mut deadline = self.clock.progress();
        loop {
            match self.try_receive(READ_BYTES) {
                Ok(Read1::End) => return Ok(End::Fin),
                Ok(Read1::Bytes(_)) => deadline = self.clock.progress(),
                Ok(Read1::Nothing) => {
                    if !wait(&self.socket, Interest::Read, deadline.left())? {
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
                    return Err(failure(FailureKind::Closed, "an open connection", "its end"));
                }
                Read1::Bytes(n) => {
                    return Err(failure(FailureKind::Extra, "silence", format!("{n} bytes")));
                }
            }
        }
        Ok(())
    }

    /// Closes with a reset (RST): pending data on both sides is thrown away.
    pub fn reset(self) {
        reset(self.socket);
    }

    /// A failure that says what stands where a right byte should.
    fn wrong(&mut self, right: usize, buffer: &[u8]) -> Failure {
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
        let finding = self.payload.classify(position, &tail, sent);
        let expected = if position < sent {
            format!("byte {position} of connection {}", self.number)
        } else {
            format!("nothing after the {sent} bytes of connection {}", self.number)
        };
        failure(finding.kind, expected, finding.found)
    }

    /// Bytes did not come in time. FIN tells a server that holds them back from one that lost
    /// them: after it, the rest comes or the end does.
    pub(crate) fn overdue(&mut self, missing: u64, deadline: &Deadline) -> Failure {
        let timeout = deadline.failure(&format!("{missing} more bytes"));
        if self.socket.shutdown(Shutdown::Write).is_err() {
            return timeout;
        }
        let grace = self.clock.within(Duration::from_secs(1));
        while wait(&self.socket, Interest::Read, grace.left()) == Ok(true) {
            match self.try_receive(READ_BYTES) {
                Ok(Read1::Bytes(_) | Read1::Nothing) => {}
                Ok(Read1::End) if self.received < self.sent => {
                    let expected = format!("{} bytes", self.sent);
                    let actual = format!("{}, and FIN when asked for the rest", self.received);
                    return failure(FailureKind::Lost, expected, actual);
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
        failure(kind, format!("{goal} bytes"), actual)
    }

    fn closed_while(&self, doing: &str, error: &io::Error) -> Failure {
        let expected = format!("connection {} open while {doing}", self.number);
        let actual = format!("{error} after {} bytes", self.received);
        match error.kind() {
            ErrorKind::ConnectionReset
            | ErrorKind::ConnectionAborted
            | ErrorKind::BrokenPipe
            | ErrorKind::NotConnected => failure(FailureKind::Reset, expected, actual),
            _ => failure(FailureKind::Harness, expected, actual),
        }
    }
}

/// How a connection ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum End {
    /// With FIN.
    Fin,
    /// With RST.
    Reset,
}

fn reset(socket: Socket) {
    // Linger zero makes close send RST (tcp(7)); without it the close below is an orderly one,
    // which the caller's case then notices.
    let _ = socket.set_linger(Some(Duration::ZERO));
    drop(socket);
}

fn is_again(error: &io::Error) -> bool {
    matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::Interrupted)
}

fn is_in_progress(error: &io::Error) -> bool {
    // EINPROGRESS has no stable ErrorKind; Windows says WouldBlock.
    #[cfg(unix)]
    let in_progress = error.raw_os_error() == Some(rustix::io::Errno::INPROGRESS.raw_os_error());
    #[cfg(not(unix))]
    let in_progress = false;
    in_progress || is_again(error)
}

fn connect_failure(error: &io::Error) -> Failure {
    let kind = match error.kind() {
        ErrorKind::ConnectionRefused | ErrorKind::ConnectionReset => FailureKind::Refused,
        _ => FailureKind::Harness,
    };
    failure(kind, "a connection", error.to_string())
}

fn harness(doing: &str, error: &io::Error) -> Failure {
    failure(FailureKind::Harness, format!("to {doing}"), error.to_string())
}
