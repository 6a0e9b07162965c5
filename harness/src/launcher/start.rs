//! Where a row's server comes from, and the options of one start.

use std::ffi::OsString;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use report::Outside;

use super::DRAIN_TIME;
use super::command_line::{CommandLine, split_words};
use super::program::expect_executable;
use crate::error::Error;
use crate::place::Endpoint;
use crate::restrict::Restrictions;

/// Where a row's server comes from. It determines the row's grade.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Origin {
    /// A program that implements docs/CONTRACT.md.
    Contract(Program),
    /// A command whose server does not know the contract.
    Command(CommandLine),
    /// The address of a server that already runs.
    Address(Endpoint),
}

/// A program that implements the contract.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Program {
    pub executable: PathBuf,
    /// Arguments that come before the contract's options, which the launcher adds.
    pub arguments: Vec<OsString>,
}

impl Program {
    /// Splits a command as a POSIX shell would, but no shell runs it.
    ///
    /// # Errors
    /// [`Error::Command`], which says what to write instead.
    pub fn parse(text: &str) -> Result<Self, Error> {
        let words = split_words(text)?;
        if words
            .iter()
            .any(|word| ["{port}", "{addr}", "{path}"].iter().any(|mark| word.contains(mark)))
        {
            return Err(Error::Command(format!(
                "'{text}' says where to listen, which `--listen tcp:ADDRESS` at its end will do: \
                 leave it out"
            ).into()));
        }
        let mut words = words.into_iter();
        let empty = || Error::Command("an empty command; write a program".into());
        let executable = words.next().ok_or_else(empty)?.into();
        Ok(Self { executable, arguments: words.map(OsString::from).collect() })
    }

    /// Checks that the program exists and may be executed.
    ///
    /// # Errors
    /// [`Error::Command`], which names the program.
    pub fn expect_executable(&self) -> Result<(), Error> {
        expect_executable(self.executable.as_os_str())
    }

    /// The command line, quoted as one word of a shell.
    #[must_use]
    pub fn quoted(&self) -> Outside {
        let arguments = self.arguments.iter().map(|argument| argument.to_string_lossy());
        let words = [self.executable.to_string_lossy()].into_iter().chain(arguments);
        shell_words::quote(&shell_words::join(words)).into()
    }
}

/// What one start asks for beyond the row's own arguments.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Start {
    /// Values of `--listen`.
    pub listen: Vec<String>,
    /// More arguments.
    pub arguments: Vec<OsString>,
    /// How long connections may take to end after the stop signal.
    pub drain: Duration,
    /// What the process may not do.
    pub restrictions: Restrictions,
}

impl Default for Start {
    /// One TCP listener on a port that the kernel picks.
    fn default() -> Self {
        Self {
            listen: vec!["tcp:127.0.0.1:0".to_owned()],
            arguments: Vec::new(),
            drain: DRAIN_TIME,
            restrictions: Restrictions::default(),
        }
    }
}

impl Start {
    /// A start with one TCP listener, on `address`.
    #[must_use]
    pub fn listening_on(address: SocketAddr) -> Self {
        Self::with_listeners(&[&format!("tcp:{address}")])
    }

    /// A start with listeners where these values of `--listen` say.
    #[must_use]
    pub fn with_listeners(listen: &[&str]) -> Self {
        let listen = listen.iter().copied().map(str::to_owned).collect();
        Self { listen, ..Self::default() }
    }

    /// Adds one argument.
    #[must_use]
    pub fn with_argument(mut self, argument: impl Into<OsString>) -> Self {
        self.arguments.push(argument.into());
        self
    }
}

/// The program and all its arguments.
pub(super) fn command(program: &Program, start: &Start) -> Vec<OsString> {
    let mut command = vec![program.executable.clone().into()];
    // First, because the script is among them if the program is an interpreter.
    command.extend(program.arguments.iter().cloned());
    for listen in &start.listen {
        command.extend(["--listen".into(), listen.into()]);
    }
    command.extend(["--announce", "json"].map(OsString::from));
    // A closed standard input has no end that the server could wait for.
    if !start.restrictions.closed_streams {
        command.push("--stop-on-stdin-eof".into());
    }
    command.extend(["--drain".into(), format!("{}ms", start.drain.as_millis()).into()]);
    command.extend(start.arguments.iter().cloned());
    command
}
