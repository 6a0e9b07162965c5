//! A run as the parts of a page: the matrix, where the models differ, what is red, and what the
//! cells of each row add up to.

use super::details;
use super::difference::{Difference, differences, is_comparable};
use super::{Attestation, Cell, Gate, Margin, MissingDriver, Run};
use crate::exit::Conclusion;
use crate::outside;
use crate::outside::Outside;
use crate::part::{self, Head, Part, Prose, Span, Style, Table};
use crate::seed::SeedSource;
use crate::verdict::Verdict;

/// How many of the most expensive cells are shown.
const MOST_EXPENSIVE_CELLS: usize = 5;
/// The most bytes of details on a page. GitHub drops a summary above 1 MiB, and the tables of eight
/// hosts take 400 KB of it.
const DETAIL_BYTES: usize = 300_000;

/// One page for the runs of several hosts. A label of `expected` without a run is shown as "no
/// result", because an absent file must not look like a smaller matrix.
#[must_use]
pub fn overview(runs: &[Run], gate: &Gate, expected: &[Outside]) -> Vec<Part> {
    let mut hosts: Vec<_> = runs.iter().map(|run| (run.label.clone(), closing_line(run))).collect();
    let missing = missing_labels(runs, expected).into_iter();
    hosts.extend(missing.map(|label| (label.clone(), "no result".into())));
    let mut parts = vec![Part::Title("I/O backend matrix".into()), Part::Fields(None, hosts)];
    let detail_bytes = DETAIL_BYTES / runs.len().max(1);
    parts.extend(runs.iter().flat_map(|run| host_section(run, gate, detail_bytes)));
    parts
}

/// The labels of `expected` without a run.
#[must_use]
pub fn missing_labels<'a>(runs: &[Run], expected: &'a [Outside]) -> Vec<&'a Outside> {
    expected.iter().filter(|label| runs.iter().all(|run| run.label != **label)).collect()
}

/// The parts for the run of one host, with at most this many bytes of details.
fn host_section(run: &Run, gate: &Gate, detail_bytes: usize) -> Vec<Part> {
    let host = &run.host;
    let unknown = || "unknown".into();
    let kernel = host.kernel.clone().unwrap_or_else(unknown);
    let mut parts = vec![
        Part::Section(run.label.clone()),
        Part::lines([outside!("{} {}, kernel {}", host.os, host.arch, kernel)]),
        missing_drivers(run, gate),
    ];
    parts.extend(cause_parts(run));
    parts.push(Part::Table(matrix(run, gate)));
    parts.extend([absences(run, gate), Part::Table(drivers(run))]);
    parts.extend(model_differences(run));
    parts.extend(details::folded(run, gate, detail_bytes));
    parts
}

/// Each cell from which other cells follow, with what it found, and the names of the others.
#[must_use]
pub fn cause_parts(run: &Run) -> Vec<Part> {
    let follows = |root: &Cell, cell: &Cell| {
        cell.row == root.row && cell.follows_from.as_ref().is_some_and(|id| *id == root.id())
    };
    let mut points = Vec::new();
    for root in &run.cells {
        let followers: Vec<Outside> =
            run.cells.iter().filter(|cell| follows(root, cell)).map(Cell::id).collect();
        if followers.is_empty() {
            continue;
        }
        let found = root.failure.as_ref().map(|failure| failure.actual.clone());
        let count = match followers.len() {
            1 => "1 more cell follows".to_owned(),
            count => format!("{count} more cells follow"),
        };
        points.push(outside!(
            "{}: {}: {}; {} from it: {}",
            root.name(),
            root.word(),
            found.unwrap_or_default(),
            count,
            Outside::join(&followers, ", ")
        ));
    }
    match points.is_empty() {
        true => Vec::new(),
        false => vec![Part::list("causes", points)],
    }
}

/// Required drivers without a judged cell, which no row of the matrix shows.
pub(super) fn missing_drivers(run: &Run, gate: &Gate) -> Part {
    let point = |missing: MissingDriver| {
        let red = Prose::from(Span::Strong("red".to_owned()));
        red.append(outside!(": {}", missing.sentence()))
    };
    Part::list("missing drivers", gate.missing_drivers(run).into_iter().map(point))
}

