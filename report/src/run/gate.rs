//! What is red in a run: cells, and required drivers that were not judged.

use std::cmp::Ordering;

use super::{Cell, Margin, Run};
use crate::exit::{Conclusion, Conclusions};
use crate::outside;
use crate::outside::Outside;
use crate::verdict::Verdict;

/// Whether a SHOULD that is not met makes the run red.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Strictness {
    /// Only a MUST that is not met is red.
    #[default]
    Must,
    /// A SHOULD that is not met is red too (`--strict`).
    Strict,
}

/// What makes a run red, beyond a broken MUST.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Gate {
    pub strictness: Strictness,
    /// Drivers that must each have a judged cell on this host.
    pub required_drivers: Vec<Outside>,
}

/// A required driver without a judged cell.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct MissingDriver<'a> {
    /// The name that the user required.
    pub driver: &'a Outside,
    reason: MissingReason,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum MissingReason {
    NoRow,
    Unavailable,
    CutOff,
}

impl MissingDriver<'_> {
    /// The sentence for every page, terminal and test.
    #[must_use]
    pub fn sentence(&self) -> Outside {
        let reason = match self.reason {
            MissingReason::NoRow => "no row of this run has it",
            MissingReason::Unavailable => "every cell of its rows is unavailable",
            MissingReason::CutOff => "the run was cut off before",
        };
        outside!("required driver {} was not judged: {}", self.driver, reason)
    }
}

impl Gate {
    /// What a cell on a row with this driver adds to the exit status.
    #[must_use]
    pub fn conclusion(&self, cell: &Cell, driver: &Outside) -> Conclusion {
        if cell.has_stale_waiver() {
            return Conclusion::Red;
        }
        let unless_waived = |found| if cell.is_waived() { Conclusion::Green } else { found };
        match cell.verdict {
            Verdict::Fail | Verdict::Crash | Verdict::Timeout => unless_waived(Conclusion::Red),
            Verdict::Miss => match self.strictness {
                Strictness::Must => Conclusion::Green,
                Strictness::Strict => unless_waived(Conclusion::Red),
            },
            Verdict::Unavailable if self.requires(driver) => Conclusion::Red,
            Verdict::Unavailable => Conclusion::Unavailable,
            Verdict::Error => Conclusion::Error,
            Verdict::Pass | Verdict::Info | Verdict::Unsupported => Conclusion::Green,
        }
    }

    /// Compares two cells of one case on a row with this driver: the worse cell is the greater. The
    /// conclusion decides, then the verdict, then which cell came nearer to its limit.
    #[must_use]
    pub fn compare(&self, one: &Cell, other: &Cell, driver: &Outside) -> Ordering {
        let rank = |cell: &Cell| (self.conclusion(cell, driver), cell.verdict.severity());
        let nearness = |cell: &Cell| cell.margin.as_ref().map_or(0.0, Margin::ratio);
        let by_rank = rank(one).cmp(&rank(other));
        by_rank.then_with(|| nearness(one).total_cmp(&nearness(other)))
    }

    /// What a cell of this run adds to the exit status.
    pub(super) fn conclusion_in(&self, run: &Run, cell: &Cell) -> Conclusion {
        let row = run.rows.iter().find(|row| row.name == cell.row);
        self.conclusion(cell, row.map_or(&Outside::default(), |row| &row.driver))
    }

    /// Required drivers without a judged cell. A run that lost a driver must not look green.
    #[must_use]
    pub fn missing_drivers(&self, run: &Run) -> Vec<MissingDriver<'_>> {
        let reason = |driver: &Outside| {
            let rows = || run.rows.iter().filter(|row| row.driver == *driver);
            let mut cells = run.cells.iter().filter(|c| rows().any(|row| row.name == c.row));
            match rows().next() {
                None if run.missing_cells() > 0 => Some(MissingReason::CutOff),
                None => Some(MissingReason::NoRow),
                Some(_) if cells.all(|c| c.verdict == Verdict::Unavailable) => {
                    Some(MissingReason::Unavailable)
                }
                Some(_) => None,
            }
        };
        let missing = |driver| Some(MissingDriver { driver, reason: reason(driver)? });
        self.required_drivers.iter().filter_map(missing).collect()
    }

    pub(super) fn conclusions(&self, run: &Run) -> Conclusions {
        let cells = run.cells.iter().map(|cell| self.conclusion_in(run, cell));
        let missing = self.missing_drivers(run).into_iter().map(|_| Conclusion::Red);
        let cut_off = (run.missing_cells() > 0).then_some(Conclusion::Error);
        Conclusions::from_pieces(cells.chain(missing).chain(cut_off))
    }

    fn requires(&self, driver: &Outside) -> bool {
        self.required_drivers.contains(driver)
    }
}
