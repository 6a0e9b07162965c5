//! Reads how many bytes are in the send and receive queues of one end of a TCP connection on this
//! host. The end may belong to any process.

use std::io;
use std::net::SocketAddr;

use harness::sock_diag;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Queues {
    /// Bytes that have arrived and that the program has not read.
    pub unread: u64,
    /// Bytes that the program has written and that the other end has not acknowledged.
    pub unacknowledged: u64,
}

/// Whether this host reports the queues.
#[must_use]
pub fn are_reported() -> bool {
    sock_diag::works()
}

/// Reads the queues of the end at `local` of the connection with `remote`.
///
/// # Errors
/// `NotFound` when there is no such connection, `Unsupported` if the system does not report queues.
pub fn read_queues(local: SocketAddr, remote: SocketAddr) -> io::Result<Queues> {
    let end = sock_diag::socket_end(local, remote)?;
    Ok(Queues { unread: end.unread, unacknowledged: end.unacknowledged })
}
