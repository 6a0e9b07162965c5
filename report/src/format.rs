//! The formats in which a document can be rendered.

use std::fmt;

/// A format of pages. Each has one renderer, which serves all documents that offer the format.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Format {
    /// For a terminal.
    Text,
    /// For the step summary of a CI job, or for a document.
    Markdown,
    /// The document itself, as a result file stores it.
    Json,
    /// One line of JSON per measurement.
    Jsonl,
    /// One line of values per cell, measurement or round.
    Csv,
    /// JUnit XML, for a CI system.
    Junit,
    /// How near each case came to its limits, as a table in Markdown.
    Margins,
    /// Whole distributions, as a log for the tools of HdrHistogram.
    Hdr,
}

impl Format {
    pub const ALL: [Self; 8] = [
        Self::Text,
        Self::Markdown,
        Self::Json,
        Self::Jsonl,
        Self::Csv,
        Self::Junit,
        Self::Margins,
        Self::Hdr,
    ];

    /// The word for `--output`.
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
            Self::Hdr => "hdr",
        }
    }
}

impl fmt::Display for Format {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.name())
    }
}
