//! The repository as the checks see it: its files, its packages as Cargo knows them, its registry.

use std::env;
use std::fmt;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::OnceLock;

use serde_json::Value;

use crate::paths::normalize;

/// Something that breaks a rule, and where.
pub(crate) struct Violation {
    /// Relative to the root, with `/` on every system.
    pub(crate) path: String,
    /// Counts from 1; 0 stands for the whole file.
    pub(crate) line: usize,
    pub(crate) message: String,
}

impl Violation {
    pub(crate) fn new(path: &str, line: usize, message: impl Into<String>) -> Self {
        Self { path: path.to_owned(), line, message: message.into() }
    }
}

impl fmt::Display for Violation {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.line {
            0 => write!(out, "{}: {}", self.path, self.message),
            line => write!(out, "{}:{line}: {}", self.path, self.message),
        }
    }
}

/// A member of a workspace.
pub(crate) struct Package {
    pub(crate) name: String,
    /// Relative to the root.
    pub(crate) folder: String,
    pub(crate) features: Vec<String>,
    pub(crate) targets: Vec<Target>,
    /// Packages of the same workspace that it depends on, in any kind of dependency.
    pub(crate) members: Vec<String>,
}

/// A library, program, test, example or build script of a package.
pub(crate) struct Target {
    pub(crate) kind: String,
    pub(crate) name: String,
    /// Root file, relative to the root of the repository.
    pub(crate) source: String,
}

/// Read once for all checks.
pub(crate) struct Repository {
    root: PathBuf,
    /// Sorted, relative to the root, with `/`. What Git and Cargo keep for themselves is left out.
    pub(crate) files: Vec<String>,
    pub(crate) packages: Vec<Package>,
    /// Packages of the workspaces in [`OTHER_WORKSPACES`].
    pub(crate) other_packages: Vec<Package>,
    pub(crate) registry: toml::Table,
}

impl Repository {
    pub(crate) fn open() -> &'static Self {
        static OPEN: OnceLock<Repository> = OnceLock::new();
        OPEN.get_or_init(|| {
            let own = Path::new(env!("CARGO_MANIFEST_DIR")).parent().expect("a parent");
            let root = env::var_os(ROOT).map_or_else(|| own.to_owned(), PathBuf::from);
            let mut files = Vec::new();
            collect(&root, &root, &mut files);
            files.sort();
            let packages = members(&root, "");
            let other_packages =
                OTHER_WORKSPACES.iter().flat_map(|folder| members(&root, folder)).collect();
            let registry = parse(&root, REGISTRY);
            Self { root, files, packages, other_packages, registry }
        })
    }

    /// The text of a file; bytes that are not UTF-8 are replaced.
    pub(crate) fn text(&self, path: &str) -> String {
        let bytes = fs::read(self.root.join(path)).unwrap_or_else(|e| panic!("read {path}: {e}"));
        String::from_utf8_lossy(&bytes).into_owned()
    }

    pub(crate) fn toml(&self, path: &str) -> toml::Table {
        parse(&self.root, path)
    }

    pub(crate) fn files_with_suffix<'a>(
        &'a self,
        suffix: &'a str,
    ) -> impl Iterator<Item = &'a str> {
        self.files.iter().map(String::as_str).filter(move |path| path.ends_with(suffix))
    }

    /// Whether the path names a file, or a folder that has files.
    pub(crate) fn has(&self, path: &str) -> bool {
        let folder = format!("{}/", path.trim_end_matches('/'));
        self.files.iter().any(|file| file == path || file.starts_with(&folder))
    }

    pub(crate) fn package(&self, name: &str) -> Option<&Package> {
        self.packages.iter().find(|package| package.name == name)
    }

    /// The entries of one kind in the registry, `row` or `waiver`.
    pub(crate) fn entries(&self, kind: &str) -> impl Iterator<Item = &toml::Table> {
        let list = self.registry.get(kind).and_then(toml::Value::as_array);
        list.into_iter().flatten().filter_map(toml::Value::as_table)
    }
}

