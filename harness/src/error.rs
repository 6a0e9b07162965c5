//! Errors that keep the harness from doing its work. A fault of a server is a `report::Failure`.

use std::fmt;
use std::io;
use std::process::ExitStatus;

use report::Outside;

/// An expected error. Its message says what was done to which object, what went wrong, and what to
/// do.
#[derive(Debug)]
pub enum Error {
    /// The registry cannot be parsed. The error names the line.
    Registry(toml::de::Error),
    /// The findings cannot be parsed. The error names the line.
    Findings(toml::de::Error),
    /// The directory of built programs lacks one.
    NoProgram {
        /// The environment variable that names the directory.
        variable: &'static str,
        /// The path that does not exist.
        program: Outside,
    },
    /// Cargo could not be started.
    NoCargo {
        package: String,
        /// Why it could not be started.
        error: io::Error,
    },
    /// Cargo failed, and wrote the reason to standard error.
    Build {
        package: String,
        /// Exit status of Cargo.
        status: ExitStatus,
    },
    /// Cargo built the package but named no executable.
    NoExecutable {
        /// Name of the package.
        package: String,
    },
    /// The command cannot start a server. The message says what to write instead.
    Command(Outside),
    /// The text is not the address of a server. The message says what to write instead.
    Address(Outside),
    /// A restriction cannot be parsed.
    Restriction(Outside),
    /// System calls cannot be counted.
    CallCount(Outside),
}

/// There is no source: the message contains the cause.
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
