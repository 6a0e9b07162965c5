//! What every document is: a result that one command writes, that others read back, and from which
//! all pages are rendered.

use std::fmt;

use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::Value;

use crate::exit::{Exit, Findings};
use crate::view::View;

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

    /// The page in one of [`Document::FORMATS`].
    ///
    /// # Errors
    /// Why it cannot be written.
    fn page(&self, question: &Self::Question, format: Format, view: View)
    -> Result<String, String>;
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

/// What a document can be rendered as.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Format {
    /// For a terminal.
    Text,
    /// For a step summary, or a page.
    Markdown,
    /// The document itself, as it stands in a result file.
    Json,
    /// A line of JSON for each measurement.
    Jsonl,
    /// A line of values for each measurement.
    Csv,
    /// JUnit XML, for a CI system.
    Junit,
    /// How near each case came to its limits, as a table in Markdown.
    Margins,
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

/// Why there is no page.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum RenderError {
    /// The document is not offered in this format.
    Unsupported {
        /// Which document it is.
        kind: Kind,
        /// The format.
        format: Format,
        /// The formats that it is offered in.
        offered: &'static [Format],
    },
    /// It could not be written.
    Failed {
        /// The format.
        format: Format,
        /// Why.
        reason: String,
    },
}

/// Whether a document can be rendered in a format, to know it before anything is measured.
///
/// # Errors
/// [`RenderError::Unsupported`].
pub fn expect_format<D: Document>(format: Format) -> Result<(), RenderError> {
    if D::FORMATS.contains(&format) {
        return Ok(());
    }
    Err(RenderError::Unsupported { kind: D::KIND, format, offered: D::FORMATS })
}

/// A document as a page.
///
/// # Errors
/// When it is not offered in this format, or cannot be written.
pub fn render<D: Document>(
    document: &D,
    question: &D::Question,
    format: Format,
    view: View,
) -> Result<String, RenderError> {
    expect_format::<D>(format)?;
    let page = document.page(question, format, view);
    page.map_err(|reason| RenderError::Failed { format, reason })
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

/// A document as it stands in a file.
pub(crate) fn json<D: Document>(document: &D) -> Result<String, String> {
    serde_json::to_string_pretty(document).map(|text| text + "\n").map_err(|e| e.to_string())
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

impl Format {
    /// All of them.
    pub const ALL: [Self; 7] = [
        Self::Text,
        Self::Markdown,
        Self::Json,
        Self::Jsonl,
        Self::Csv,
        Self::Junit,
        Self::Margins,
    ];

    /// The word of `--output`.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Text => "text",
            Self::Markdown => "markdown",
            Self::Json => "json",
            Self::Jsonl => "jsonl",
            Self::Csv => "csv",
            Self::Junit => "junit",
            Self::Margins => "margins",
        }
    }
}

impl fmt::Display for Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.name())
    }
}

impl fmt::Display for Format {
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
            Self::Malformed { kind, reason } => write!(f, "it is no {kind}: {reason}"),
        }
    }
}

impl fmt::Display for RenderError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Unsupported { kind, format, offered } => {
                let offered: Vec<&str> = offered.iter().map(|format| format.name()).collect();
                write!(f, "a {kind} has no {format} output; write {}", offered.join(", "))
            }
            Self::Failed { format, reason } => write!(f, "write the result as {format}: {reason}"),
        }
    }
}

impl std::error::Error for ParseError {}

impl std::error::Error for RenderError {}
