//! Finds failed cells of a row that have the same cause: one fault of a server can turn many cells
//! red. The judge runs cells that look alike a second time. If both cells fail in the same way
//! again, the cell that shows the cause less well is linked to the other.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Mutex, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use harness::row::Row;
use report::{Cell, Failure, FailureKind, Outside, Run, Seed, Verdict};

use crate::plan::PlannedCell;

/// After this time no further cell is judged again.
const REJUDGE_TIME_LIMIT: Duration = Duration::from_secs(45);

/// How a cell failed, reduced to what cells with the same cause have in common.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Signature {
    /// How the server ended, and its last words on standard error.
    Ending(Outside, Outside),
    /// The kind of failure, and the position of the first wrong byte in the connection.
    Byte(FailureKind, u64),
    /// A kind of failure that has one cause: the server did not start, or its accept queue is too
    /// short.
    Kind(FailureKind),
}

/// A cell that may follow from another one, its root.
#[derive(Clone, Copy, Debug)]
struct Suspicion {
    root: usize,
    cell: usize,
}

/// Links each cell to the cell that it follows from. `again` judges a planned cell once more, with
/// the same payload.
pub(crate) fn link(
    run: &mut Run,
    rows: &[Row],
    plan: &[PlannedCell],
    jobs: usize,
    again: &(dyn Fn(&PlannedCell, Seed) -> Cell + Sync),
) {
    let suspicions = find_suspicions(&run.cells);
    let wanted: BTreeSet<usize> = suspicions.iter().flat_map(|s| [s.root, s.cell]).collect();
    let planned = wanted.into_iter().filter_map(|index| {
        let cell = &run.cells[index];
        let is_meant = |planned: &&PlannedCell| {
            cell.row.equals(&rows[planned.row].name) && cell.id().equals(&planned.id())
        };
        Some((index, cell.seed, plan.iter().find(is_meant)?))
    });
    let second = judge_again(&planned.collect::<Vec<_>>(), jobs, again);
    let confirmed = |suspicion: &&Suspicion| {
        let repeats = |index: usize| {
            second.get(&index).is_some_and(|second| is_alike(&run.cells[index], second))
        };
        repeats(suspicion.root) && repeats(suspicion.cell)
    };
    let links: Vec<(usize, Outside)> = suspicions
        .iter()
        .filter(confirmed)
        .map(|suspicion| (suspicion.cell, run.cells[suspicion.root].id()))
        .collect();
    for (cell, root) in links {
        run.cells[cell].follows_from = Some(root);
    }
}

/// Judges cells in parallel. Starts none after [`REJUDGE_TIME_LIMIT`].
fn judge_again(
    planned: &[(usize, Seed, &PlannedCell)],
    jobs: usize,
    again: &(dyn Fn(&PlannedCell, Seed) -> Cell + Sync),
) -> BTreeMap<usize, Cell> {
    let started = Instant::now();
    let next = AtomicUsize::new(0);
    let judged = Mutex::new(BTreeMap::new());
    thread::scope(|scope| {
        for _ in 0..jobs.max(1) {
            scope.spawn(|| {
                while started.elapsed() < REJUDGE_TIME_LIMIT {
                    let number = next.fetch_add(1, Ordering::Relaxed);
                    let Some((index, seed, planned)) = planned.get(number) else { return };
                    let cell = again(planned, *seed);
                    judged.lock().unwrap_or_else(PoisonError::into_inner).insert(*index, cell);
                }
            });
        }
    });
    judged.into_inner().unwrap_or_else(PoisonError::into_inner)
}

