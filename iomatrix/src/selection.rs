//! Finds the rows, suites and cases that a command line names by name or pattern, and suggests
//! names where nothing matches.

use conformance::case::{Case, Suite};
use conformance::suites;
use harness::pattern::{Pattern, matches, matches_any};
use harness::registry::{Registry, RowEntry};

use crate::error::Error;

/// The largest number of names that are suggested.
const SUGGESTIONS: usize = 3;

/// The rows of this build that match a pattern, in the registry's order; all without a pattern.
///
/// # Errors
/// A pattern that no row matches.
pub(crate) fn rows<'a>(
    registry: &'a Registry,
    patterns: &[String],
) -> Result<Vec<&'a RowEntry>, Error> {
    expect_rows(registry, patterns)?;
    let patterns: Vec<Pattern> = patterns.iter().map(Pattern::from).collect();
    let is_selected = |entry: &&RowEntry| matches_any(&patterns, &entry.name);
    Ok(registry.built_rows().filter(is_selected).collect())
}

/// The row of this build with exactly this name.
///
/// # Errors
/// No row has this name.
pub(crate) fn row<'a>(registry: &'a Registry, name: &str) -> Result<&'a RowEntry, Error> {
    let found = registry.built_rows().find(|entry| entry.name == name);
    found.ok_or_else(|| unknown_row(registry, name))
}

fn expect_rows(registry: &Registry, patterns: &[String]) -> Result<(), Error> {
    let is_known = |pattern: &&String| registry.built_rows().any(|row| matches(pattern, &row.name));
    match patterns.iter().find(|pattern| !is_known(pattern)) {
        Some(unknown) => Err(unknown_row(registry, unknown)),
        None => Ok(()),
    }
}

fn unknown_row(registry: &Registry, name: &str) -> Error {
    let names: Vec<&str> = registry.built_rows().map(|row| row.name.as_str()).collect();
    Error::UnknownName {
        noun: "row",
        name: name.into(),
        nearest: nearest(name, names.iter().map(|name| ((*name).to_owned(), *name))),
        known: format!("the rows are: {}", names.join(", ")),
    }
}

/// Expects each pattern to match a suite.
///
/// # Errors
/// A pattern that no suite matches.
pub(crate) fn expect_suites(patterns: &[String]) -> Result<(), Error> {
    let names = || suites::ALL.iter().map(|suite| suite.name);
    match patterns.iter().find(|pattern| !names().any(|name| matches(pattern, name))) {
        None => Ok(()),
        Some(name) => Err(Error::UnknownName {
            noun: "suite",
            name: name.into(),
            nearest: nearest(name, names().map(|name| (name.to_owned(), name))),
            known: format!("the suites are: {}", names().collect::<Vec<_>>().join(", ")),
        }),
    }
}

/// The cases that were written, in catalogue order; all if none was.
///
/// # Errors
/// Those of [`case_pattern`].
pub(crate) fn cases(written: &[String]) -> Result<Vec<(&'static Suite, &'static Case)>, Error> {
    let ids = case_patterns(written)?;
    Ok(catalogue().filter(|(suite, case)| matches_any(&ids, &id_of(suite, case))).collect())
}

/// The patterns for ids of [`case_pattern`], without rows.
///
/// # Errors
/// Those of [`case_pattern`].
pub(crate) fn case_patterns(written: &[String]) -> Result<Vec<Pattern>, Error> {
    written.iter().map(|text| Ok(Pattern::from(&case_pattern(text)?.id))).collect()
}

/// What was written for a case.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct CasePattern {
    /// The row, if the name of a cell was written.
    pub(crate) row: Option<String>,
    /// A pattern for `suite/case`.
    pub(crate) id: String,
}

/// Reads `suite/case`, the name of a cell as screens and tests have it (`row::suite/case`,
/// `row::suite::case`), or the name of a case that only one suite has.
///
/// # Errors
/// No case matches, or cases of several suites have the name.
pub(crate) fn case_pattern(written: &str) -> Result<CasePattern, Error> {
    let ids = || catalogue().map(|(suite, case)| id_of(suite, case));
    let is_known = |pattern: &str| ids().any(|id| matches(pattern, &id));
    let text = written.replace("::", "/");
    if is_known(&text) {
        return Ok(CasePattern { row: None, id: text });
    }
    if let Some((row, id)) = text.split_once('/')
        && is_known(id)
    {
        return Ok(CasePattern { row: Some(row.to_owned()), id: id.to_owned() });
    }
    let mut named = catalogue().filter(|(_, case)| case.name == text);
    let Some((suite, case)) = named.next() else { return Err(unknown_case(written)) };
    let others: Vec<String> = named.map(|(suite, case)| id_of(suite, case)).collect();
    if others.is_empty() {
        return Ok(CasePattern { row: None, id: id_of(suite, case) });
    }
    let suite_of_name = suites::ALL.iter().find(|suite| suite.name == case.name);
    let whole = suite_of_name.map(|suite| format!("{}/*", suite.name));
    let cases = [vec![id_of(suite, case)], others, whole.into_iter().collect()].concat();
    Err(Error::CaseOfSeveralSuites { case: case.name, cases })
}

/// Every case, in catalogue order.
pub(crate) fn catalogue() -> impl Iterator<Item = (&'static Suite, &'static Case)> {
    suites::ALL.iter().flat_map(|suite| suite.cases.iter().map(|case| (*suite, case)))
}

/// `suite/case`.
pub(crate) fn id_of(suite: &Suite, case: &Case) -> String {
    format!("{}/{}", suite.name, case.name)
}

