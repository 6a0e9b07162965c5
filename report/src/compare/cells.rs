//! Two checks cell by cell: what turned red, what was mended, what can no longer be judged.

use serde::{Deserialize, Serialize};

use crate::exit::Conclusion;
use crate::outside;
use crate::outside::Outside;
use crate::run::{Cell, Gate, Run};
use crate::verdict::Verdict;

/// What changed between two checks.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct RunComparison {
    /// The label of the second.
    pub label: Outside,
    /// Cells that are not what they were, in the second's order.
    pub turned: Vec<Turned>,
    /// How many cells both could not judge.
    pub absent_in_both: usize,
    /// Rows, cases and a profile that only the first has, in words.
    pub only_before: Vec<Outside>,
    /// Those that only the second has.
    pub only_after: Vec<Outside>,
}

/// A cell that is not what it was.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Turned {
    /// Name of the row.
    pub row: Outside,
    /// `suite/case`.
    pub case: Outside,
    /// What it turned to.
    pub turn: Turn,
    /// Verdict of the first, with its kind of failure.
    pub before: Outside,
    /// Verdict of the second, with its kind of failure or its reason.
    pub after: Outside,
}

/// What a cell turned to.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Turn {
    /// It was not red and is.
    Red,
    /// It was red and is not.
    Fixed,
    /// It was judged and is not any more: unavailable, or unsupported.
    Unavailable,
    /// It was not judged and is green.
    Judged,
    /// The judge could decide and no longer can.
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
    for cell in &after.cells {
        let Some(old) = before.cell(&cell.row, &cell.suite, &cell.case) else { continue };
        if (CellState::of(old), CellState::of(cell)) == (CellState::Absent, CellState::Absent) {
            absent_in_both += 1;
        }
        turned.extend(turn(CellState::of(old), CellState::of(cell)).map(|turn| Turned {
            row: cell.row.clone(),
            case: cell.id(),
            turn,
            before: words(old),
            after: words(cell),
        }));
    }
    RunComparison {
        label: after.label.clone(),
        turned,
        absent_in_both,
        only_before: missing(before, after),
        only_after: missing(after, before),
    }
}

impl RunComparison {
    /// The cells that turned so.
    pub fn turned(&self, turn: Turn) -> impl Iterator<Item = &Turned> {
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
    fn of(cell: &Cell) -> Self {
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

/// Rows and cases of one that the other does not have, and its profile where that is another.
fn missing(of: &Run, from: &Run) -> Vec<Outside> {
    let mut found = Vec::new();
    let rows = of.rows.iter().filter(|row| !from.rows.iter().any(|other| other.name == row.name));
    found.extend(rows.map(|row| outside!("row {}", row.name)));
    let known = from.cases();
    let cases = of.cases().into_iter().filter(|case| !known.contains(case));
    found.extend(cases.map(|(suite, case)| outside!("case {}/{}", suite, case)));
    if of.profile != from.profile {
        found.push(outside!("profile {}", of.profile));
    }
    found
}
