//! One client socket, whatever its transport.

use std::io::{self, Read, Write};
use std::net::SocketAddr;
use std::time::Duration;

use anyhow::Context as _;
use mio::event::Source;
use mio::net::{TcpStream, UdpSocket};
use mio::{Interest, Registry, Token};
use report::Transport;
use report::load::Target;
use socket2::SockRef;

/// Where a socket connects to.
#[derive(Clone, Debug)]
pub(crate) enum Address {
    Tcp(SocketAddr),
    Udp(SocketAddr),
    #[cfg(unix)]
    Unix(std::path::PathBuf),
}

/// A non-blocking socket on its way to a server, or connected to it.
#[derive(Debug)]
pub(crate) enum Socket {
    Tcp(TcpStream),
    Udp(UdpSocket),
    #[cfg(unix)]
    Unix(mio::net::UnixStream),
}

impl Address {
    /// Reads a target's address.
    pub(crate) fn of(target: &Target) -> anyhow::Result<Self> {
        let ip = || {
            let text = &target.address;
            text.parse().with_context(|| format!("'{}' is no IP:PORT", text.on_terminal()))
        };
        match target.transport {
            Transport::Tcp => Ok(Self::Tcp(ip()?)),
            Transport::Udp => Ok(Self::Udp(ip()?)),
            #[cfg(unix)]
            Transport::Unix => Ok(Self::Unix(target.address.parse()?)),
            #[cfg(not(unix))]
            Transport::Unix => anyhow::bail!("there are no Unix sockets on this system"),
            Transport::Unixgram => {
                anyhow::bail!("a load over datagrams to a Unix path is not offered")
            }
        }
    }
}

impl Socket {
    /// Begins to connect. A Unix listener whose queue is full says `WouldBlock`.
    pub(crate) fn connect(address: &Address) -> io::Result<Self> {
        match address {
            Address::Tcp(address) => Ok(Self::Tcp(TcpStream::connect(*address)?)),
            Address::Udp(address) => {
                let any: SocketAddr = match address {
                    SocketAddr::V4(_) => ([0, 0, 0, 0], 0).into(),
                    SocketAddr::V6(_) => ([0_u16; 8], 0).into(),
                };
                let socket = UdpSocket::bind(any)?;
                socket.connect(*address)?;
                Ok(Self::Udp(socket))
            }
            #[cfg(unix)]
            Address::Unix(path) => Ok(Self::Unix(mio::net::UnixStream::connect(path)?)),
        }
    }

    /// Whether the connection stands, once the poller has said that it is writable.
    pub(crate) fn is_established(&self) -> io::Result<bool> {
        match self {
            Self::Tcp(stream) => {
                if let Some(error) = stream.take_error()? {
                    return Err(error);
                }
                match stream.peer_addr() {
                    Ok(_) => {
                        // A message waits for no other: what is measured is the server.
                        stream.set_nodelay(true)?;
                        Ok(true)
                    }
                    Err(error) if error.kind() == io::ErrorKind::NotConnected => Ok(false),
                    Err(error) => Err(error),
                }
            }
            Self::Udp(_) => Ok(true),
            #[cfg(unix)]
            Self::Unix(stream) => stream.take_error()?.map_or(Ok(true), Err),
        }
    }

    /// Receives into `buffer`; 0 is the end of a stream, and for UDP an empty datagram.
    #[inline]
    pub(crate) fn receive(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        match self {
            Self::Tcp(stream) => stream.read(buffer),
            Self::Udp(socket) => socket.recv(buffer),
            #[cfg(unix)]
            Self::Unix(stream) => stream.read(buffer),
        }
    }

    /// Sends what fits; a datagram is sent whole or not.
    #[inline]
    pub(crate) fn send(&mut self, bytes: &[u8]) -> io::Result<usize> {
        match self {
            Self::Tcp(stream) => stream.write(bytes),
            Self::Udp(socket) => socket.send(bytes),
            #[cfg(unix)]
            Self::Unix(stream) => stream.write(bytes),
        }
    }

    /// Registers for both directions, once and for all: the poller tells of changes only.
    pub(crate) fn register(&mut self, registry: &Registry, token: Token) -> io::Result<()> {
        registry.register(self.source(), token, Interest::READABLE | Interest::WRITABLE)
    }

    /// Ends a TCP connection with RST, so that no port of this host stays in `TIME_WAIT`: a load
    /// opens more connections than there are ports.
    pub(crate) fn abort(self) {
        if let Self::Tcp(stream) = &self {
            // Without it the connection ends with FIN, which is no less an end.
            let _ = SockRef::from(stream).set_linger(Some(Duration::ZERO));
        }
    }

    fn source(&mut self) -> &mut dyn Source {
        match self {
            Self::Tcp(stream) => stream,
            Self::Udp(socket) => socket,
            #[cfg(unix)]
            Self::Unix(stream) => stream,
        }
    }
}
