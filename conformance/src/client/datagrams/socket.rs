//! The judge's end of datagrams: one socket, over UDP or a Unix path.

use std::io::{self, ErrorKind};
use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr, UdpSocket};
#[cfg(unix)]
use std::os::unix::net::UnixDatagram;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use harness::place::Place;
#[cfg(windows)]
use harness::wait::{Interest, wait};
use rustix::io::Errno;
use socket2::{Domain, Protocol, SockAddr, SockRef, Socket, Type};

use crate::client::{HAS_LOOPBACK_NETWORK, SECOND_LOOPBACK};

/// Calls block, each with a time limit: poll(2) does not tell whether the receiver of a Unix
/// datagram has room.
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

    /// A UDP socket on an address that clients of other cells do not use, if the system has one.
    /// When the socket is closed, a client of another cell may get its port, but none of its
    /// replies.
    pub(super) fn open_on_second_address(place: &Place) -> io::Result<Self> {
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
            // The shortest time limit is a tick of the kernel, which is too long for many clients
            // in turn.
            self.set_nonblocking(true)?;
            let received = self.receive_within(buffer, Duration::from_millis(1));
            self.set_nonblocking(false)?;
            return received;
        }
        // A time limit of a receive is 15.6 ms at least on Windows, and 500 ms in some versions.
        #[cfg(windows)]
        if !self.is_readable_within(time)? {
            return Err(ErrorKind::TimedOut.into());
        }
        self.receive_within(buffer, time.max(Duration::from_millis(1)))
    }

    #[cfg(windows)]
    fn is_readable_within(&self, time: Duration) -> io::Result<bool> {
        let socket = Socket::from(match self {
            Self::Udp(socket) => socket.try_clone()?,
        });
        wait(&socket, Interest::Read, time)
            .map_err(|failure| io::Error::other(failure.actual.on_terminal()))
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

/// Sends a UDP datagram with source port 0.
pub(super) fn send_from_no_port(to: &Place, bytes: &[u8]) -> io::Result<()> {
    let Place::Ip(SocketAddr::V4(to)) = to else { return Err(ErrorKind::Unsupported.into()) };
    let length = u16::try_from(8 + bytes.len()).map_err(io::Error::other)?;
    // Source, destination, length, and no checksum (RFC 768).
    let header = [0, to.port(), length, 0].map(u16::to_be_bytes).concat();
    let socket = Socket::new(Domain::IPV4, Type::RAW, Some(Protocol::UDP))?;
    let host = SocketAddr::from((*to.ip(), 0));
    socket.send_to(&[header.as_slice(), bytes].concat(), &host.into()).map(drop)
}

/// Whether the call ended without a result. The error of a time limit differs between systems.
pub(super) fn is_timeout(error: &io::Error) -> bool {
    matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut | ErrorKind::Interrupted)
}

/// Whether an address is not available: another socket uses it, or this user may not.
pub(super) fn is_address_unavailable(error: &io::Error) -> bool {
    use ErrorKind::{AddrInUse, AddrNotAvailable, PermissionDenied};
    [AddrInUse, AddrNotAvailable, PermissionDenied].contains(&error.kind())
}

/// macOS fails with this error if the receiver's queue is full, where Linux waits (send(2),
/// ENOBUFS).
pub(super) fn is_queue_full(error: &io::Error) -> bool {
    cfg!(unix) && error.raw_os_error() == Some(Errno::NOBUFS.raw_os_error())
}
