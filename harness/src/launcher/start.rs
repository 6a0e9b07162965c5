//! Where a row's server comes from, and the options of one start.

use std::ffi::OsString;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use report::Outside;

use super::DRAIN;
use super::command_line::{CommandLine, words};
use super::program::expect_executable;
use crate::error::Error;
use crate::place::Endpoint;
use crate::restrict::Restrictions;

/// Where a row's server comes from. Its grade follows from that.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Origin {
    /// A program that speaks docs/CONTRACT.md.
    Contract(Program),
    /// A command that knows nothing of the contract.
    Command(CommandLine),
    /// It listens already.
    Address(Endpoint),
}

/// A program that speaks the contract.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Program {
    /// The executable.
    pub executable: PathBuf,
    /// What it gets before the contract's options that the launcher adds.
    pub arguments: Vec<OsString>,
}

impl Program {
    /// Splits a command as a POSIX shell would; no shell runs it.
    ///
    /// # Errors
    /// [`Error::Command`], which says what to write instead.
    pub fn parse(text: &str) -> Result<Self, Error> {
        let words = words(text)?;
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

    /// It exists and may be executed.
    ///
    /// # Errors
    /// [`Error::Command`], which names it.
    pub fn expect_executable(&self) -> Result<(), Error> {
        expect_executable(self.executable.as_os_str())
    }

    /// One word of a shell that stands for its command line.
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
    /// How long connections may take to end after the stop.
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
            drain: DRAIN,
            restrictions: Restrictions::default(),
        }
    }
}

impl Start {
    /// Listening on a given address.
    #[must_use]
    pub fn on(address: SocketAddr) -> Self {
        Self::listening(&[&format!("tcp:{address}")])
    }

    /// Listening where these values of `--listen` say.
    #[must_use]
    pub fn listening(listen: &[&str]) -> Self {
        let listen = listen.iter().copied().map(str::to_owned).collect();
        Self { listen, ..Self::default() }
    }

    /// With one more argument.
    #[must_use]
    pub fn with(mut self, argument: impl Into<OsString>) -> Self {
        self.arguments.push(argument.into());
        self
    }
}

/// Program and arguments.
pub(super) fn command(program: &Program, start: &Start) -> Vec<OsString> {
    let mut command = vec![program.executable.clone().into()];
    // First, because an interpreter's program is among them.
    command.extend(program.arguments.iter().cloned());
    for listen in &start.listen {
        command.extend(["--listen".into(), listen.into()]);
    }
    command.extend(["--announce", "json"].map(OsString::from));
    // What is closed has no end that could be waited for.
    if !start.restrictions.closed_streams {
        command.push("--stop-on-stdin-eof".into());
    }
    command.extend(["--drain".into(), format!("{}s", start.drain.as_secs()).into()]);
    command.extend(start.arguments.iter().cloned());
    command
}
