//! Why the harness cannot do its work. A server's fault is a `report::Failure`.

use std::fmt;
use std::io;
use std::process::ExitStatus;

use report::Outside;

/// An expected error. Its sentence says what was done to what, what went wrong, and what to do.
#[derive(Debug)]
pub enum Error {
    /// The registry is not what it should be: the line, and what is wrong with it.
    Registry(toml::de::Error),
    /// The findings are not what they should be: the line, and what is wrong with it.
    Findings(toml::de::Error),
    /// The directory of ready-made programs lacks one.
    NoProgram {
        /// The environment variable that names the directory.
        variable: &'static str,
        /// What is not there.
        program: Outside,
    },
    /// Cargo could not be started.
    NoCargo {
        /// What it was to build.
        package: String,
        /// Why not.
        error: io::Error,
    },
    /// Cargo has built nothing; it has said why on standard error.
    Build {
        /// What it was to build.
        package: String,
        /// How it ended.
        status: ExitStatus,
    },
    /// A package has no program.
    NoExecutable {
        /// Which one.
        package: String,
    },
    /// A server cannot be started by this command: what to write instead.
    Command(Outside),
    /// A text that says nowhere where a server can be: what to write instead.
    Address(Outside),
    /// A restriction that cannot be parsed.
    Restriction(Outside),
    /// System calls cannot be counted.
    CallCount(Outside),
}

/// Its sentence has the cause already, so that there is no source.
impl std::error::Error for Error {}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Registry(error) => write!(f, "backends/backends.toml: {error}"),
            Self::Findings(error) => write!(f, "backends/findings.toml: {error}"),
            Self::NoProgram { variable, program } => {
                write!(f, "{variable} has no {}", program.on_terminal())
            }
            Self::NoCargo { package, error } => write!(f, "cargo build -p {package}: {error}"),
            Self::Build { package, status } => {
                write!(f, "cargo build -p {package} failed: {status}")
            }
            Self::NoExecutable { package } => {
                write!(f, "cargo build -p {package} named no executable")
            }
            Self::Command(sentence)
            | Self::Address(sentence)
            | Self::Restriction(sentence)
            | Self::CallCount(sentence) => f.write_str(&sentence.on_terminal()),
        }
    }
}
