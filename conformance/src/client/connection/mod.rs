//! One connection of the judge: it stamps every byte that it sends, and checks every byte that it
//! receives. Sockets are non-blocking and waited for with poll(2), so each wait has its own
//! deadline.

mod connect;
mod receiving;
mod sending;
mod urgent;

use std::io::{self, ErrorKind, Read, Write};
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use harness::wait::{Interest, wait_any};
use report::{Failure, FailureKind};
use socket2::Socket;

pub use connect::{Pending, Setup};
pub use urgent::{Rest, Urgent};

use crate::client::harness_failure;
use crate::client::payload::{Payload, hex};
use crate::clock::CellClock;

/// Bytes read in one call when nothing else is asked for.
const READ_BYTES: usize = 16 * 1024;

/// More than all buffers hold: a server that takes so much from a client that does not read has no
/// limit.
pub const BACKLOG_LIMIT: u64 = 64 * 1024 * 1024;

/// An established connection.
#[derive(Debug)]
pub struct Connection {
    socket: Socket,
    payload: Payload,
    number: u32,
    sent: u64,
    received: u64,
    has_finished: bool,
    clock: Arc<CellClock>,
    /// Last, so that it is dropped after the socket.
    _presence: Presence,
}

/// Tells the clock when a connection is gone.
#[derive(Debug)]
struct Presence(Arc<CellClock>);

impl Drop for Presence {
    fn drop(&mut self) {
        self.0.note_left();
    }
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

/// How a connection ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum End {
    /// With FIN.
    Fin,
    /// With RST.
    Reset,
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
        let address =
            self.socket.local_addr().map_err(|e| harness_failure("read an address", &e))?;
        address
            .as_socket()
            .ok_or_else(|| Failure::new(FailureKind::Harness, "an IP address", "none"))
    }

    /// The socket, for a wait over several connections.
    #[must_use]
    pub fn socket(&self) -> &Socket {
        &self.socket
    }

    /// Lets a connection on which nothing has been sent carry repetitions of `content`, and no
    /// stamps.
    pub fn carry(&mut self, content: Arc<[u8]>) {
        debug_assert_eq!(self.sent, 0, "what was sent before was stamped");
        self.payload.carry(content);
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
                    return Err(Failure::new(
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
                return Err(Failure::new(FailureKind::Altered, expected, hex(&got[place..])));
            }
            if n + m > 0 {
                self.clock.put_off(&mut deadline, n + m);
            } else if !self.clock.wait_for(
                &self.socket,
                Interest::of(!rest.is_empty()),
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

    /// Closes with a reset (RST): pending data on both sides is thrown away. Over a Unix path the
    /// server sees a reset only if the client leaves some bytes unread (unix(7), ECONNRESET).
    pub fn reset(self) {
        if self.socket.local_addr().is_ok_and(|address| address.is_unix()) {
            leave_unread(&self.socket);
        }
        reset(self.socket);
    }
}

/// Has something echoed and leaves it unread, if the server answers at once.
fn leave_unread(socket: &Socket) {
    const ANSWERED: Duration = Duration::from_millis(20);
    // If this cannot be sent, either something is unread already, or nothing will come.
    let _ = socket.send(b"?");
    let _ = wait_any(&[(socket, Interest::Read)], ANSWERED);
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
