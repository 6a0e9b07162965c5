//! Closed sets of words in a result: level, model, grade, question and verdict.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use crate::word::UnknownWord;

/// How binding a case's requirement is (RFC 2119).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "UPPERCASE")]
pub enum Level {
    /// A certified server meets it.
    Must,
    /// A server that does not meet it gets a `miss`, which is red only under `--strict`.
    Should,
    /// Recorded; there is no right answer.
    Info,
}

/// How a runtime learns about I/O. The matrix groups its columns by model.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Model {
    /// The kernel reports that a socket is ready, and the server then reads (epoll, kqueue, AFD).
    Readiness,
    /// The server submits a buffer, and the kernel reports that it is done (`io_uring`, IOCP).
    Completion,
    /// One thread per connection, which blocks in each system call.
    Blocking,
    /// The server declares none: the judge knows only its address or its command.
    Undeclared,
}

/// How much a server offers to the judge, which decides the cases that it gets (docs/CONTRACT.md).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Grade {
    /// The server is already listening: wire cases.
    Address,
    /// The judge starts the server by a command: wire and process cases.
    Command,
    /// The server implements docs/CONTRACT.md: all cases.
    Contract,
}

/// A question of the certificate. Each case answers one of them, so that a slow server and one that
/// loses bytes do not look alike.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Question {
    /// Whether each connection gets all of its own bytes, in order, and then the end of the stream.
    Bytes,
    /// Whether the server copes with many clients, with clients that do not read, and with a lack
    /// of descriptors or threads; and whether it listens only on its own address.
    Limits,
    /// Whether the server frees the CPU, descriptors, memory and threads that it no longer needs.
    Resources,
    /// Whether no client waits longer than it has to.
    Promptness,
    /// Whether the server starts as docs/CONTRACT.md says.
    Start,
    /// Whether the server stops as docs/CONTRACT.md says.
    Stop,
}

/// The judge's verdict on one cell. A waiver never changes it: see [`crate::WaiverNote`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Verdict {
    /// The requirement is met.
    Pass,
    /// A MUST is broken, or the server sent wrong bytes.
    Fail,
    /// A SHOULD is not met.
    Miss,
    /// An observation was recorded; there is no right answer.
    Info,
    /// The server's process ended.
    Crash,
    /// A MUST was not met before the deadline.
    Timeout,
    /// The server does not offer what the case needs: it says so itself, or was declared so
    /// (`--without`).
    Unsupported,
    /// This host cannot judge the case.
    Unavailable,
    /// The judge could not decide.
    Error,
}

impl Verdict {
    /// Every verdict, in the order in which counts are shown.
    pub const ALL: [Self; 9] = [
        Self::Pass,
        Self::Fail,
        Self::Crash,
        Self::Timeout,
        Self::Miss,
        Self::Info,
        Self::Unsupported,
        Self::Unavailable,
        Self::Error,
    ];

    /// The word used on screen and in files.
    #[must_use]
    pub fn word(self) -> &'static str {
        match self {
            Self::Pass => "pass",
            Self::Fail => "fail",
            Self::Miss => "miss",
            Self::Info => "info",
            Self::Crash => "crash",
            Self::Timeout => "timeout",
            Self::Unsupported => "unsupported",
            Self::Unavailable => "unavailable",
            Self::Error => "error",
        }
    }

    /// Ranks verdicts: what a server did weighs more than what nobody could see. Among repeats with
    /// the same conclusion, the gravest is kept.
    pub(crate) fn severity(self) -> u8 {
        match self {
            Self::Crash => 8,
            Self::Fail => 7,
            Self::Timeout => 6,
            Self::Miss => 5,
            Self::Error => 4,
            Self::Unavailable => 3,
            Self::Unsupported => 2,
            Self::Info => 1,
            Self::Pass => 0,
        }
    }
}

impl Level {
    /// Every level, the most binding first.
    pub const ALL: [Self; 3] = [Self::Must, Self::Should, Self::Info];

    /// The word used on screen and in files.
    #[must_use]
    pub const fn word(self) -> &'static str {
        match self {
            Self::Must => "MUST",
            Self::Should => "SHOULD",
            Self::Info => "INFO",
        }
    }
}

impl Question {
    /// Every question, in the order of a certificate.
    pub const ALL: [Self; 6] =
        [Self::Bytes, Self::Limits, Self::Resources, Self::Promptness, Self::Start, Self::Stop];

    /// The word used on screen and in files.
    #[must_use]
    pub const fn word(self) -> &'static str {
        match self {
            Self::Bytes => "bytes",
            Self::Limits => "limits",
            Self::Resources => "resources",
            Self::Promptness => "promptness",
            Self::Start => "start",
            Self::Stop => "stop",
        }
    }
}

impl fmt::Display for Question {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.word())
    }
}

/// Ignores case, because users type `must`.
impl FromStr for Level {
    type Err = UnknownWord;

    fn from_str(text: &str) -> Result<Self, UnknownWord> {
        let found = Self::ALL.into_iter().find(|level| level.word().eq_ignore_ascii_case(text));
        found.ok_or_else(|| UnknownWord::new(text, "level", Self::ALL.map(Self::word)))
    }
}

impl fmt::Display for Level {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.word())
    }
}

impl fmt::Display for Model {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::Readiness => "readiness",
            Self::Completion => "completion",
            Self::Blocking => "blocking",
            Self::Undeclared => "undeclared",
        })
    }
}

impl fmt::Display for Grade {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::Address => "address",
            Self::Command => "command",
            Self::Contract => "contract",
        })
    }
}

impl fmt::Display for Verdict {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.word())
    }
}
