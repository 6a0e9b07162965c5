//! What commands print and write.

use report::{Document, Format};
use serde::Serialize;

use crate::error::Error;
use crate::view::view;

/// A document as JSON.
pub(crate) fn json(document: &impl Serialize) -> Result<String, Error> {
    serde_json::to_string_pretty(document).map_err(Error::render("json"))
}

/// Prints a document.
pub(crate) fn print<D: Document>(
    document: &D,
    question: &D::Question,
    format: Format,
) -> Result<(), Error> {
    print!("{}", page(document, question, format)?);
    Ok(())
}

/// A document as a page.
pub(crate) fn page<D: Document>(
    document: &D,
    question: &D::Question,
    format: Format,
) -> Result<String, Error> {
    report::render(document, question, format, view()).map_err(Error::render(format.name()))
}
