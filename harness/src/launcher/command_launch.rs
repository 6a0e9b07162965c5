//! Starts servers that do not know the contract. A command contains the address, and its server is
//! ready once it listens there.

use std::io::{self, ErrorKind};
use std::net::{Ipv4Addr, SocketAddr, TcpStream, UdpSocket};
use std::path::PathBuf;
use std::sync::atomic::{AtomicU16, Ordering};
use std::thread;
use std::time::Duration;

use report::{Failure, FailureKind, Transport};
use socket2::{Socket, Type};

use super::command_line::CommandLine;
use super::server::{ServerExit, Supervised};
use super::start::Start;
use super::{Attempt, Launch, Launcher, start_failure};
use crate::deadline::Deadline;
use crate::place::{Endpoint, Place};
use crate::ports::free_address;
use crate::process::listener_owner;

/// How often to check whether the server listens.
const CHECK_INTERVAL: Duration = Duration::from_millis(10);
/// How many times another program may take the port between our choice and the server's bind.
const PLACE_ATTEMPTS: usize = 5;
/// How soon the harness learns that a server has ended, even on a host too busy to judge on.
const EXIT_NOTICE_LIMIT: Duration = Duration::from_secs(2);

/// The outcome of starting a command.
enum ListenOutcome {
    /// The process with this id listens. It belongs to the server.
    Listens(u32),
    /// It ended first.
    Ended { ended: ServerExit, has_listened: bool },
    /// Another program listens there.
    Stranger,
}

impl Launcher {
    /// Starts a command, and waits until it listens where we chose.
    pub(super) fn launch_command(
        &self,
        line: &CommandLine,
        start: &Start,
        deadline: Deadline,
    ) -> Result<Launch, Failure> {
        let transport = line.transport();
        for _ in 0..PLACE_ATTEMPTS {
            let place = match transport {
                Transport::Tcp | Transport::Udp => {
                    Place::Ip(free_address(transport).map_err(start_failure)?)
                }
                Transport::Unix | Transport::Unixgram => Place::Path(self.free_path()?),
            };
            let process = self.spawn(line.fill_placeholders(&place), &start.restrictions)?;
            let endpoint = Endpoint { transport, place };
            match wait_for_listener(&process, &endpoint, deadline)? {
                ListenOutcome::Listens(pid) => {
                    return Ok(Launch::from_endpoint(process, pid, endpoint));
                }
                ListenOutcome::Ended { ended, has_listened } => {
                    let attempt = process.attempt(ended);
                    return Ok(Launch::Ended(Attempt { has_listened, ..attempt }));
                }
                ListenOutcome::Stranger => {}
            }
        }
        let actual = format!("other programs on {PLACE_ATTEMPTS} ports, one after the other");
        Err(Failure::new(FailureKind::Harness, "the started server on its port", actual))
    }

    /// A path that no server of this launcher has used.
    fn free_path(&self) -> Result<PathBuf, Failure> {
        static NEXT: AtomicU16 = AtomicU16::new(0);
        Ok(self.folder()?.join(format!("s{}", NEXT.fetch_add(1, Ordering::Relaxed))))
    }
}

fn wait_for_listener(
    process: &Supervised,
    endpoint: &Endpoint,
    deadline: Deadline,
) -> Result<ListenOutcome, Failure> {
    loop {
        if is_listening(process, endpoint) {
            let owner = match &endpoint.place {
                Place::Ip(address) => find_owner(process, endpoint.transport, address.port())
                    .map_err(start_failure)?,
                // The folder is ours, so no other program listens there.
                Place::Path(_) => Some(process.pid),
            };
            if let Some(pid) = owner {
                return Ok(ListenOutcome::Listens(pid));
            }
            // The server may have crashed when its first client came, which is this check.
            let noticed = Deadline::after(EXIT_NOTICE_LIMIT);
            let ended = process.life.state.wait(noticed, |state| *state);
            return Ok(ended.map_or(ListenOutcome::Stranger, |ended| ListenOutcome::Ended {
                ended,
                has_listened: true,
            }));
        }
        if let Some(ended) = *process.life.state.lock() {
            return Ok(ListenOutcome::Ended { ended, has_listened: false });
        }
        if deadline.is_over() {
            return Err(deadline.failure(&format!("a server that listens on {endpoint}")));
        }
        thread::sleep(CHECK_INTERVAL);
    }
}

/// Whether any program listens there.
fn is_listening(process: &Supervised, endpoint: &Endpoint) -> bool {
    match (endpoint.transport, &endpoint.place) {
        (Transport::Tcp, Place::Ip(address)) => {
            TcpStream::connect_timeout(address, CHECK_INTERVAL).is_ok()
        }
        // If we bound the address, the server could not. So this looks at the server's sockets
        // instead.
        (Transport::Udp, Place::Ip(address)) if cfg!(target_os = "linux") => {
            find_owner(process, endpoint.transport, address.port())
                .is_ok_and(|owner| owner.is_some())
        }
        (Transport::Udp, Place::Ip(address)) => is_reached(*address),
        (transport, place) => {
            let is_stream = matches!(transport, Transport::Tcp | Transport::Unix);
            let kind = if is_stream { Type::STREAM } else { Type::DGRAM };
            let connected = place
                .socket_address()
                .and_then(|address| Socket::new(place.domain(), kind, None)?.connect(&address));
            connected.is_ok()
        }
    }
}

/// Whether a program receives at this address. If none does, the system answers a datagram with
/// `ECONNREFUSED` (udp(7)).
fn is_reached(address: SocketAddr) -> bool {
    let asked = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).and_then(|socket| {
        socket.connect(address)?;
        socket.set_read_timeout(Some(CHECK_INTERVAL))?;
        socket.send(b"?")?;
        socket.recv(&mut [0; 8])
    });
    match asked {
        Ok(_) => true,
        Err(error) => matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut),
    }
}

/// The process of a server that listens on a port; `None` if another program does.
fn find_owner(process: &Supervised, transport: Transport, port: u16) -> io::Result<Option<u32>> {
    listener_owner(process.pid, process.supervisor.0.id(), transport, port)
}
