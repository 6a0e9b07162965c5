//! Checks that a program can be executed, before anything is started.

use std::ffi::OsStr;
use std::path::{Path, PathBuf};

use report::outside;

use crate::error::Error;

/// Checks that a program exists and may be executed, and finds it as execvp(3) does.
///
/// # Errors
/// [`Error::Command`], which names the program.
pub(super) fn expect_executable(program: &OsStr) -> Result<(), Error> {
    if !cfg!(unix) {
        // Other systems also try file extensions and folders that only they know.
        return Ok(());
    }
    let path = Path::new(program);
    if path.components().count() > 1 || path.is_absolute() {
        let sentence = match refusal(path) {
            None => return Ok(()),
            Some(reason) => outside!("{}: {}", path.display(), reason),
        };
        return Err(Error::Command(sentence));
    }
    // Without PATH, the system searches folders of its own choice.
    let Some(folders) = std::env::var_os("PATH") else { return Ok(()) };
    let mut candidates = std::env::split_paths(&folders).map(|folder: PathBuf| folder.join(path));
    if candidates.any(|candidate| refusal(&candidate).is_none()) {
        return Ok(());
    }
    Err(Error::Command(outside!("no program '{}' in the folders of PATH", path.display())))
}

/// Why a file cannot be executed; `None` if it can.
#[cfg(unix)]
fn refusal(path: &Path) -> Option<&'static str> {
    use rustix::fs::{Access, access};
    match std::fs::metadata(path) {
        Err(_) => Some("no such program"),
        Ok(file) if !file.is_file() => Some("is no program"),
        Ok(_) if access(path, Access::EXEC_OK).is_err() => Some("may not be executed"),
        Ok(_) if !has_interpreter(path) => Some("the interpreter in its first line does not exist"),
        Ok(_) => None,
    }
}

/// Whether a script's interpreter exists. This does not notice a program for another processor,
/// which ends with status 1 and says so.
#[cfg(unix)]
fn has_interpreter(path: &Path) -> bool {
    use std::io::Read as _;
    use std::os::unix::ffi::OsStrExt as _;
    let mut head = Vec::new();
    // A file that may be executed but not read is assumed to be right.
    let Ok(file) = std::fs::File::open(path) else { return true };
    if file.take(256).read_to_end(&mut head).is_err() {
        return true;
    }
    let Some(line) = head.strip_prefix(b"#!") else { return true };
    // A carriage return belongs to the interpreter's name.
    let mut words = line.split(|byte| b" \t\n".contains(byte)).filter(|word| !word.is_empty());
    words.next().is_some_and(|interpreter| Path::new(OsStr::from_bytes(interpreter)).exists())
}

#[cfg(not(unix))]
fn refusal(_: &Path) -> Option<&'static str> {
    None
}

#[cfg(all(test, unix))]
mod tests {
    use std::fs::{self, Permissions};
    use std::os::unix::fs::PermissionsExt as _;

    use super::*;
    use crate::scratch::Scratch;

    #[test]
    fn what_cannot_be_executed_is_named() {
        let refused = |program: &str| {
            expect_executable(OsStr::new(program)).map_err(|error| error.to_string())
        };
        assert_eq!(refused("sh"), Ok(()));
        assert_eq!(refused("/bin/sh"), Ok(()));
        assert_eq!(refused("./no-such-program"), Err("./no-such-program: no such program".into()));
        assert_eq!(refused("/dev"), Err("/dev: is no program".into()));
        let source = concat!(env!("CARGO_MANIFEST_DIR"), "/Cargo.toml");
        assert_eq!(refused(source), Err(format!("{source}: may not be executed")));
        let scratch = Scratch::new().expect("a folder");
        for (text, expected) in [
            ("#! /bin/sh -e\n", None),
            ("#!/bin/sh\r\n", Some("the interpreter in its first line does not exist")),
            ("#!/no/such/shell\n", Some("the interpreter in its first line does not exist")),
        ] {
            let script = scratch.path().join("script");
            fs::write(&script, text).expect("it is written");
            fs::set_permissions(&script, Permissions::from_mode(0o700)).expect("it is its own");
            assert_eq!(refusal(&script), expected, "{text:?}");
        }
        let unknown = "no program 'no-such-program' in the folders of PATH";
        assert_eq!(refused("no-such-program"), Err(unknown.into()));
    }
}
