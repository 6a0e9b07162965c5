//! Compares two checks cell by cell: what turned red, what was fixed, what can no longer be judged.

use serde::{Deserialize, Serialize};

use crate::exit::Conclusion;
use crate::outside;
use crate::outside::Outside;
use crate::run::{Cell, Gate, Run};
use crate::verdict::Verdict;

/// What changed between two checks.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct RunComparison {
    /// Label of the second check.
    pub label: Outside,
    /// Cells whose state changed, in the order of the second check.
    pub turned: Vec<TurnedCell>,
    /// How many cells both checks have.
    pub common: usize,
    /// Why a cell of one check says nothing about that of the other, in words: they differ in the
    /// system, the profile or a level.
    pub not_comparable: Vec<Outside>,
    /// How many cells neither check could judge.
    pub absent_in_both: usize,
    /// Rows, cases and a profile that only the first check has, in words.
    pub only_before: Vec<Outside>,
    /// Rows, cases and a profile that only the second check has, in words.
    pub only_after: Vec<Outside>,
}

/// A cell whose state changed.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct TurnedCell {
    pub row: Outside,
    /// `suite/case`.
    pub case: Outside,
    pub turn: Turn,
    /// Verdict of the first check, with the kind of failure or the reason.
    pub before: Outside,
    /// Verdict of the second check, with the kind of failure or the reason.
    pub after: Outside,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Turn {
    /// Red now, and not before.
    Red,
    /// Red before, and green now.
    Fixed,
    /// Judged or an error before, and unavailable or unsupported now.
    Unavailable,
    /// Not judged or an error before, and green now.
    Judged,
    /// An error of the judge now, and not before.
    Error,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum CellState {
    Green,
    Red,
    Absent,
    Error,
}

pub(super) fn compare(before: &Run, after: &Run) -> RunComparison {
    let mut turned = Vec::new();
    let mut absent_in_both = 0;
    let mut common = 0;
    for cell in &after.cells {
        let Some(old) = before.cell(&cell.row, &cell.suite, &cell.case) else { continue };
        common += 1;
        if (CellState::from_cell(old), CellState::from_cell(cell))
            == (CellState::Absent, CellState::Absent)
        {
            absent_in_both += 1;
        }
        turned.extend(turn(CellState::from_cell(old), CellState::from_cell(cell)).map(|turn| {
            TurnedCell {
                row: cell.row.clone(),
                case: cell.id(),
                turn,
                before: words(old),
                after: words(cell),
            }
        }));
    }
    RunComparison {
        label: after.label.clone(),
        turned,
        common,
        not_comparable: differences(before, after),
        absent_in_both,
        only_before: missing(before, after),
        only_after: missing(after, before),
    }
}

impl RunComparison {
    /// Whether something that the first check judged has no counterpart in the second one.
    pub(super) fn lacks_verdicts(&self) -> bool {
        self.common == 0 || !self.not_comparable.is_empty() || !self.only_before.is_empty()
    }

    pub fn cells_that_turned(&self, turn: Turn) -> impl Iterator<Item = &TurnedCell> {
        self.turned.iter().filter(move |cell| cell.turn == turn)
    }
}

fn turn(before: CellState, after: CellState) -> Option<Turn> {
    match (before, after) {
        (CellState::Green, CellState::Green)
        | (CellState::Red, CellState::Red)
        | (CellState::Absent, CellState::Absent)
        | (CellState::Error, CellState::Error) => None,
        (CellState::Green | CellState::Absent | CellState::Error, CellState::Red) => {
            Some(Turn::Red)
        }
        (CellState::Red, CellState::Green) => Some(Turn::Fixed),
        (CellState::Absent | CellState::Error, CellState::Green) => Some(Turn::Judged),
        (CellState::Green | CellState::Red | CellState::Error, CellState::Absent) => {
            Some(Turn::Unavailable)
        }
        (CellState::Green | CellState::Red | CellState::Absent, CellState::Error) => {
            Some(Turn::Error)
        }
    }
}

impl CellState {
    fn from_cell(cell: &Cell) -> Self {
        if Gate::default().conclusion(cell, &Outside::default()) == Conclusion::Red {
            return Self::Red;
        }
        match cell.verdict {
            Verdict::Unavailable | Verdict::Unsupported => Self::Absent,
            Verdict::Error => Self::Error,
            Verdict::Pass
            | Verdict::Fail
            | Verdict::Crash
            | Verdict::Timeout
            | Verdict::Miss
            | Verdict::Info => Self::Green,
        }
    }
}

fn words(cell: &Cell) -> Outside {
    match (&cell.failure, &cell.reason) {
        (Some(failure), _) => format!("{} ({})", cell.word(), failure.kind).into(),
        (None, Some(reason)) => outside!("{} ({})", cell.word(), reason),
        (None, None) => cell.word().into(),
    }
}

/// What differs in the questions that both checks asked, a few words each.
fn differences(before: &Run, after: &Run) -> Vec<Outside> {
    let mut found = Vec::new();
    let pairs =
        [("system", &before.host.os, &after.host.os), ("profile", &before.profile, &after.profile)];
    for (what, one, other) in pairs {
        if one != other {
            found.push(outside!("{} {} against {}", what, one, other));
        }
    }
    let pairs = after
        .cells
        .iter()
        .filter_map(|cell| Some((before.cell(&cell.row, &cell.suite, &cell.case)?, cell)));
    let mut levels = pairs.filter(|(one, other)| one.level != other.level);
    if let Some((one, other)) = levels.next() {
        let more = match levels.count() {
            0 => String::new(),
            more => format!(", and {more} more"),
        };
        found.push(outside!(
            "level of {}: {} against {}{}",
            other.name(),
            one.level,
            other.level,
            more
        ));
    }
    found
}

/// Rows and cases of `of` that `from` does not have, and its profile if `from` has another.
fn missing(of: &Run, from: &Run) -> Vec<Outside> {
    let mut found = Vec::new();
    let rows = of.rows.iter().filter(|row| !from.rows.iter().any(|other| other.name == row.name));
    found.extend(rows.map(|row| outside!("row {}", row.name)));
    let known = from.cases();
    let cases = of.cases().into_iter().filter(|case| !known.contains(case));
    found.extend(cases.map(|(suite, case)| outside!("case {}/{}", suite, case)));
    // A cell can be missing although its row and its case are not.
    let has_row = |cell: &&Cell| from.rows.iter().any(|row| row.name == cell.row);
    let has_case = |cell: &&Cell| known.contains(&(&cell.suite, &cell.case));
    let is_missing = |cell: &&Cell| from.cell(&cell.row, &cell.suite, &cell.case).is_none();
    let cells = of.cells.iter().filter(has_row).filter(has_case).filter(is_missing);
    found.extend(cells.map(|cell| outside!("cell {}", cell.name())));
    if of.profile != from.profile {
        found.push(outside!("profile {}", of.profile));
    }
    found
}