/// Pairs each cell with the cell of the same row that fails alike and shows the cause best.
fn find_suspicions(cells: &[Cell]) -> Vec<Suspicion> {
    let mut groups: BTreeMap<(&Outside, Signature), Vec<usize>> = BTreeMap::new();
    for (index, cell) in cells.iter().enumerate() {
        if let Some(signature) = signature(cell) {
            groups.entry((&cell.row, signature)).or_default().push(index);
        }
    }
    let mut suspicions = Vec::new();
    for members in groups.values() {
        let Some(&root) = members.iter().min_by_key(|index| (rank(&cells[**index]), **index))
        else {
            continue;
        };
        let others = members.iter().filter(|index| **index != root);
        suspicions.extend(others.map(|&cell| Suspicion { root, cell }));
    }
    // A case that could not ask its own question follows from a case that asks about the failure it
    // met.
    for (index, cell) in cells.iter().enumerate().filter(|(_, cell)| cell.is_unasked) {
        let is_known = suspicions.iter().any(|suspicion| suspicion.cell == index);
        let kind = failure_of(cell).map(|failure| failure.kind);
        let asks = |other: &&usize| {
            let other = &cells[**other];
            other.row == cell.row
                && !other.is_unasked
                && kind.is_some_and(|kind| kind.is_wrong_bytes() || kind == FailureKind::Lost)
                && failure_of(other).map(|failure| failure.kind) == kind
        };
        let indices: Vec<usize> = (0..cells.len()).collect();
        let nearest = |other: &&usize| (cells[**other].suite != cell.suite, **other);
        if let Some(&root) = indices.iter().filter(asks).min_by_key(nearest).filter(|_| !is_known) {
            suspicions.push(Suspicion { root, cell: index });
        }
    }
    suspicions
}

/// Whether the second run failed in the same way as the first.
fn is_alike(first: &Cell, second: &Cell) -> bool {
    let kind = |cell: &Cell| failure_of(cell).map(|failure| failure.kind);
    kind(first).is_some() && kind(first) == kind(second) && signature(first) == signature(second)
}

fn failure_of(cell: &Cell) -> Option<&Failure> {
    let is_red = matches!(
        cell.verdict,
        Verdict::Fail | Verdict::Crash | Verdict::Timeout | Verdict::Miss | Verdict::Error
    );
    cell.failure.as_ref().filter(|_| is_red && !cell.is_waived())
}

fn signature(cell: &Cell) -> Option<Signature> {
    let failure = failure_of(cell)?;
    if failure.kind == FailureKind::Crash {
        let actual = failure.actual.on_terminal();
        let ending = actual.split([';', ',']).next().unwrap_or_default();
        let ending = ending.split(" after writing").next().unwrap_or_default();
        let words = last_words(&cell.stderr_tail);
        // If the server said nothing, only a signal that names its cause makes two endings alike.
        let is_told = !words.is_empty() || ending.contains("SIGPIPE");
        return is_told.then(|| Signature::Ending(ending.to_owned().into(), words));
    }
    if matches!(failure.kind, FailureKind::Start | FailureKind::Queue) {
        return Some(Signature::Kind(failure.kind));
    }
    Some(Signature::Byte(failure.kind, failure.at?))
}

/// What the server said about its end: the last line about an error, or else the last line. Numbers
/// are removed, because they differ between processes.
fn last_words(lines: &[Outside]) -> Outside {
    const SIGNS: [&str; 5] = ["error", "exception", "panic", "fatal", "assert"];
    let texts: Vec<String> = lines.iter().map(Outside::on_terminal).collect();
    let tells = |line: &&String| {
        let line = line.to_lowercase();
        SIGNS.iter().any(|sign| line.contains(sign))
    };
    let line = texts.iter().rev().find(tells).or(texts.last());
    let without_numbers = |line: &String| -> String {
        let words = line.split(|c: char| !c.is_alphabetic()).filter(|word| word.len() > 1);
        words.collect::<Vec<_>>().join(" ")
    };
    line.map(without_numbers).unwrap_or_default().into()
}

