//! A bench as Markdown, for a step summary.

use super::Bench;
use super::parts::parts;
use crate::part;

/// The whole page.
#[must_use]
pub fn render(bench: &Bench) -> String {
    part::markdown(&parts(bench))
}