/// Cases down and rows across, the rows grouped by model.
fn matrix(run: &Run, gate: &Gate) -> Table {
    let columns = run.columns();
    let mut heads = ["case", "level"].map(Head::new).to_vec();
    heads.extend(columns.iter().map(|row| Head(row.model.to_string().into(), row.name.clone())));
    let rows = run.cases().into_iter().map(|(suite, case)| {
        let mut own = run.cells.iter().filter(|cell| cell.suite == *suite && cell.case == *case);
        let level = own.next().map(|cell| cell.level.to_string()).unwrap_or_default();
        let mut line = vec![outside!("{}/{}", suite, case).into(), level.into()];
        line.extend(columns.iter().map(|row| match run.cell(&row.name, suite, case) {
            None => part::Entry::default(),
            Some(cell) => {
                let is_strong = gate.conclusion(cell, &row.driver).fails_a_test();
                part::Entry { is_strong, ..cell.word().into() }
            }
        }));
        line
    });
    Table::plain("", Style::Words, heads, rows.collect())
}

/// Each reason why cells were not judged, with the number of these cells, and whether it is red.
pub(super) fn absences(run: &Run, gate: &Gate) -> Part {
    // The reason, the rows and the number of cells.
    let mut found: Vec<(Outside, Vec<Outside>, usize)> = Vec::new();
    for cell in &run.cells {
        if !matches!(cell.verdict, Verdict::Unavailable | Verdict::Unsupported) {
            continue;
        }
        let reason = cell.reason.clone().unwrap_or_else(|| "no reason".into());
        let red = match gate.conclusion_in(run, cell) {
            Conclusion::Red => ", which is red because its driver is required",
            Conclusion::Green
            | Conclusion::Unavailable
            | Conclusion::Error
            | Conclusion::ConditionFired => "",
        };
        let line = outside!("{}{}: {}", cell.verdict, red, reason);
        match found.iter_mut().find(|(known, ..)| *known == line) {
            Some((_, rows, count)) => {
                *count += 1;
                if !rows.contains(&cell.row) {
                    rows.push(cell.row.clone());
                }
            }
            None => found.push((line, vec![cell.row.clone()], 1)),
        }
    }
    let line = |(line, rows, count): (Outside, Vec<Outside>, usize)| {
        let cells = if count == 1 { "cell" } else { "cells" };
        outside!("{}: {} {} {}", Outside::join(&rows, ", "), count, cells, line)
    };
    let mut found: Vec<Outside> = found.into_iter().map(line).collect();
    if run.missing_cells() > 0 {
        let cells = if run.missing_cells() == 1 { "cell" } else { "cells" };
        found.push(outside!("the run was cut off ({} {})", run.missing_cells(), cells));
    }
    let errors = run.cells.iter().filter(|cell| cell.verdict == Verdict::Error).count();
    match found.is_empty() {
        true if errors == 1 => Part::lines(["1 cell could not be judged"]),
        true if errors > 1 => Part::lines([format!("{errors} cells could not be judged")]),
        true => Part::lines(["every cell was judged"]),
        false => Part::list("not judged", found),
    }
}

fn drivers(run: &Run) -> Table {
    let rows = run.columns().into_iter().map(|row| {
        let runtime = row.runtime.clone().unwrap_or_else(|| "-".into());
        let cells = [row.name.clone(), row.driver.clone(), runtime, row.attestation.words()];
        cells.map(part::Entry::from).to_vec()
    });
    let heads = ["row", "driver", "runtime", "attestation"].map(Head::new).to_vec();
    Table::plain("drivers, seen from outside", Style::Words, heads, rows.collect())
}

pub(super) const DIFFERENCES: &str = "where readiness and completion differ";

