//! Runs as Markdown for a step summary: one table per OS, and where the two models differ.

use std::fmt::Write as _;

use super::difference::{differences, is_comparable};
use super::text::{closing_line, detail};
use super::{Attestation, Cell, Row, Run};
use crate::escape::markdown as escape;
use crate::verdict::Verdict;

/// One page for the runs of several hosts. `expected` labels that have no run are shown as
/// "no result": an absent file must not look like a smaller matrix.
#[must_use]
pub fn render(runs: &[Run], expected: &[String]) -> String {
    let mut page = String::from("# I/O backend matrix\n\n");
    for run in runs {
        // Writing to a `String` cannot fail.
        let _ = writeln!(page, "- **{}**: {}", escape(&run.label), escape(&closing_line(run)));
    }
    for label in missing(runs, expected) {
        let _ = writeln!(page, "- **{}**: no result", escape(label));
    }
    for run in runs {
        let _ = write!(page, "\n{}", section(run));
    }
    page
}

/// The labels of `expected` for which there is no run.
#[must_use]
pub fn missing<'a>(runs: &[Run], expected: &'a [String]) -> Vec<&'a str> {
    let has_run = |label: &&String| runs.iter().any(|run| run.label == **label);
    expected.iter().filter(|label| !has_run(label)).map(String::as_str).collect()
}

/// How near to its nearest limit each case came on each row, for docs/METHODOLOGY.md.
#[must_use]
pub fn margins(run: &Run) -> String {
    let columns = run.columns();
    let mut text = String::from("| case | what is compared | limit |");
    let mut rule = String::from("| --- | --- | --- |");
    for row in &columns {
        let _ = write!(text, " {} |", escape(&row.name));
        rule.push_str(" --- |");
    }
    let _ = writeln!(text, "\n{rule}");
    for (suite, case) in run.cases() {
        let margin = |row: &Row| run.cell(&row.name, suite, case)?.margin.as_ref();
        let Some(first) = columns.iter().find_map(|row| margin(row)) else { continue };
        let what = escape(&first.what);
        let _ = write!(text, "| {suite}/{case} | {what} | {:.1} |", first.limit);
        for row in &columns {
            let ratio = margin(row).map(|margin| format!("{:.2}", margin.ratio()));
            let _ = write!(text, " {} |", ratio.unwrap_or_default());
        }
        text.push('\n');
    }
    text
}

fn section(run: &Run) -> String {
    let host = &run.host;
    let mut text = format!("## {}\n\n", escape(&run.label));
    let _ = writeln!(
        text,
        "{} {}, kernel {}\n",
        host.os,
        host.arch,
        escape(host.kernel.as_deref().unwrap_or("unknown"))
    );
    text.push_str(&matrix(run));
    text.push_str(&absences(run));
    text.push_str(&attestations(run));
    text.push_str(&models(run));
    for cell in run.cells.iter().filter(|cell| wants_detail(cell)) {
        let _ = writeln!(
            text,
            "\n<details><summary>{} <code>{}::{}</code></summary>\n\n{}</details>",
            cell.word(),
            escape(&cell.row),
            escape(&cell.id()),
            fenced(&detail(cell))
        );
    }
    text
}

fn wants_detail(cell: &Cell) -> bool {
    cell.verdict.is_broken()
        || cell.has_stale_waiver()
        || matches!(cell.verdict, Verdict::Miss | Verdict::Error)
}

fn matrix(run: &Run) -> String {
    let columns = run.columns();
    let mut text = String::from("| case | level |");
    for row in &columns {
        let _ = write!(text, " {}<br>{} |", row.model, escape(&row.name));
    }
    text.push_str("\n| --- | --- |");
    text.push_str(&" --- |".repeat(columns.len()));
    text.push('\n');
    for (suite, case) in run.cases() {
        let level = run.cells.iter().find(|c| c.suite == suite && c.case == case).map(|c| c.level);
        let level = level.map(|level| level.to_string()).unwrap_or_default();
        let _ = write!(text, "| {suite}/{case} | {level} |");
        for row in &columns {
            let word = run.cell(&row.name, suite, case).map_or("", Cell::word);
            let shown = match word {
                "fail" | "crash" | "timeout" | "error" | "stale waiver" => format!("**{word}**"),
                _ => word.to_owned(),
            };
            let _ = write!(text, " {shown} |");
        }
        text.push('\n');
    }
    text
}

fn absences(run: &Run) -> String {
    let mut reasons: Vec<(String, usize)> = Vec::new();
    for cell in &run.cells {
        if !matches!(cell.verdict, Verdict::Unavailable | Verdict::Unsupported) {
            continue;
        }
        let reason = cell.reason.as_deref().unwrap_or("no reason");
        let line = format!("`{}` {}: {}", cell.row, cell.verdict, escape(reason));
        match reasons.iter_mut().find(|(known, _)| *known == line) {
            Some((_, count)) => *count += 1,
            None => reasons.push((line, 1)),
        }
    }
    let mut text = String::new();
    if !reasons.is_empty() {
        text.push_str("\n### Not judged\n\n");
    }
    for (line, count) in reasons {
        let _ = writeln!(text, "- {line} ({count} cells)");
    }
    text
}

fn attestations(run: &Run) -> String {
    let mut text = String::from("\n### Drivers, seen from outside\n\n");
    text.push_str("| row | driver | runtime | attestation |\n| --- | --- | --- | --- |\n");
    for row in run.columns() {
        let seen = match &row.attestation {
            Attestation::Attested { seen } => format!("attested: {seen}"),
            Attestation::NotAttested { reason } => format!("not attested: {reason}"),
        };
        let runtime = row.runtime.as_deref().unwrap_or("-");
        let _ = writeln!(
            text,
            "| {} | {} | {} | {} |",
            row.name,
            row.driver,
            escape(runtime),
            escape(&seen)
        );
    }
    text
}

fn models(run: &Run) -> String {
    let mut text = String::from("\n### Where readiness and completion differ\n\n");
    if !is_comparable(run) {
        text.push_str("Nothing to compare: this run judged rows of one model only.\n");
        return text;
    }
    let differences = differences(run);
    if differences.is_empty() {
        text.push_str("Nowhere: every case has the same verdict and observation in both.\n");
        return text;
    }
    text.push_str("| case | readiness | completion |\n| --- | --- | --- |\n");
    for difference in differences {
        let _ = writeln!(
            text,
            "| {} | {} | {} |",
            difference.id,
            escape(&difference.readiness.join("; ")),
            escape(&difference.completion.join("; "))
        );
    }
    text
}

/// A fence longer than any run of backticks inside, so that a server cannot break out of it.
fn fenced(text: &str) -> String {
    let longest = text.split(|c| c != '`').map(str::len).max().unwrap_or(0);
    let fence = "`".repeat(longest.max(2) + 1);
    format!("{fence}text\n{text}{fence}\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_server_cannot_break_out_of_a_fence() {
        let text = fenced("```\n# own heading\n````\n");
        assert!(text.starts_with("`````text\n"));
    }
}
