//! Binds listeners for all backends: the runtimes' own `bind` functions differ in backlog and
//! options.

use std::io;
use std::iter;
use std::net::{IpAddr, SocketAddr, TcpListener, UdpSocket};
#[cfg(unix)]
use std::os::unix::net::{UnixDatagram, UnixListener};

use socket2::{Domain, Protocol, Socket, Type};

use crate::{Work, log};

/// The length of the accept queue. 128, the default of std and most runtimes, loses bursts of
/// clients.
pub const BACKLOG: i32 = 1024;

/// Room for any UDP datagram, in bytes: its length field has 16 bits (RFC 768). A longer Unix
/// datagram is truncated.
pub const DATAGRAM_BYTES: usize = 64 * 1024;

/// A kind of socket to serve.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Transport {
    /// TCP connections.
    Tcp,
    /// UDP datagrams.
    Udp,
    /// Connections to a Unix path; not on Windows, where std has no such socket.
    Unix,
    /// Datagrams to a Unix path; not on Windows.
    Unixgram,
}

impl Transport {
    /// Every transport.
    pub const ALL: [Self; 4] = [Self::Tcp, Self::Udp, Self::Unix, Self::Unixgram];

    /// Its name in `--listen`, announcements and the registry.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Tcp => "tcp",
            Self::Udp => "udp",
            Self::Unix => "unix",
            Self::Unixgram => "unixgram",
        }
    }

    /// Whether this operating system has it.
    pub(crate) const fn exists_here(self) -> bool {
        match self {
            Self::Tcp | Self::Udp => true,
            Self::Unix | Self::Unixgram => cfg!(unix),
        }
    }
}

/// The sockets to serve, which are bound and non-blocking. All are of transports that the backend
/// offers.
#[derive(Debug, Default)]
pub struct Sockets {
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

impl Sockets {
    /// Makes one share per worker, so that all workers can accept in parallel. Only the first share
    /// has the datagram sockets: two workers would both wake for a datagram, and their replies to
    /// one client could overtake each other.
    ///
    /// # Errors
    /// Those of dup(2), such as too many open files.
    pub(crate) fn share(self, workers: usize) -> io::Result<Vec<Self>> {
        let duplicates = (1..workers).map(|_| self.duplicate()).collect::<io::Result<Vec<_>>>()?;
        // The originals are a share too: a listener is closed by its last descriptor.
        Ok(iter::once(self).chain(duplicates).collect())
    }

    /// The same listeners, without the datagram sockets.
    fn duplicate(&self) -> io::Result<Self> {
        let duplicate = |listener: &Listener| -> io::Result<Listener> {
            Ok(Listener { socket: listener.socket.try_clone()?, work: listener.work })
        };
        Ok(Self {
            tcp: self.tcp.iter().map(duplicate).collect::<io::Result<_>>()?,
            #[cfg(unix)]
            unix: self.unix.iter().map(UnixListener::try_clone).collect::<io::Result<_>>()?,
            ..Self::default()
        })
    }

    /// Whether a listener offloads the CPU work of its messages to threads other than the workers.
    pub fn offload_work(&self) -> bool {
        self.tcp.iter().any(|listener| matches!(listener.work, Some(Work::Offloaded(_))))
    }
}

/// A TCP listener, and what its messages cost.
#[derive(Debug)]
pub struct Listener {
    /// The listening socket, which is non-blocking.
    pub socket: TcpListener,
    /// The CPU time that each message costs before it is echoed; `None` on a `tcp:` listener.
    pub work: Option<Work>,
}

/// Which clients a listener on the IPv6 wildcard address accepts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Family {
    /// IPv6 clients only. By default, Linux accepts IPv4 clients on `[::]` as well, and Windows
    /// does not.
    AsWritten,
    /// IPv4 clients as well, on every system.
    DualStack,
}

/// A non-blocking TCP listener on `address`.
///
/// Without SO_REUSEPORT: with it, a second server could bind next to a live one without an error,
/// and closing one of the listeners would reset the clients in its queue.
///
/// # Errors
/// Those of socket(2), bind(2) and listen(2), such as an address that is in use.
pub(crate) fn bind(address: SocketAddr, family: Family) -> io::Result<TcpListener> {
    let socket = Socket::new(Domain::for_address(address), Type::STREAM, Some(Protocol::TCP))?;
    // On Unix, SO_REUSEADDR means that connections in TIME_WAIT do not hold the port. On Windows it
    // means that a server can take the port of a live one, so it stays off there (actix-web#1335).
    #[cfg(unix)]
    socket.set_reuse_address(true)?;
    bind_to(&socket, address, family)?;
    socket.listen(BACKLOG)?;
    Ok(socket.into())
}

/// A non-blocking UDP socket on `address`.
///
/// Without SO_REUSEADDR: with it, a second server could bind next to a live one (socket(7)), and
/// UDP has no TIME_WAIT that would hold the port.
///
/// # Errors
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
