//! What a document can be rendered as.

use std::fmt;
use std::str::FromStr;

/// A format of pages. Each has one renderer, for all documents that are offered in it.
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
    /// A line of values for each cell, measurement or round.
    Csv,
    /// JUnit XML, for a CI system.
    Junit,
    /// How near each case came to its limits, as a table in Markdown.
    Margins,
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

impl fmt::Display for Format {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.name())
    }
}

impl FromStr for Format {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        Self::ALL.into_iter().find(|format| format.name() == text).ok_or_else(|| {
            format!("{text:?} is no format: write {}", Self::ALL.map(Self::name).join(", "))
        })
    }
}
