//! Datagrams: the server sends each one back to its sender. It drops a reply that it cannot send.

use std::io::{self, ErrorKind};
use std::net::SocketAddr;
use std::path::PathBuf;
use std::thread;
use std::time::{Duration, Instant};

use mio::net::UdpSocket;
#[cfg(unix)]
use mio::net::UnixDatagram;
use mio::{Interest, Registry, Token};

use crate::log;

/// Datagrams received per socket and pass of the loop, so that connections get their turn.
const PER_PASS: usize = 64;
/// Bytes. No UDP datagram is longer.
pub(crate) const LONGEST: usize = 64 * 1024;
/// How often a fault that waits tries again.
const LOOK: Duration = Duration::from_millis(1);

/// A datagram, and the client that has sent it or is to receive it.
#[derive(Clone)]
pub(crate) struct Datagram {
    pub(crate) bytes: Vec<u8>,
    pub(crate) client: Client,
}

#[derive(Clone, Debug, Eq, Ord, PartialEq, PartialOrd)]
pub(crate) enum Client {
    Ip(SocketAddr),
    #[cfg_attr(not(unix), expect(dead_code, reason = "there are no Unix paths"))]
    Path(PathBuf),
    /// A Unix client whose socket is not bound to a path.
    Unnamed,
}

/// The points at which a fault of datagrams strikes. The default methods are the correct server.
pub(crate) trait DatagramHooks {
    fn buffer_bytes(&self) -> usize {
        LONGEST
    }

    /// Whether the server no longer receives.
    fn is_deaf(&self) -> bool {
        false
    }

    /// How long the server waits for another datagram before it does anything else.
    fn lingers(&self) -> Duration {
        Duration::ZERO
    }

    /// Receives a datagram on a Unix path.
    #[cfg(unix)]
    fn receive(&mut self, socket: &UnixDatagram, buffer: &mut [u8]) -> io::Result<(usize, Client)> {
        let (length, from) = socket.recv_from(buffer)?;
        let path = from.as_pathname().map(|path| Client::Path(path.to_owned()));
        Ok((length, path.unwrap_or(Client::Unnamed)))
    }

    /// The datagrams to send after `datagram` has arrived.
    fn received(&mut self, datagram: Datagram) -> Vec<Datagram> {
        vec![datagram]
    }

    /// When to call [`DatagramHooks::release`].
    fn release_at(&self) -> Option<Instant> {
        None
    }

    /// The datagrams to send although none has arrived.
    fn release(&mut self) -> Vec<Datagram> {
        Vec::new()
    }

    /// Called when a datagram could not be sent. Returns whether to send it again.
    fn tries_again(&mut self, _error: &io::Error) -> bool {
        false
    }
}

/// The server without a fault.
pub(crate) struct Correct;

impl DatagramHooks for Correct {}

pub(crate) enum Socket {
    Udp(UdpSocket),
    #[cfg(unix)]
    Unix(UnixDatagram),
}

/// A datagram socket, and the fault that strikes it.
pub(crate) struct Datagrams {
    socket: Socket,
    /// Whether datagrams may wait. The poller is edge-triggered, so this stays set until a receive
    /// would block.
    pub(crate) ready: bool,
    buffer: Vec<u8>,
    hooks: Box<dyn DatagramHooks>,
}

impl Datagrams {
    pub(crate) fn new(socket: Socket, hooks: Box<dyn DatagramHooks>) -> Self {
        Self { socket, ready: true, buffer: vec![0; hooks.buffer_bytes()], hooks }
    }

    pub(crate) fn register(&mut self, registry: &Registry, token: Token) -> io::Result<()> {
        match &mut self.socket {
            Socket::Udp(socket) => registry.register(socket, token, Interest::READABLE),
            #[cfg(unix)]
            Socket::Unix(socket) => registry.register(socket, token, Interest::READABLE),
        }
    }

    /// When the socket needs a turn even without an event.
    pub(crate) fn wake_at(&self) -> Option<Instant> {
        self.hooks.release_at()
    }

    pub(crate) fn turn(&mut self) {
        if self.hooks.release_at().is_some_and(|moment| moment <= Instant::now()) {
            let due = self.hooks.release();
            self.send(due);
        }
        let mut left = PER_PASS;
        while self.ready && left > 0 && !self.hooks.is_deaf() {
            match self.receive() {
                Ok(datagram) => {
                    let due = self.hooks.received(datagram);
                    self.send(due);
                    left = if self.hooks.lingers().is_zero() { left - 1 } else { PER_PASS };
                }
                Err(error) if error.kind() == ErrorKind::WouldBlock => self.ready = false,
                // Windows reports here that an earlier reply has not reached its client.
                Err(error) if error.kind() == ErrorKind::ConnectionReset => {}
                Err(error) => {
                    log::line(format_args!("cannot receive: {error}"));
                    self.ready = false;
                }
            }
        }
        self.ready &= !self.hooks.is_deaf();
    }

    fn receive(&mut self) -> io::Result<Datagram> {
        let end = Instant::now() + self.hooks.lingers();
        loop {
            match self.receive_now() {
                Err(error) if error.kind() == ErrorKind::WouldBlock && Instant::now() < end => {
                    thread::sleep(LOOK);
                }
                received => return received,
            }
        }
    }

    fn receive_now(&mut self) -> io::Result<Datagram> {
        let (length, client) = match &self.socket {
            Socket::Udp(socket) => {
                let (length, from) = socket.recv_from(&mut self.buffer)?;
                (length, Client::Ip(from))
            }
            #[cfg(unix)]
            Socket::Unix(socket) => self.hooks.receive(socket, &mut self.buffer)?,
        };
        Ok(Datagram { bytes: self.buffer[..length].to_vec(), client })
    }

    fn send(&mut self, due: Vec<Datagram>) {
        for datagram in due {
            while let Err(error) = self.send_now(&datagram) {
                if !self.hooks.tries_again(&error) {
                    break;
                }
                thread::sleep(LOOK);
            }
        }
    }

    fn send_now(&self, datagram: &Datagram) -> io::Result<()> {
        match (&self.socket, &datagram.client) {
            (Socket::Udp(socket), Client::Ip(address)) => {
                socket.send_to(&datagram.bytes, *address).map(drop)
            }
            #[cfg(unix)]
            (Socket::Unix(socket), Client::Path(path)) => {
                socket.send_to(&datagram.bytes, path).map(drop)
            }
            (_, _) => Ok(()),
        }
    }
}
