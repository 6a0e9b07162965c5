//! Pages: one file per format, for everything that can be shown. A renderer works on the parts,
//! values, records or suites that it is given. Only renderers open text from outside.

use std::fmt;

use crate::format::Format;
use crate::outside;
use crate::outside::Outside;
use crate::pages::Pages;
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
        format: Format,
        /// The formats in which the document is offered.
        offered: &'static [Format],
    },
    Failed {
        format: Format,
        /// Why the page could not be written.
        reason: Outside,
    },
}

/// Checks that a format is offered.
fn expect_format<P: Pages>(format: Format) -> Result<(), RenderError> {
    if P::FORMATS.contains(&format) {
        return Ok(());
    }
    Err(RenderError::Unsupported { format, offered: P::FORMATS })
}

/// # Errors
/// It is not offered in this format, or it cannot be written.
pub fn render<P: Pages>(
    shown: &P,
    question: &P::Question,
    format: Format,
    view: View,
) -> Result<String, RenderError> {
    expect_format::<P>(format)?;
    let failed = |reason: Outside| RenderError::Failed { format, reason };
    let unwritten = |error: serde_json::Error| failed(outside!("{}", error));
    match format {
        Format::Text => Ok(text(&shown.parts(question, Medium::Terminal), view)),
        Format::Markdown => Ok(markdown(&shown.parts(question, Medium::Page))),
        Format::Json => json::pretty(&shown.data()).map_err(unwritten),
        Format::Jsonl => {
            shown.lines().into_iter().map(|line| json::compact(&line).map_err(unwritten)).collect()
        }
        Format::Csv => Ok(csv::csv(&shown.records())),
        #[cfg(feature = "junit")]
        Format::Junit => {
            junit::junit(&shown.suites(question)).map_err(|error| failed(outside!("{}", error)))
        }
        #[cfg(not(feature = "junit"))]
        Format::Junit => Err(failed("this program was built without the feature junit".into())),
        Format::Margins => Ok(markdown(&shown.margins())),
        Format::Hdr => shown.distributions().map_err(failed),
    }
}

impl fmt::Display for RenderError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Unsupported { format, offered } => {
                let offered: Vec<&str> = offered.iter().map(|format| format.name()).collect();
                write!(f, "{format} is not offered here; write {}", offered.join(", "))
            }
            Self::Failed { format, reason } => {
                write!(f, "write the result as {format}: {}", reason.on_terminal())
            }
        }
    }
}

impl std::error::Error for RenderError {}
