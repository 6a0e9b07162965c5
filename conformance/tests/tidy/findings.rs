//! Checks the findings against their reproductions, and against the versions in the lock files.

use std::collections::BTreeSet;

use harness::finding::Finding;

use crate::registry::REPRODUCTION_LINES;
use crate::repository::{FINDINGS, Repository, Violation};

const SYSTEMS: &[&str] = &["linux", "macos", "windows"];
/// The folder of the reproductions that are not examples of a backend.
const REPRODUCTIONS: &str = "proof/upstream";
/// No lock file has the kernel's version.
const KERNEL: &str = "Linux ";

fn load() -> Vec<Finding> {
    Finding::load().expect("the findings were parsed when the registry was")
}

/// Each finding has a unique name, known systems, a short reproduction that exists, and an upstream
/// issue of the form repo#n, if any. Each program for reproductions belongs to a finding.
pub(crate) fn complete(repository: &Repository) -> Vec<Violation> {
    let mut found = Vec::new();
    let mut names = BTreeSet::new();
    let findings = load();
    for finding in &findings {
        let Finding { name, reproduction, .. } = finding;
        let mut wrong =
            |message: String| found.push(Violation::new(FINDINGS, 0, format!("{name}: {message}")));
        if !names.insert(name) {
            wrong("there twice".to_owned());
        }
        if let Some(system) = finding.systems.iter().find(|it| !SYSTEMS.contains(&it.as_str())) {
            wrong(format!("system {system:?} is none of {SYSTEMS:?}"));
        }
        if finding.systems.is_empty() {
            wrong("shown on no system".to_owned());
        }
        let number = finding.upstream.as_deref().map(|it| it.split_once('#').map(|(_, n)| n));
        if number.is_some_and(|n| n.is_none_or(|n| n.parse::<u32>().is_err())) {
            wrong("upstream should be repo#n".to_owned());
        }
        if !repository.has(reproduction) {
            wrong(format!("no {reproduction}"));
        } else if repository.text(reproduction).lines().count() > REPRODUCTION_LINES {
            wrong(format!("{reproduction} has more than {REPRODUCTION_LINES} lines"));
        }
    }
    let programs = repository
        .files_with_suffix(".rs")
        .filter(|path| path.starts_with(&format!("{REPRODUCTIONS}/")));
    let unnamed = programs.filter(|path| findings.iter().all(|it| it.reproduction != **path));
    found.extend(unnamed.map(|path| Violation::new(path, 0, "no finding has this reproduction")));
    found
}

/// The lock files of the reproductions and of the backends have the version of the library that
/// each finding is about: a newer release may have fixed the fault.
pub(crate) fn versions(repository: &Repository) -> Vec<Violation> {
    let ours = repository.toml("Cargo.lock");
    let apart = repository.toml(&format!("{REPRODUCTIONS}/Cargo.lock"));
    let mut found = Vec::new();
    for Finding { name, library, .. } in load() {
        if library.starts_with(KERNEL) {
            continue;
        }
        for (file, lock) in [("Cargo.lock", &ours), ("proof/upstream/Cargo.lock", &apart)] {
            if !is_locked(lock, &library) {
                let message = format!("{name} is about {library}, which {file} does not have");
                found.push(Violation::new(FINDINGS, 0, message));
            }
        }
    }
    found
}

fn is_locked(lock: &toml::Table, library: &str) -> bool {
    let packages = lock.get("package").and_then(toml::Value::as_array);
    packages.into_iter().flatten().any(|package| {
        let text = |key| package.get(key).and_then(toml::Value::as_str).unwrap_or_default();
        format!("{} {}", text("name"), text("version")) == library
    })
}
