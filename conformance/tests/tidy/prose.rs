//! What Markdown names must exist: paths, modules, links, headings, and parts of commands.

use std::collections::{BTreeMap, BTreeSet};

use conformance::suites;
use harness::pattern::matches;

use crate::modules::{Modules, Tests};
use crate::paths::normalize;
use crate::registry::is_case;
use crate::repository::{Package, Repository, Violation, field};

/// A word in code with one of these endings is a file, even without a folder before it.
const FILE_ENDINGS: &[&str] = &[".md", ".rs", ".toml", ".sh", ".py", ".yml"];

/// Code in a document: a span in backticks, or a line of a fence.
struct Snippet {
    line: usize,
    text: String,
}

/// Words in code that look like files or folders of the repository exist.
pub(crate) fn paths(repository: &Repository) -> Vec<Violation> {
    let tops: BTreeSet<&str> =
        repository.files.iter().filter_map(|file| Some(file.split_once('/')?.0)).collect();
    let mut found = Vec::new();
    for document in repository.files_with_suffix(".md") {
        let folder = document.rsplit_once('/').map_or("", |(folder, _)| folder);
        for snippet in snippets(&repository.text(document)) {
            for word in snippet.text.split_whitespace().map(trim_punctuation) {
                let top = word.split_once('/').is_some_and(|(top, _)| tops.contains(top));
                let file = FILE_ENDINGS.iter().any(|ending| word.ends_with(ending));
                let whole = word.chars().all(|c| c.is_ascii_alphanumeric() || "._-/".contains(c));
                if !whole || is_placeholder(word) || !(top || file) {
                    continue;
                }
                let beside = normalize(&format!("{folder}/{word}"));
                let deep = format!("/{word}");
                let known = repository.has(&normalize(word))
                    || repository.has(&beside)
                    || (!top && repository.files.iter().any(|path| path.ends_with(&deep)));
                if !known {
                    found.push(Violation::new(document, snippet.line, format!("no {word} here")));
                }
            }
        }
    }
    found
}

/// Paths in code that begin with a crate of ours, such as `report::load::Workload`, exist.
pub(crate) fn modules(repository: &Repository) -> Vec<Violation> {
    let read = |path: &str| repository.has(path).then(|| repository.text(path));
    let mut crates: BTreeMap<&str, Modules> = BTreeMap::new();
    let mut found = Vec::new();
    for document in repository.files_with_suffix(".md") {
        for Snippet { line, text } in snippets(&repository.text(document)) {
            let names: Vec<&str> = text.split("::").collect();
            let is_name = |name: &&str| {
                !name.is_empty() && name.chars().all(|c| c.is_ascii_alphanumeric() || c == '_')
            };
            let Some(root) = root_of(repository, names[0]).filter(|_| names.iter().all(is_name))
            else {
                continue;
            };
            let modules =
                crates.entry(root).or_insert_with(|| Modules::read(root, Tests::LeftOut, &read));
            if !modules.has(&names[1..]) {
                found.push(Violation::new(document, line, format!("no {text} here")));
            }
        }
    }
    found
}

/// The root file of the library or program that code calls by this name.
fn root_of<'a>(repository: &'a Repository, name: &str) -> Option<&'a str> {
    let package = repository.packages.iter().find(|it| it.name.replace('-', "_") == name)?;
    let target = |kind: &str| package.targets.iter().find(|target| target.kind == kind);
    Some(&target("lib").or_else(|| target("bin"))?.source)
}

/// Links lead to files and headings that exist.
pub(crate) fn links(repository: &Repository) -> Vec<Violation> {
    let mut found = Vec::new();
    for document in repository.files_with_suffix(".md") {
        let folder = document.rsplit_once('/').map_or("", |(folder, _)| folder);
        let text = repository.text(document);
        for (line, link) in targets(&text) {
            if link.contains("://") || link.starts_with("mailto:") {
                continue;
            }
            let (file, anchor) = link.split_once('#').unwrap_or((&link, ""));
            let path = match file {
                "" => document.to_owned(),
                file => normalize(&format!("{folder}/{file}")),
            };
            if !repository.has(&path) {
                found.push(Violation::new(document, line, format!("link to {link}: no such file")));
            } else if !anchor.is_empty() && !headings(&repository.text(&path)).contains(anchor) {
                let message = format!("link to {link}: no such heading");
                found.push(Violation::new(document, line, message));
            }
        }
    }
    found
}

/// Packages, targets, features and rows that commands name exist.
pub(crate) fn commands(repository: &Repository) -> Vec<Violation> {
    let mut found = Vec::new();
    for document in repository.files_with_suffix(".md") {
        for snippet in snippets(&repository.text(document)) {
            for message in unknown_parts(repository, &snippet.text) {
                found.push(Violation::new(document, snippet.line, message));
            }
        }
    }
    found
}

