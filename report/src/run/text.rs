//! A run for a terminal: the matrix, where the models differ, what is red, and the closing line.

use std::fmt::Write as _;

use comfy_table::{Cell as TableCell, ContentArrangement, Table, presets};

use super::difference::{differences, is_comparable};
use super::{Attestation, Cell, Margin, Run, certificate};
use crate::escape::printable;
use crate::verdict::Verdict;

/// The whole page. `width` is that of the terminal, in columns.
#[must_use]
pub fn render(run: &Run, width: u16) -> String {
    let mut page = String::new();
    // Writing to a `String` cannot fail.
    let _ = writeln!(page, "{}\n", matrix(run, width));
    let _ = writeln!(page, "{}", absences(run));
    let _ = writeln!(page, "{}", attestations(run));
    let _ = writeln!(page, "{}", models(run));
    let _ = writeln!(page, "{}", costs(run));
    let _ = writeln!(page, "{}", margins(run));
    for cell in run.cells.iter().filter(|cell| wants_detail(cell)) {
        let _ = writeln!(page, "{}", detail(cell));
    }
    let _ = writeln!(page, "{}\n", closing_line(run));
    for row in &run.rows {
        let _ = writeln!(page, "{}", certificate::text(row, &run.profile));
    }
    page.truncate(page.trim_end().len());
    page.push('\n');
    page
}

/// Cases by rows, the columns grouped by model.
#[must_use]
pub fn matrix(run: &Run, width: u16) -> String {
    let columns = run.columns();
    let mut table = Table::new();
    table.load_style(presets::UTF8_BORDERS_ONLY).set_width(width.max(60));
    table.set_content_arrangement(ContentArrangement::Dynamic);
    let mut header = vec![TableCell::new("case")];
    header.extend(columns.iter().map(|row| TableCell::new(format!("{}\n{}", row.model, row.name))));
    table.set_header(header);
    for (suite, case) in run.cases() {
        let mut line = vec![TableCell::new(format!("{suite}/{case}"))];
        line.extend(
            columns
                .iter()
                .map(|row| TableCell::new(run.cell(&row.name, suite, case).map_or("", Cell::word))),
        );
        table.add_row(line);
    }
    table.to_string()
}

/// What a red or notable cell shows: requirement, expected, actual, stderr and how to repeat it.
#[must_use]
pub fn detail(cell: &Cell) -> String {
    let mut text = format!("{}: {}::{}::{}\n", cell.word(), cell.row, cell.suite, cell.case);
    let _ = writeln!(text, "  requirement  {} {}", cell.level, cell.requirement);
    if let Some(failure) = &cell.failure {
        let _ = writeln!(text, "  failure      {}", failure.kind);
        let _ = writeln!(text, "  expected     {}", failure.expected);
        let _ = writeln!(text, "  actual       {}", printable(&failure.actual));
    }
    if let Some(reason) = &cell.reason {
        let _ = writeln!(text, "  reason       {}", printable(reason));
    }
    if let Some(waiver) = &cell.waiver {
        let _ = writeln!(text, "  waiver       {} ({})", waiver.reason, waiver.upstream);
    }
    if !cell.stderr_tail.is_empty() {
        let _ = writeln!(text, "  server's standard error, last lines:");
        for line in &cell.stderr_tail {
            let _ = writeln!(text, "    | {}", printable(line));
        }
    }
    let _ = writeln!(text, "  repeat       {}", cell.repeat);
    text
}

/// Counts of verdicts, waivers, cost and seed in one or two lines.
#[must_use]
pub fn closing_line(run: &Run) -> String {
    let mut counts: Vec<String> = Verdict::ALL
        .into_iter()
        .map(|verdict| {
            (verdict, run.cells.iter().filter(|c| c.verdict == verdict && !c.is_waived()).count())
        })
        .filter(|(_, count)| *count > 0)
        .map(|(verdict, count)| format!("{count} {verdict}"))
        .collect();
    let waived = run.cells.iter().filter(|cell| cell.is_waived()).count();
    if waived > 0 {
        counts.push(format!("{waived} waived"));
    }
    format!(
        "{} cells on {}: {}; {:.1} s, profile {}, seed {}",
        run.cells.len(),
        run.label,
        counts.join(", "),
        run.seconds,
        run.profile,
        run.seed
    )
}

