//! The executables of the rows: built by Cargo, or taken from a directory. Each package is built on
//! its own, because Cargo unifies the features of all packages that it builds together.

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::fmt;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::{Mutex, OnceLock, PoisonError};

use report::load::BuildProfile;

use crate::error::Error;
use crate::launcher::Origin;
use crate::row::Row;

/// Environment variable that names a directory of built programs. If it is set, nothing is built.
pub const BIN_DIR: &str = "CONFORMANCE_BIN_DIR";

static DIRECTORY: OnceLock<PathBuf> = OnceLock::new();

/// Takes programs from `directory`, whatever [`BIN_DIR`] says. Only the first call counts.
pub fn use_directory(directory: PathBuf) {
    // A later call changes nothing.
    let _ = DIRECTORY.set(directory);
}

/// The directory from which programs are taken, if there is one.
#[must_use]
pub fn directory() -> Option<PathBuf> {
    DIRECTORY
        .get()
        .cloned()
        .or_else(|| std::env::var_os(BIN_DIR).filter(|it| !it.is_empty()).map(PathBuf::from))
}

/// The profile that this program was built with.
pub const OWN_PROFILE: BuildProfile =
    if cfg!(debug_assertions) { BuildProfile::Dev } else { BuildProfile::Release };

/// A package that is about to be built.
#[derive(Clone, Copy, Debug)]
pub struct BuildStep<'a> {
    pub package: &'a str,
    /// Its place among the packages, from 1.
    pub number: usize,
    pub count: usize,
}

/// As progress is shown: `building 3 of 10: backend-compio`.
impl fmt::Display for BuildStep<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "building {} of {}: {}", self.number, self.count, self.package)
    }
}

/// Sets the executables of rows of the registry, as [`locate`] builds or finds them. A row without
/// a package has its executable already. Calls `on_build` before each build.
///
/// # Errors
/// See [`locate`].
pub fn provide_executables<'a>(
    rows: impl IntoIterator<Item = &'a mut Row>,
    profile: BuildProfile,
    on_build: &dyn Fn(BuildStep<'_>),
) -> Result<(), Error> {
    let mut rows: Vec<&mut Row> = rows.into_iter().collect();
    let packages: Vec<&str> = rows.iter().filter_map(|row| row.package.as_deref()).collect();
    let programs = locate_all(&packages, profile, on_build)?;
    for row in &mut rows {
        let found = row.package.as_ref().and_then(|package| programs.get(package));
        if let (Origin::Contract(program), Some(found)) = (&mut row.origin, found) {
            program.executable.clone_from(found);
        }
    }
    Ok(())
}

/// The executable of one package, built in [`OWN_PROFILE`] by the first call in this process. On
/// macOS, each `cargo build` writes the program again, and a test that runs meanwhile would find
/// none.
///
/// # Errors
/// Those of [`locate`].
pub fn locate_once(package: &str) -> Result<PathBuf, Error> {
    static FOUND: Mutex<BTreeMap<String, PathBuf>> = Mutex::new(BTreeMap::new());
    let mut found = FOUND.lock().unwrap_or_else(PoisonError::into_inner);
    if let Some(program) = found.get(package) {
        return Ok(program.clone());
    }
    let program = locate(&[package], OWN_PROFILE)?[package].clone();
    found.insert(package.to_owned(), program.clone());
    Ok(program)
}

/// The executable of each package, built in `profile`. Programs from [`BIN_DIR`] are used whatever
/// profile they were built in.
///
/// # Errors
/// Cargo cannot build a package, or the directory lacks a program.
pub fn locate(
    packages: &[&str],
    profile: BuildProfile,
) -> Result<BTreeMap<String, PathBuf>, Error> {
    locate_all(packages, profile, &|_| {})
}

fn locate_all(
    packages: &[&str],
    profile: BuildProfile,
    on_build: &dyn Fn(BuildStep<'_>),
) -> Result<BTreeMap<String, PathBuf>, Error> {
    let directory = directory();
    let mut wanted: Vec<&str> = Vec::new();
    for package in packages {
        if !wanted.contains(package) {
            wanted.push(package);
        }
    }
    let count = wanted.len();
    let program = |(index, package): (usize, &str)| {
        let found = match &directory {
            Some(directory) => find_prebuilt(directory, package)?,
            None => {
                on_build(BuildStep { package, number: index + 1, count });
                build(package, profile)?
            }
        };
        Ok((package.to_owned(), found))
    };
    wanted.into_iter().enumerate().map(program).collect()
}

fn find_prebuilt(directory: &Path, package: &str) -> Result<PathBuf, Error> {
    let program = directory.join(format!("{package}{}", std::env::consts::EXE_SUFFIX));
    if program.is_file() {
        return Ok(program);
    }
    Err(Error::NoProgram { variable: BIN_DIR, program: (&program).into() })
}

fn build(package: &str, profile: BuildProfile) -> Result<PathBuf, Error> {
    let cargo = std::env::var_os("CARGO").unwrap_or_else(|| OsString::from("cargo"));
    let mut command = Command::new(cargo);
    command
        .args(arguments(package, profile))
        .current_dir(concat!(env!("CARGO_MANIFEST_DIR"), "/.."))
        .stderr(std::process::Stdio::inherit());
    let package = package.to_owned();
    let output = match command.output() {
        Ok(output) if output.status.success() => output,
        Ok(output) => return Err(Error::Build { package, status: output.status }),
        Err(error) => return Err(Error::NoCargo { package, error }),
    };
    let messages = String::from_utf8_lossy(&output.stdout);
    messages
        .lines()
        .filter_map(|line| serde_json::from_str::<serde_json::Value>(line).ok())
        .filter(|message| message["target"]["kind"][0] == "bin")
        .find_map(|message| message["executable"].as_str().map(PathBuf::from))
        .ok_or(Error::NoExecutable { package })
}

fn arguments(package: &str, profile: BuildProfile) -> Vec<&str> {
    let profile = match profile {
        BuildProfile::Dev => "dev",
        BuildProfile::Release => "release",
    };
    let output = ["--message-format", "json-render-diagnostics"];
    [&["build", "--quiet", "--package", package, "--profile", profile], output.as_slice()].concat()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_package_is_built_in_the_profile_that_was_asked_for() {
        for (profile, name) in [(BuildProfile::Dev, "dev"), (BuildProfile::Release, "release")] {
            let arguments = arguments("backend-tokio", profile).join(" ");
            assert!(arguments.contains(&format!("--profile {name} ")), "{arguments}");
        }
    }
}
