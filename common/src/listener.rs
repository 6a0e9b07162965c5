//! Binding, once for all runtimes, whose own `bind` differ in backlog and options.

use std::{
    io,
    net::{SocketAddr, TcpListener},
};

use socket2::{Domain, Protocol, Socket, Type};

use crate::Work;

/// Length of the accept queue; the 128 of std and most runtimes loses bursts of clients.
pub const BACKLOG: i32 = 1024;

/// Where clients come from, and what their messages cost.
#[derive(Debug)]
pub struct Listener {
    /// The socket, which listens and is non-blocking.
    pub socket: TcpListener,
    /// What each message costs before it is echoed: nothing on a `tcp:` listener.
    pub work: Option<Work>,
}

/// A non-blocking listener on `address`.
///
/// No SO_REUSEPORT: with it a second server binds beside a live one without an error, and closing
/// a listener resets the clients in its queue.
///
/// # Errors
///
/// Those of socket(2), bind(2) and listen(2), such as an address that is in use.
pub(crate) fn bind(address: SocketAddr) -> io::Result<TcpListener> {
    let socket = Socket::new(Domain::for_address(address), Type::STREAM, Some(Protocol::TCP))?;
    // On Unix it means: connections in TIME_WAIT do not hold the port. On Windows it means: take
    // the port from a live server, so there it stays off (actix-web#1335).
    #[cfg(unix)]
    socket.set_reuse_address(true)?;
    if address.is_ipv6() {
        // Otherwise [::] also takes the IPv4 port on Linux, and not on Windows.
        socket.set_only_v6(true)?;
    }
    socket.bind(&address.into())?;
    socket.listen(BACKLOG)?;
    socket.set_nonblocking(true)?;
    Ok(socket.into())
}

#[cfg(test)]
mod tests {
    use std::net::{Ipv4Addr, TcpStream};

    use super::*;

    const ANY_PORT: SocketAddr = SocketAddr::new(std::net::IpAddr::V4(Ipv4Addr::LOCALHOST), 0);

    #[test]
    fn port_zero_picks_a_port_that_accepts() {
        let listener = bind(ANY_PORT).unwrap();
        let address = listener.local_addr().unwrap();
        assert_ne!(address.port(), 0);
        assert_eq!(listener.accept().unwrap_err().kind(), io::ErrorKind::WouldBlock);
        TcpStream::connect(address).unwrap();
    }

    #[test]
    fn a_live_port_cannot_be_taken() {
        let listener = bind(ANY_PORT).unwrap();
        let second = bind(listener.local_addr().unwrap());
        assert_eq!(second.unwrap_err().kind(), io::ErrorKind::AddrInUse);
    }
}
