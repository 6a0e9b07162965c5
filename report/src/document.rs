//! What every document is: a result that one command writes, that others read back, and from which
//! all pages are rendered.

use std::fmt;

use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::Value;

use crate::escape;
use crate::exit::{Exit, Findings};
use crate::format::Format;
use crate::part::{Medium, Part};
use crate::record::Record;
use crate::suite::Suites;

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
    fn findings(&self, question: &Self::Question) -> Findings;

    /// Its exit status.
    fn exit(&self, question: &Self::Question) -> Exit {
        self.findings(question).exit()
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
    fn suites(&self) -> Suites {
        Suites::default()
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

/// Why a text is not the document that was expected.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ParseError {
    /// It is no JSON.
    NotJson,
    /// It is JSON, and no document.
    NoDocument,
    /// It is another document.
    Other {
        /// The one that was expected.
        expected: Kind,
        /// The one that it is.
        found: Kind,
    },
    /// Another version of this program has written it.
    Version {
        /// Which document it is.
        kind: Kind,
        /// The version of its format, where it says one.
        found: Option<u64>,
        /// The version that this program reads.
        reads: u32,
    },
    /// A field is missing or has another type.
    Malformed {
        /// Which document it is.
        kind: Kind,
        /// What is wrong with it.
        reason: String,
    },
}

/// Which document a text is.
///
/// # Errors
/// When it is none.
pub fn kind_of(text: &str) -> Result<Kind, ParseError> {
    kind_of_value(&serde_json::from_str(text).map_err(|_| ParseError::NotJson)?)
}

/// Reads a document.
///
/// # Errors
/// When it is another, or of another version.
pub fn parse<D: Document>(text: &str) -> Result<D, ParseError> {
    let value: Value = serde_json::from_str(text).map_err(|_| ParseError::NotJson)?;
    let found = kind_of_value(&value)?;
    if found != D::KIND {
        return Err(ParseError::Other { expected: D::KIND, found });
    }
    let version = value.get("version").and_then(Value::as_u64);
    if version != Some(D::VERSION.into()) {
        return Err(ParseError::Version { kind: found, found: version, reads: D::VERSION });
    }
    let malformed =
        |e: serde_json::Error| ParseError::Malformed { kind: found, reason: e.to_string() };
    serde_json::from_value(value).map_err(malformed)
}

fn kind_of_value(value: &Value) -> Result<Kind, ParseError> {
    let has = |kind: &Kind| value.get(kind.mark()).is_some();
    Kind::ALL.into_iter().find(has).ok_or(ParseError::NoDocument)
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

    /// A field that no other kind has.
    const fn mark(self) -> &'static str {
        match self {
            Self::Run => "cells",
            Self::Load => "measurements",
            Self::Bench => "baseline",
            Self::Sweep => "dimension",
            Self::Trace => "message_bytes",
            Self::Comparison => "unpaired",
        }
    }
}

impl fmt::Display for Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.name())
    }
}

impl fmt::Display for ParseError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NotJson => f.write_str("it is no JSON"),
            Self::NoDocument => f.write_str("it is no result"),
            Self::Other { expected, found } => write!(
                f,
                "it is a {found} of `iomatrix {}`, expected a {expected} of `iomatrix {}`",
                found.command(),
                expected.command()
            ),
            Self::Version { kind, found: Some(found), reads } => {
                write!(f, "the {kind} has format {found}, this program reads {reads}")
            }
            Self::Version { kind, found: None, reads } => {
                write!(f, "the {kind} has no version, this program reads {reads}")
            }
            Self::Malformed { kind, reason } => {
                write!(f, "it is no {kind}: {}", escape::terminal(reason))
            }
        }
    }
}

impl std::error::Error for ParseError {}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::trace::Trace;

    #[test]
    fn a_document_is_told_from_others_and_from_other_versions() {
        let trace = r#"{"version": 1, "connections": 1, "message_bytes": 64, "rows": []}"#;
        assert_eq!(kind_of(trace), Ok(Kind::Trace));
        assert_eq!(parse::<Trace>(trace).unwrap().message_bytes, 64);
        let shown = |text: &str| parse::<Trace>(text).unwrap_err().to_string();
        assert_eq!(shown("{"), "it is no JSON");
        assert_eq!(shown("{}"), "it is no result");
        assert!(shown(r#"{"cells": []}"#).starts_with("it is a run of `iomatrix check`"));
        assert!(shown(&trace.replace("1, \"conn", "9, \"conn")).contains("has format 9"));
        let malformed = trace.replace("[]", "[{\"\u{1b}\": 1}]");
        assert!(!shown(&malformed).contains('\u{1b}'), "{}", shown(&malformed));
    }
}
