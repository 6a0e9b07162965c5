//! Echo of datagrams. A reply that the system does not take at once is dropped: the replies to
//! other clients would wait behind it.

use std::io;
use std::net;
#[cfg(unix)]
use std::os::fd::AsRawFd as _;
#[cfg(unix)]
use std::os::unix::net::UnixDatagram;
use std::time::{Duration, Instant};

use common::{Context, DATAGRAM_BYTES, Recovery};
use mio::net::UdpSocket;
#[cfg(unix)]
use mio::unix::SourceFd;
use mio::{Interest, Registry, Token};

/// After this many datagrams in a row, the other sockets get a turn.
const TURN: usize = 64;

/// A datagram socket, and whether it may be readable.
pub(crate) struct Datagrams {
    socket: Socket,
    /// Whether there may be datagrams in its queue.
    pub(crate) ready: bool,
    /// When to receive again, after an error.
    paused_until: Option<Instant>,
    buffer: Box<[u8]>,
}

enum Socket {
    Udp(UdpSocket),
    /// The standard library's: mio's sends to paths only, not to abstract names (unix(7)).
    #[cfg(unix)]
    Unixgram(UnixDatagram),
}

impl Datagrams {
    pub(crate) fn udp(socket: net::UdpSocket) -> Self {
        Self::new(Socket::Udp(UdpSocket::from_std(socket)))
    }

    #[cfg(unix)]
    pub(crate) fn unixgram(socket: UnixDatagram) -> Self {
        Self::new(Socket::Unixgram(socket))
    }

    fn new(socket: Socket) -> Self {
        let buffer = vec![0; DATAGRAM_BYTES].into();
        Self { socket, ready: true, paused_until: None, buffer }
    }

    pub(crate) fn register(&mut self, registry: &Registry, token: Token) -> io::Result<()> {
        match &mut self.socket {
            Socket::Udp(socket) => registry.register(socket, token, Interest::READABLE),
            #[cfg(unix)]
            Socket::Unixgram(socket) => {
                registry.register(&mut SourceFd(&socket.as_raw_fd()), token, Interest::READABLE)
            }
        }
    }

    /// How long it can wait for its next turn; `None` if it needs an event first.
    pub(crate) fn patience(&self) -> Option<Duration> {
        let now = Instant::now();
        let pause = self.paused_until.map(|moment| moment.saturating_duration_since(now));
        self.ready.then(|| pause.unwrap_or_default())
    }

    /// Answers datagrams that have arrived, at most [`TURN`].
    pub(crate) fn turn(&mut self, context: &Context) {
        if self.patience() != Some(Duration::ZERO) {
            return;
        }
        self.paused_until = None;
        for _ in 0..TURN {
            match self.socket.answer(&mut self.buffer, context) {
                Ok(()) => {}
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                    self.ready = false;
                    return;
                }
                Err(error) => match context.after_receive_error(&error) {
                    Recovery::Retry => {}
                    // It stays ready, because no later event would report it.
                    Recovery::BackOff(pause) => {
                        self.paused_until = Some(Instant::now() + pause);
                        return;
                    }
                    Recovery::Fatal => {
                        self.ready = false;
                        return;
                    }
                },
            }
        }
    }
}

impl Socket {
    /// Receives a datagram and sends it back.
    ///
    /// # Errors
    /// Those of recvfrom(2). A reply that cannot be sent is dropped.
    fn answer(&self, buffer: &mut [u8], context: &Context) -> io::Result<()> {
        let sent = match self {
            Self::Udp(socket) => {
                let (bytes, from) = socket.recv_from(buffer)?;
                socket.send_to(&buffer[..bytes], from)
            }
            #[cfg(unix)]
            Self::Unixgram(socket) => {
                let (bytes, from) = socket.recv_from(buffer)?;
                // A client without a name cannot be answered.
                if from.is_unnamed() { Ok(0) } else { socket.send_to_addr(&buffer[..bytes], &from) }
            }
        };
        if let Err(error) = sent {
            context.dropped_reply(&error);
        }
        Ok(())
    }
}
