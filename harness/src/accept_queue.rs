//! How many clients wait in a listener's accept queue and how many it can hold, seen from outside
//! its process.

use std::net::{SocketAddr, UdpSocket};

use crate::sock_diag::listeners;

/// The accept queues of all TCP listeners on a port, taken together.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct AcceptQueue {
    /// Clients that wait.
    pub waiting: u32,
    /// How many may: what the listeners gave to listen(2), cut at `somaxconn`.
    pub room: u32,
}

/// That of an address of this host. None where the system does not tell, nobody listens, or the
/// address is another host's.
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
        .map(|listener| AcceptQueue { waiting: listener.waiting, room: listener.room });
    queues.reduce(|one, other| AcceptQueue {
        waiting: one.waiting.saturating_add(other.waiting),
        room: one.room.saturating_add(other.room),
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
            let room = backlog as u32;
            let at = SocketAddr::from((address.ip(), port));
            // Asked before listen(2) and not after close(2): a child that another test has just
            // forked holds the listener until it calls execve(2).
            assert_eq!(accept_queue(at), None, "{address}");
            listener.listen(backlog).unwrap();
            assert_eq!(accept_queue(at), Some(AcceptQueue { waiting: 0, room }), "{address}");
            let client = std::net::TcpStream::connect((address.ip(), port)).unwrap();
            assert_eq!(accept_queue(at), Some(AcceptQueue { waiting: 1, room }), "{address}");
            drop((client, listener));
        }
    }
}
