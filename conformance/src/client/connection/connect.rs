//! Opening a connection: starting it, waiting until it is established, and giving it up.

use std::io::{self, ErrorKind};
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use harness::deadline::Deadline;
use harness::place::Place;
use harness::wait::Interest;
use report::{Failure, FailureKind};
use socket2::{SockAddr, Socket, Type};

use super::{Connection, Presence, is_again, reset};
use crate::client::harness_failure;
use crate::client::payload::Payload;
use crate::clock::CellClock;

/// How the judge's end of a connection is set up.
#[derive(Clone, Copy, Debug, Default)]
pub struct Setup {
    /// `SO_RCVBUF` before connecting, in bytes; the kernel's default if absent.
    pub receive_buffer: Option<usize>,
    /// `SO_SNDBUF` before connecting, in bytes; the kernel's default if absent.
    pub send_buffer: Option<usize>,
    /// `TCP_MAXSEG` before connecting, in bytes; on Linux only, others take no value beforehand.
    pub segment: Option<u32>,
}

impl Setup {
    /// Less fits between a writer and a server that is blocked: about 2 MiB instead of 9. Linux
    /// gives the server's end room for so many segments, and those of loopback are 64 KiB.
    #[must_use]
    pub fn tight() -> Self {
        Self { receive_buffer: Some(32 * 1024), send_buffer: Some(64 * 1024), segment: Some(1460) }
    }

    fn apply(self, socket: &Socket, place: &Place) -> io::Result<()> {
        if let Some(bytes) = self.receive_buffer {
            socket.set_recv_buffer_size(bytes)?;
        }
        if let Some(bytes) = self.send_buffer {
            socket.set_send_buffer_size(bytes)?;
        }
        #[cfg(target_os = "linux")]
        if let (Some(bytes), Place::Ip(_)) = (self.segment, place) {
            socket.set_tcp_mss(bytes)?;
        }
        #[cfg(not(target_os = "linux"))]
        let _ = place;
        Ok(())
    }
}

/// A connection that has been asked for and may not be established yet.
#[derive(Debug)]
pub struct Pending {
    socket: Socket,
    number: u32,
    payload: Payload,
    clock: Arc<CellClock>,
}

impl Pending {
    /// Asks for a connection to a server without waiting for it.
    ///
    /// # Errors
    /// `refused`, or `harness` when this host has no more sockets or ports.
    pub fn start(
        place: &Place,
        setup: Setup,
        number: u32,
        payload: Payload,
        clock: Arc<CellClock>,
    ) -> Result<Self, Failure> {
        let socket = open(place, setup).map_err(|e| harness_failure("open a socket", &e))?;
        Self::on(socket, place, number, payload, clock)
    }

    /// As [`Pending::start`], at once or not at all: a Unix socket with a full queue refuses.
    ///
    /// # Errors
    /// As [`Pending::start`], and `queue`.
    pub fn start_without_waiting(
        place: &Place,
        number: u32,
        payload: Payload,
        clock: Arc<CellClock>,
    ) -> Result<Self, Failure> {
        let socket =
            open(place, Setup::default()).map_err(|e| harness_failure("open a socket", &e))?;
        let address = place.socket_address().map_err(|e| harness_failure("use a path", &e))?;
        match socket.connect(&address) {
            Ok(()) => Ok(Self { socket, number, payload, clock }),
            Err(e) if is_again(&e) && matches!(place, Place::Path(_)) => {
                let expected = format!("room for client {} in the server's queue", number + 1);
                Err(Failure::new(FailureKind::Queue, expected, e.to_string()))
            }
            Err(e) if is_in_progress(&e) => Ok(Self { socket, number, payload, clock }),
            Err(e) => Err(connect_failure(&e)),
        }
    }

    /// As [`Pending::start`], from a given address; none if somebody else is using that.
    ///
    /// # Errors
    /// As [`Pending::start`].
    pub fn start_from(
        from: SocketAddr,
        place: &Place,
        number: u32,
        payload: Payload,
        clock: Arc<CellClock>,
    ) -> Result<Option<Self>, Failure> {
        let socket =
            open(place, Setup::default()).map_err(|e| harness_failure("open a socket", &e))?;
        match socket.bind(&from.into()) {
            Ok(()) => Self::on(socket, place, number, payload, clock).map(Some),
            Err(e) if e.kind() == ErrorKind::AddrInUse => Ok(None),
            Err(e) => Err(harness_failure(&format!("connect from {from}"), &e)),
        }
    }

