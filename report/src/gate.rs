//! From a run to an exit status. The one place that decides what is red.

use std::process::ExitCode;

use crate::run::{Cell, Run};
use crate::verdict::Verdict;

/// Whether a SHOULD that is not met makes the run red.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Strictness {
    /// Only a MUST does.
    Must,
    /// A SHOULD does too (`--strict`).
    Strict,
}

/// The documented exit statuses.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Exit {
    /// Everything is green.
    Green,
    /// A failure, crash, timeout, stale waiver, missing required driver, regression, or miss under
    /// `--strict`.
    Red,
    /// The command line was wrong.
    Usage,
    /// The harness could not judge, or a measurement is invalid.
    Error,
    /// Every selected row is unavailable here (`EX_UNAVAILABLE` of sysexits.h).
    Unavailable,
    /// A condition of `--fail-if` holds, or cannot be shown not to.
    ConditionFired,
    /// Interrupted by the user.
    Interrupted,
}

impl Exit {
    /// The number that the process exits with.
    #[must_use]
    pub fn status(self) -> u8 {
        match self {
            Self::Green => 0,
            Self::Red => 1,
            Self::Usage => 2,
            Self::Error => 3,
            Self::Unavailable => 69,
            Self::ConditionFired => 99,
            Self::Interrupted => 130,
        }
    }
}

impl From<Exit> for ExitCode {
    fn from(exit: Exit) -> Self {
        Self::from(exit.status())
    }
}

/// Whether a cell is red, and why, in a few words.
#[must_use]
pub fn red(cell: &Cell, strictness: Strictness, required_drivers: &[String], driver: &str) -> bool {
    if cell.has_stale_waiver() {
        return true;
    }
    match cell.verdict {
        Verdict::Fail | Verdict::Crash | Verdict::Timeout => !cell.is_waived(),
        Verdict::Miss => strictness == Strictness::Strict && !cell.is_waived(),
        Verdict::Unavailable => required_drivers.iter().any(|required| required == driver),
        Verdict::Pass | Verdict::Info | Verdict::Unsupported | Verdict::Error => false,
    }
}

/// The exit status of a run. `required_drivers` must each have judged a cell on this host.
#[must_use]
pub fn gate(run: &Run, strictness: Strictness, required_drivers: &[String]) -> Exit {
    let driver_of = |cell: &Cell| {
        run.rows.iter().find(|row| row.name == cell.row).map_or("-", |row| row.driver.as_str())
    };
    let any_red =
        run.cells.iter().any(|cell| red(cell, strictness, required_drivers, driver_of(cell)));
    if any_red || !missing_drivers(run, required_drivers).is_empty() {
        return Exit::Red;
    }
    if run.cells.iter().any(|cell| cell.verdict == Verdict::Error) {
        return Exit::Error;
    }
    let none_judged = run.cells.iter().all(|cell| cell.verdict == Verdict::Unavailable);
    if none_judged { Exit::Unavailable } else { Exit::Green }
}

/// Required drivers that no judged cell of the run used: a run that lost one must not look green.
#[must_use]
pub fn missing_drivers<'a>(run: &Run, required_drivers: &'a [String]) -> Vec<&'a str> {
    required_drivers
        .iter()
        .filter(|driver| {
            !run.rows.iter().any(|row| {
                row.driver == **driver
                    && run
                        .cells
                        .iter()
                        .any(|c| c.row == row.name && c.verdict != Verdict::Unavailable)
            })
        })
        .map(String::as_str)
        .collect()
}
