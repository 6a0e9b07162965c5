//! Pages of documents: one file for each format, and each for all documents. A renderer works on
//! the parts, records or suites that a document hands out, and is the only one who opens text from
//! outside.

use std::fmt;

use serde::Serialize;

use crate::document::{Document, Kind};
use crate::format::Format;
use crate::part::Medium;
use crate::view::View;

mod csv;
#[cfg(feature = "plot")]
mod drawing;
mod json;
#[cfg(feature = "junit")]
mod junit;
mod markdown;
mod text;

pub use markdown::markdown;
pub use text::text;

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
    let failed = |reason: String| RenderError::Failed { format, reason };
    let unwritten = |error: serde_json::Error| failed(error.to_string());
    match format {
        Format::Text => Ok(text(&document.parts(question, Medium::Terminal), view)),
        Format::Markdown => Ok(markdown(&document.parts(question, Medium::Page))),
        Format::Json => json::pretty(document).map_err(unwritten),
        Format::Jsonl => document
            .lines()
            .into_iter()
            .map(|line| json::compact(&line).map_err(unwritten))
            .collect(),
        Format::Csv => Ok(csv::csv(&document.records())),
        #[cfg(feature = "junit")]
        Format::Junit => junit::junit(&document.suites(question)).map_err(failed),
        #[cfg(not(feature = "junit"))]
        Format::Junit => Err(failed("this program was built without the feature junit".to_owned())),
        Format::Margins => Ok(markdown(&document.margins())),
    }
}

/// What is no document as JSON, with the same escapes.
///
/// # Errors
/// When it cannot be written.
pub fn json(value: &impl Serialize) -> Result<String, RenderError> {
    let failed =
        |e: serde_json::Error| RenderError::Failed { format: Format::Json, reason: e.to_string() };
    json::pretty(value).map_err(failed)
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

impl std::error::Error for RenderError {}