    fn on(
        socket: Socket,
        place: &Place,
        number: u32,
        payload: Payload,
        clock: Arc<CellClock>,
    ) -> Result<Self, Failure> {
        let address = place.socket_address().map_err(|e| harness_failure("use a path", &e))?;
        if let Place::Path(_) = place {
            // A Unix socket whose server has a full queue would say so at once and keep nothing to
            // wait for (connect(2), EAGAIN); a blocking one waits, as long as it may write.
            let deadline = clock.progress();
            let connected = clock.waiting(|| {
                loop {
                    match connect_within(&socket, &address, deadline.left()) {
                        Err(e) if is_again(&e) && !deadline.is_over() => {}
                        connected => return connected,
                    }
                }
            });
            return match connected {
                Ok(()) => Ok(Self { socket, number, payload, clock }),
                Err(e) if is_again(&e) => Err(deadline.failure("a connection")),
                Err(e) => Err(connect_failure(&e)),
            };
        }
        match socket.connect(&address) {
            Ok(()) => {}
            Err(e) if is_in_progress(&e) => {}
            Err(e) => return Err(connect_failure(&e)),
        }
        Ok(Self { socket, number, payload, clock })
    }

    /// Waits until it is established or has failed, or the deadline is over.
    ///
    /// # Errors
    /// `harness` when this host cannot wait.
    pub fn settle(&self, deadline: Deadline) -> Result<(), Failure> {
        self.clock.wait_for(&self.socket, Interest::Write, deadline).map(drop)
    }

    /// Waits until it is established.
    ///
    /// # Errors
    /// `refused` or `timeout`.
    pub fn finish(self, deadline: Deadline) -> Result<Connection, Failure> {
        if !self.clock.wait_for(&self.socket, Interest::Write, deadline)? {
            return Err(deadline.failure("a connection"));
        }
        match self.socket.take_error() {
            Ok(None) => {}
            Ok(Some(e)) | Err(e) => return Err(connect_failure(&e)),
        }
        // A connection that is already reset may refuse options; the first read will tell.
        let _ = self.socket.set_tcp_nodelay(true);
        Ok(Connection {
            payload: self.payload,
            socket: self.socket,
            number: self.number,
            sent: 0,
            received: 0,
            has_finished: false,
            _presence: Presence(Arc::clone(&self.clock)),
            clock: self.clock,
        })
    }

    /// Closes it with a reset, established or not.
    pub fn reset(self) {
        reset(self.socket);
    }
}

fn connect_within(socket: &Socket, address: &SockAddr, time: Duration) -> io::Result<()> {
    socket.set_write_timeout(Some(time.max(Duration::from_millis(1))))?;
    socket.set_nonblocking(false)?;
    let connected = socket.connect(address);
    socket.set_nonblocking(true)?;
    connected
}

fn open(place: &Place, setup: Setup) -> io::Result<Socket> {
    let socket = Socket::new(place.domain(), Type::STREAM, None)?;
    setup.apply(&socket, place)?;
    socket.set_nonblocking(true)?;
    Ok(socket)
}

fn is_in_progress(error: &io::Error) -> bool {
    // EINPROGRESS has no stable ErrorKind; Windows says WouldBlock.
    #[cfg(unix)]
    let in_progress = error.raw_os_error() == Some(rustix::io::Errno::INPROGRESS.raw_os_error());
    #[cfg(not(unix))]
    let in_progress = false;
    in_progress || is_again(error)
}

fn connect_failure(error: &io::Error) -> Failure {
    let is_refused = matches!(
        error.kind(),
        ErrorKind::ConnectionRefused | ErrorKind::ConnectionReset | ErrorKind::NotFound
    );
    let kind = if is_refused { FailureKind::Refused } else { FailureKind::Harness };
    Failure::new(kind, "a connection", error.to_string())
}
