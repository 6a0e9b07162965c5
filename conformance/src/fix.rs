//! The likely fix of a failure: `conformance/fixes.toml`. One fix belongs to one cause, which many
//! cases can show.

use std::collections::BTreeMap;
use std::sync::LazyLock;

use harness::pattern::matches;
use report::{Cell, Failure, FailureKind, Outside, Verdict};
use serde::Deserialize;

/// What to change in a server that fails for one cause.
#[derive(Clone, Debug, Deserialize, PartialEq, Eq)]
#[serde(deny_unknown_fields)]
pub struct Fix {
    /// A short name of the cause.
    pub name: String,
    /// One sentence.
    pub what: String,
    /// Patterns for `suite/case`.
    cases: Vec<String>,
    /// The kinds of failure that the cause has; empty if it can have any.
    #[serde(default)]
    failures: Vec<FailureKind>,
    /// A text that is part of what was seen, or of the server's standard error.
    says: Option<String>,
    /// Texts that are not part of it.
    #[serde(default)]
    unless: Vec<String>,
    /// The call in each language that needs one.
    pub calls: BTreeMap<String, String>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct File {
    fix: Vec<Fix>,
}

/// All fixes. The file is part of the program, and a test parses it.
static FIXES: LazyLock<Vec<Fix>> = LazyLock::new(|| {
    let file: Result<File, _> = toml::from_str(include_str!("../fixes.toml"));
    file.map(|file| file.fix).unwrap_or_default()
});

impl Fix {
    /// The likely fix for the failure of a cell.
    #[must_use]
    pub fn find(cell: &Cell) -> Option<&'static Self> {
        // Of an error, the judge does not know whether the server is wrong.
        let failure = cell.failure.as_ref().filter(|_| cell.verdict != Verdict::Error)?;
        Self::find_for(&cell.id().on_terminal(), failure, &cell.stderr_tail)
    }

    fn find_for(id: &str, failure: &Failure, stderr: &[Outside]) -> Option<&'static Self> {
        FIXES.iter().find(|fix| fix.matches(id, failure, stderr))
    }

    /// The fixes for the causes that a case can show by one of these kinds of failure, except those
    /// that every case can show.
    pub fn of_case(id: &str, kinds: &[&str]) -> impl Iterator<Item = &'static Self> {
        let fits = move |fix: &&Self| {
            let names = fix.cases.iter().any(|case| case != "*" && matches(case, id));
            names && fix.failures.iter().any(|kind| kinds.contains(&kind.word()))
        };
        FIXES.iter().filter(fits)
    }

    /// The sentence, and the call in `language`, or in all languages if that has none. Calls
    /// contain commas and semicolons, so bars stand between them.
    #[must_use]
    pub fn words(&self, language: Option<&str>) -> String {
        let own = language.and_then(|language| self.calls.get_key_value(language));
        let calls: Vec<(&String, &String)> = match own {
            Some(own) => vec![own],
            None => self.calls.iter().collect(),
        };
        let calls: Vec<String> =
            calls.into_iter().map(|(language, call)| format!("{language}: {call}")).collect();
        format!("{} {}", self.what, calls.join(" | "))
    }

    fn matches(&self, id: &str, failure: &Failure, stderr: &[Outside]) -> bool {
        let is_case = self.cases.iter().any(|pattern| matches(pattern, id));
        let is_kind = self.failures.is_empty() || self.failures.contains(&failure.kind);
        let is_said = |text: &String| {
            [&failure.actual].into_iter().chain(stderr).any(|line| line.contains(text))
        };
        let is_said_as_wanted =
            self.says.as_ref().is_none_or(is_said) && !self.unless.iter().any(is_said);
        is_case && is_kind && is_said_as_wanted
    }
}

