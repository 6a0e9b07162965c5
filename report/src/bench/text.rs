//! A bench for a terminal.

use super::Bench;
use super::parts::parts;
use crate::part;

/// The whole page. `width` is that of the terminal, in columns; 160 hold every table unwrapped.
#[must_use]
pub fn render(bench: &Bench, width: u16) -> String {
    part::text(&parts(bench), width)
}
