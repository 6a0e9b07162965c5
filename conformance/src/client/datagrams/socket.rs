//! The client's end of datagrams: one socket, over UDP or a Unix path.

use std::io::{self, ErrorKind};
use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr, UdpSocket};
#[cfg(unix)]
use std::os::unix::net::UnixDatagram;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use harness::place::Place;
use rustix::io::Errno;
use socket2::{Domain, Protocol, SockAddr, SockRef, Socket, Type};

use crate::client::{HAS_LOOPBACK_NETWORK, SECOND_LOOPBACK};

/// The client's end: blocking calls with a time limit each, as poll(2) does not say of a Unix
/// datagram socket whether its receiver has room.
#[derive(Debug)]
pub(super) enum ClientSocket {
    Udp(Arc<UdpSocket>),
    #[cfg(unix)]
    Unix(UnixDatagram),
}

impl ClientSocket {
    pub(super) fn open(place: &Place, path: Option<&PathBuf>) -> io::Result<Self> {
        let socket = Socket::new(place.domain(), Type::DGRAM, None)?;
        match place {
            Place::Ip(address) => {
                let own: SocketAddr = match address {
                    SocketAddr::V4(_) => (Ipv4Addr::LOCALHOST, 0).into(),
                    SocketAddr::V6(_) => (Ipv6Addr::LOCALHOST, 0).into(),
                };
                socket.bind(&own.into())?;
                Ok(Self::Udp(Arc::new(socket.into())))
            }
            #[cfg(unix)]
            Place::Path(_) => {
                if let Some(path) = path {
                    socket.bind(&SockAddr::unix(path)?)?;
                }
                Ok(Self::Unix(socket.into()))
            }
            #[cfg(not(unix))]
            Place::Path(_) => {
                let _ = path;
                Err(ErrorKind::Unsupported.into())
            }
        }
    }

    /// A UDP socket on an address that clients of other cells do not use, where the system has one.
    /// Another cell's client may get its port later, and still gets none of its replies.
    pub(super) fn open_apart(place: &Place) -> io::Result<Self> {
        let (Place::Ip(SocketAddr::V4(_)), true) = (place, HAS_LOOPBACK_NETWORK) else {
            return Self::open(place, None);
        };
        UdpSocket::bind((SECOND_LOOPBACK, 0)).map(|socket| Self::Udp(Arc::new(socket)))
    }

    pub(super) fn sock_ref(&self) -> SockRef<'_> {
        match self {
            Self::Udp(socket) => SockRef::from(&**socket),
            #[cfg(unix)]
            Self::Unix(socket) => SockRef::from(socket),
        }
    }

    pub(super) fn set_nonblocking(&self, nonblocking: bool) -> io::Result<()> {
        self.sock_ref().set_nonblocking(nonblocking)
    }

    pub(super) fn send_to(
        &self,
        bytes: &[u8],
        address: &SockAddr,
        time: Duration,
    ) -> io::Result<()> {
        let socket = self.sock_ref();
        // Zero would mean no limit.
        socket.set_write_timeout(Some(time.max(Duration::from_millis(1))))?;
        socket.send_to(bytes, address).map(drop)
    }

    pub(super) fn receive_from(
        &self,
        buffer: &mut [u8],
        time: Duration,
    ) -> io::Result<(usize, Option<Place>)> {
        if time.is_zero() {
            // The shortest limit is a tick of the kernel's, and many clients are looked at in turn.
            self.set_nonblocking(true)?;
            let received = self.receive_within(buffer, Duration::from_millis(1));
            self.set_nonblocking(false)?;
            return received;
        }
        self.receive_within(buffer, time.max(Duration::from_millis(1)))
    }

    fn receive_within(
        &self,
        buffer: &mut [u8],
        time: Duration,
    ) -> io::Result<(usize, Option<Place>)> {
        let time = Some(time);
        match self {
            Self::Udp(socket) => {
                socket.set_read_timeout(time)?;
                socket.recv_from(buffer).map(|(length, from)| (length, Some(Place::Ip(from))))
            }
            #[cfg(unix)]
            Self::Unix(socket) => {
                socket.set_read_timeout(time)?;
                let (length, from) = socket.recv_from(buffer)?;
                Ok((length, from.as_pathname().map(|path| Place::Path(path.to_owned()))))
            }
        }
    }
}

/// Sends a datagram whose UDP header names no source port.
pub(super) fn send_from_no_port(to: &Place, bytes: &[u8]) -> io::Result<()> {
    let Place::Ip(SocketAddr::V4(to)) = to else { return Err(ErrorKind::Unsupported.into()) };
    let length = u16::try_from(8 + bytes.len()).map_err(io::Error::other)?;
    // Source, destination, length, and a checksum that is left out (RFC 768).
    let header = [0, to.port(), length, 0].map(u16::to_be_bytes).concat();
    let socket = Socket::new(Domain::IPV4, Type::RAW, Some(Protocol::UDP))?;
    let host = SocketAddr::from((*to.ip(), 0));
    socket.send_to(&[header.as_slice(), bytes].concat(), &host.into()).map(drop)
}

/// Whether a call came to the end of its time; which of the two it says differs between systems.
pub(super) fn is_over(error: &io::Error) -> bool {
    matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut | ErrorKind::Interrupted)
}

/// Whether an address is not to be had, because somebody has it or this user may not.
pub(super) fn is_taken(error: &io::Error) -> bool {
    use ErrorKind::{AddrInUse, AddrNotAvailable, PermissionDenied};
    [AddrInUse, AddrNotAvailable, PermissionDenied].contains(&error.kind())
}

/// What macOS says where Linux waits: the receiver's queue is full (connect(2), ENOBUFS).
pub(super) fn is_full(error: &io::Error) -> bool {
    cfg!(unix) && error.raw_os_error() == Some(Errno::NOBUFS.raw_os_error())
}