/// Sort key: the cell that shows the cause best comes first. A server that ends after a single byte
/// ends through its own fault. A server that ends after a reset is best seen in a case about
/// resets.
fn rank(cell: &Cell) -> usize {
    const FIRST: [&str; 4] = ["tcp-reset", "tcp-close", "tcp-half-close", "tcp-echo"];
    if cell.id().equals("tcp-echo/one-byte") {
        return 0;
    }
    let place = FIRST.iter().position(|suite| cell.suite.equals(suite)).unwrap_or(FIRST.len());
    1 + place + if cell.is_unasked { FIRST.len() + 1 } else { 0 }
}

#[cfg(test)]
mod tests {
    use report::{Level, Question};

    use super::*;

    fn cell(id: &str, verdict: Verdict, failure: Option<Failure>, said: &str) -> Cell {
        let (suite, case) = id.split_once('/').unwrap();
        Cell {
            row: "r".into(),
            suite: suite.into(),
            case: case.into(),
            level: Level::Must,
            question: Question::Bytes,
            requirement: Outside::default(),
            verdict,
            failure,
            reason: None,
            observation: None,
            margin: None,
            seed: Seed::new(1),
            seconds: 0.0,
            cpu_seconds: None,
            exclusive: false,
            held_back: None,
            stderr_tail: vec![said.into()],
            likely_fix: None,
            repeat: Outside::default(),
            waiver: None,
            is_unasked: false,
            follows_from: None,
        }
    }

    fn crash(id: &str, actual: &str, said: &str) -> Cell {
        let failure = Failure::new(FailureKind::Crash, "a server that keeps running", actual);
        cell(id, Verdict::Crash, Some(failure), said)
    }

    fn names(cells: &[Cell]) -> Vec<(String, String)> {
        let id = |index: usize| cells[index].id().on_terminal();
        find_suspicions(cells).iter().map(|s| (id(s.cell), id(s.root))).collect()
    }

    #[test]
    fn one_ending_is_best_seen_where_it_is_asked_about() {
        let one = "it ended with status 1";
        let cells = [
            crash("tcp-echo/no-extra-bytes", one, "Error: read ECONNRESET at 0x1f3"),
            crash(
                "tcp-reset/idle",
                "it ended with status 1; the case saw reset: it",
                "Error: read ECONNRESET at 0x77",
            ),
            crash("tcp-close/idle", one, "Error: out of memory"),
            cell("tcp-echo/one-byte", Verdict::Pass, None, ""),
        ];
        let followed = ("tcp-echo/no-extra-bytes".to_owned(), "tcp-reset/idle".to_owned());
        assert_eq!(names(&cells), [followed]);
    }

    #[test]
    fn what_was_not_asked_follows_from_what_was() {
        let lost = || Failure::new(FailureKind::Lost, "all", "less");
        let mut unasked = cell("tcp-half-close/no-spin", Verdict::Fail, Some(lost()), "");
        unasked.is_unasked = true;
        let cells = [
            cell("tcp-echo/order", Verdict::Fail, Some(lost()), ""),
            cell("tcp-half-close/large-backlog", Verdict::Fail, Some(lost()), ""),
            unasked,
        ];
        let followed =
            ("tcp-half-close/no-spin".to_owned(), "tcp-half-close/large-backlog".to_owned());
        assert_eq!(names(&cells), [followed]);
    }

    #[test]
    fn one_wrong_byte_is_one_cause_and_another_is_not() {
        let at = |position| {
            let failure =
                Failure::new(FailureKind::Altered, "a byte", "another").with_position(position);
            Some(failure)
        };
        let cells = [
            cell("tcp-large/single-write", Verdict::Fail, at(4096), ""),
            cell("tcp-echo/size-sweep", Verdict::Fail, at(4096), ""),
            cell("tcp-echo/random-chunks", Verdict::Fail, at(77), ""),
        ];
        let followed = ("tcp-large/single-write".to_owned(), "tcp-echo/size-sweep".to_owned());
        assert_eq!(names(&cells), [followed]);
        assert!(is_alike(&cells[0], &cells[1]) && !is_alike(&cells[1], &cells[2]));
    }
}
