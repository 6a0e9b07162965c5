//! Servers that know nothing of the contract: started by a command with an address in it, and ready
//! once they listen there.

use std::ffi::OsString;
use std::io::{self, ErrorKind};
use std::net::{Ipv4Addr, SocketAddr, TcpStream, UdpSocket};
use std::path::PathBuf;
use std::sync::OnceLock;
use std::sync::atomic::{AtomicU16, Ordering};
use std::thread;
use std::time::Duration;

use report::{Failure, FailureKind, Outside, Transport};
use socket2::{Domain, Socket, Type};

use super::program::expect_executable;
use super::server::{Ended, Supervised};
use super::{Attempt, Launch, Launcher, Start, trouble};
use crate::deadline::Deadline;
use crate::error::Error;
use crate::place::{Endpoint, Place};
use crate::process::listener_owner;

/// How often it is looked whether it listens.
const LOOK_EVERY: Duration = Duration::from_millis(10);
/// Ports that another program may take between our choice and the server's bind.
const PLACES_TRIED: usize = 5;
/// How soon the end of a server is known, even on a host that is too busy to be judged on.
const NOTICED: Duration = Duration::from_secs(2);

/// A command line in which `{port}` and `{addr}`, or `{path}`, stand for where the server is to
/// listen.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CommandLine {
    transport: Transport,
    text: String,
    words: Vec<String>,
}

/// What became of a started command.
enum Started {
    /// A process of it listens.
    Listens(u32),
    /// It ended first.
    Ended { ended: Ended, has_listened: bool },
    /// Somebody else listens there.
    Stranger,
}

impl CommandLine {
    /// Splits the command of a server for clients that use `transport`, as a POSIX shell would; no
    /// shell runs it.
    ///
    /// # Errors
    /// [`Error::Command`], which says what to write instead.
    pub fn parse(text: &str, transport: Transport) -> Result<Self, Error> {
        let words = words(text)?;
        let (marks, hint): (&[&str], _) = match transport {
            Transport::Tcp | Transport::Udp => (
                &["{port}", "{addr}"],
                "{addr} (such as 127.0.0.1:41235) or {port} where the server expects it",
            ),
            Transport::Unix | Transport::Unixgram => {
                (&["{path}"], "{path} where the server expects the path of its socket")
            }
        };
        if words.is_empty() {
            let sentence = format!("an empty command; write a program and {}", marks.join(" or "));
            return Err(Error::Command(sentence.into()));
        }
        if !words.iter().any(|word| marks.iter().any(|mark| word.contains(mark))) {
            let is_path = text.contains("{path}");
            let hint = if is_path { "--transport unix or --transport unixgram" } else { hint };
            let sentence = format!("'{text}' does not say where to listen; write {hint}");
            return Err(Error::Command(sentence.into()));
        }
        Ok(Self { transport, text: text.to_owned(), words })
    }

    /// What its clients use.
    #[must_use]
    pub fn transport(&self) -> Transport {
        self.transport
    }

    /// Whether the server is told an address, and not a port alone.
    #[must_use]
    pub fn gives_address(&self) -> bool {
        self.words.iter().any(|word| word.contains("{addr}"))
    }

    /// Its program exists and may be executed.
    ///
    /// # Errors
    /// [`Error::Command`], which names the program.
    pub fn expect_executable(&self) -> Result<(), Error> {
        expect_executable(self.words[0].as_ref())
    }

    /// One word of a shell that stands for it as it was given.
    #[must_use]
    pub fn quoted(&self) -> Outside {
        shell_words::quote(&self.text).into()
    }

    /// Program and arguments for a server at `place`.
    #[must_use]
    pub fn words_at(&self, place: &Place) -> Vec<OsString> {
        let whole = place.to_string();
        let fill = |word: &String| match place {
            Place::Ip(address) => {
                word.replace("{port}", &address.port().to_string()).replace("{addr}", &whole)
            }
            Place::Path(_) => word.replace("{path}", &whole),
        };
        self.words.iter().map(|word| fill(word).into()).collect()
    }
}

/// The words of a command, as a POSIX shell would split it.
pub(super) fn words(text: &str) -> Result<Vec<String>, Error> {
    shell_words::split(text).map_err(|error| Error::Command(format!("'{text}': {error}").into()))
}

impl Launcher {
    /// Starts a command and waits until it listens where we chose.
    pub(super) fn launch_command(
        &self,
        line: &CommandLine,
        start: &Start,
        deadline: Deadline,
    ) -> Result<Launch, Failure> {
        let transport = line.transport;
        for _ in 0..PLACES_TRIED {
            let place = match transport {
                Transport::Tcp => Place::Ip(free_address(Type::STREAM).map_err(trouble)?),
                Transport::Udp => Place::Ip(free_address(Type::DGRAM).map_err(trouble)?),
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
            let ended = process.state.wait(noticed, |state| *state);
            return Ok(ended
                .map_or(Started::Stranger, |ended| Started::Ended { ended, has_listened: true }));
        }
        if let Some(ended) = *process.state.lock() {
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
    listener_owner(process.pid, process.supervisor.id(), transport, port)
}

/// An address that is free now. Its port is below those that the kernel gives to clients, of which
/// there are thousands in the cells beside this one: any of them could get it before the server.
fn free_address(kind: Type) -> io::Result<SocketAddr> {
    const FIRST: u16 = 16_384;
    /// As ports go to clients, on all systems but a few: from 32,768 on Linux (ip(7)), from 49,152
    /// elsewhere (RFC 6335, section 6).
    const LAST: u16 = 32_000;
    /// Another one for every server of this program, from a place of its own on.
    static NEXT: OnceLock<AtomicU16> = OnceLock::new();
    let next = NEXT.get_or_init(|| AtomicU16::new(fastrand::u16(..)));
    for _ in FIRST..LAST {
        let port = FIRST + next.fetch_add(1, Ordering::Relaxed) % (LAST - FIRST);
        // Without SO_REUSEADDR, which std would set: not every server does.
        let socket = Socket::new(Domain::IPV4, kind, None)?;
        let address = SocketAddr::from((Ipv4Addr::LOCALHOST, port));
        if socket.bind(&address.into()).is_ok() {
            return Ok(address);
        }
    }
    Err(io::Error::other(format!("no port from {FIRST} to {LAST} is free")))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_command_must_say_where_to_listen() {
        let refused = |text: &str, transport| {
            CommandLine::parse(text, transport).map_err(|error| error.to_string()).unwrap_err()
        };
        assert!(refused("", Transport::Tcp).contains("{port} or {addr}"));
        assert!(refused("node 'echo.mjs", Transport::Tcp).contains("node"));
        assert!(refused("node echo.mjs 8080", Transport::Udp).contains("{port}"));
        assert!(refused("node echo.mjs {port}", Transport::Unix).contains("{path}"));
    }

    #[test]
    fn words_are_split_and_filled_in_without_a_shell() {
        let text = "node 'my echo.mjs' --at={addr} $HOME {port}";
        let line = CommandLine::parse(text, Transport::Tcp).unwrap();
        let words = line.words_at(&Place::Ip("127.0.0.1:41235".parse().unwrap()));
        assert_eq!(words, ["node", "my echo.mjs", "--at=127.0.0.1:41235", "$HOME", "41235"]);
    }
}