/// The environment variable that names a copy of the repository to check, instead of the one in
/// which this test was built.
const ROOT: &str = "TIDY_ROOT";

/// Workspaces besides that of the root. Their manifests pin old releases, so the rules for packages
/// do not apply to them. The rules for files do.
const OTHER_WORKSPACES: &[&str] = &[
    "proof/history/contract",
    "proof/history/green",
    "proof/history/green/tokio-8406",
    "proof/history/red",
    "proof/history/red/tokio-8406",
    "proof/upstream",
];

pub(crate) const REGISTRY: &str = "backends/backends.toml";
pub(crate) const FINDINGS: &str = "backends/findings.toml";

/// The text of a key in a registry entry; empty if it is missing.
pub(crate) fn field<'a>(entry: &'a toml::Table, key: &str) -> &'a str {
    entry.get(key).and_then(toml::Value::as_str).unwrap_or_default()
}

fn parse(root: &Path, path: &str) -> toml::Table {
    let text = fs::read_to_string(root.join(path)).unwrap_or_else(|e| panic!("read {path}: {e}"));
    text.parse().unwrap_or_else(|e| panic!("parse {path}: {e}"))
}

fn collect(root: &Path, folder: &Path, files: &mut Vec<String>) {
    let entries = fs::read_dir(folder).unwrap_or_else(|e| panic!("read {}: {e}", folder.display()));
    for entry in entries {
        let path = entry.expect("a folder's entry").path();
        let name = relative(root, &path);
        if path.is_dir() {
            let kept_by_tools = name == ".git" || name.split('/').next_back() == Some("target");
            if !kept_by_tools {
                collect(root, &path, files);
            }
        } else if name != ".git" {
            files.push(name);
        }
    }
}

fn relative(root: &Path, path: &Path) -> String {
    let below = path.strip_prefix(root).unwrap_or_else(|_| {
        panic!("{} is outside the repository {}", path.display(), root.display())
    });
    let parts: Vec<_> = below.components().map(|c| c.as_os_str().to_string_lossy()).collect();
    parts.join("/")
}

fn members(root: &Path, folder: &str) -> Vec<Package> {
    let cargo = env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    let output = Command::new(cargo)
        .args(["metadata", "--no-deps", "--format-version", "1", "--offline"])
        .current_dir(root.join(folder))
        .output()
        .expect("run cargo metadata");
    let errors = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "cargo metadata: {errors}");
    let metadata: Value = serde_json::from_slice(&output.stdout).expect("metadata is JSON");
    list(&metadata, "packages").map(|package| member(root, package)).collect()
}

fn member(root: &Path, package: &Value) -> Package {
    let manifest = Path::new(text(package, "manifest_path"));
    let target = |target: &Value| Target {
        kind: text(&target["kind"], "/0").to_owned(),
        name: text(target, "name").to_owned(),
        source: normalize(&relative(root, Path::new(text(target, "src_path")))),
    };
    Package {
        name: text(package, "name").to_owned(),
        folder: relative(root, manifest.parent().expect("a manifest is in a folder")),
        features: package["features"].as_object().expect("features").keys().cloned().collect(),
        targets: list(package, "targets").map(target).collect(),
        members: list(package, "dependencies")
            .filter(|dependency| dependency["path"].is_string())
            .map(|dependency| text(dependency, "name").to_owned())
            .collect(),
    }
}

fn list<'a>(value: &'a Value, key: &str) -> impl Iterator<Item = &'a Value> {
    value[key].as_array().unwrap_or_else(|| panic!("metadata: {key} is no list")).iter()
}

fn text<'a>(value: &'a Value, key: &str) -> &'a str {
    let found = if key.starts_with('/') { value.pointer(key) } else { value.get(key) };
    found.and_then(Value::as_str).unwrap_or_else(|| panic!("metadata: {key} is no text"))
}
