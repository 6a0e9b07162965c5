//! Copies the package versions of `Cargo.lock` into the crate, so that an announcement names the
//! runtime that was linked and not one that somebody typed.

use std::env;
use std::error::Error;
use std::fmt::Write as _;
use std::fs;
use std::path::Path;
use std::process::Command;

fn main() -> Result<(), Box<dyn Error>> {
    let lock = Path::new(&env::var("CARGO_MANIFEST_DIR")?).join("../Cargo.lock");
    println!("cargo::rerun-if-changed={}", lock.display());
    let lock = fs::read_to_string(&lock)?;
    let (mut locked, mut used) = (String::from("&[\n"), String::from("&[\n"));
    writeln!(locked, "    (\"std\", {:?}),", rust_version()?)?;
    for package in lock.split("[[package]]").skip(1) {
        let of = |key| package.lines().find_map(|line| value(line, key));
        let (Some(name), Some(version)) = (of("name"), of("version")) else { continue };
        writeln!(locked, "    ({name:?}, {version:?}),")?;
        for (dependency, version) in package.lines().filter_map(chosen) {
            writeln!(used, "    ({name:?}, {dependency:?}, {version:?}),")?;
        }
    }
    let folder = env::var("OUT_DIR")?;
    fs::write(Path::new(&folder).join("locked.rs"), locked + "]\n")?;
    fs::write(Path::new(&folder).join("used.rs"), used + "]\n")?;
    Ok(())
}

/// `x` of the line `key = "x"`.
fn value<'a>(line: &'a str, key: &str) -> Option<&'a str> {
    line.strip_prefix(key)?.strip_prefix(" = \"")?.strip_suffix('"')
}

/// Parses a dependency with its version, ` "name 1.2.3",`. Cargo writes the version only if
/// `Cargo.lock` has several versions of the package.
fn chosen(line: &str) -> Option<(&str, &str)> {
    let (name, version) = line.strip_prefix(" \"")?.strip_suffix("\",")?.split_once(' ')?;
    Some((name, version.split(' ').next()?))
}

/// Version of the compiler, and so of the standard library.
fn rust_version() -> Result<String, Box<dyn Error>> {
    let said = Command::new(env::var("RUSTC")?).arg("--version").output()?.stdout;
    let said = String::from_utf8(said)?;
    Ok(said.split(' ').nth(1).ok_or("rustc says no version")?.to_owned())
}
