//! Echo of datagrams. A reply that the system does not take at once is dropped, as any datagram may
//! be: those of other clients would wait behind it.

#[cfg(unix)]
use std::os::{fd::AsRawFd as _, unix::net::UnixDatagram};
use std::{
    io, net,
    time::{Duration, Instant},
};

use common::{AcceptError, Context, DATAGRAM_BYTES};
#[cfg(unix)]
use mio::unix::SourceFd;
use mio::{Interest, Registry, Token, net::UdpSocket};

/// Datagrams answered in a row after which others get a turn.
const TURN: usize = 64;

/// A socket, and what is known of it.
pub(crate) struct Datagrams {
    socket: Socket,
    /// There may be datagrams in its queue.
    pub(crate) ready: bool,
    /// When it is tried again after an error.
    paused_until: Option<Instant>,
    buffer: Box<[u8]>,
}

enum Socket {
    Udp(UdpSocket),
    /// Of std: mio's sends to names in the file system alone.
    #[cfg(unix)]
    Unixgram(UnixDatagram),
}

impl Datagrams {
    pub(crate) fn udp(socket: net::UdpSocket) -> Datagrams {
        Datagrams::new(Socket::Udp(UdpSocket::from_std(socket)))
    }

    #[cfg(unix)]
    pub(crate) fn unixgram(socket: UnixDatagram) -> Datagrams {
        Datagrams::new(Socket::Unixgram(socket))
    }

    fn new(socket: Socket) -> Datagrams {
        let buffer = vec![0; DATAGRAM_BYTES].into();
        Datagrams { socket, ready: true, paused_until: None, buffer }
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

    /// How long it can go without a turn; for ever if only an event can bring it further.
    pub(crate) fn patience(&self) -> Option<Duration> {
        let now = Instant::now();
        let pause = self.paused_until.map(|moment| moment.saturating_duration_since(now));
        self.ready.then(|| pause.unwrap_or_default())
    }

    /// Answers what has arrived, up to a number.
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
                Err(error) => match context.receive_error(&error) {
                    AcceptError::Retry => {}
                    // It stays ready: no event would say so again.
                    AcceptError::BackOff(pause) => {
                        self.paused_until = Some(Instant::now() + pause);
                        return;
                    }
                    AcceptError::Fatal => {
                        self.ready = false;
                        return context.fail();
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
    ///
    /// Those of receiving; a reply that cannot be sent is not one.
    fn answer(&self, buffer: &mut [u8], context: &Context) -> io::Result<()> {
        let sent = match self {
            Socket::Udp(socket) => {
                let (bytes, from) = socket.recv_from(buffer)?;
                socket.send_to(&buffer[..bytes], from)
            }
            #[cfg(unix)]
            Socket::Unixgram(socket) => {
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
