//! The kill matrix, `docs/MUTANTS.md`: each mutant, the case that catches it, and what else turns
//! red for it. `ci/generate.sh mutants` writes it, and keeps what else turned red. Only a whole
//! run asks each mutant all cases and writes that column again:
//! `KILL_MATRIX=docs/MUTANTS.md cargo test -p conformance --features uring --test mutants`.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::io;
use std::path::Path;
use std::process::Command;

use conformance::mutants::MutantTable;

/// Where it is, as this program was built.
pub(crate) const PAGE: &str = include_str!("../../../docs/MUTANTS.md");

/// What a fault does, by its name.
pub(crate) type Sentences = BTreeMap<String, String>;

/// What the mutant says of its faults.
pub(crate) fn sentences(mutant: &Path) -> io::Result<Sentences> {
    let output = Command::new(mutant).arg("--list-faults").output()?;
    let text = String::from_utf8(output.stdout).map_err(io::Error::other)?;
    let fault = |line: &str| {
        let (name, about) = line.split_once(char::is_whitespace)?;
        Some((name.to_owned(), about.trim().to_owned()))
    };
    Ok(text.lines().filter_map(fault).collect())
}

/// The rows without their last cell, which differs from run to run.
fn rows(table: &MutantTable, sentences: &Sentences) -> Vec<(String, String)> {
    let about = |fault: &str| sentences.get(fault).map_or("", String::as_str);
    let row = |fault: &str, caught_by: &str, failure: &str| {
        (fault.to_owned(), format!("| {fault} | {} | {caught_by} | {failure} |", about(fault)))
    };
    let wrong = table.mutants.iter().map(|it| row(&it.fault, &it.caught_by, &it.failure));
    let odd = table.odd.iter().map(|it| row(&it.fault, "none: it is right", ""));
    wrong.chain(odd).collect()
}

/// The rows of the table that [`PAGE`] lacks, and how many it has too many.
pub(crate) fn flaws(table: &MutantTable, sentences: &Sentences) -> Vec<String> {
    let expected = rows(table, sentences);
    let is_there = |row: &str| PAGE.lines().any(|line| line.starts_with(row));
    let missing = expected.iter().filter(|(_, row)| !is_there(row));
    let mut flaws: Vec<String> = missing.map(|(_, row)| format!("missing: {row}")).collect();
    let count = PAGE.lines().filter(|line| line.starts_with("| ")).count();
    // Heading and rule are two more.
    if flaws.is_empty() && count != expected.len() + 2 {
        flaws.push(format!("{} rows for {} mutants", count - 2, expected.len()));
    }
    flaws
}

/// What else turned red, by the name of the mutant, as [`PAGE`] has it.
fn known_others() -> BTreeMap<&'static str, &'static str> {
    let cells = PAGE.lines().map(|line| line.split(" | ").collect::<Vec<_>>());
    let row = |cells: Vec<&'static str>| match cells.as_slice() {
        [fault, _, _, _, other] => {
            Some((fault.strip_prefix("| ")?, other.strip_suffix(" |").unwrap_or_default()))
        }
        _ => None,
    };
    cells.filter_map(row).collect()
}

/// The page, with the other reds of each mutant by its name. Those that were not asked for keep
/// what the page has.
pub(crate) fn page(
    table: &MutantTable,
    sentences: &Sentences,
    others: &BTreeMap<String, String>,
) -> String {
    let mut page = format!(
        "# The kill matrix

Servers that are wrong on purpose, and the case that catches each, three times of three. Every case
catches one. A whole run writes this page:

```console
$ KILL_MATRIX=docs/MUTANTS.md cargo test -p conformance --features uring --test mutants
```

`also red` is what that run on {} saw among the other MUST cases in profile quick, without those
that need the host for themselves; it may differ from run to run. A mutant that is about starting
or stopping is not asked.

| mutant | what it does | caught by | failure | also red |
| --- | --- | --- | --- | --- |
",
        std::env::consts::OS,
    );
    let known = known_others();
    for (fault, row) in rows(table, sentences) {
        let asked = others.get(&fault).map(String::as_str);
        let other = asked.or_else(|| known.get(fault.as_str()).copied()).unwrap_or("not asked");
        let _ = writeln!(page, "{row} {other} |");
    }
    page
}
