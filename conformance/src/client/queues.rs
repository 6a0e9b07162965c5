//! Bytes in the send and receive queues of a TCP connection's end on this host, in any process.

use std::io;
use std::net::SocketAddr;

use harness::sock_diag;

/// Bytes that wait at one end of a connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Queues {
    /// Arrived and not read by the program.
    pub unread: u64,
    /// Written by the program and not acknowledged by the other end.
    pub unacknowledged: u64,
}

/// Whether this system tells.
pub const ARE_TOLD: bool = sock_diag::IS_TOLD;

/// The queues of the end at `local` of its connection with `remote`.
///
/// # Errors
/// `NotFound` when there is no such connection, `Unsupported` where the system does not tell.
pub fn queues(local: SocketAddr, remote: SocketAddr) -> io::Result<Queues> {
    let end = sock_diag::socket_end(local, remote)?;
    Ok(Queues { unread: end.unread, unacknowledged: end.unacknowledged })
}
