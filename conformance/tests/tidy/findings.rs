//! The findings against their reproductions, and against the versions that the lock files have.

use std::collections::BTreeSet;

use harness::finding::Finding;

use crate::registry::REPRODUCTION_LINES;
use crate::repository::{FINDINGS, Repository, Violation};

const SYSTEMS: &[&str] = &["linux", "macos", "windows"];
/// The folder of the reproductions that are no examples of a backend.
const APART: &str = "proof/upstream";
/// What no lock file has.
const KERNEL: &str = "Linux ";

fn load() -> Vec<Finding> {
    Finding::load().expect("the findings were parsed when the registry was")
}

/// A finding has a name of its own, a reproduction that is short and there, and its upstream issue
/// is one; and each program for reproductions belongs to a finding.
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
    let programs = repository.ending(".rs").filter(|path| path.starts_with(&format!("{APART}/")));
    let unnamed = programs.filter(|path| findings.iter().all(|it| it.reproduction != **path));
    found.extend(unnamed.map(|path| Violation::new(path, 0, "no finding has this reproduction")));
    found
}

/// The library of a finding is locked where its reproduction is built, and where the backends are:
/// a newer release may have mended the fault.
pub(crate) fn versions(repository: &Repository) -> Vec<Violation> {
    let ours = repository.toml("Cargo.lock");
    let apart = repository.toml(&format!("{APART}/Cargo.lock"));
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
