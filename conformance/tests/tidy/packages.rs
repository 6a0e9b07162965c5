//! What the packages of the workspace may rely on, and what they share.

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use toml::{Table, Value};

use crate::repository::{Finding, Repository};

/// Which of the workspace's packages a package may use. `backend-*` stands for every backend.
const MAY_USE: &[(&str, &[&str])] = &[
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

/// The packages that judge: what they link must not be what they judge.
const JUDGE: &[&str] = &["conformance", "harness", "report"];
const RUNTIMES: &[&str] = &[
    "async-executor",
    "async-global-executor",
    "async-io",
    "async-std",
    "compio",
    "embassy-executor",
    "futures-executor",
    "glommio",
    "mio",
    "monoio",
    "polling",
    "smol",
    "tokio",
    "tokio-uring",
];

const KINDS: &[&str] = &["dependencies", "dev-dependencies", "build-dependencies"];

fn manifest(folder: &str) -> String {
    format!("{folder}/Cargo.toml")
}

/// Each package takes the workspace's lints, and those deny `unsafe`: an exception is written down.
pub(crate) fn lints(repository: &Repository) -> Vec<Finding> {
    let mut found = Vec::new();
    let workspace = repository.toml("Cargo.toml");
    if at(&workspace, &["workspace", "lints", "rust", "unsafe_code"]) != Some(&"deny".into()) {
        found.push(Finding::new("Cargo.toml", 0, "the lints should deny unsafe_code"));
    }
    for package in &repository.packages {
        let path = manifest(&package.folder);
        if at(&repository.toml(&path), &["lints", "workspace"]) != Some(&true.into()) {
            found.push(Finding::new(&path, 0, "should have `[lints] workspace = true`"));
        }
    }
    found
}

/// A crate's version stands in the workspace's manifest only, and only while a package uses it.
pub(crate) fn versions(repository: &Repository) -> Vec<Finding> {
    let mut found = Vec::new();
    let mut used = BTreeSet::new();
    for package in &repository.packages {
        let path = manifest(&package.folder);
        for (name, dependency) in dependencies(&repository.toml(&path)) {
            let inherits = dependency.get("workspace") == Some(&true.into());
            if !inherits {
                let message = format!("{name} should be `{name}.workspace = true`");
                found.push(Finding::new(&path, 0, message));
            }
            used.insert(name);
        }
    }
    let workspace = repository.toml("Cargo.toml");
    let shared = at(&workspace, &["workspace", "dependencies"]).and_then(Value::as_table);
    let idle = shared.into_iter().flat_map(Table::keys).filter(|name| !used.contains(*name));
    found.extend(idle.map(|name| Finding::new("Cargo.toml", 0, format!("nothing uses {name}"))));
    found
}

/// Backends use `common` alone, the judge nothing that it judges.
pub(crate) fn directions(repository: &Repository) -> Vec<Finding> {
    let mut found = Vec::new();
    for package in &repository.packages {
        let path = manifest(&package.folder);
        let kind = match package.name.strip_prefix("backend-") {
            Some(_) => "backend-*",
            None => package.name.as_str(),
        };
        let Some((_, may_use)) = MAY_USE.iter().find(|(name, _)| *name == kind) else {
            let message = format!("{} is not in the table of what may use what", package.name);
            found.push(Finding::new(&path, 0, message));
            continue;
        };
        for member in package.members.iter().filter(|member| !may_use.contains(&member.as_str())) {
            let message = format!("{} must not use {member}", package.name);
            found.push(Finding::new(&path, 0, message));
        }
    }
    found
}

/// No runtime is anywhere below the judge. The lock file knows no features and no kinds of
/// dependency, so this is stricter than what is linked.
pub(crate) fn runtimes(repository: &Repository) -> Vec<Finding> {
    let lock = repository.toml("Cargo.lock");
    let empty = Vec::new();
    let entries = lock.get("package").and_then(Value::as_array).unwrap_or(&empty);
    let mut below: BTreeMap<&str, Vec<&str>> = BTreeMap::new();
    for entry in entries.iter().filter_map(Value::as_table) {
        let name = entry.get("name").and_then(Value::as_str).unwrap_or_default();
        let list = entry.get("dependencies").and_then(Value::as_array).unwrap_or(&empty);
        // "NAME", or "NAME VERSION" where several versions are locked: together they are one here.
        let names = list.iter().filter_map(|one| one.as_str()?.split(' ').next());
        below.entry(name).or_default().extend(names);
    }
    let mut found = Vec::new();
    for judge in JUDGE {
        let mut pending = VecDeque::from([vec![*judge]]);
        let mut seen = BTreeSet::new();
        while let Some(way) = pending.pop_front() {
            let last = way[way.len() - 1];
            if RUNTIMES.contains(&last) {
                found.push(Finding::new("Cargo.lock", 0, way.join(" -> ")));
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

fn at<'a>(table: &'a Table, keys: &[&str]) -> Option<&'a Value> {
    let (first, rest) = keys.split_first()?;
    rest.iter().try_fold(table.get(*first)?, |value, key| value.get(*key))
}
