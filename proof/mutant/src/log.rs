//! Lines on standard error, none of which can end the server.

use std::fmt;
use std::io::{self, Write};

/// Writes a line. Not `eprintln!`, which panics when the reader has gone.
pub(crate) fn line(text: fmt::Arguments<'_>) {
    let _ = writeln!(io::stderr().lock(), "{text}");
}
