//! What of a run is red: each cell, and drivers that had to be judged and were not.

use std::cmp::Ordering;

use super::{Cell, Margin, Run};
use crate::exit::{Conclusion, Conclusions};
use crate::outside::Outside;
use crate::verdict::Verdict;

/// Whether a SHOULD that is not met makes the run red.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Strictness {
    /// Only a MUST does.
    #[default]
    Must,
    /// A SHOULD does too (`--strict`).
    Strict,
}

/// What a run has to be like, beyond its cells.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Gate {
    /// Whether a SHOULD that is not met is red.
    pub strictness: Strictness,
    /// Drivers that must each have judged a cell on this host.
    pub required_drivers: Vec<Outside>,
}

impl Gate {
    /// What a cell of a row with this driver says.
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

    /// Which of two findings of one case on a row with this driver is worse, which is the greater
    /// one. The conclusion decides, then the verdict, then which came nearer to its limit.
    #[must_use]
    pub fn compare(&self, one: &Cell, other: &Cell, driver: &Outside) -> Ordering {
        let rank = |cell: &Cell| (self.conclusion(cell, driver), cell.verdict.severity());
        let nearness = |cell: &Cell| cell.margin.as_ref().map_or(0.0, Margin::ratio);
        let by_rank = rank(one).cmp(&rank(other));
        by_rank.then_with(|| nearness(one).total_cmp(&nearness(other)))
    }

    /// Required drivers that no judged cell of the run used: a run that lost one must not look
    /// green.
    #[must_use]
    pub fn missing_drivers(&self, run: &Run) -> Vec<&Outside> {
        let is_judged = |cell: &Cell| cell.verdict != Verdict::Unavailable;
        let is_missing = |driver: &&Outside| {
            let mut rows = run.rows.iter().filter(|row| row.driver == **driver);
            !rows.any(|row| run.cells.iter().any(|c| c.row == row.name && is_judged(c)))
        };
        self.required_drivers.iter().filter(is_missing).collect()
    }

    pub(super) fn conclusions(&self, run: &Run) -> Conclusions {
        let nobody = Outside::default();
        let driver_of = |cell: &Cell| {
            run.rows.iter().find(|row| row.name == cell.row).map_or(&nobody, |row| &row.driver)
        };
        let cells = run.cells.iter().map(|cell| self.conclusion(cell, driver_of(cell)));
        let missing = self.missing_drivers(run).into_iter().map(|_| Conclusion::Red);
        Conclusions::of(cells.chain(missing))
    }

    fn requires(&self, driver: &Outside) -> bool {
        self.required_drivers.contains(driver)
    }
}
