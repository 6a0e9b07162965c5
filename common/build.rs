//! Copies the package versions of `Cargo.lock` into the crate, so that an announcement names the
//! runtime that was linked and not one that somebody typed.

use std::{env, error::Error, fmt::Write as _, fs, path::Path};

fn main() -> Result<(), Box<dyn Error>> {
    let lock = Path::new(&env::var("CARGO_MANIFEST_DIR")?).join("../Cargo.lock");
    println!("cargo::rerun-if-changed={}", lock.display());
    let mut table = String::from("&[\n");
    for (name, version) in packages(&fs::read_to_string(&lock)?) {
        writeln!(table, "    ({name:?}, {version:?}),")?;
    }
    table.push_str("]\n");
    fs::write(Path::new(&env::var("OUT_DIR")?).join("locked.rs"), table)?;
    Ok(())
}

/// The names and versions in a lock file, whose lines Cargo writes one below the other.
fn packages(lock: &str) -> Vec<(&str, &str)> {
    let lines: Vec<&str> = lock.lines().collect();
    lines
        .windows(2)
        .filter_map(|pair| Some((value(pair[0], "name")?, value(pair[1], "version")?)))
        .collect()
}

/// `x` of the line `key = "x"`.
fn value<'a>(line: &'a str, key: &str) -> Option<&'a str> {
    line.strip_prefix(key)?.strip_prefix(" = \"")?.strip_suffix('"')
}
