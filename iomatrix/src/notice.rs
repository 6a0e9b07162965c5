//! Notices and errors on standard error, next to a page. A failure to write one is ignored, because
//! what was judged or measured is still saved.

use std::env;
use std::ffi::OsString;
use std::fmt::Display;
use std::io::Write as _;
use std::sync::atomic::{AtomicBool, Ordering};

use report::Outside;

static IS_SILENT: AtomicBool = AtomicBool::new(false);

/// How this program was started, for commands that a reader can repeat.
pub(crate) fn own_command() -> Outside {
    let by_cargo = || Outside::from("cargo run -p iomatrix --");
    // Cargo sets the variable for the programs that it runs.
    if env::var_os("CARGO").is_some() {
        return by_cargo();
    }
    let quoted = |name: OsString| shell_words::quote(&name.to_string_lossy()).into_owned().into();
    env::args_os().next().map_or_else(by_cargo, quoted)
}

/// Prints no notice from now on (`--quiet`).
pub(crate) fn silence() {
    IS_SILENT.store(true, Ordering::Relaxed);
}

/// Whether notices and progress are printed.
pub(crate) fn is_silent() -> bool {
    IS_SILENT.load(Ordering::Relaxed)
}

/// Prints what a user may want to know, and what no result depends on.
pub(crate) fn print_notice(line: impl Display) {
    if !is_silent() {
        print_error_line(line);
    }
}

/// Prints why something is missing or wrong.
pub(crate) fn print_error(error: impl Display) {
    print_error_line(format_args!("iomatrix: {error}"));
}

pub(crate) fn print_error_line(line: impl Display) {
    let _ = writeln!(std::io::stderr().lock(), "{line}");
}
