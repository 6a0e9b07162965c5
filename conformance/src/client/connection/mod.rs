//! One connection of the judge: it stamps every byte that it sends and checks every byte that it
//! receives. Sockets are non-blocking; poll(2) waits for them, so each wait has its own deadline.

mod connect;
mod receiving;
mod sending;
mod urgent;

use std::io::{self, ErrorKind, Read, Write};
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use harness::time_wait;
use harness::wait::{Interest, wait_any};
use report::{Failure, FailureKind};
use socket2::Socket;

pub use connect::{PendingConnection, Setup};
pub use urgent::{Rest, Urgent};

use crate::client::harness_failure;
use crate::client::payload::{Payload, hex};
use crate::clock::CellClock;

/// The most bytes to read in one call by default.
const READ_BYTES: usize = 16 * 1024;

/// More than all buffers on the path hold. A server that takes this much from a client that does
/// not read has no limit.
pub const BACKLOG_LIMIT: u64 = 64 * 1024 * 1024;

#[derive(Debug)]
pub struct Connection {
    socket: Socket,
    payload: Payload,
    number: u32,
    sent: u64,
    received: u64,
    has_sent_fin: bool,
    clock: Arc<CellClock>,
    /// Last, so that it is dropped after the socket.
    presence: Presence,
}

/// Tells the clock when a connection is gone, and keeps account of the client ports in TIME_WAIT.
#[derive(Debug)]
struct Presence {
    clock: Arc<CellClock>,
    leaves_port: bool,
}

impl Presence {
    fn leave_no_port(&mut self) {
        self.leaves_port = false;
    }
}

impl Drop for Presence {
    fn drop(&mut self) {
        self.clock.note_ended();
        if self.leaves_port {
            time_wait::note_closed();
        }
    }
}

/// The result of one read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ReadResult {
    /// This many bytes, all of them correct.
    Bytes(usize),
    /// No bytes at the moment.
    Nothing,
    /// The server's FIN.
    End,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum End {
    Fin,
    Reset,
}

impl Connection {
    /// The number of the connection in its cell.
    #[must_use]
    pub fn number(&self) -> u32 {
        self.number
    }

    #[must_use]
    pub fn sent_bytes(&self) -> u64 {
        self.sent
    }

    /// Bytes that came back so far.
    #[must_use]
    pub fn received_bytes(&self) -> u64 {
        self.received
    }

    /// The judge's own address on this connection.
    ///
    /// # Errors
    /// `harness` when the kernel does not tell.
    pub fn local_address(&self) -> Result<SocketAddr, Failure> {
        let address =
            self.socket.local_addr().map_err(|e| harness_failure("read an address", &e))?;
        address
            .as_socket()
            .ok_or_else(|| Failure::new(FailureKind::Harness, "an IP address", "none"))
    }

    /// For waits on several connections at once.
    #[must_use]
    pub fn socket(&self) -> &Socket {
        &self.socket
    }

    /// Makes the stream repeat `content` instead of stamps. Nothing may have been sent yet.
    pub fn use_content(&mut self, content: Arc<[u8]>) {
        debug_assert_eq!(self.sent, 0, "what was sent before was stamped");
        self.payload.use_content(content);
    }

    /// Sends `length` bytes and receives them.
    ///
    /// # Errors
    /// Those of [`Connection::send_and_receive`] and [`Connection::receive`].
    pub fn exchange(&mut self, length: u64) -> Result<(), Failure> {
        let end = self.received + length;
        self.send_and_receive(length)?;
        self.receive(end.saturating_sub(self.received))
    }

    /// Sends `bytes` without stamps and receives them.
    ///
    /// # Errors
    /// `altered` with the first difference, `extra`, `timeout`, `closed` or `reset`.
    pub fn exchange_literal(&mut self, bytes: &[u8]) -> Result<(), Failure> {
        let mut rest = bytes;
        let mut got = Vec::new();
        let mut deadline = self.clock.progress_deadline();
        while got.len() < bytes.len() {
            let n = if rest.is_empty() { 0 } else { self.write(|s| (&*s).write(rest))? };
            rest = &rest[n..];
            let mut buffer = [0; READ_BYTES];
            let m = match (&self.socket).read(&mut buffer) {
                Ok(0) => {
                    let actual = format!("its end after {} bytes", got.len());
                    return Err(Failure::new(
                        FailureKind::Closed,
                        format!("{} bytes", bytes.len()),
                        actual,
                    ));
                }
                Ok(m) => m,
                Err(e) if is_retryable(&e) => 0,
                Err(e) => return Err(self.io_failure("receiving", &e)),
            };
            got.extend_from_slice(&buffer[..m]);
            if let Some(place) = got.iter().zip(bytes).position(|(a, b)| a != b) {
                let expected = format!("{} at byte {place}", hex(&bytes[place..]));
                return Err(Failure::new(FailureKind::Altered, expected, hex(&got[place..])));
            }
            if n + m > 0 {
                self.clock.extend_on_progress(&mut deadline, n + m);
            } else if !self.clock.wait_for(
                &self.socket,
                Interest::from_unsent(!rest.is_empty()),
                deadline,
            )? {
                let missing = bytes.len() - got.len();
                return Err(deadline.failure(&format!("{missing} more bytes")));
            }
        }
        if got.len() > bytes.len() {
            let extra = hex(&got[bytes.len()..]);
            return Err(Failure::new(FailureKind::Extra, "nothing more", extra));
        }
        Ok(())
    }

    /// Closes connections that a case has finished with, if it does not matter how: with FIN, as
    /// most clients do, or on a host with few client ports with RST, which frees the ports at once.
    /// Not for use before CPU time or memory is measured: servers handle the two in different ways.
    pub fn release_all(connections: Vec<Self>) {
        if time_wait::are_ports_few() {
            connections.into_iter().for_each(Self::reset);
        }
    }

    /// Closes with a reset (RST), which discards pending data on both sides. Over a Unix path the
    /// server sees a reset only if the client leaves bytes unread (unix(7), ECONNRESET).
    pub fn reset(mut self) {
        self.presence.leave_no_port();
        if self.socket.local_addr().is_ok_and(|address| address.is_unix()) {
            leave_unread(&self.socket);
        }
        reset(self.socket);
    }
}

/// Has the server echo a byte and leaves it unread, if the server answers within 20 ms.
fn leave_unread(socket: &Socket) {
    const ECHO_WAIT: Duration = Duration::from_millis(20);
    // If this fails, either bytes are unread already, or none will arrive.
    let _ = socket.send(b"?");
    let _ = wait_any(&[(socket, Interest::Read)], ECHO_WAIT);
}

fn reset(socket: Socket) {
    // A linger time of zero makes close send RST (tcp(7)). If it cannot be set, the close is
    // orderly, and the case notices that.
    let _ = socket.set_linger(Some(Duration::ZERO));
    drop(socket);
}

fn is_retryable(error: &io::Error) -> bool {
    matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::Interrupted)
}
