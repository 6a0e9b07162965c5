//! TCP and Unix connections as one, so that one accept loop and one echo serve both.

#[cfg(unix)]
use std::os::unix::net::{UnixListener, UnixStream};
use std::{
    io::{self, Read as _, Write as _},
    net::{IpAddr, Ipv4Addr, Ipv6Addr, Shutdown, SocketAddr, TcpListener, TcpStream},
    time::Duration,
};

use crate::loops::Source;

/// Where connections come from.
#[derive(Debug)]
pub(crate) enum Listener {
    Tcp(TcpListener),
    #[cfg(unix)]
    Unix(UnixListener),
}

/// A connection.
#[derive(Debug)]
pub(crate) enum Stream {
    Tcp(TcpStream),
    #[cfg(unix)]
    Unix(UnixStream),
}

impl Listener {
    pub(crate) fn accept(&self) -> io::Result<Stream> {
        match self {
            Listener::Tcp(listener) => {
                let (stream, _) = listener.accept()?;
                // It fails on a connection that is already reset (EINVAL on macOS); reading will
                // say so.
                let _ = stream.set_nodelay(true);
                Ok(Stream::Tcp(stream))
            }
            #[cfg(unix)]
            Listener::Unix(listener) => listener.accept().map(|(stream, _)| Stream::Unix(stream)),
        }
    }

    pub(crate) fn set_nonblocking(&self, nonblocking: bool) -> io::Result<()> {
        match self {
            Listener::Tcp(listener) => listener.set_nonblocking(nonblocking),
            #[cfg(unix)]
            Listener::Unix(listener) => listener.set_nonblocking(nonblocking),
        }
    }
}

impl Source for Listener {
    /// A client of our own ends the call that waits for one.
    fn wake(&self) {
        // The queue may be full, which is no reason to wait: then no call waits for a client.
        const LIMIT: Duration = Duration::from_millis(10);

        match self {
            Listener::Tcp(listener) => {
                if let Ok(address) = listener.local_addr() {
                    let _ = TcpStream::connect_timeout(&reachable(address), LIMIT);
                }
            }
            #[cfg(unix)]
            Listener::Unix(listener) => {
                use rustix::net::{Shutdown, shutdown};

                // On Linux this ends the call (EINVAL), without the name that a client needs, and
                // keeps the queue. Other systems refuse it (ENOTCONN).
                if shutdown(listener, Shutdown::Read).is_err()
                    && let Ok(address) = listener.local_addr()
                {
                    let _ = UnixStream::connect_addr(&address);
                }
            }
        }
    }
}

/// An address by which this host reaches a socket that is bound to `address`.
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
            Stream::Tcp(stream) => (&mut &*stream).read(buffer),
            #[cfg(unix)]
            Stream::Unix(stream) => (&mut &*stream).read(buffer),
        }
    }

    pub(crate) fn write_all(&self, message: &[u8]) -> io::Result<()> {
        match self {
            Stream::Tcp(stream) => (&mut &*stream).write_all(message),
            #[cfg(unix)]
            Stream::Unix(stream) => (&mut &*stream).write_all(message),
        }
    }

    /// Sends FIN.
    pub(crate) fn finish(&self) -> io::Result<()> {
        match self {
            Stream::Tcp(stream) => stream.shutdown(Shutdown::Write),
            #[cfg(unix)]
            Stream::Unix(stream) => stream.shutdown(Shutdown::Write),
        }
    }

    pub(crate) fn set_nonblocking(&self, nonblocking: bool) -> io::Result<()> {
        match self {
            Stream::Tcp(stream) => stream.set_nonblocking(nonblocking),
            #[cfg(unix)]
            Stream::Unix(stream) => stream.set_nonblocking(nonblocking),
        }
    }
}
