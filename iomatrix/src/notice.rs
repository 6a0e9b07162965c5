//! Notices on standard error, next to a page. A failure to write one is ignored, because what was
//! judged or measured is still saved.

use std::fmt::Display;
use std::io::Write as _;

pub(crate) fn print_notice(line: impl Display) {
    let _ = writeln!(std::io::stderr().lock(), "{line}");
}
