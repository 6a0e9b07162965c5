//! Servers that know nothing of the contract: started by a command with an address in it, and ready
//! once they listen there.

use std::ffi::OsString;
use std::io;
use std::net::{Ipv4Addr, SocketAddr, TcpStream};
use std::sync::OnceLock;
use std::sync::atomic::{AtomicU16, Ordering};
use std::thread;
use std::time::Duration;

use report::{Failure, FailureKind, Outside};
use socket2::{Domain, Socket, Type};

use super::program::expect_executable;
use super::server::{Ended, Supervised};
use super::{Attempt, Launch, Launcher, trouble};
use crate::deadline::Deadline;
use crate::error::Error;
use crate::process::listener_owner;
use crate::restrict::Restrictions;

/// How often it is looked whether it listens.
const LOOK_EVERY: Duration = Duration::from_millis(10);
/// Ports that another program may take between our choice and the server's bind.
const PORTS_TRIED: usize = 5;
/// How soon the end of a server is known, even on a host that is too busy to be judged on.
const NOTICED: Duration = Duration::from_secs(2);

/// A command line in which `{port}` and `{addr}` stand for where the server is to listen.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CommandLine {
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
    /// Splits a command as a POSIX shell would; no shell runs it.
    ///
    /// # Errors
    /// [`Error::Command`], which says what to write instead.
    pub fn parse(text: &str) -> Result<Self, Error> {
        let words = words(text)?;
        if words.is_empty() {
            let sentence = "an empty command; write a program and {addr} or {port}";
            return Err(Error::Command(sentence.into()));
        }
        if !words.iter().any(|word| word.contains("{port}") || word.contains("{addr}")) {
            return Err(Error::Command(format!(
                "'{text}' does not say where to listen; write {{addr}} (such as 127.0.0.1:41235) \
                 or {{port}} where the server expects it"
            ).into()));
        }
        Ok(Self { text: text.to_owned(), words })
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

    /// Program and arguments for a server on `address`.
    #[must_use]
    pub fn words_at(&self, address: SocketAddr) -> Vec<OsString> {
        let (port, whole) = (address.port().to_string(), address.to_string());
        let fill = |word: &String| word.replace("{port}", &port).replace("{addr}", &whole).into();
        self.words.iter().map(fill).collect()
    }
}

/// The words of a command, as a POSIX shell would split it.
pub(super) fn words(text: &str) -> Result<Vec<String>, Error> {
    shell_words::split(text).map_err(|error| Error::Command(format!("'{text}': {error}").into()))
}

impl Launcher {
    /// Starts a command and waits until it listens on a port of our choice.
    pub(super) fn launch_command(
        &self,
        line: &CommandLine,
        deadline: Deadline,
    ) -> Result<Launch, Failure> {
        for _ in 0..PORTS_TRIED {
            let address = free_address().map_err(trouble)?;
            let process = self.spawn(line.words_at(address), &Restrictions::default())?;
            match wait_for_listener(&process, address, deadline)? {
                Started::Listens(pid) => {
                    return Ok(Launch::ready(process, pid, vec![address], None));
                }
                Started::Ended { ended, has_listened } => {
                    let attempt = process.attempt(ended);
                    return Ok(Launch::Ended(Attempt { has_listened, ..attempt }));
                }
                Started::Stranger => {}
            }
        }
        let actual = format!("other programs on {PORTS_TRIED} ports, one after the other");
        Err(Failure::new(FailureKind::Harness, "the started server on its port", actual))
    }
}

fn wait_for_listener(
    process: &Supervised,
    address: SocketAddr,
    deadline: Deadline,
) -> Result<Started, Failure> {
    loop {
        if TcpStream::connect_timeout(&address, LOOK_EVERY).is_ok() {
            let owner = listener_owner(process.pid, process.supervisor.id(), address.port())
                .map_err(trouble)?;
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
            return Err(deadline.failure(&format!("a server that listens on {address}")));
        }
        thread::sleep(LOOK_EVERY);
    }
}

/// An address that is free now. Its port is below those that the kernel gives to clients, of which
/// there are thousands in the cells beside this one: any of them could get it before the server.
fn free_address() -> io::Result<SocketAddr> {
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
        let socket = Socket::new(Domain::IPV4, Type::STREAM, None)?;
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
        assert!(CommandLine::parse("").is_err());
        assert!(CommandLine::parse("node 'echo.mjs").is_err());
        assert!(
            CommandLine::parse("node echo.mjs 8080").unwrap_err().to_string().contains("{port}")
        );
    }

    #[test]
    fn words_are_split_and_filled_in_without_a_shell() {
        let line = CommandLine::parse("node 'my echo.mjs' --at={addr} $HOME {port}").unwrap();
        let words = line.words_at("127.0.0.1:41235".parse().unwrap());
        assert_eq!(words, ["node", "my echo.mjs", "--at=127.0.0.1:41235", "$HOME", "41235"]);
    }
}
