//! What the packages of the workspace may depend on, and what they share.

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use toml::{Table, Value};

use crate::repository::{Repository, Violation};

/// Which of the workspace's packages a package may depend on. `backend-*` stands for every backend.
const ALLOWED_DEPENDENCIES: &[(&str, &[&str])] = &[
    ("backend-*", &["common"]),
    ("benchmarks", &["conformance", "loadgen", "report"]),
    ("common", &[]),
    ("conformance", &["harness", "report"]),
    ("harness", &["report"]),
    ("iomatrix", &["conformance", "harness", "loadgen", "report"]),
    ("loadgen", &["report"]),
    ("mutant", &[]),
    ("report", &[]),
];

/// The packages of the judge, which must not link what they judge.
const JUDGE: &[&str] = &["conformance", "harness", "report"];
/// Crates that run futures or poll sockets, besides those that backends are named after.
const RUNTIMES: &[&str] = &[
    "async-executor",
    "async-global-executor",
    "async-io",
    "embassy-executor",
    "futures-executor",
    "glommio",
    "polling",
];

const KINDS: &[&str] = &["dependencies", "dev-dependencies", "build-dependencies"];

fn manifest(folder: &str) -> String {
    format!("{folder}/Cargo.toml")
}

/// Each package inherits the workspace's lints, which deny `unsafe`: exceptions must be explicit.
pub(crate) fn lints(repository: &Repository) -> Vec<Violation> {
    let mut found = Vec::new();
    let workspace = repository.toml("Cargo.toml");
    if value_at(&workspace, &["workspace", "lints", "rust", "unsafe_code"]) != Some(&"deny".into())
    {
        found.push(Violation::new("Cargo.toml", 0, "the lints should deny unsafe_code"));
    }
    for package in &repository.packages {
        let path = manifest(&package.folder);
        if value_at(&repository.toml(&path), &["lints", "workspace"]) != Some(&true.into()) {
            found.push(Violation::new(&path, 0, "should have `[lints] workspace = true`"));
        }
    }
    found
}

/// The version of a crate stands in one place: in the manifest of a backend that alone uses it, so
/// that a runtime is added and removed with its backend, and otherwise in the workspace's manifest.
pub(crate) fn versions(repository: &Repository) -> Vec<Violation> {
    let mut uses: BTreeMap<String, Vec<Use>> = BTreeMap::new();
    for package in &repository.packages {
        let path = manifest(&package.folder);
        for (name, dependency) in dependencies(&repository.toml(&path)) {
            let inherits = dependency.get("workspace") == Some(&true.into());
            let backend = package.folder.starts_with("backends/");
            uses.entry(name).or_default().push(Use { path: path.clone(), backend, inherits });
        }
    }
    let workspace = repository.toml("Cargo.toml");
    let shared = value_at(&workspace, &["workspace", "dependencies"]).and_then(Value::as_table);
    let idle = shared.into_iter().flat_map(Table::keys).filter(|name| !uses.contains_key(*name));
    let idle = idle.map(|name| Violation::new("Cargo.toml", 0, format!("nothing uses {name}")));
    idle.chain(uses.iter().flat_map(|(name, uses)| misplaced_versions(name, uses))).collect()
}

/// A package that depends on a crate.
struct Use {
    path: String,
    backend: bool,
    /// Inherits the version from the workspace's manifest.
    inherits: bool,
}

/// The users of a crate that have its version from the wrong place.
fn misplaced_versions(name: &str, uses: &[Use]) -> Vec<Violation> {
    let alone = uses.iter().all(|one| one.backend && one.path == uses[0].path) && name != "common";
    let message = if alone {
        format!("nothing else uses {name}, so its version should stand here")
    } else {
        format!("{name} should be `{name}.workspace = true`")
    };
    let wrong = uses.iter().filter(|one| one.inherits == alone);
    wrong.map(|one| Violation::new(&one.path, 0, message.clone())).collect()
}

