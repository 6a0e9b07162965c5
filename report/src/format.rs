//! What a document can be rendered as.

use std::fmt;

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
    /// Whole distributions, as a log that HdrHistogram's tools read.
    Hdr,
}

impl Format {
    /// All of them.
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
            Self::Hdr => "hdr",
        }
    }
}

impl fmt::Display for Format {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.name())
    }
}
