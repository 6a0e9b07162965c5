//! What somebody may have meant who wrote an id that no case has.

use conformance::suites;

use super::{cases, id_of};

/// So many ids at most are a help.
const MOST: usize = 3;

/// A sentence with the ids that are nearest, or with the cases of a suite that was named alone.
pub(super) fn sentence(id: &str) -> String {
    if let Some(suite) = suites::ALL.iter().find(|suite| suite.name == id.trim_end_matches('/')) {
        let cases: Vec<String> =
            suite.cases.iter().map(|case| format!("\n  {}", id_of(suite, case))).collect();
        let name = suite.name;
        return format!("{name} is a suite; write '{name}/*' or one of{}", cases.concat());
    }
    match nearest(id).as_slice() {
        [] => format!("no case has the id '{id}'; `iomatrix list` shows them"),
        ids => format!("no case has the id '{id}'; the nearest are {}", ids.join(", ")),
    }
}

/// The ids that are nearest to what was written, the nearest first; `suite/*` for a suite's name.
fn nearest(written: &str) -> Vec<String> {
    // As in the names of tests.
    let written = written.to_lowercase().replace("::", "/");
    let suites = suites::ALL.iter().map(|suite| (format!("{}/*", suite.name), suite.name));
    let mut found: Vec<(usize, String)> = cases()
        .map(|(suite, case)| (id_of(suite, case), case.name))
        .chain(suites)
        .map(|(id, name)| (distance(&written, &id).min(distance(&written, name)), id))
        .filter(|(edits, id)| *edits <= written.len() / 3 || id.contains(&written))
        .collect();
    found.sort();
    found.into_iter().take(MOST).map(|(_, id)| id).collect()
}

/// Letters to insert, to remove or to change on the way from one word to another (Levenshtein).
fn distance(from: &str, to: &str) -> usize {
    let to: Vec<char> = to.chars().collect();
    let mut edits: Vec<usize> = (0..=to.len()).collect();
    for (row, letter) in from.chars().enumerate() {
        let mut diagonal = edits[0];
        edits[0] = row + 1;
        for column in 1..=to.len() {
            let change = diagonal + usize::from(letter != to[column - 1]);
            diagonal = edits[column];
            edits[column] = change.min(diagonal + 1).min(edits[column - 1] + 1);
        }
    }
    edits[to.len()]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn distance_counts_edits() {
        assert_eq!(distance("", "abc"), 3);
        assert_eq!(distance("kitten", "sitting"), 3);
        assert_eq!(distance("same", "same"), 0);
    }

    #[test]
    fn the_nearest_come_first() {
        assert_eq!(nearest("tcp-half-close/large-backlogs")[0], "tcp-half-close/large-backlog");
        assert_eq!(nearest("large-backlog"), ["tcp-half-close/large-backlog"]);
        assert_eq!(nearest("tcp-half-close::empty")[0], "tcp-half-close/empty");
        assert_eq!(nearest("idle")[..3], ["idle/*", "tcp-close/idle", "tcp-reset/idle"]);
        assert_eq!(nearest("tcp-ecoh")[0], "tcp-echo/*");
        assert!(nearest("nothing-of-the-kind").is_empty());
    }

    #[test]
    fn a_suite_alone_lists_its_cases() {
        let sentence = sentence("tcp-large");
        assert!(sentence.starts_with("tcp-large is a suite; write 'tcp-large/*' or one of\n"));
        assert!(sentence.contains("\n  tcp-large/single-write"));
    }
}
