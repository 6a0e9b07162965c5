//! A client socket for each transport.

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

/// A non-blocking socket that is connecting or connected.
#[derive(Debug)]
pub(crate) enum Socket {
    Tcp(TcpStream),
    Udp(UdpSocket),
    #[cfg(unix)]
    Unix(mio::net::UnixStream),
}

impl Address {
    pub(crate) fn from_target(target: &Target) -> anyhow::Result<Self> {
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
    /// Begins to connect. On Linux, a Unix listener whose backlog is full causes `WouldBlock`.
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

    /// Whether the connection is established, after the poller has reported the socket as writable.
    pub(crate) fn is_established(&self) -> io::Result<bool> {
        match self {
            Self::Tcp(stream) => {
                if let Some(error) = stream.take_error()? {
                    return Err(error);
                }
                match stream.peer_addr() {
                    Ok(_) => {
                        // Nagle's algorithm would delay messages, and the server is to be measured.
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

    /// Receives into `buffer`. 0 is the end of a stream, or an empty datagram.
    #[inline]
    pub(crate) fn receive(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        match self {
            Self::Tcp(stream) => stream.read(buffer),
            Self::Udp(socket) => socket.recv(buffer),
            #[cfg(unix)]
            Self::Unix(stream) => stream.read(buffer),
        }
    }

    /// Sends as much as the kernel takes; a datagram is sent whole or not at all.
    #[inline]
    pub(crate) fn send(&mut self, bytes: &[u8]) -> io::Result<usize> {
        match self {
            Self::Tcp(stream) => stream.write(bytes),
            Self::Udp(socket) => socket.send(bytes),
            #[cfg(unix)]
            Self::Unix(stream) => stream.write(bytes),
        }
    }

    /// Registers once, for reading and writing: the poller is edge-triggered.
    pub(crate) fn register(&mut self, registry: &Registry, token: Token) -> io::Result<()> {
        registry.register(self.source(), token, Interest::READABLE | Interest::WRITABLE)
    }

    /// Ends a TCP connection with RST, so that no port of this host stays in `TIME_WAIT`: a load
    /// may open more connections than there are ports.
    pub(crate) fn abort(self) {
        if let Self::Tcp(stream) = &self {
            // If this fails, the connection ends with FIN, which is good enough.
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
