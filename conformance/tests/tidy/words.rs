//! Words and phrases that plain English does without: a reader whose English is a second language
//! has to read them twice.

use std::iter;

use crate::repository::{Repository, Violation};

/// What not to write, in lower case, and what to write instead.
const REFUSED: &[(&str, &str)] = &[
    ("anew", "again"),
    ("as yet", "so far"),
    ("at the least", "at least"),
    ("beside", "next to, or while"),
    ("for so long", "how long, or for this long"),
    ("goes on", "continues, or keeps running"),
    ("hardly ever", "almost never"),
    ("in vain", "what fails"),
    ("not said", "unspecified"),
    ("now and then", "sometimes"),
    ("so many times", "N times"),
    ("such a one", "the noun"),
    ("that is none", "that is not one"),
    ("whoever", "who it is: the client, the caller"),
];

/// Documents, comments and the pages of cases use none of the refused words.
pub(crate) fn plain(repository: &Repository) -> Vec<Violation> {
    let mut found = Vec::new();
    for path in &repository.files {
        let Some(lines) = prose(path, || repository.text(path)) else { continue };
        let following = lines.iter().skip(1).map(String::as_str).chain(iter::once(""));
        for (index, (line, next)) in lines.iter().zip(following).enumerate() {
            for (refused, instead) in REFUSED {
                if has(line, next, refused) {
                    let message = format!("`{refused}`: write {instead}");
                    found.push(Violation::new(path, index + 1, message));
                }
            }
        }
    }
    found
}

/// The lines of a file in lower case, with nothing but its prose; `None` of a file without any.
fn prose(path: &str, text: impl FnOnce() -> String) -> Option<Vec<String>> {
    /// Marks the comments of a language.
    const COMMENTS: [(&str, &str); 5] =
        [(".rs", "//"), (".sh", "#"), (".toml", "#"), (".yml", "#"), (".py", "#")];

    // Their sources are checked.
    if ["docs/CASES.md", "docs/MUTANTS.md"].contains(&path) {
        return None;
    }
    if path.ends_with(".md") {
        let mut is_code = false;
        let mut of_line = |line: &str| {
            let is_fence = line.trim_start().starts_with("```");
            is_code ^= is_fence;
            let outside = line.split('`').step_by(2).collect::<Vec<_>>().join("``");
            if is_code || is_fence { String::new() } else { outside.to_lowercase() }
        };
        return Some(text().lines().map(&mut of_line).collect());
    }
    if path.starts_with("conformance/pages/") {
        return Some(text().lines().map(str::to_lowercase).collect());
    }
    let (_, mark) = COMMENTS.iter().find(|(ending, _)| path.ends_with(ending))?;
    let comment = |line: &str| match line.trim_start().strip_prefix(mark) {
        Some(comment) => comment.trim_start_matches(['/', '!', '#']).trim().to_lowercase(),
        None => String::new(),
    };
    Some(text().lines().map(comment).collect())
}

/// Whether a phrase of whole words begins in `line`; it may end in the next one.
fn has(line: &str, next: &str, phrase: &str) -> bool {
    let both = format!("{line} {}", next.trim_start());
    let is_part = |c: char| c.is_alphanumeric() || "-_/`".contains(c);
    both.match_indices(phrase).any(|(at, _)| {
        let before = both[..at].chars().next_back();
        let after = both[at + phrase.len()..].chars().next();
        at < line.len() && !before.is_some_and(is_part) && !after.is_some_and(is_part)
    })
}

#[test]
fn a_phrase_is_found_across_lines_and_in_whole_words_only() {
    assert!(has("waits for so", "long that", "for so long"));
    assert!(!has("waits", "anew", "anew"));
    assert!(!has("fair/beside-streams", "", "beside"));
    assert!(!has("renewed", "", "anew"));
}
