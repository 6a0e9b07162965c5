//! Reads how many clients wait in the accept queue of a listener, and how many fit, from outside
//! the server's process.

use std::net::{SocketAddr, UdpSocket};

use crate::sock_diag::listeners;

/// The accept queues of all TCP listeners on one port, added up.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct AcceptQueue {
    /// Clients waiting to be accepted.
    pub waiting: u32,
    /// Capacity: the backlogs passed to listen(2), each capped at `somaxconn`.
    pub capacity: u32,
}

/// The accept queues of the listeners at `address`. `None` if the system does not report them,
/// nobody listens there, or the address belongs to another host.
#[must_use]
pub fn accept_queue(address: SocketAddr) -> Option<AcceptQueue> {
    let ip = address.ip();
    if !ip.is_loopback() && UdpSocket::bind((ip, 0)).is_err() {
        return None;
    }
    let takes =
        |at: SocketAddr| at.port() == address.port() && (at.ip() == ip || at.ip().is_unspecified());
    let queues = listeners()
        .ok()?
        .into_iter()
        .filter(|listener| takes(listener.address))
        .map(|listener| AcceptQueue { waiting: listener.waiting, capacity: listener.capacity });
    queues.reduce(|one, other| AcceptQueue {
        waiting: one.waiting.saturating_add(other.waiting),
        capacity: one.capacity.saturating_add(other.capacity),
    })
}

#[cfg(all(test, target_os = "linux"))]
mod tests {
    use socket2::{Domain, Socket, Type};

    use super::*;

    #[test]
    fn the_room_of_a_listener_is_what_it_asked_for() {
        for (address, backlog) in [("127.0.0.1:0", 5), ("[::1]:0", 77)] {
            let address: SocketAddr = address.parse().unwrap();
            let listener = Socket::new(Domain::for_address(address), Type::STREAM, None).unwrap();
            if listener.bind(&address.into()).is_err() {
                continue;
            }
            let port = listener.local_addr().unwrap().as_socket().unwrap().port();
            let capacity = backlog as u32;
            let at = SocketAddr::from((address.ip(), port));
            // Checked before listen(2), not after close(2): another test may have just forked a
            // child, which holds the listener until it calls execve(2).
            assert_eq!(accept_queue(at), None, "{address}");
            listener.listen(backlog).unwrap();
            assert_eq!(accept_queue(at), Some(AcceptQueue { waiting: 0, capacity }), "{address}");
            let client = std::net::TcpStream::connect((address.ip(), port)).unwrap();
            assert_eq!(accept_queue(at), Some(AcceptQueue { waiting: 1, capacity }), "{address}");
            drop((client, listener));
        }
    }
}
