//! The kill matrix, `docs/MUTANTS.md`: each mutant, the case that catches it, and what else turns
//! red. `ci/generate.sh mutants` writes the page. Only a whole run with
//! `KILL_MATRIX=docs/MUTANTS.md` asks each mutant all cases and updates the last column.

use std::collections::BTreeMap;
use std::io;
use std::path::Path;
use std::process::Command;

use conformance::mutants::MutantTable;
use report::part::{Entry, Head, Part, Prose, Style, Table};
use report::render::markdown;

/// The page as it was when this program was built.
pub(crate) const PAGE: &str = include_str!("../../../docs/MUTANTS.md");

/// What each fault does, by the fault's name.
pub(crate) type Sentences = BTreeMap<String, String>;

/// Asks the mutant what each of its faults does.
pub(crate) fn sentences(mutant: &Path) -> io::Result<Sentences> {
    let output = Command::new(mutant).arg("--list-faults").output()?;
    let text = String::from_utf8(output.stdout).map_err(io::Error::other)?;
    let fault = |line: &str| {
        let (name, about) = line.split_once(char::is_whitespace)?;
        Some((name.to_owned(), about.trim().to_owned()))
    };
    Ok(text.lines().filter_map(fault).collect())
}

/// The rows of the table that [`PAGE`] lacks, and those that it should not have.
pub(crate) fn flaws(table: &MutantTable, sentences: &Sentences) -> Vec<String> {
    let expected = markdown(&[matrix(table, sentences, &BTreeMap::new())]);
    let is_row = |line: &&str| line.starts_with('|');
    let missing = expected.lines().filter(|line| PAGE.lines().all(|other| other != *line));
    let surplus = PAGE.lines().filter(is_row);
    let surplus = surplus.filter(|line| expected.lines().all(|other| other != *line));
    let missing = missing.filter(is_row).map(|line| format!("missing: {line}"));
    missing.chain(surplus.map(|line| format!("too many: {line}"))).collect()
}

/// The page. `others` has the other red cases of each mutant, by its name. A mutant without an
/// entry keeps what the page says.
pub(crate) fn page(
    table: &MutantTable,
    sentences: &Sentences,
    others: &BTreeMap<String, String>,
) -> String {
    let lines = [
        "Each mutant is a server that is wrong on purpose. The case in `caught by` must fail with \
         the kind in `failure`, in three of three runs, and every case catches at least one \
         mutant. `observation` means that the case only records something, and recorded \
         something else. `(settable)` means that the test may strike at a smaller number than the \
         fault does by itself. Correct but unusual servers stand at the end; no case may catch \
         them. A whole run writes this page: `KILL_MATRIX=docs/MUTANTS.md cargo test -p \
         conformance --features uring --test mutants`."
            .to_owned(),
        format!(
            "`also red` lists the other MUST cases that were red in the last whole run, on {} in \
             profile `quick`. Cases that run alone on the host were left out. The list may differ \
             from run to run. `not asked` means that this run did not ask the mutant any other \
             case: its fault is in starting, stopping or identity, it was added after that run, \
             or the server is correct.",
            match std::env::consts::OS {
                "linux" => "Linux",
                "macos" => "macOS",
                "windows" => "Windows",
                other => other,
            }
        ),
    ];
    markdown(&[
        Part::Title("The kill matrix".into()),
        Part::lines(lines.map(|line| Prose::from_own_text(&line))),
        matrix(table, sentences, others),
    ])
}

fn matrix(table: &MutantTable, sentences: &Sentences, others: &BTreeMap<String, String>) -> Part {
    let known = known_others();
    let row = |fault: &str, caught_by: &str, failure: &str| -> Vec<Entry> {
        let about = sentences.get(fault).map_or("", String::as_str);
        let asked = others.get(fault).map(String::as_str);
        let other = asked.or_else(|| known.get(fault).copied()).unwrap_or("not asked");
        [fault, about, caught_by, failure, other]
            .map(|text| Prose::from_own_text(text).into())
            .into()
    };
    let wrong = table.mutants.iter().map(|it| row(&it.fault, &it.caught_by, &it.failure));
    let odd = table.odd.iter().map(|it| row(&it.fault, "none: it is right", ""));
    let heads = ["mutant", "what it does", "caught by", "failure", "also red"].map(Head::new);
    Part::Table(Table::plain("", Style::Words, heads.into(), wrong.chain(odd).collect()))
}

/// The last column of [`PAGE`], by the mutant's name. No cell contains ` | `: the renderer escapes
/// it, and names of cases and failures need no escapes.
fn known_others() -> BTreeMap<&'static str, &'static str> {
    let row = |line: &'static str| {
        let cells = line.strip_prefix("| ")?.strip_suffix(" |")?;
        Some((cells.split_once(" | ")?.0, cells.rsplit_once(" | ")?.1))
    };
    PAGE.lines().filter_map(row).collect()
}