fn unknown_case(id: &str) -> Error {
    if let Some(suite) = suites::ALL.iter().find(|suite| suite.name == id.trim_end_matches('/')) {
        let cases = suite.cases.iter().map(|case| id_of(suite, case)).collect();
        return Error::SuiteForCase { suite: suite.name, cases };
    }
    Error::UnknownName {
        noun: "case",
        name: id.into(),
        nearest: nearest_cases(id),
        known: "`iomatrix list` shows the cases".to_owned(),
    }
}

/// Suggests ids of cases, and `suite/*` for suites.
fn nearest_cases(written: &str) -> Vec<String> {
    let suites = suites::ALL.iter().map(|suite| (format!("{}/*", suite.name), suite.name));
    let cases = catalogue().map(|(suite, case)| (id_of(suite, case), case.name));
    nearest(written, cases.chain(suites))
}

/// Suggests what the user may have meant, the likeliest first. A candidate is a name to suggest,
/// and a shorter name that the user may have written for it.
fn nearest<'a>(written: &str, candidates: impl Iterator<Item = (String, &'a str)>) -> Vec<String> {
    // Names of tests have `::` where ids have `/`.
    let written = written.to_lowercase().replace("::", "/");
    let edits = |name: &str| strsim::levenshtein(&written, name);
    let mut found: Vec<(usize, String)> = candidates
        .map(|(full, short)| (edits(&full).min(edits(short)), full))
        .filter(|(edits, full)| *edits <= written.len() / 3 || full.contains(&written))
        .collect();
    found.sort();
    found.into_iter().take(SUGGESTIONS).map(|(_, full)| full).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ids(patterns: &[&str]) -> Vec<String> {
        let patterns: Vec<String> = patterns.iter().map(|&pattern| pattern.to_owned()).collect();
        cases(&patterns).unwrap().into_iter().map(|(suite, case)| id_of(suite, case)).collect()
    }

    #[track_caller]
    fn suggestions(error: Error) -> Vec<String> {
        let Error::UnknownName { nearest, .. } = error else { panic!("no name: {error:?}") };
        nearest
    }

    #[test]
    fn cases_come_once_and_in_catalogue_order() {
        let some = ids(&["tcp-close/idle", "tcp-*/idle", "tcp-echo/one-byte"]);
        assert_eq!(some, ["tcp-echo/one-byte", "tcp-reset/idle", "tcp-close/idle"]);
        assert_eq!(ids(&[]).len(), catalogue().count());
    }

    #[test]
    fn every_spelling_of_a_cell_finds_its_case() {
        let read = |text| case_pattern(text).unwrap();
        for text in ["tcp-echo/one-byte", "tcp-echo::one-byte", "one-byte"] {
            assert_eq!(read(text), CasePattern { row: None, id: "tcp-echo/one-byte".into() });
        }
        for text in ["tokio::tcp-echo::one-byte", "tokio::tcp-echo/one-byte"] {
            let row = Some("tokio".to_owned());
            assert_eq!(read(text), CasePattern { row, id: "tcp-echo/one-byte".into() });
        }
        assert_eq!(read("res/memory*").id, "res/memory*");
        let sentence = case_pattern("idle").unwrap_err().to_string();
        assert!(sentence.starts_with("several suites have a case 'idle'; write one of\n"));
        assert!(sentence.contains("\n  tcp-close/idle"), "{sentence}");
    }

    #[test]
    fn the_nearest_case_comes_first() {
        let nearest = nearest_cases;
        assert_eq!(nearest("tcp-half-close/large-backlogs")[0], "tcp-half-close/large-backlog");
        assert_eq!(nearest("large-backlog"), ["tcp-half-close/large-backlog"]);
        assert_eq!(nearest("tcp-half-close::empty")[0], "tcp-half-close/empty");
        assert_eq!(nearest("idle")[..3], ["idle/*", "tcp-close/idle", "tcp-reset/idle"]);
        assert_eq!(nearest("tcp-ecoh")[0], "tcp-echo/*");
        assert!(nearest("nothing-of-the-kind").is_empty());
    }

    #[test]
    fn a_suite_for_a_case_lists_its_cases() {
        let sentence = unknown_case("tcp-large").to_string();
        assert!(sentence.starts_with("tcp-large is a suite; write 'tcp-large/*' or one of\n"));
        assert!(sentence.contains("\n  tcp-large/single-write"));
    }

    #[test]
    fn rows_and_suites_are_suggested_as_cases_are() {
        let registry = Registry::load().unwrap();
        let found = rows(&registry, &["tokio".to_owned(), "toki".to_owned()]).unwrap_err();
        assert!(found.to_string().starts_with("no row matches 'toki'; did you mean 'tokio'"));
        assert!(found.to_string().contains("the rows are: tokio, "), "{found}");
        assert_eq!(suggestions(row(&registry, "tok*").unwrap_err()), Vec::<String>::new());
        let found = expect_suites(&["tcp-ecoh".to_owned()]).unwrap_err();
        assert_eq!(suggestions(found)[0], "tcp-echo");
        assert!(expect_suites(&["tcp-*".to_owned()]).is_ok());
    }

    #[test]
    fn rows_keep_the_order_of_the_registry() {
        let registry = Registry::load().unwrap();
        let patterns = ["mio".to_owned(), "tokio".to_owned()];
        let names: Vec<&str> =
            rows(&registry, &patterns).unwrap().iter().map(|entry| entry.name.as_str()).collect();
        assert_eq!(names, ["tokio", "mio"]);
        assert_eq!(rows(&registry, &[]).unwrap().len(), registry.built_rows().count());
    }
}
