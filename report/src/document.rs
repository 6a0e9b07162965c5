//! The documents: each is a result that one command writes and that other commands read.

use std::fmt;

use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::exit::{Conclusions, Exit};
use crate::pages::Pages;

/// A result, as a file stores it.
pub trait Document: Pages + Serialize + DeserializeOwned {
    const KIND: Kind;
    const NAME: &'static str = Self::KIND.name();
    /// The version of its format that this crate reads and writes.
    const VERSION: u32;

    /// Everything that decides its exit status.
    fn conclusions(&self, question: &Self::Question) -> Conclusions;

    fn exit(&self, question: &Self::Question) -> Exit {
        self.conclusions(question).exit()
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Kind {
    Run,
    Load,
    Bench,
    Sweep,
    Trace,
    Comparison,
}

impl Kind {
    pub const ALL: [Self; 6] =
        [Self::Run, Self::Load, Self::Bench, Self::Sweep, Self::Trace, Self::Comparison];

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

    /// The command of `iomatrix` that writes it.
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
