//! What commands print and write.

use serde::Serialize;

use crate::error::Error;

/// A document as JSON.
pub(crate) fn json(document: &impl Serialize) -> Result<String, Error> {
    serde_json::to_string_pretty(document).map_err(Error::render("json"))
}
