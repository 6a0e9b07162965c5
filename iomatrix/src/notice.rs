//! What is said beside a page, on standard error. That it cannot be written there is no reason to
//! stop: what was judged or measured is still saved.

use std::fmt::Display;
use std::io::Write as _;

/// One line.
pub(crate) fn say(line: impl Display) {
    let _ = writeln!(std::io::stderr().lock(), "{line}");
}
