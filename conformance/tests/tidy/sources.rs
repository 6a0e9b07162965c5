//! The shape of source files: how they open, how long they are, and that each is part of a target.

use std::collections::BTreeSet;

use crate::repository::{Finding, Repository};

const FILE_LINES: usize = 600;
const LINE_CHARS: usize = 100;

/// Every Rust file says in its first line what lives in it.
pub(crate) fn openings(repository: &Repository) -> Vec<Finding> {
    let silent = |path: &&str| !repository.text(path).starts_with("//! ");
    let found = repository.ending(".rs").filter(silent);
    found.map(|path| Finding::new(path, 1, "should open with `//! ` and what lives here")).collect()
}

/// Limits on Rust files and on scripts.
pub(crate) fn lengths(repository: &Repository) -> Vec<Finding> {
    let mut found = Vec::new();
    let suffixes = [".rs", ".sh", ".py", ".ci/run"];
    for path in suffixes.iter().flat_map(|suffix| repository.ending(suffix)) {
        let text = repository.text(path);
        let lines = text.lines().count();
        if lines > FILE_LINES {
            found.push(Finding::new(path, 0, format!("{lines} lines, more than {FILE_LINES}")));
        }
        for (index, line) in text.lines().enumerate() {
            let chars = line.chars().count();
            if chars > LINE_CHARS {
                let message = format!("{chars} characters, more than {LINE_CHARS}");
                found.push(Finding::new(path, index + 1, message));
            }
        }
    }
    found
}

/// Only the backend that nothing stands between and the kernel may use `unsafe`, and not often:
/// what owns the kernel's buffers is small enough to be read.
pub(crate) fn unsafe_code(repository: &Repository) -> Vec<Finding> {
    const PLACE: &str = "backends/uring/src/";
    const BLOCKS: usize = 12;
    // Written so that it is not found here.
    let (lint, block) = (concat!("expect(unsafe", "_code"), concat!("unsafe", " {"));
    let mut found = Vec::new();
    let mut blocks = 0;
    for path in repository.ending(".rs") {
        let text = repository.text(path);
        if path.starts_with(PLACE) {
            blocks += text.matches(block).count();
        } else if text.contains(lint) {
            found.push(Finding::new(path, 0, format!("unsafe code belongs into {PLACE}")));
        }
    }
    if blocks > BLOCKS {
        let message = format!("{blocks} unsafe blocks, more than {BLOCKS}");
        found.push(Finding::new(PLACE, 0, message));
    }
    found
}

/// Every Rust file is the root of a target, or declared as a module on the way from one.
pub(crate) fn reachable(repository: &Repository) -> Vec<Finding> {
    let packages = repository.packages.iter().chain(&repository.apart);
    let roots = packages.flat_map(|package| &package.targets);
    let mut pending: Vec<(String, Root)> =
        roots.map(|target| (target.source.clone(), Root::Yes)).collect();
    let mut reached = BTreeSet::new();
    while let Some((path, root)) = pending.pop() {
        if !reached.insert(path.clone()) || !repository.files.contains(&path) {
            continue;
        }
        let below = modules(&path, root, &repository.text(&path));
        pending.extend(below.into_iter().map(|module| (module, Root::No)));
    }
    repository
        .ending(".rs")
        .filter(|path| !reached.contains(*path))
        .map(|path| Finding::new(path, 0, "no target and no `mod` leads here"))
        .collect()
}

/// Whether a file is the root of a crate: its modules then lie beside it, as those of `mod.rs` do.
#[derive(Clone, Copy, PartialEq)]
enum Root {
    Yes,
    No,
}

/// The files that the `mod` lines of a file may mean. Declarations inside macros (`cfg_if!`) count;
/// modules within an inline module are not looked for.
fn modules(path: &str, root: Root, text: &str) -> Vec<String> {
    let (folder, file) = path.rsplit_once('/').unwrap_or((".", path));
    let stem = file.trim_end_matches(".rs");
    let base = if root == Root::Yes || stem == "mod" {
        folder.to_owned()
    } else {
        format!("{folder}/{stem}")
    };
    let mut found = Vec::new();
    let mut stated = None;
    for line in text.lines().map(str::trim) {
        if let Some(rest) = line.strip_prefix("#[path = \"") {
            stated = rest.split('"').next().map(|file| normal(&format!("{folder}/{file}")));
        } else if let Some(name) = module_name(line) {
            match stated.take() {
                Some(file) => found.push(file),
                None => {
                    found.push(format!("{base}/{name}.rs"));
                    found.push(format!("{base}/{name}/mod.rs"));
                }
            }
        }
    }
    found
}

/// The name in `mod NAME;`, whatever its visibility.
fn module_name(line: &str) -> Option<&str> {
    let visible = match line.strip_prefix("pub") {
        Some(rest) if rest.starts_with('(') => rest.split_once(") ").map(|(_, rest)| rest)?,
        Some(rest) => rest.trim_start(),
        None => line,
    };
    visible.strip_prefix("mod ")?.split_once(';').map(|(name, _)| name)
}

/// The path without `..` and `.`.
pub(crate) fn normal(path: &str) -> String {
    let mut parts: Vec<&str> = Vec::new();
    for part in path.split('/') {
        match part {
            ".." => {
                parts.pop();
            }
            "." | "" => {}
            part => parts.push(part),
        }
    }
    parts.join("/")
}

#[test]
fn modules_are_found_in_every_spelling() {
    let text = "pub mod a;\npub(crate) mod b;\n#[path = \"../c.rs\"]\nmod d;\n// mod e;\nmod f {\n";
    let found = modules("x/src/lib.rs", Root::Yes, text);
    let expected = ["x/src/a.rs", "x/src/a/mod.rs", "x/src/b.rs", "x/src/b/mod.rs", "x/c.rs"];
    assert_eq!(found, expected);
    assert_eq!(modules("x/src/g.rs", Root::No, "mod h;")[0], "x/src/g/h.rs");
}