/// What the rows cost and the dearest cases: the budget is part of the suite's design.
#[must_use]
pub fn costs(run: &Run) -> String {
    let mut text = String::from("cost by row (CPU of server and judge; time alone on the host):\n");
    for row in &run.rows {
        let (mut cpu, mut alone) = (0.0, 0.0);
        for cell in run.cells.iter().filter(|cell| cell.row == row.name) {
            cpu += cell.cpu_seconds;
            alone += if cell.exclusive { cell.seconds } else { 0.0 };
        }
        let _ = writeln!(text, "  {:<24} {cpu:6.1} CPU-s   {alone:5.1} s alone", row.name);
    }
    let mut cells: Vec<&Cell> = run.cells.iter().collect();
    cells.sort_by(|a, b| b.cpu_seconds.total_cmp(&a.cpu_seconds));
    text.push_str("dearest cells:\n");
    for cell in cells.into_iter().take(5) {
        let _ = writeln!(
            text,
            "  {:5.1} CPU-s {:5.1} s  {}::{}",
            cell.cpu_seconds,
            cell.seconds,
            cell.row,
            cell.id()
        );
    }
    text
}

/// How near each cell that judges time or cost came to its limit, the nearest first.
#[must_use]
pub fn margins(run: &Run) -> String {
    let mut cells: Vec<(&Cell, &Margin)> =
        run.cells.iter().filter_map(|cell| Some((cell, cell.margin.as_ref()?))).collect();
    cells.sort_by(|(_, a), (_, b)| b.ratio().total_cmp(&a.ratio()));
    if cells.is_empty() {
        return String::new();
    }
    let mut text = String::from("nearest to a limit (observed / limit):\n");
    for (cell, margin) in cells.into_iter().take(12) {
        let _ = writeln!(
            text,
            "  {:4.2}  {}::{}: {} {:.2} of {:.2}",
            margin.ratio(),
            cell.row,
            cell.id(),
            margin.what,
            margin.observed,
            margin.limit
        );
    }
    text
}

fn wants_detail(cell: &Cell) -> bool {
    cell.verdict.is_broken()
        || cell.has_stale_waiver()
        || matches!(cell.verdict, Verdict::Miss | Verdict::Error)
}

/// One line for each reason why cells were not judged, with how many they are.
fn absences(run: &Run) -> String {
    let mut lines: Vec<(String, usize)> = Vec::new();
    for cell in &run.cells {
        let Some(reason) = absence(cell) else { continue };
        match lines.iter_mut().find(|(line, _)| *line == reason) {
            Some((_, count)) => *count += 1,
            None => lines.push((reason, 1)),
        }
    }
    if lines.is_empty() {
        return String::from("every cell was judged\n");
    }
    let mut text = String::from("not judged:\n");
    for (reason, count) in lines {
        let _ = writeln!(text, "  {count:4} {}", printable(&reason));
    }
    text
}

fn absence(cell: &Cell) -> Option<String> {
    let is_absent = matches!(cell.verdict, Verdict::Unavailable | Verdict::Unsupported);
    is_absent.then(|| {
        format!("{} {}: {}", cell.row, cell.verdict, cell.reason.as_deref().unwrap_or("no reason"))
    })
}

fn attestations(run: &Run) -> String {
    let mut text = String::from("drivers, seen from outside:\n");
    for row in run.columns() {
        let seen = match &row.attestation {
            Attestation::Attested { seen } => format!("attested: {seen}"),
            Attestation::NotAttested { reason } => format!("not attested: {reason}"),
        };
        let _ = writeln!(
            text,
            "  {:<24} {:<10} {:<20} {}",
            row.name,
            row.driver,
            row.runtime.as_deref().unwrap_or("-"),
            printable(&seen)
        );
    }
    text
}

fn models(run: &Run) -> String {
    let mut text = String::from("where readiness and completion differ:\n");
    if !is_comparable(run) {
        text.push_str("  nothing to compare: this run judged rows of one model only\n");
        return text;
    }
    let differences = differences(run);
    if differences.is_empty() {
        text.push_str("  nowhere: every case has the same verdict and observation in both\n");
    }
    for difference in differences {
        let _ = writeln!(text, "  {}", difference.id);
        let _ = writeln!(text, "    readiness   {}", printable(&difference.readiness.join("; ")));
        let _ = writeln!(text, "    completion  {}", printable(&difference.completion.join("; ")));
    }
    text
}
