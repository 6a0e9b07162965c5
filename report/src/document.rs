//! What every document is: a result that one command writes, that others read back, and from which
//! all pages are rendered.

use std::fmt;

use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::exit::{Conclusions, Exit};
use crate::format::Format;
use crate::part::{Medium, Part};
use crate::record::Record;
use crate::suite::TestSuites;

/// A result as it stands in a file.
pub trait Document: Serialize + DeserializeOwned {
    /// Which of the documents it is.
    const KIND: Kind;
    /// What it is called, in a word.
    const NAME: &'static str = Self::KIND.name();
    /// The version of its format that this crate reads and writes.
    const VERSION: u32;
    /// The formats in which it can be rendered.
    const FORMATS: &'static [Format];
    /// What a reader may ask beyond what the document says by itself: what counts as red, or what
    /// a plot shows.
    type Question: Default;

    /// What bears on its exit status.
    fn conclusions(&self, question: &Self::Question) -> Conclusions;

    /// Its exit status.
    fn exit(&self, question: &Self::Question) -> Exit {
        self.conclusions(question).exit()
    }

    /// What pages are made of.
    fn parts(&self, question: &Self::Question, medium: Medium) -> Vec<Part>;

    /// Its values, a record for each cell, measurement or round: [`Format::Csv`].
    fn records(&self) -> Vec<Record> {
        Vec::new()
    }

    /// Its measurements, each complete in itself: [`Format::Jsonl`].
    fn lines(&self) -> Vec<impl Serialize> {
        Vec::<()>::new()
    }

    /// Its tests: [`Format::Junit`].
    fn suites(&self, _: &Self::Question) -> TestSuites {
        TestSuites::default()
    }

    /// How near it came to limits: [`Format::Margins`].
    fn margins(&self) -> Vec<Part> {
        Vec::new()
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