/// The language of a server that this program runs.
#[must_use]
pub fn language_of(program: &str) -> Option<&'static str> {
    // Without a version: python3.11, node22.
    let name = program.strip_suffix(".exe").unwrap_or(program);
    match name.trim_end_matches(|c: char| c.is_ascii_digit() || c == '.') {
        "go" => Some("Go"),
        "java" => Some("Java"),
        "cargo" => Some("Rust"),
        "python" | "pypy" => Some("Python"),
        "node" | "nodejs" | "bun" | "deno" => Some("Node.js"),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::suites;

    fn ids() -> Vec<String> {
        let cases = |suite: &&crate::case::Suite| {
            suite.cases.iter().map(|case| format!("{}/{}", suite.name, case.name)).collect()
        };
        suites::ALL.iter().flat_map(|suite| -> Vec<String> { cases(suite) }).collect()
    }

    #[test]
    fn every_fix_has_cases_and_calls() {
        let file: File = toml::from_str(include_str!("../fixes.toml")).unwrap();
        assert!(file.fix.len() >= 12);
        for fix in &file.fix {
            for pattern in &fix.cases {
                let is_known = ids().iter().any(|id| matches(pattern, id));
                assert!(is_known, "{}: no case matches {pattern}", fix.name);
            }
            assert!(!fix.calls.is_empty() && fix.what.ends_with('.'), "{}", fix.name);
            let languages = ["C", "Go", "Java", "Node.js", "Python", "Rust"];
            let unknown = fix.calls.keys().find(|name| !languages.contains(&name.as_str()));
            assert_eq!(unknown, None, "{}", fix.name);
        }
    }

    #[test]
    fn the_cause_is_told_by_what_was_seen() {
        let find = |case: &str, kind, actual: &str, stderr: &str| {
            let failure = Failure::new(kind, "it serves", actual);
            let id = if case.contains('/') { case.to_owned() } else { format!("tcp-reset/{case}") };
            Fix::find_for(&id, &failure, &[stderr.into()]).map(|fix| fix.name.as_str())
        };
        use FailureKind::{Altered, Closed, Crash, Descriptors, Queue, Slow};
        let stack = "Unhandled 'error' event, emitted 'error' event on Socket instance";
        let server = "Unhandled 'error' event, emitted 'error' event on Server instance";
        assert_eq!(find("idle", Crash, "ended with status 1", server), Some("listen-error"));
        assert_eq!(find("idle", Crash, "was ended by SIGSEGV (signal 11)", ""), None);
        assert_eq!(find("idle", Crash, "was ended by SIGPIPE (signal 13)", ""), Some("sigpipe"));
        assert_eq!(find("idle", Crash, "ended with status 1", stack), Some("error-listener"));
        assert_eq!(find("idle", Crash, "ended with status 1", ""), Some("peer-errors"));
        assert_eq!(find("tcp-echo/latency-no-stall", Slow, "44", ""), Some("nodelay"));
        assert_eq!(find("tcp-accept/burst", Queue, "", ""), Some("backlog"));
        assert_eq!(find("tcp-half-close/many", Closed, "", ""), Some("flush-before-close"));
        assert_eq!(find("tcp-content/textual", Altered, "", ""), Some("bytes-not-text"));
        assert_eq!(find("tcp-close/idle", Descriptors, "", ""), Some("close-descriptors"));
        let without = "a server that keeps running";
        assert_eq!(find("tcp-accept/emfile-no-spin", Crash, without, ""), Some("accept-again"));
        let inherited = find("life/descriptors-not-inherited", Descriptors, "11 (socket)", "");
        assert_eq!(inherited, Some("close-on-exec"));
        assert_eq!(find("idle/wakeups", Slow, "", ""), None);
    }

    #[test]
    fn a_server_gets_the_call_of_its_language() {
        let fix = Fix::of_case("tcp-echo/latency-no-stall", &["slow"]).next().unwrap();
        let words = fix.words(language_of("python3.11"));
        assert!(words.contains("Python: ") && !words.contains("Java: "), "{words}");
        assert!(fix.words(language_of("server")).contains("Java: "));
        assert_eq!(
            ["bundle", "node_exporter", "node.exe"].map(language_of),
            [None, None, Some("Node.js")]
        );
        let in_all = fix.words(Some("Cobol"));
        assert!(in_all.contains("C: ") && in_all.contains("Rust: "), "{in_all}");
    }
}
