//! A sweep as Markdown, for a step summary: no plot, what follows from it first.

use super::Sweep;
use super::parts::{findings, measured};
use crate::part;

/// The whole page.
#[must_use]
pub fn render(sweep: &Sweep) -> String {
    let mut parts = measured(sweep, None);
    // After the title and what the numbers stand on.
    let tables = parts.split_off(parts.len().min(2));
    parts.extend(findings(sweep));
    parts.extend(tables);
    part::markdown(&parts)
}