/// Parts that a command names and the repository lacks.
fn unknown_parts(repository: &Repository, command: &str) -> Vec<String> {
    let words: Vec<&str> = command.split_whitespace().map(trim_punctuation).collect();
    let mut found = Vec::new();
    let mut package: Option<&Package> = None;
    // What follows `--` is for the program that Cargo runs, whose `-p` means something else.
    let for_program = words.iter().position(|word| *word == "--").unwrap_or(words.len());
    for (at, pair) in words.windows(2).enumerate().filter(|(_, pair)| !is_placeholder(pair[1])) {
        let (option, name) = (pair[0], pair[1]);
        let target = |kind: &str| {
            let mut packages = repository
                .packages
                .iter()
                .chain(&repository.other_packages)
                .filter(|member| package.is_none_or(|package| package.name == member.name));
            packages.any(|member| member.targets.iter().any(|t| t.kind == kind && t.name == name))
        };
        let known = match option {
            "-p" | "--package" if words.contains(&"cargo") && at < for_program => {
                package = repository.package(name);
                package.is_some()
            }
            "--test" => target("test"),
            "--example" => target("example"),
            "--bin" => target("bin"),
            "--features" => package.is_none_or(|package| {
                name.split(',').all(|name| package.features.iter().any(|known| known == name))
            }),
            "--row" => name.split(',').all(|pattern| {
                repository.entries("row").any(|row| matches(pattern, field(row, "name")))
            }),
            // A cell may be named: row::suite/case.
            "--case" => is_case(name.rsplit("::").next().unwrap_or(name)),
            "explain" if words.contains(&"iomatrix") => name.starts_with('-') || is_case(name),
            "--suite" => suites::ALL.iter().any(|suite| suite.name == name),
            _ => true,
        };
        if !known {
            found.push(format!("{option} {name}: no such thing, in `{command}`"));
        }
    }
    found
}

/// A word without the punctuation around it, and without `./`.
fn trim_punctuation(word: &str) -> &str {
    let word = word.trim_matches(|c: char| "\"'`(),;:|".contains(c));
    word.strip_prefix("./").unwrap_or(word)
}

/// Words that stand for a value, such as `backend-NAME`, `DIR/x.json`, `{port}` or `[N]`.
fn is_placeholder(word: &str) -> bool {
    let stands = |part: &str| part.len() > 1 && part.chars().all(|c| c.is_ascii_uppercase());
    let file = FILE_ENDINGS.iter().find_map(|ending| word.strip_suffix(ending));
    let (folders, last) = word.rsplit_once('/').unwrap_or(("", word));
    let spoken = if file.is_some() && last.ends_with(".md") { folders } else { word };
    word.contains(['<', '>', '{', '}', '[', ']', '$', '…'])
        || spoken.split(['/', '-', '.', ',', '*']).any(stands)
        || word.chars().all(|c| c.is_ascii_uppercase())
}

fn snippets(text: &str) -> Vec<Snippet> {
    let mut found = Vec::new();
    let mut fenced = false;
    for (index, line) in text.lines().enumerate() {
        if line.trim_start().starts_with("```") {
            fenced = !fenced;
        } else if fenced {
            found.push(Snippet { line: index + 1, text: line.to_owned() });
        } else {
            let spans = line.split('`').skip(1).step_by(2);
            found.extend(spans.map(|span| Snippet { line: index + 1, text: span.to_owned() }));
        }
    }
    found
}

/// The targets of `[text](target)` outside code, with their lines.
fn targets(text: &str) -> Vec<(usize, String)> {
    let mut found = Vec::new();
    let mut fenced = false;
    for (index, line) in text.lines().enumerate() {
        if line.trim_start().starts_with("```") {
            fenced = !fenced;
        } else if !fenced {
            let prose: String = line.split('`').step_by(2).collect::<Vec<_>>().join("``");
            let ends = prose.split("](").skip(1).filter_map(|rest| Some(rest.split_once(')')?.0));
            found.extend(ends.map(|target| (index + 1, target.to_owned())));
        }
    }
    found
}

/// The anchors that a document's headings get.
fn headings(text: &str) -> BTreeSet<String> {
    let titles = text.lines().filter(|line| line.starts_with('#'));
    let slug = |title: &str| {
        let title = title.trim_start_matches('#').trim().to_lowercase();
        let kept = title.chars().filter(|c| c.is_alphanumeric() || " -_".contains(*c));
        kept.map(|c| if c == ' ' { '-' } else { c }).collect()
    };
    titles.map(slug).collect()
}

#[test]
fn words_are_told_apart() {
    assert!(is_placeholder("backend-NAME") && is_placeholder("conformance-OS.json"));
    assert!(!is_placeholder("docs/CONTRACT.md") && !is_placeholder("tokio"));
    assert_eq!(trim_punctuation("`./ci/x.sh`,"), "ci/x.sh");
}

#[test]
fn headings_become_anchors() {
    assert!(headings("# A b, `c`!\n").contains("a-b-c"));
    assert_eq!(targets("see [x](y.md#z) and `[a](b)`"), [(1, "y.md#z".to_owned())]);
}