/// Backends depend on `common` alone, and the judge on nothing that it judges.
pub(crate) fn directions(repository: &Repository) -> Vec<Violation> {
    let mut found = Vec::new();
    for package in &repository.packages {
        let path = manifest(&package.folder);
        let kind = match package.name.strip_prefix("backend-") {
            Some(_) => "backend-*",
            None => package.name.as_str(),
        };
        let Some((_, may_use)) = ALLOWED_DEPENDENCIES.iter().find(|(name, _)| *name == kind) else {
            let message = format!("{} is not in the table of what may use what", package.name);
            found.push(Violation::new(&path, 0, message));
            continue;
        };
        for member in package.members.iter().filter(|member| !may_use.contains(&member.as_str())) {
            let message = format!("{} must not use {member}", package.name);
            found.push(Violation::new(&path, 0, message));
        }
    }
    found
}

/// The judge depends on no runtime, not even indirectly. The lock file distinguishes neither
/// features nor kinds of dependencies, so this is stricter than what is linked.
pub(crate) fn runtimes(repository: &Repository) -> Vec<Violation> {
    let lock = repository.toml("Cargo.lock");
    let empty = Vec::new();
    let entries = lock.get("package").and_then(Value::as_array).unwrap_or(&empty);
    let mut below: BTreeMap<&str, Vec<&str>> = BTreeMap::new();
    for entry in entries.iter().filter_map(Value::as_table) {
        let name = entry.get("name").and_then(Value::as_str).unwrap_or_default();
        let list = entry.get("dependencies").and_then(Value::as_array).unwrap_or(&empty);
        // "NAME", or "NAME VERSION" where several versions are locked. Here they count as one.
        let names = list.iter().filter_map(|one| one.as_str()?.split(' ').next());
        below.entry(name).or_default().extend(names);
    }
    let backends =
        repository.packages.iter().filter_map(|one| one.folder.strip_prefix("backends/"));
    let runtimes: Vec<&str> = RUNTIMES.iter().copied().chain(backends).collect();
    let mut found = Vec::new();
    for judge in JUDGE {
        let mut pending = VecDeque::from([vec![*judge]]);
        let mut seen = BTreeSet::new();
        while let Some(way) = pending.pop_front() {
            let last = way[way.len() - 1];
            if runtimes.contains(&last) {
                found.push(Violation::new("Cargo.lock", 0, way.join(" -> ")));
            } else if seen.insert(last) {
                let next = below.get(last).into_iter().flatten();
                pending.extend(next.map(|name| [way.as_slice(), &[*name]].concat()));
            }
        }
    }
    found
}

/// Every dependency in a manifest, of whatever kind and for whatever target.
fn dependencies(manifest: &Table) -> Vec<(String, Value)> {
    let targets = manifest.get("target").and_then(Value::as_table);
    let tables = targets.into_iter().flat_map(Table::values).filter_map(Value::as_table);
    let lists = std::iter::once(manifest).chain(tables);
    lists
        .flat_map(|table| KINDS.iter().filter_map(|kind| table.get(*kind)?.as_table()))
        .flat_map(|list| list.iter().map(|(name, value)| (name.clone(), value.clone())))
        .collect()
}

fn value_at<'a>(table: &'a Table, keys: &[&str]) -> Option<&'a Value> {
    let (first, rest) = keys.split_first()?;
    rest.iter().try_fold(table.get(*first)?, |value, key| value.get(*key))
}

#[test]
fn a_version_stands_where_it_is_used() {
    let one = |path: &str, inherits| Use {
        path: path.to_owned(),
        backend: path.starts_with("backends/"),
        inherits,
    };
    let is_right = |uses: &[Use]| misplaced_versions("x", uses).is_empty();
    assert!(is_right(&[one("backends/a", false)]) && !is_right(&[one("backends/a", true)]));
    assert!(is_right(&[one("backends/a", true), one("backends/b", true)]));
    assert!(!is_right(&[one("backends/a", false), one("backends/b", true)]));
    assert!(is_right(&[one("report", true)]) && !is_right(&[one("report", false)]));
    assert!(!is_right(&[one("backends/a", false), one("report", true)]));
}
