//! A run as tests of a CI system: a suite for each row and suite of cases, a failure apart from an
//! error, and every reason for a cell that was not judged.

use super::parts::detail;
use super::{Cell, Row, Run};
use crate::outside;
use crate::outside::Outside;
use crate::suite::{Fault, Status, Suite, Suites, TestCase};
use crate::verdict::Verdict;

pub(super) fn suites(run: &Run) -> Suites {
    let of_row = |row: &Row| {
        let cells = run.cells.iter().filter(|cell| cell.row == row.name);
        let mut names: Vec<&Outside> = cells.map(|cell| &cell.suite).collect();
        names.dedup();
        names.into_iter().map(|name| suite(run, row, name)).collect::<Vec<_>>()
    };
    Suites { seconds: run.seconds, suites: run.rows.iter().flat_map(of_row).collect() }
}

fn suite(run: &Run, row: &Row, name: &Outside) -> Suite {
    let certified = if row.certificate.certified { "yes" } else { "no" };
    let own = run.cells.iter().filter(|cell| cell.row == row.name && cell.suite == *name);
    Suite {
        name: outside!("{}::{}", row.name, name),
        properties: vec![
            ("label", run.label.clone()),
            ("profile", run.profile.clone()),
            ("seed", run.seed.to_string().into()),
            ("grade", row.grade.to_string().into()),
            ("driver", row.driver.clone()),
            ("certified", certified.into()),
        ],
        cases: own.map(test_case).collect(),
    }
}

fn test_case(cell: &Cell) -> TestCase {
    let mut properties = vec![
        ("level", cell.level.to_string().into()),
        ("verdict", cell.word().into()),
        ("requirement", cell.requirement.clone()),
    ];
    properties.extend(cell.observation.clone().map(|observation| ("observation", observation)));
    TestCase {
        name: cell.case.clone(),
        seconds: cell.seconds,
        status: status(cell),
        properties,
        stderr: cell.stderr_tail.clone(),
    }
}

fn status(cell: &Cell) -> Status {
    let skipped = |reason: Option<&Outside>| {
        let reason = reason.cloned().unwrap_or_else(|| "no reason".into());
        Status::Skipped(outside!("{}: {}", cell.word(), reason))
    };
    match cell.verdict {
        Verdict::Fail | Verdict::Crash | Verdict::Timeout | Verdict::Miss if cell.is_waived() => {
            skipped(cell.waiver.as_ref().map(|waiver| &waiver.reason))
        }
        Verdict::Fail | Verdict::Crash | Verdict::Timeout => Status::Failed(fault(cell)),
        Verdict::Error => Status::Error(fault(cell)),
        Verdict::Pass | Verdict::Info if cell.has_stale_waiver() => Status::Failed(fault(cell)),
        // A SHOULD that is not met fails nobody's build; the word stands in the properties.
        Verdict::Pass | Verdict::Info | Verdict::Miss => Status::Passed,
        Verdict::Unsupported | Verdict::Unavailable => skipped(cell.reason.as_ref()),
    }
}

fn fault(cell: &Cell) -> Fault {
    let failure = cell.failure.as_ref();
    Fault {
        kind: failure.map(|failure| failure.kind.word()),
        message: failure
            .map(|failure| outside!("expected {}; actual {}", failure.expected, failure.actual)),
        lines: detail(cell),
    }
}
