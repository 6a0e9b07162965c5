//! Lines on standard error. A line that cannot be written does not end the server.

use std::fmt;
use std::io::{self, Write};

/// Writes a line. `eprintln!` would panic if nobody reads standard error.
pub(crate) fn line(text: fmt::Arguments<'_>) {
    let _ = writeln!(io::stderr().lock(), "{text}");
}
