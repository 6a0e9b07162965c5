//! The details of the cells that are red or that did not meet their requirement.

use super::{Cell, Gate, Run};
use crate::exit::Conclusion;
use crate::outside;
use crate::outside::Outside;
use crate::part::{Part, Summary};
use crate::verdict::Verdict;

/// How many cells with the same failure a page names below the first one.
const MOST_NAMES: usize = 10;
/// How many of the last lines of standard error a page shows for each entry.
const PAGE_STDERR_LINES: usize = 5;

/// The details of each cell that has them.
pub(super) fn all(run: &Run, gate: &Gate) -> impl Iterator<Item = Part> {
    cells(run, gate).map(|cell| part(cell, detail(cell)))
}

/// The details of the cells, at most `bytes` in total. Cells with the same failure have one entry.
pub(super) fn folded(run: &Run, gate: &Gate, bytes: usize) -> Vec<Part> {
    let mut groups: Vec<(&Cell, Vec<&Cell>)> = Vec::new();
    for cell in cells(run, gate) {
        match groups.iter_mut().find(|(first, _)| are_alike(first, cell)) {
            Some((_, others)) => others.push(cell),
            None => groups.push((cell, Vec::new())),
        }
    }
    let mut parts = Vec::new();
    let (mut left, mut omitted) = (bytes, 0);
    for (first, others) in groups {
        let mut lines = detail_with(first, PAGE_STDERR_LINES);
        lines.extend(names_line(&others));
        let size: usize = lines.iter().map(|line| line.on_terminal().len() + 1).sum();
        if size > left {
            omitted += 1 + others.len();
            continue;
        }
        left -= size;
        parts.push(part(first, lines));
    }
    if omitted > 0 {
        let cells = if omitted == 1 { "1 more cell" } else { &format!("{omitted} more cells") };
        let sentence = format!("the details of {cells} are only in the result file");
        parts.push(Part::lines([sentence]));
    }
    parts
}

fn cells<'a>(run: &'a Run, gate: &Gate) -> impl Iterator<Item = &'a Cell> {
    run.cells.iter().filter(|cell| has_details(cell, gate.conclusion_in(run, cell)))
}

fn part(cell: &Cell, lines: Vec<Outside>) -> Part {
    Part::Details(Summary { word: cell.word().into(), name: cell.name() }, lines)
}

/// Whether two cells failed in the same way, in the same words.
fn are_alike(one: &Cell, other: &Cell) -> bool {
    let found = |cell: &Cell| {
        let failure = cell.failure.as_ref();
        failure.map(|it| (it.kind, it.expected.clone(), it.actual.clone()))
    };
    let context = |cell: &Cell| {
        let (level, root) = (cell.level, cell.follows_from.clone());
        (level, cell.waiver.clone(), cell.is_unasked, root, cell.reason.clone())
    };
    one.word() == other.word() && found(one) == found(other) && context(one) == context(other)
}

fn names_line(others: &[&Cell]) -> Option<Outside> {
    let names: Vec<Outside> = others.iter().take(MOST_NAMES).map(|cell| cell.name()).collect();
    let names = Outside::join(&names, ", ");
    let count = match others.len() {
        0 => return None,
        1 => "1 more cell".to_owned(),
        count => format!("{count} more cells"),
    };
    Some(match others.len().saturating_sub(MOST_NAMES) {
        0 => outside!("  also failed  {} with this failure: {}", count, names),
        rest => {
            outside!("  also failed  {} with this failure: {}, and {} others", count, names, rest)
        }
    })
}

/// The details of a red or notable cell: requirement, expected, actual, stderr, and how to repeat
/// it.
#[must_use]
pub fn detail(cell: &Cell) -> Vec<Outside> {
    detail_with(cell, usize::MAX)
}

/// The same, with at most this many of the last lines on standard error.
fn detail_with(cell: &Cell, stderr_lines: usize) -> Vec<Outside> {
    let mut lines = vec![
        outside!("{}: {}::{}::{}", cell.word(), cell.row, cell.suite, cell.case),
        outside!("  requirement  {} {}", cell.level, cell.requirement),
    ];
    if let Some(failure) = &cell.failure {
        lines.push(outside!("  failure      {}", failure.kind));
        lines.push(outside!("  expected     {}", failure.expected));
        lines.push(outside!("  actual       {}", failure.actual));
    }
    if let Some(reason) = &cell.reason {
        lines.push(outside!("  reason       {}", reason));
    }
    if cell.is_unasked {
        lines.push(
            "  not asked    its own question: the server failed in another way before".into(),
        );
    }
    if let Some(root) = &cell.follows_from {
        lines.push(outside!("  follows from {}", root));
    }
    if let Some(waiver) = &cell.waiver {
        lines.push(outside!("  waiver       {} ({})", waiver.reason, waiver.upstream));
    }
    if !cell.stderr_tail.is_empty() {
        lines.push("  server's standard error, last lines:".into());
        let first = cell.stderr_tail.len().saturating_sub(stderr_lines);
        lines.extend(cell.stderr_tail[first..].iter().map(|line| outside!("    | {}", line)));
    }
    lines.push(outside!("  repeat       {}", cell.repeat));
    lines
}

/// Red cells have details, and so has a requirement that was not met without being red: it is
/// waived, or a SHOULD. Many cells are unavailable for one reason, which the page lists under "not
/// judged".
fn has_details(cell: &Cell, conclusion: Conclusion) -> bool {
    match cell.verdict {
        Verdict::Fail | Verdict::Crash | Verdict::Timeout | Verdict::Miss => true,
        Verdict::Pass | Verdict::Info | Verdict::Unsupported | Verdict::Error => {
            conclusion.fails_a_test()
        }
        Verdict::Unavailable => false,
    }
}
