//! Checks the registry against the folders next to it, and against itself.

use std::collections::BTreeMap;

use conformance::case::Suite;
use conformance::suites;

use crate::repository::{REGISTRY, Repository, Violation, field};

const SYSTEMS: &[&str] = &["linux", "macos", "windows"];
/// Systems on which a waiver can hold. Windows programs under wine count separately.
const WAIVER_SYSTEMS: &[&str] = &["linux", "macos", "windows", "wine"];
const DRIVERS: &[&str] = &["epoll", "kqueue", "afd", "io_uring", "iocp", "threads"];
const MODELS: &[&str] = &["readiness", "completion", "blocking"];
/// Kinds of listeners, and capabilities; `cpu` is both.
const OPTIONAL_PARTS: &[&str] = &["tcp", "udp", "unix", "unixgram", "cpu", "cancel"];
const WAIVER_FIELDS: &[&str] =
    &["row", "case", "os", "failure", "reason", "upstream", "reproduction"];
/// A longer reproduction would be a program to study, and not one to read.
pub(crate) const REPRODUCTION_LINES: usize = 60;

fn violation(message: String) -> Violation {
    Violation::new(REGISTRY, 0, message)
}

/// Each row's package is in the folder of the same name, and each folder has a row.
pub(crate) fn folders(repository: &Repository) -> Vec<Violation> {
    let mut found = Vec::new();
    for row in repository.entries("row") {
        let (name, package) = (field(row, "name"), field(row, "package"));
        let folder = package.strip_prefix("backend-").unwrap_or_default();
        let folder = format!("backends/{folder}");
        if repository.package(package).is_none_or(|member| member.folder != folder) {
            found.push(violation(format!("row {name}: no package {package} in {folder}")));
        }
    }
    for package in &repository.packages {
        let Some(folder) = package.folder.strip_prefix("backends/") else {
            continue;
        };
        if package.name != format!("backend-{folder}") {
            let message = format!("package {} should be backend-{folder}", package.name);
            found.push(Violation::new(&package.folder, 0, message));
        }
        if !repository.entries("row").any(|row| field(row, "package") == package.name) {
            found.push(violation(format!("package {} has no row", package.name)));
        }
    }
    found
}

/// A row is named NAME[-FLAVOR][-DRIVER]. One flavor of a package, its default, is left out.
pub(crate) fn names(repository: &Repository) -> Vec<Violation> {
    let mut found = Vec::new();
    let mut seen: BTreeMap<&str, usize> = BTreeMap::new();
    let mut unsaid: BTreeMap<&str, &str> = BTreeMap::new();
    for row in repository.entries("row") {
        let (name, flavor) = (field(row, "name"), field(row, "flavor"));
        let package = field(row, "package");
        let base = package.strip_prefix("backend-").unwrap_or(package);
        *seen.entry(name).or_default() += 1;

        let drivers = row.get("driver").and_then(toml::Value::as_table);
        let mut ends = vec![String::new()];
        ends.extend(
            drivers
                .into_iter()
                .flat_map(|table| table.values())
                .filter_map(|driver| driver.as_str().map(|driver| format!("-{driver}"))),
        );
        let is = |start: &str| ends.iter().any(|end| name == format!("{start}{end}"));
        if is(base) {
            let default = unsaid.entry(package).or_insert(flavor);
            if *default != flavor {
                let message = format!("row {name}: {package} already leaves {default} unsaid");
                found.push(violation(message));
            }
        } else if !is(&format!("{base}-{flavor}")) {
            let message = format!("row {name} should be {base}[-{flavor}][-DRIVER]");
            found.push(violation(message));
        }
    }
    let twice = seen.iter().filter(|(_, times)| **times > 1);
    found.extend(twice.map(|(name, _)| violation(format!("row {name} is there twice"))));
    found
}

