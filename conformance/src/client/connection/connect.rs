//! Opening a connection: starting it, waiting until it is established, and abandoning it.

use std::io::{self, ErrorKind};
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use harness::deadline::Deadline;
use harness::place::Place;
use harness::wait::Interest;
use report::{Failure, FailureKind};
use socket2::{SockAddr, Socket, Type};

use super::{Connection, Presence, is_retryable, reset};
use crate::client::harness_failure;
use crate::client::payload::Payload;
use crate::clock::CellClock;

/// Socket options of the judge's end, set before it connects.
#[derive(Clone, Copy, Debug, Default)]
pub struct Setup {
    /// `SO_RCVBUF` in bytes; `None` for the kernel's default.
    pub receive_buffer_bytes: Option<usize>,
    /// `SO_SNDBUF` in bytes; `None` for the kernel's default.
    pub send_buffer_bytes: Option<usize>,
    /// `TCP_MAXSEG` in bytes. Only on Linux: other systems do not let it be set before connecting.
    pub max_segment_bytes: Option<u32>,
}

impl Setup {
    /// Lets less fit between the client and a blocked server: about 2 MiB instead of about 9 MiB.
    /// Linux sizes the server's receive buffer in segments, and a loopback segment is 64 KiB.
    #[must_use]
    pub fn small_buffers() -> Self {
        Self {
            receive_buffer_bytes: Some(32 * 1024),
            send_buffer_bytes: Some(64 * 1024),
            max_segment_bytes: Some(1460),
        }
    }

    fn apply(self, socket: &Socket, place: &Place) -> io::Result<()> {
        if let Some(bytes) = self.receive_buffer_bytes {
            socket.set_recv_buffer_size(bytes)?;
        }
        if let Some(bytes) = self.send_buffer_bytes {
            socket.set_send_buffer_size(bytes)?;
        }
        #[cfg(target_os = "linux")]
        if let (Some(bytes), Place::Ip(_)) = (self.max_segment_bytes, place) {
            socket.set_tcp_mss(bytes)?;
        }
        #[cfg(not(target_os = "linux"))]
        let _ = place;
        Ok(())
    }
}

/// A connection that may not be established yet.
#[derive(Debug)]
pub struct PendingConnection {
    socket: Socket,
    number: u32,
    payload: Payload,
    clock: Arc<CellClock>,
}

impl PendingConnection {
    /// Starts to connect without waiting. On a Unix path it waits while the server's queue is full.
    ///
    /// # Errors
    /// `refused`, or `harness` when this host has no more sockets or ports. On a Unix path also
    /// `timeout`.
    pub fn start(
        place: &Place,
        setup: Setup,
        number: u32,
        payload: Payload,
        clock: Arc<CellClock>,
    ) -> Result<Self, Failure> {
        let socket = open(place, setup).map_err(|e| harness_failure("open a socket", &e))?;
        Self::connect_socket(socket, place, number, payload, clock)
    }

    /// Like [`PendingConnection::start`], but never waits: it fails if the queue of a Unix socket
    /// is full.
    ///
    /// # Errors
    /// Those of [`PendingConnection::start`], and `queue`.
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
            Err(e) if is_retryable(&e) && matches!(place, Place::Path(_)) => {
                let expected = format!("room for client {} in the server's queue", number + 1);
                Err(Failure::new(FailureKind::Queue, expected, e.to_string()))
            }
            Err(e) if is_in_progress(&e) => Ok(Self { socket, number, payload, clock }),
            Err(e) => Err(connect_failure(&e)),
        }
    }

    /// Like [`PendingConnection::start`], from a given address. `None` if another socket uses that
    /// address.
    ///
    /// # Errors
    /// Those of [`PendingConnection::start`].
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
            Ok(()) => Self::connect_socket(socket, place, number, payload, clock).map(Some),
            Err(e) if e.kind() == ErrorKind::AddrInUse => Ok(None),
            Err(e) => Err(harness_failure(&format!("connect from {from}"), &e)),
        }
    }

    fn connect_socket(
        socket: Socket,
        place: &Place,
        number: u32,
        payload: Payload,
        clock: Arc<CellClock>,
    ) -> Result<Self, Failure> {
        let address = place.socket_address().map_err(|e| harness_failure("use a path", &e))?;
        if let Place::Path(_) = place {
            // If the server's queue is full, a non-blocking Unix socket fails at once and leaves
            // nothing to poll for (connect(2), EAGAIN). A blocking one waits for as long as its
            // write timeout.
            let deadline = clock.progress_deadline();
            let connected = clock.count_wait(|| {
                loop {
                    match connect_within(&socket, &address, deadline.left()) {
                        Err(e) if is_retryable(&e) && !deadline.is_over() => {}
                        connected => return connected,
                    }
                }
            });
            return match connected {
                Ok(()) => Ok(Self { socket, number, payload, clock }),
                Err(e) if is_retryable(&e) => Err(deadline.failure("a connection")),
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

    /// Waits until the connection is established or has failed, at most until the deadline.
    ///
    /// # Errors
    /// `harness` when this host cannot wait.
    pub fn wait_for_outcome(&self, deadline: Deadline) -> Result<(), Failure> {
        self.clock.wait_for(&self.socket, Interest::Write, deadline).map(drop)
    }

    /// Waits until the connection is established.
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
        // A connection that is already reset may refuse options. The first read reports the reset.
        let _ = self.socket.set_tcp_nodelay(true);
        let leaves_port = !self.socket.local_addr().is_ok_and(|address| address.is_unix());
        Ok(Connection {
            payload: self.payload,
            socket: self.socket,
            number: self.number,
            sent: 0,
            received: 0,
            has_sent_fin: false,
            presence: Presence { clock: Arc::clone(&self.clock), leaves_port },
            clock: self.clock,
        })
    }

    /// Resets the connection, established or not.
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
    // EINPROGRESS has no stable ErrorKind. Windows says WouldBlock.
    #[cfg(unix)]
    let in_progress = error.raw_os_error() == Some(rustix::io::Errno::INPROGRESS.raw_os_error());
    #[cfg(not(unix))]
    let in_progress = false;
    in_progress || is_retryable(error)
}

fn connect_failure(error: &io::Error) -> Failure {
    let is_refused = matches!(
        error.kind(),
        ErrorKind::ConnectionRefused | ErrorKind::ConnectionReset | ErrorKind::NotFound
    );
    let kind = if is_refused { FailureKind::Refused } else { FailureKind::Harness };
    Failure::new(kind, "a connection", error.to_string())
}
