//! What every document is: a result that one command writes and that others read back.

use std::fmt;

use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::exit::{Conclusions, Exit};
use crate::pages::Pages;

/// A result as it stands in a file.
pub trait Document: Pages + Serialize + DeserializeOwned {
    /// Which of the documents it is.
    const KIND: Kind;
    /// What it is called, in a word.
    const NAME: &'static str = Self::KIND.name();
    /// The version of its format that this crate reads and writes.
    const VERSION: u32;

    /// What bears on its exit status.
    fn conclusions(&self, question: &Self::Question) -> Conclusions;

    /// Its exit status.
    fn exit(&self, question: &Self::Question) -> Exit {
        self.conclusions(question).exit()
    }
}

/// The documents.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Kind {
    /// Of `iomatrix check`.
    Run,
    /// Of `iomatrix load`.
    Load,
    /// Of `iomatrix bench`.
    Bench,
    /// Of `iomatrix sweep`.
    Sweep,
    /// Of `iomatrix trace`.
    Trace,
    /// Of `iomatrix compare`.
    Comparison,
}

impl Kind {
    /// All of them.
    pub const ALL: [Self; 6] =
        [Self::Run, Self::Load, Self::Bench, Self::Sweep, Self::Trace, Self::Comparison];

    /// What it is called, in a word.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Run => "run",
            Self::Load => "load",
            Self::Bench => "bench",
            Self::Sweep => "sweep",
            Self::Trace => "trace",
            Self::Comparison => "comparison",
        }
    }

    /// The command that writes it.
    #[must_use]
    pub const fn command(self) -> &'static str {
        match self {
            Self::Run => "check",
            Self::Load => "load",
            Self::Bench => "bench",
            Self::Sweep => "sweep",
            Self::Trace => "trace",
            Self::Comparison => "compare",
        }
    }
}

impl fmt::Display for Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.name())
    }
}
