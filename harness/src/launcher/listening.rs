//! Servers that do not know the contract: started by a command with an address in it, and ready
//! once they listen on that address.

use std::io::{self, ErrorKind};
use std::net::{Ipv4Addr, SocketAddr, TcpStream, UdpSocket};
use std::path::PathBuf;
use std::sync::atomic::{AtomicU16, Ordering};
use std::thread;
use std::time::Duration;

use report::{Failure, FailureKind, Transport};
use socket2::{Socket, Type};

use super::command_line::CommandLine;
use super::server::{Ended, Supervised};
use super::start::Start;
use super::{Attempt, Launch, Launcher, trouble};
use crate::deadline::Deadline;
use crate::place::{Endpoint, Place};
use crate::ports::free_address;
use crate::process::listener_owner;

/// How often it is looked whether it listens.
const LOOK_EVERY: Duration = Duration::from_millis(10);
/// Ports that another program may take between our choice and the server's bind.
const PLACES_TRIED: usize = 5;
/// How soon the end of a server is known, even on a host that is too busy to be judged on.
const NOTICED: Duration = Duration::from_secs(2);

/// What became of a started command.
enum Started {
    /// A process of it listens.
    Listens(u32),
    /// It ended first.
    Ended { ended: Ended, has_listened: bool },
    /// Somebody else listens there.
    Stranger,
}

impl Launcher {
    /// Starts a command and waits until it listens where we chose.
    pub(super) fn launch_command(
        &self,
        line: &CommandLine,
        start: &Start,
        deadline: Deadline,
    ) -> Result<Launch, Failure> {
        let transport = line.transport();
        for _ in 0..PLACES_TRIED {
            let place = match transport {
                Transport::Tcp | Transport::Udp => {
                    Place::Ip(free_address(transport).map_err(trouble)?)
                }
                Transport::Unix | Transport::Unixgram => Place::Path(self.free_path()?),
            };
            let process = self.spawn(line.words_at(&place), &start.restrictions)?;
            let endpoint = Endpoint { transport, place };
            match wait_for_listener(&process, &endpoint, deadline)? {
                Started::Listens(pid) => return Ok(Launch::listening(process, pid, endpoint)),
                Started::Ended { ended, has_listened } => {
                    let attempt = process.attempt(ended);
                    return Ok(Launch::Ended(Attempt { has_listened, ..attempt }));
                }
                Started::Stranger => {}
            }
        }
        let actual = format!("other programs on {PLACES_TRIED} ports, one after the other");
        Err(Failure::new(FailureKind::Harness, "the started server on its port", actual))
    }

    /// A path at which no server of this launcher has been.
    fn free_path(&self) -> Result<PathBuf, Failure> {
        static NEXT: AtomicU16 = AtomicU16::new(0);
        Ok(self.folder()?.join(format!("s{}", NEXT.fetch_add(1, Ordering::Relaxed))))
    }
}

fn wait_for_listener(
    process: &Supervised,
    endpoint: &Endpoint,
    deadline: Deadline,
) -> Result<Started, Failure> {
    loop {
        if listens(process, endpoint) {
            let owner = match &endpoint.place {
                Place::Ip(address) => {
                    owner(process, endpoint.transport, address.port()).map_err(trouble)?
                }
                // The folder is ours: nobody else listens there.
                Place::Path(_) => Some(process.pid),
            };
            if let Some(pid) = owner {
                return Ok(Started::Listens(pid));
            }
            // It may have died of its first client, which is this one.
            let noticed = Deadline::after(NOTICED);
            let ended = process.life.state.wait(noticed, |state| *state);
            return Ok(ended
                .map_or(Started::Stranger, |ended| Started::Ended { ended, has_listened: true }));
        }
        if let Some(ended) = *process.life.state.lock() {
            return Ok(Started::Ended { ended, has_listened: false });
        }
        if deadline.is_over() {
            return Err(deadline.failure(&format!("a server that listens on {endpoint}")));
        }
        thread::sleep(LOOK_EVERY);
    }
}

/// Whether somebody listens there.
fn listens(process: &Supervised, endpoint: &Endpoint) -> bool {
    match (endpoint.transport, &endpoint.place) {
        (Transport::Tcp, Place::Ip(address)) => {
            TcpStream::connect_timeout(address, LOOK_EVERY).is_ok()
        }
        // A bind of ours would keep the server from its own, so that its sockets are looked at.
        (Transport::Udp, Place::Ip(address)) if cfg!(target_os = "linux") => {
            owner(process, endpoint.transport, address.port()).is_ok_and(|owner| owner.is_some())
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

/// Whether the system refuses no datagram to this address (udp(7), `ECONNREFUSED`).
fn is_reached(address: SocketAddr) -> bool {
    let asked = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).and_then(|socket| {
        socket.connect(address)?;
        socket.set_read_timeout(Some(LOOK_EVERY))?;
        socket.send(b"?")?;
        socket.recv(&mut [0; 8])
    });
    match asked {
        Ok(_) => true,
        Err(error) => matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut),
    }
}

/// Which process of a server listens on a port; none if a stranger does.
fn owner(process: &Supervised, transport: Transport, port: u16) -> io::Result<Option<u32>> {
    listener_owner(process.pid, process.supervisor.0.id(), transport, port)
}
