//! TCP and Unix sockets as one type, so that one loop serves both.

use std::io::{self, Read, Write};
use std::net::{self, Shutdown};
#[cfg(unix)]
use std::os::fd::AsRawFd as _;
#[cfg(unix)]
use std::os::unix::net::UnixListener;

#[cfg(unix)]
use mio::net::UnixStream;
use mio::net::{TcpListener, TcpStream};
#[cfg(unix)]
use mio::unix::SourceFd;
use mio::{Interest, Registry, Token};

pub(crate) enum Listener {
    Tcp(TcpListener),
    /// The standard library's: mio's (1.2.5) panics in `accept` if the client's path fills
    /// `sun_path`, because Linux then reports one byte more than there is (unix(7)).
    #[cfg(unix)]
    Unix(UnixListener),
}

impl Listener {
    pub(crate) fn tcp(listener: net::TcpListener) -> Self {
        Self::Tcp(TcpListener::from_std(listener))
    }

    pub(crate) fn register(&mut self, registry: &Registry, token: Token) -> io::Result<()> {
        match self {
            Self::Tcp(listener) => registry.register(listener, token, Interest::READABLE),
            #[cfg(unix)]
            Self::Unix(listener) => {
                registry.register(&mut SourceFd(&listener.as_raw_fd()), token, Interest::READABLE)
            }
        }
    }

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
            Self::Unix(listener) => {
                let (stream, _) = listener.accept()?;
                stream.set_nonblocking(true)?;
                Ok(Stream::Unix(UnixStream::from_std(stream)))
            }
        }
    }
}

pub(crate) enum Stream {
    Tcp(TcpStream),
    #[cfg(unix)]
    Unix(UnixStream),
}

impl Stream {
    pub(crate) fn register(
        &mut self,
        registry: &Registry,
        token: Token,
        interests: Interest,
    ) -> io::Result<()> {
        match self {
            Self::Tcp(stream) => registry.register(stream, token, interests),
            #[cfg(unix)]
            Self::Unix(stream) => registry.register(stream, token, interests),
        }
    }

    pub(crate) fn shutdown(&self, how: Shutdown) -> io::Result<()> {
        match self {
            Self::Tcp(stream) => stream.shutdown(how),
            #[cfg(unix)]
            Self::Unix(stream) => stream.shutdown(how),
        }
    }

    /// Whether a read that does not fill its buffer has emptied the socket, so that later bytes
    /// cause a new event (epoll(7), question 9).
    pub(crate) fn short_read_is_last(&self) -> bool {
        match self {
            // On Windows, mio arms the next event only after a call that would block.
            Self::Tcp(_) => !cfg!(windows),
            // A read ends early at bytes that came with descriptors (unix(7)).
            #[cfg(unix)]
            Self::Unix(_) => false,
        }
    }
}

impl Read for Stream {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        match self {
            Self::Tcp(stream) => stream.read(buffer),
            #[cfg(unix)]
            Self::Unix(stream) => stream.read(buffer),
        }
    }
}

impl Write for Stream {
    fn write(&mut self, message: &[u8]) -> io::Result<usize> {
        match self {
            Self::Tcp(stream) => stream.write(message),
            #[cfg(unix)]
            Self::Unix(stream) => stream.write(message),
        }
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}
