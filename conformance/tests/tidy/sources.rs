//! The shape of source files: how they open, how long they are, and that each is part of a target.

use std::collections::BTreeSet;

use crate::paths::normalize;
use crate::repository::{Repository, Violation};
use crate::syntax::words;

const FILE_LINES: usize = 600;
const LINE_CHARS: usize = 100;

/// Every Rust file opens with a sentence that says what lives in it.
pub(crate) fn openings(repository: &Repository) -> Vec<Violation> {
    let silent = |path: &&str| !repository.text(path).starts_with("//! ");
    let found = repository.files_with_suffix(".rs").filter(silent);
    found
        .map(|path| Violation::new(path, 1, "should open with `//! ` and what lives here"))
        .collect()
}

/// Rust files and scripts keep the limits on lines and characters.
pub(crate) fn lengths(repository: &Repository) -> Vec<Violation> {
    let mut found = Vec::new();
    let suffixes = [".rs", ".sh", ".py", ".ci/run", "ci/nightly"];
    for path in suffixes.iter().flat_map(|suffix| repository.files_with_suffix(suffix)) {
        let text = repository.text(path);
        let lines = text.lines().count();
        if lines > FILE_LINES {
            found.push(Violation::new(path, 0, format!("{lines} lines, more than {FILE_LINES}")));
        }
        for (index, line) in text.lines().enumerate() {
            let chars = line.chars().count();
            if chars > LINE_CHARS {
                let message = format!("{chars} characters, more than {LINE_CHARS}");
                found.push(Violation::new(path, index + 1, message));
            }
        }
    }
    found
}

/// A `use` names one module: rustfmt keeps this form, but does not enforce it.
pub(crate) fn imports(repository: &Repository) -> Vec<Violation> {
    let mut found = Vec::new();
    for path in repository.files_with_suffix(".rs") {
        let text = repository.text(path);
        let words = words(&text);
        for (index, word) in words.iter().enumerate().filter(|(_, word)| word.text == "use") {
            // `use<'a>` in a type lists what it captures.
            if words.get(index + 1).is_some_and(|next| next.text == "<") {
                continue;
            }
            let of_statement = words[index..].iter().take_while(|word| word.text != ";");
            if of_statement.filter(|word| word.text == "{").count() > 1 {
                let message = "names several modules: write one `use` for each";
                found.push(Violation::new(path, word.line, message));
            }
        }
    }
    found
}

/// The files that may contain `unsafe`, and why.
const UNSAFE: &[(&str, &str)] = &[
    ("backends/uring/src/buffers.rs", "the kernel is given pointers to buffers"),
    ("backends/uring/src/ring.rs", "the kernel is given entries with pointers and descriptors"),
    ("harness/src/host/ring_trial.rs", "the kernel is given entries with pointers and descriptors"),
    ("proof/history/servers/compio-315.rs", "compio's listener takes over a raw descriptor only"),
    ("proof/history/servers/compio-770.rs", "sets SIGPIPE as the program of the report has it"),
    ("proof/mutant/src/ring.rs", "the kernel is given entries with pointers and descriptors"),
    ("proof/upstream/src/bin/linux_multishot_accept.rs", "the kernel is given an entry"),
];
/// Few, so that the code that owns the kernel's buffers stays small enough to read.
const UNSAFE_PLACES: usize = 18;

/// Only listed files contain `unsafe`, or an exception from the lint against it.
pub(crate) fn unsafe_code(repository: &Repository) -> Vec<Violation> {
    let mut found = Vec::new();
    let mut places = 0;
    for path in repository.files_with_suffix(".rs") {
        let lines = unsafe_lines(&repository.text(path));
        match UNSAFE.iter().find(|(listed, _)| *listed == path) {
            Some((_, reason)) if lines.is_empty() => {
                let message = format!("is listed for unsafe code ({reason}) and has none");
                found.push(Violation::new(path, 0, message));
            }
            Some(_) => places += lines.len(),
            None => {
                let violation = |line| Violation::new(path, line, "is not listed for unsafe code");
                found.extend(lines.into_iter().map(violation));
            }
        }
    }
    let gone = UNSAFE.iter().filter(|(path, _)| !repository.has(path));
    found.extend(
        gone.map(|(path, _)| Violation::new(path, 0, "is listed for unsafe code: no such file")),
    );
    if places > UNSAFE_PLACES {
        let message =
            format!("{places} times `unsafe` in the listed files, more than {UNSAFE_PLACES}");
        found.push(Violation::new("", 0, message));
    }
    found
}

/// The lines of a file that contain `unsafe`, or name the lint in an attribute.
fn unsafe_lines(text: &str) -> Vec<usize> {
    let words = words(text);
    let lint = words.windows(2).filter(|pair| pair[0].text == "(" && pair[1].text == "unsafe_code");
    let keyword = words.iter().filter(|word| word.text == "unsafe");
    keyword.chain(lint.map(|pair| &pair[1])).map(|word| word.line).collect()
}

/// Every Rust file is the root of a target, or can be reached from one through `mod` declarations.
pub(crate) fn reachable(repository: &Repository) -> Vec<Violation> {
    let packages = repository.packages.iter().chain(&repository.other_packages);
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
        .files_with_suffix(".rs")
        .filter(|path| !reached.contains(*path))
        .map(|path| Violation::new(path, 0, "no target and no `mod` leads here"))
        .collect()
}

/// Whether a file is the root of a crate. The modules of a root lie next to it, like those of
/// `mod.rs`.
#[derive(Clone, Copy, PartialEq)]
pub(crate) enum Root {
    Yes,
    No,
}

/// The files that the `mod` declarations of a file may mean. Declarations inside macros (`cfg_if!`)
/// count; files of modules within an inline module are not found.
fn modules(path: &str, root: Root, text: &str) -> Vec<String> {
    let (folder, _) = path.rsplit_once('/').unwrap_or((".", path));
    let base = folder_of_modules(path, root);
    let mut found = Vec::new();
    let mut stated = None;
    for line in text.lines().map(str::trim) {
        if let Some(rest) = line.strip_prefix("#[path = \"") {
            stated = rest.split('"').next().map(|file| normalize(&format!("{folder}/{file}")));
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

/// The folder with the files of the modules that a file declares.
pub(crate) fn folder_of_modules(path: &str, root: Root) -> String {
    let (folder, file) = path.rsplit_once('/').unwrap_or((".", path));
    let stem = file.trim_end_matches(".rs");
    if root == Root::Yes || stem == "mod" { folder.to_owned() } else { format!("{folder}/{stem}") }
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

#[test]
fn modules_are_found_in_every_spelling() {
    let text = "pub mod a;\npub(crate) mod b;\n#[path = \"../c.rs\"]\nmod d;\n// mod e;\nmod f {\n";
    let found = modules("x/src/lib.rs", Root::Yes, text);
    let expected = ["x/src/a.rs", "x/src/a/mod.rs", "x/src/b.rs", "x/src/b/mod.rs", "x/c.rs"];
    assert_eq!(found, expected);
    assert_eq!(modules("x/src/g.rs", Root::No, "mod h;")[0], "x/src/g/h.rs");
}

#[test]
fn unsafe_code_is_found_whatever_it_is() {
    let text = "// unsafe {
unsafe fn f() {}
unsafe impl A for B {}
\"unsafe\"
";
    assert_eq!(unsafe_lines(text), [2, 3]);
    assert_eq!(unsafe_lines("//! x\n#![expect(unsafe_code)]"), [2]);
}
