//! The closed sets that a result is made of: level, model and verdict.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use crate::word::UnknownWord;

/// How binding a case's requirement is (the words of RFC 2119).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "UPPERCASE")]
pub enum Level {
    /// A certified server passes.
    Must,
    /// Not meeting it is a `miss`, red only under `--strict`.
    Should,
    /// Recorded; there is no right answer.
    Info,
}

/// How a runtime learns that I/O can go on; the groups in which columns are shown.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Model {
    /// The kernel says that a socket is ready, the server then reads (epoll, kqueue, AFD).
    Readiness,
    /// The server hands over a buffer, the kernel says when it is done (`io_uring`, IOCP).
    Completion,
    /// One thread a connection, waiting in the call itself.
    Blocking,
    /// Nobody says: a server that is judged by its address or its command alone.
    Undeclared,
}

/// How much a server offers to the judge, and so which cases it gets (docs/CONTRACT.md).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Grade {
    /// It listens already: wire cases.
    Address,
    /// A command starts it: wire and process cases.
    Command,
    /// It speaks docs/CONTRACT.md: all cases.
    Contract,
}

/// What a certificate answers. Each case is about one of these, so that a slow server and one that
/// loses bytes do not look alike.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Question {
    /// Whether each connection gets its own bytes, all of them, in order, and its end.
    Bytes,
    /// Whether the server stands what it has not enough of: readers, descriptors, threads. Whether
    /// it keeps to its address.
    Limits,
    /// Whether CPU, descriptors, memory and threads are free again.
    Resources,
    /// Whether nobody waits without need.
    Promptness,
    /// Whether the server starts as docs/CONTRACT.md says.
    Start,
    /// Whether it stops so.
    Stop,
}

/// What the judge says of one cell. A waiver never changes it: see [`crate::WaiverNote`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Verdict {
    /// The requirement is met.
    Pass,
    /// A MUST is broken.
    Fail,
    /// A SHOULD is not met.
    Miss,
    /// Recorded, no right answer.
    Info,
    /// The server died.
    Crash,
    /// A MUST was not met before the deadline.
    Timeout,
    /// The server does not offer it, and said so itself.
    Unsupported,
    /// This host cannot, with the reason.
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

    /// How grave it is: what a server did weighs more than what nobody could see. Of repeats with
    /// one conclusion, the gravest is kept.
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

/// In small letters too, as it is typed.
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
