//! TCP and Unix sockets as one type, so that one accept loop and one echo serve both.

use std::io::{self, Read as _, Write as _};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, Shutdown, SocketAddr, TcpListener, TcpStream};
#[cfg(unix)]
use std::os::unix::net::{UnixListener, UnixStream};
use std::time::Duration;

use crate::loops::Source;

#[derive(Debug)]
pub(crate) enum Listener {
    Tcp(TcpListener),
    #[cfg(unix)]
    Unix(UnixListener),
}

#[derive(Debug)]
pub(crate) enum Stream {
    Tcp(TcpStream),
    #[cfg(unix)]
    Unix(UnixStream),
}

impl Listener {
    pub(crate) fn accept(&self) -> io::Result<Stream> {
        match self {
            Self::Tcp(listener) => {
                let (stream, _) = listener.accept()?;
                // Fails if the connection is already reset (EINVAL on macOS); the read will report
                // it.
                let _ = stream.set_nodelay(true);
                Ok(Stream::Tcp(stream))
            }
            #[cfg(unix)]
            Self::Unix(listener) => listener.accept().map(|(stream, _)| Stream::Unix(stream)),
        }
    }

    pub(crate) fn set_nonblocking(&self, nonblocking: bool) -> io::Result<()> {
        match self {
            Self::Tcp(listener) => listener.set_nonblocking(nonblocking),
            #[cfg(unix)]
            Self::Unix(listener) => listener.set_nonblocking(nonblocking),
        }
    }
}

impl Source for Listener {
    /// Ends the listener's waiting call: shuts a Unix listener down on Linux, and otherwise
    /// connects to the listener.
    fn wake(&self) {
        // Short: if the queue is full, accept(2) does not wait, so no wake is needed.
        const LIMIT: Duration = Duration::from_millis(10);

        match self {
            Self::Tcp(listener) => {
                if let Ok(address) = listener.local_addr() {
                    let _ = TcpStream::connect_timeout(&reachable(address), LIMIT);
                }
            }
            #[cfg(unix)]
            Self::Unix(listener) => {
                use rustix::net::{Shutdown, shutdown};

                // On Linux this ends the call (EINVAL), even if the listener's name has been
                // removed, and keeps the queue. Other systems refuse it (ENOTCONN).
                if shutdown(listener, Shutdown::Read).is_err()
                    && let Ok(address) = listener.local_addr()
                {
                    let _ = UnixStream::connect_addr(&address);
                }
            }
        }
    }
}

/// The address by which this host reaches a socket that is bound to `address`.
pub(crate) fn reachable(mut address: SocketAddr) -> SocketAddr {
    match address.ip() {
        IpAddr::V4(Ipv4Addr::UNSPECIFIED) => address.set_ip(Ipv4Addr::LOCALHOST.into()),
        IpAddr::V6(Ipv6Addr::UNSPECIFIED) => address.set_ip(Ipv6Addr::LOCALHOST.into()),
        IpAddr::V4(_) | IpAddr::V6(_) => {}
    }
    address
}

impl Stream {
    pub(crate) fn read(&self, buffer: &mut [u8]) -> io::Result<usize> {
        match self {
            Self::Tcp(stream) => (&mut &*stream).read(buffer),
            #[cfg(unix)]
            Self::Unix(stream) => (&mut &*stream).read(buffer),
        }
    }

    pub(crate) fn write_all(&self, message: &[u8]) -> io::Result<()> {
        match self {
            Self::Tcp(stream) => (&mut &*stream).write_all(message),
            #[cfg(unix)]
            Self::Unix(stream) => (&mut &*stream).write_all(message),
        }
    }

    /// Sends FIN.
    pub(crate) fn finish(&self) -> io::Result<()> {
        match self {
            Self::Tcp(stream) => stream.shutdown(Shutdown::Write),
            #[cfg(unix)]
            Self::Unix(stream) => stream.shutdown(Shutdown::Write),
        }
    }

    pub(crate) fn set_nonblocking(&self, nonblocking: bool) -> io::Result<()> {
        match self {
            Self::Tcp(stream) => stream.set_nonblocking(nonblocking),
            #[cfg(unix)]
            Self::Unix(stream) => stream.set_nonblocking(nonblocking),
        }
    }
}