/// Where the two models differ, or why nothing is shown.
pub(super) enum Comparability {
    Nothing(&'static str),
    Differences(Vec<Difference>),
}

pub(super) fn comparability(run: &Run) -> Comparability {
    if !is_comparable(run) {
        let sentence = "nothing to compare: this run judged rows of one model only";
        return Comparability::Nothing(sentence);
    }
    let differences = differences(run);
    match (differences.is_empty(), run.missing_cells()) {
        (false, _) => Comparability::Differences(differences),
        (true, 0) => Comparability::Nothing(
            "nowhere: each case that both were judged by has the same verdict and observation",
        ),
        (true, _) => Comparability::Nothing(
            "not known: the run was cut off, and no case differs as far as it came",
        ),
    }
}

fn model_differences(run: &Run) -> Vec<Part> {
    let differences = match comparability(run) {
        Comparability::Nothing(sentence) => return vec![Part::list(DIFFERENCES, [sentence])],
        Comparability::Differences(differences) => differences,
    };
    let rows = differences.into_iter().map(|Difference { id, readiness, completion }| {
        let all = |outcomes: &[Outside]| part::Entry::from(Outside::join(outcomes, "; "));
        vec![id.into(), all(&readiness), all(&completion)]
    });
    let heads = ["case", "readiness", "completion"].map(Head::new).to_vec();
    vec![Part::Table(Table::plain(DIFFERENCES, Style::Words, heads, rows.collect()))]
}

/// The cost of each row.
pub(super) fn cost_by_row(run: &Run) -> Part {
    let rows = run.rows.iter().map(|row| {
        let own = || run.cells.iter().filter(|cell| cell.row == row.name);
        // An empty sum is -0.0.
        let cpu = own().map(|cell| cell.cpu_seconds).sum::<Option<f64>>().map(|sum| sum + 0.0);
        let alone = own().filter(|cell| cell.exclusive).map(|cell| cell.seconds).sum::<f64>() + 0.0;
        vec![row.name.clone().into(), cpu_words(cpu).into(), format!("{alone:.1}").into()]
    });
    let heads = ["row", "CPU", "alone"].map(Head::new).to_vec();
    let title = "cost in seconds (CPU of server and judge; time of cells that ran alone)";
    Part::Table(Table::plain(title, Style::Counts, heads, rows.collect()))
}

/// The cost of each row, and the most expensive cases, because the suite has a budget.
#[must_use]
pub fn cost_parts(run: &Run) -> Vec<Part> {
    let mut cells: Vec<&Cell> = run.cells.iter().collect();
    let cost = |cell: &Cell| cell.cpu_seconds.unwrap_or(cell.seconds);
    cells.sort_by(|a, b| cost(b).total_cmp(&cost(a)));
    let most_expensive = cells.into_iter().take(MOST_EXPENSIVE_CELLS).map(|cell| {
        let seconds = format!("{:.1}", cell.seconds);
        vec![cell.name().into(), cpu_words(cell.cpu_seconds).into(), seconds.into()]
    });
    let heads = ["cell", "CPU (s)", "time (s)"].map(Head::new).to_vec();
    let most_expensive =
        Table::plain("dearest cells", Style::Numbers, heads, most_expensive.collect());
    vec![cost_by_row(run), Part::Table(most_expensive)]
}

fn cpu_words(seconds: Option<f64>) -> String {
    seconds.map_or_else(|| "no data".to_owned(), |seconds| format!("{seconds:.1}"))
}

/// How near each case came to its nearest limit on each row, for docs/METHODOLOGY.md.
pub(super) fn margins(run: &Run) -> Vec<Part> {
    let columns = run.columns();
    let mut heads = ["case", "what is compared", "limit"].map(Head::new).to_vec();
    heads.extend(columns.iter().map(|row| Head::new(&row.name)));
    let rows = run.cases().into_iter().filter_map(|(suite, case)| {
        let margin = |row: &Outside| run.cell(row, suite, case)?.margin.as_ref();
        let first = columns.iter().find_map(|row| margin(&row.name))?;
        let limit = format!("{:.1}", first.limit);
        let mut line =
            vec![outside!("{}/{}", suite, case).into(), first.what.clone().into(), limit.into()];
        let ratio = |margin: &Margin| format!("{:.2}", margin.ratio()).into();
        line.extend(columns.iter().map(|row| margin(&row.name).map(ratio).unwrap_or_default()));
        Some(line)
    });
    vec![Part::Table(Table::plain("", Style::Words, heads, rows.collect()))]
}

/// Counts of verdicts, waivers, cost and seed.
#[must_use]
pub fn closing_line(run: &Run) -> Outside {
    let count = |verdict| {
        let is_counted = |cell: &&Cell| cell.verdict == verdict && !cell.is_waived();
        (verdict, run.cells.iter().filter(is_counted).count())
    };
    let mut counts: Vec<String> = Verdict::ALL
        .into_iter()
        .map(count)
        .filter(|(_, count)| *count > 0)
        .map(|(verdict, count)| format!("{count} {verdict}"))
        .collect();
    let waived = run.cells.iter().filter(|cell| cell.is_waived()).count();
    if waived > 0 {
        counts.push(format!("{waived} waived"));
    }
    let judged = match (run.cells.len(), run.missing_cells()) {
        (judged, 0) => judged.to_string(),
        (judged, _) => format!("cut off: {judged} of {}", run.planned),
    };
    outside!(
        "{} cells on {}: {}; {:.1} s, profile {}, {}seed {}",
        judged,
        run.label,
        counts.join(", "),
        run.seconds,
        run.profile,
        match run.seed_source {
            SeedSource::Random => "",
            SeedSource::Given => "given ",
        },
        run.seed
    )
}

impl Attestation {
    /// What was seen, or why nothing was seen.
    pub(crate) fn words(&self) -> Outside {
        match self {
            Self::Attested { seen } => outside!("attested: {}", seen),
            Self::Announced { reason } => outside!("announced: {}", reason),
            Self::NotAttested { reason } => outside!("not attested: {}", reason),
        }
    }
}