/// A row's driver, system, model, worker count, lacks and feature have known values.
pub(crate) fn words(repository: &Repository) -> Vec<Violation> {
    let mut found = Vec::new();
    for row in repository.entries("row") {
        let name = field(row, "name");
        let mut wrong = |message: String| found.push(violation(format!("row {name}: {message}")));
        if !MODELS.contains(&field(row, "model")) {
            wrong(format!("model {:?} is none of {MODELS:?}", field(row, "model")));
        }
        if row.get("workers").and_then(toml::Value::as_integer).is_none_or(|count| count < 1) {
            wrong("workers should be a number from 1".to_owned());
        }
        match row.get("driver").and_then(toml::Value::as_table) {
            Some(table) if !table.is_empty() => {
                for (system, driver) in table {
                    let driver = driver.as_str().unwrap_or_default();
                    if !SYSTEMS.contains(&system.as_str()) || !DRIVERS.contains(&driver) {
                        wrong(format!("unknown driver {driver:?} on {system:?}"));
                    }
                }
            }
            Some(_) | None => wrong("no driver on any system".to_owned()),
        }
        let lacks = row.get("lacks").and_then(toml::Value::as_table);
        for (lacking, reason) in lacks.into_iter().flatten() {
            if !OPTIONAL_PARTS.contains(&lacking.as_str()) {
                wrong(format!("lacks {lacking:?}, which is none of {OPTIONAL_PARTS:?}"));
            }
            if reason.as_str().is_none_or(str::is_empty) {
                wrong(format!("lacks {lacking:?} without a reason"));
            }
        }
        let feature = field(row, "feature");
        for package in ["conformance", "iomatrix"] {
            let offers = repository
                .package(package)
                .is_some_and(|package| package.features.iter().any(|offer| offer == feature));
            if !feature.is_empty() && !offers {
                wrong(format!("{package} has no feature {feature}"));
            }
        }
    }
    found
}

/// Whether there is a case with this id, `suite/case`.
pub(crate) fn is_case(id: &str) -> bool {
    let named = |suite: &&Suite, case: &str| suite.cases.iter().any(|known| known.name == case);
    id.split_once('/').is_some_and(|(name, case)| {
        suites::ALL.iter().any(|suite| suite.name == name && named(suite, case))
    })
}

/// Each waiver names one case of one row on one system, with a reason and a program that shows the
/// failure.
pub(crate) fn waivers(repository: &Repository) -> Vec<Violation> {
    let mut found = Vec::new();
    for waiver in repository.entries("waiver") {
        let (name, case) = (field(waiver, "row"), field(waiver, "case"));
        let mut wrong =
            |message: String| found.push(violation(format!("waiver {name} {case}: {message}")));
        for key in WAIVER_FIELDS {
            let value = field(waiver, key);
            if value.is_empty() {
                wrong(format!("{key} is missing"));
            } else if value.contains('*') && *key != "reason" {
                wrong(format!("{key} has a wildcard"));
            }
        }
        if !WAIVER_SYSTEMS.contains(&field(waiver, "os")) {
            wrong(format!("os is none of {WAIVER_SYSTEMS:?}"));
        }
        if !is_case(case) {
            wrong("no such case".to_owned());
        }
        if field(waiver, "upstream").split_once('#').is_none_or(|(_, n)| n.parse::<u32>().is_err())
        {
            wrong("upstream should be repo#n".to_owned());
        }
        let Some(row) = repository.entries("row").find(|row| field(row, "name") == name) else {
            wrong("no such row".to_owned());
            continue;
        };
        let folder = field(row, "package").replacen("backend-", "backends/", 1);
        let path = format!("{folder}/{}", field(waiver, "reproduction"));
        if !path.starts_with(&format!("{folder}/examples/")) || !repository.files.contains(&path) {
            wrong(format!("no reproduction examples/NAME.rs in {folder}"));
        } else if repository.text(&path).lines().count() > REPRODUCTION_LINES {
            wrong(format!("{path} has more than {REPRODUCTION_LINES} lines"));
        }
    }
    found
}
