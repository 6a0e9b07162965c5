//! Binding, once for all runtimes, whose own `bind` differ in backlog and options.

#[cfg(unix)]
use std::os::unix::net::{UnixDatagram, UnixListener};
use std::{
    io,
    net::{IpAddr, SocketAddr, TcpListener, UdpSocket},
};

use socket2::{Domain, Protocol, Socket, Type};

use crate::{Work, log};

/// Length of the accept queue; the 128 of std and most runtimes loses bursts of clients.
pub const BACKLOG: i32 = 1024;

/// Bytes that every datagram fits in: a UDP length field has 16 bits (RFC 768). What is longer, as
/// Unix datagrams can be, comes back cut off.
pub const DATAGRAM_BYTES: usize = 64 * 1024;

/// A kind of socket to serve.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Transport {
    /// TCP connections.
    Tcp,
    /// UDP datagrams.
    Udp,
    /// Connections to a Unix path; not on Windows, where std has none.
    Unix,
    /// Datagrams to a Unix path; not on Windows.
    Unixgram,
}

impl Transport {
    /// Every transport.
    pub const ALL: [Transport; 4] =
        [Transport::Tcp, Transport::Udp, Transport::Unix, Transport::Unixgram];

    /// Its name in `--listen`, announcements and the registry.
    pub const fn name(self) -> &'static str {
        match self {
            Transport::Tcp => "tcp",
            Transport::Udp => "udp",
            Transport::Unix => "unix",
            Transport::Unixgram => "unixgram",
        }
    }

    /// Whether this operating system has it.
    pub(crate) const fn exists_here(self) -> bool {
        match self {
            Transport::Tcp | Transport::Udp => true,
            Transport::Unix | Transport::Unixgram => cfg!(unix),
        }
    }
}

/// Everything that a server was asked to serve: sockets that are bound and non-blocking. There is
/// none of a transport that its backend does not offer.
#[derive(Debug, Default)]
pub struct Listeners {
    /// TCP listeners.
    pub tcp: Vec<Listener>,
    /// UDP sockets.
    pub udp: Vec<UdpSocket>,
    /// Unix listeners.
    #[cfg(unix)]
    pub unix: Vec<UnixListener>,
    /// Unix datagram sockets.
    #[cfg(unix)]
    pub unixgram: Vec<UnixDatagram>,
}

impl Listeners {
    /// Whether messages cost work that is not for the threads that do I/O.
    pub fn offload_work(&self) -> bool {
        self.tcp.iter().any(|listener| matches!(listener.work, Some(Work::Offloaded(_))))
    }
}

/// Where TCP clients come from, and what their messages cost.
#[derive(Debug)]
pub struct Listener {
    /// The socket, which listens and is non-blocking.
    pub socket: TcpListener,
    /// What each message costs before it is echoed: nothing on a `tcp:` listener.
    pub work: Option<Work>,
}

/// Which clients an IPv6 wildcard address takes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Family {
    /// IPv6 clients alone. Left to itself, Linux lets `[::]` take the IPv4 port as well, and
    /// Windows does not.
    AsWritten,
    /// IPv4 clients too, on every system.
    DualStack,
}

/// A non-blocking TCP listener on `address`.
///
/// No SO_REUSEPORT: with it a second server binds beside a live one without an error, and closing
/// a listener resets the clients in its queue.
///
/// # Errors
///
/// Those of socket(2), bind(2) and listen(2), such as an address that is in use.
pub(crate) fn bind(address: SocketAddr, family: Family) -> io::Result<TcpListener> {
    let socket = Socket::new(Domain::for_address(address), Type::STREAM, Some(Protocol::TCP))?;
    // On Unix it means: connections in TIME_WAIT do not hold the port. On Windows it means: take
    // the port from a live server, so there it stays off (actix-web#1335).
    #[cfg(unix)]
    socket.set_reuse_address(true)?;
    bind_to(&socket, address, family)?;
    socket.listen(BACKLOG)?;
    Ok(socket.into())
}

/// A non-blocking UDP socket on `address`.
///
/// Without SO_REUSEADDR, which lets a second server bind beside a live one (socket(7)), and nothing
/// of UDP holds a port that was closed.
///
/// # Errors
///
/// Those of socket(2) and bind(2), such as an address that is in use.
pub(crate) fn bind_udp(address: SocketAddr, family: Family) -> io::Result<UdpSocket> {
    let socket = Socket::new(Domain::for_address(address), Type::DGRAM, Some(Protocol::UDP))?;
    bind_to(&socket, address, family)?;
    Ok(socket.into())
}

fn bind_to(socket: &Socket, address: SocketAddr, family: Family) -> io::Result<()> {
    if !address.ip().is_loopback() {
        log::line(format_args!("warning: other hosts can reach {address}, an open echo server"));
    }
    if let IpAddr::V6(ip) = address.ip() {
        socket.set_only_v6(!(ip.is_unspecified() && family == Family::DualStack))?;
    }
    socket.bind(&address.into())?;
    socket.set_nonblocking(true)
}

#[cfg(test)]
mod tests {
    use std::net::{Ipv4Addr, Ipv6Addr, TcpStream};

    use super::*;

    const ANY_PORT: SocketAddr = SocketAddr::new(IpAddr::V4(Ipv4Addr::LOCALHOST), 0);

    #[test]
    fn port_zero_picks_a_port_that_accepts() {
        let listener = bind(ANY_PORT, Family::AsWritten).unwrap();
        let address = listener.local_addr().unwrap();
        assert_ne!(address.port(), 0);
        assert_eq!(listener.accept().unwrap_err().kind(), io::ErrorKind::WouldBlock);
        TcpStream::connect(address).unwrap();
    }

    #[test]
    fn a_live_port_cannot_be_taken() {
        let listener = bind(ANY_PORT, Family::AsWritten).unwrap();
        let second = bind(listener.local_addr().unwrap(), Family::AsWritten);
        assert_eq!(second.unwrap_err().kind(), io::ErrorKind::AddrInUse);
        let socket = bind_udp(ANY_PORT, Family::AsWritten).unwrap();
        let second = bind_udp(socket.local_addr().unwrap(), Family::AsWritten);
        assert_eq!(second.unwrap_err().kind(), io::ErrorKind::AddrInUse);
    }

    #[test]
    fn a_datagram_is_echoed_by_hand() {
        let server = bind_udp(ANY_PORT, Family::AsWritten).unwrap();
        let mut buffer = [0; 8];
        assert_eq!(server.recv_from(&mut buffer).unwrap_err().kind(), io::ErrorKind::WouldBlock);
        let client = UdpSocket::bind(ANY_PORT).unwrap();
        client.send_to(b"hello", server.local_addr().unwrap()).unwrap();
        let (bytes, from) = server.recv_from(&mut buffer).unwrap();
        assert_eq!((&buffer[..bytes], from), (&b"hello"[..], client.local_addr().unwrap()));
    }

    #[test]
    fn ipv4_clients_reach_a_wildcard_of_both_families_alone() {
        let any = SocketAddr::new(IpAddr::V6(Ipv6Addr::UNSPECIFIED), 0);
        for (family, is_reached) in [(Family::DualStack, true), (Family::AsWritten, false)] {
            // A host without IPv6 has nothing to show.
            let Ok(listener) = bind(any, family) else { return };
            let port = listener.local_addr().unwrap().port();
            let reached = TcpStream::connect((Ipv4Addr::LOCALHOST, port));
            assert_eq!(reached.is_ok(), is_reached, "{family:?}");
        }
    }
}
