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

/// Each cause once: a cell that follows from another is named below that one, and so are the cells
/// that failed in the same words.
pub(super) fn causes(run: &Run, gate: &Gate) -> Vec<Part> {
    let heaviness = |cell: &Cell| gate.conclusion_in(run, cell);
    // A red cell is not hidden behind a miss.
    let is_hidden = |cell: &Cell| {
        let root = cell.follows_from.as_ref();
        let is_root = |it: &&Cell| it.row == cell.row && root == Some(&it.id());
        let root = root.and_then(|_| run.cells.iter().find(is_root));
        root.is_some_and(|root| heaviness(root) >= heaviness(cell))
    };
    let causes = grouped(run, gate, |cell| !is_hidden(cell));
    let part = |(first, others): (&Cell, Vec<&Cell>)| {
        let mut lines = body(first, usize::MAX);
        let at = lines.len().saturating_sub(trailing_lines(first));
        let all = || [first].into_iter().chain(others.iter().copied());
        let followers: Vec<&Cell> = all().flat_map(|root| followers(run, root)).collect();
        let more = [names_line("also failed", " with this failure", &others)];
        let follow = [names_line("causes too", "", &followers)];
        lines.splice(at..at, more.into_iter().chain(follow).flatten());
        part(first, lines)
    };
    causes.into_iter().map(part).collect()
}

/// The cells that have `root` as their cause.
fn followers<'a>(run: &'a Run, root: &Cell) -> Vec<&'a Cell> {
    let id = root.id();
    let follows = |cell: &&Cell| cell.row == root.row && cell.follows_from.as_ref() == Some(&id);
    run.cells.iter().filter(follows).collect()
}

/// The details of the cells, at most `bytes` in total. Cells with the same failure have one entry.
pub(super) fn folded(run: &Run, gate: &Gate, bytes: usize) -> Vec<Part> {
    let mut parts = Vec::new();
    let (mut left, mut omitted) = (bytes, 0);
    for (first, others) in grouped(run, gate, |_| true) {
        let mut lines = body(first, PAGE_STDERR_LINES);
        lines.extend(names_line("also failed", " with this failure", &others));
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

/// Cells that have details and are wanted, each with the others that failed in the same words.
fn grouped<'a>(
    run: &'a Run,
    gate: &Gate,
    is_wanted: impl Fn(&Cell) -> bool,
) -> Vec<(&'a Cell, Vec<&'a Cell>)> {
    let mut groups: Vec<(&Cell, Vec<&Cell>)> = Vec::new();
    for cell in cells(run, gate).filter(|cell| is_wanted(cell)) {
        match groups.iter_mut().find(|(first, _)| are_alike(first, cell)) {
            Some((_, others)) => others.push(cell),
            None => groups.push((cell, Vec::new())),
        }
    }
    groups
}

fn cells<'a>(run: &'a Run, gate: &Gate) -> impl Iterator<Item = &'a Cell> {
    run.cells.iter().filter(|cell| has_details(cell, gate.conclusion_in(run, cell)))
}

fn part(cell: &Cell, lines: Vec<Outside>) -> Part {
    Part::Details(Summary { word: cell.word(), colour: cell.colour(), name: cell.name() }, lines)
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

/// Names cells in one line that begins with `head`, or none.
fn names_line(head: &str, relation: &str, others: &[&Cell]) -> Option<Outside> {
    let names: Vec<Outside> = others.iter().take(MOST_NAMES).map(|cell| cell.name()).collect();
    let names = Outside::join(&names, ", ");
    let count = match others.len() {
        0 => return None,
        1 => "1 more cell".to_owned(),
        count => format!("{count} more cells"),
    };
    Some(match others.len().saturating_sub(MOST_NAMES) {
        0 => outside!("  {:<12} {}{}: {}", head, count, relation, names),
        rest => {
            outside!("  {:<12} {}{}: {}, and {} more", head, count, relation, names, rest)
        }
    })
}

/// The details of a red or notable cell: requirement, expected, actual, stderr, where to read more
/// and how to repeat it.
#[must_use]
pub fn detail(cell: &Cell) -> Vec<Outside> {
    let mut lines = vec![outside!("{}: {}", cell.word(), cell.name())];
    lines.extend(body(cell, usize::MAX));
    lines
}

/// How many lines of a cell's details say what to do next.
fn trailing_lines(cell: &Cell) -> usize {
    2 + usize::from(cell.likely_fix.is_some())
}

/// The details below the line with the cell's name, with at most this many of the last lines on
/// standard error.
fn body(cell: &Cell, stderr_lines: usize) -> Vec<Outside> {
    let mut lines = vec![outside!("  requirement  {} {}", cell.level, cell.requirement)];
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
    lines.extend(cell.likely_fix.as_ref().map(|fix| outside!("  likely fix   {}", fix)));
    lines.push(outside!("  why          iomatrix explain {}", cell.id()));
    lines.push(outside!("  repeat       {}", cell.repeat));
    lines
}

/// Red cells have details, and so has a requirement that was not met without being red: it is
/// waived, or a SHOULD. Many cells are unavailable for one reason, which the page lists under "not
/// judged".
pub(super) fn has_details(cell: &Cell, conclusion: Conclusion) -> bool {
    match cell.verdict {
        Verdict::Fail | Verdict::Crash | Verdict::Timeout | Verdict::Miss => true,
        Verdict::Pass | Verdict::Info | Verdict::Unsupported | Verdict::Error => {
            conclusion.fails_a_test()
        }
        Verdict::Unavailable => false,
    }
}
