//! Listeners and connections, of TCP or Unix, so that one loop serves both.

#[cfg(unix)]
use std::os::{fd::AsRawFd as _, unix::net::UnixListener};
use std::{
    io::{self, Read, Write},
    net::{self, Shutdown},
};

use mio::{
    Interest, Registry, Token,
    net::{TcpListener, TcpStream},
};
#[cfg(unix)]
use mio::{net::UnixStream, unix::SourceFd};

/// Where connections come from.
pub(crate) enum Listener {
    Tcp(TcpListener),
    /// Of std: mio's (1.2.5) panics in `accept` when the client's own path fills its address, of
    /// which Linux says one byte more than there is (unix(7)).
    #[cfg(unix)]
    Unix(UnixListener),
}

impl Listener {
    pub(crate) fn tcp(listener: net::TcpListener) -> Listener {
        Listener::Tcp(TcpListener::from_std(listener))
    }

    pub(crate) fn register(&mut self, registry: &Registry, token: Token) -> io::Result<()> {
        match self {
            Listener::Tcp(listener) => registry.register(listener, token, Interest::READABLE),
            #[cfg(unix)]
            Listener::Unix(listener) => {
                registry.register(&mut SourceFd(&listener.as_raw_fd()), token, Interest::READABLE)
            }
        }
    }

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
            Listener::Unix(listener) => {
                let (stream, _) = listener.accept()?;
                stream.set_nonblocking(true)?;
                Ok(Stream::Unix(UnixStream::from_std(stream)))
            }
        }
    }
}

/// A connection's socket.
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
            Stream::Tcp(stream) => registry.register(stream, token, interests),
            #[cfg(unix)]
            Stream::Unix(stream) => registry.register(stream, token, interests),
        }
    }

    pub(crate) fn shutdown(&self, how: Shutdown) -> io::Result<()> {
        match self {
            Stream::Tcp(stream) => stream.shutdown(how),
            #[cfg(unix)]
            Stream::Unix(stream) => stream.shutdown(how),
        }
    }

    /// Whether a read that does not fill its buffer has emptied the socket, so that what comes
    /// later is a new edge (epoll(7), question 9).
    pub(crate) fn short_read_is_last(&self) -> bool {
        match self {
            // On Windows mio looks for the next edge only after a call that would block.
            Stream::Tcp(_) => !cfg!(windows),
            // A read ends early where a client has sent descriptors with its bytes (unix(7)).
            #[cfg(unix)]
            Stream::Unix(_) => false,
        }
    }
}

impl Read for Stream {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        match self {
            Stream::Tcp(stream) => stream.read(buffer),
            #[cfg(unix)]
            Stream::Unix(stream) => stream.read(buffer),
        }
    }
}

impl Write for Stream {
    fn write(&mut self, message: &[u8]) -> io::Result<usize> {
        match self {
            Stream::Tcp(stream) => stream.write(message),
            #[cfg(unix)]
            Stream::Unix(stream) => stream.write(message),
        }
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}
