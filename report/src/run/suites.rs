//! A run as tests of a CI system: one suite per row and suite of cases. A failure differs from an
//! error, and each cell that was not judged has a reason.

use super::details::detail;
use super::{Cell, Gate, MissingDriver, Run, RunRow};
use crate::exit::Conclusion;
use crate::outside;
use crate::outside::Outside;
use crate::suite::{Diagnostic, Status, TestCase, TestSuite, TestSuites};
use crate::verdict::Verdict;

pub(super) fn suites(run: &Run, gate: &Gate) -> TestSuites {
    let of_row = |row: &RunRow| {
        let cells = run.cells.iter().filter(|cell| cell.row == row.name);
        let mut names: Vec<&Outside> = cells.map(|cell| &cell.suite).collect();
        names.dedup();
        names.into_iter().map(|name| suite(run, gate, row, name)).collect::<Vec<_>>()
    };
    let mut suites: Vec<TestSuite> = run.rows.iter().flat_map(of_row).collect();
    suites.extend(required_drivers(run, gate));
    suites.extend(cut_off(run));
    TestSuites { seconds: run.seconds, suites }
}

/// One test per required driver, because a driver that no row has would be in no other suite.
fn required_drivers(run: &Run, gate: &Gate) -> Option<TestSuite> {
    let missing = gate.missing_drivers(run);
    let status = |driver: &Outside| {
        let missing = missing.iter().find(|missing| missing.driver == driver);
        let failed = |missing: &MissingDriver| {
            let sentence = missing.sentence();
            let message = Some(sentence.clone());
            Status::Failed(Diagnostic { kind: Some("not-judged"), message, lines: vec![sentence] })
        };
        missing.map_or(Status::Passed, failed)
    };
    let test_case = |driver: &Outside| TestCase {
        name: driver.clone(),
        seconds: 0.0,
        status: status(driver),
        properties: Vec::new(),
        stderr: Vec::new(),
    };
    let cases: Vec<TestCase> = gate.required_drivers.iter().map(test_case).collect();
    let properties = run_properties(run).into();
    (!cases.is_empty()).then(|| TestSuite { name: "required drivers".into(), properties, cases })
}

/// A failed test for a run that was cut off: the cells that are missing have no tests.
fn cut_off(run: &Run) -> Option<TestSuite> {
    let (judged, planned) = (run.cells.len(), run.planned);
    let sentence = outside!("the run was cut off: {} of {} cells are judged", judged, planned);
    let message = Some(sentence.clone());
    let diagnostic = Diagnostic { kind: Some("not-judged"), message, lines: vec![sentence] };
    let case = TestCase {
        name: "all cells".into(),
        seconds: 0.0,
        status: Status::Error(diagnostic),
        properties: Vec::new(),
        stderr: Vec::new(),
    };
    let properties = run_properties(run).into();
    (run.missing_cells() > 0).then(|| TestSuite {
        name: "whole run".into(),
        properties,
        cases: vec![case],
    })
}

/// Properties of all tests of a run.
fn run_properties(run: &Run) -> [(&'static str, Outside); 3] {
    [
        ("label", run.label.clone()),
        ("profile", run.profile.clone()),
        ("seed", run.seed.to_string().into()),
    ]
}

fn suite(run: &Run, gate: &Gate, row: &RunRow, name: &Outside) -> TestSuite {
    let certified = if row.certificate.certified { "yes" } else { "no" };
    let own = run.cells.iter().filter(|cell| cell.row == row.name && cell.suite == *name);
    let of_row = [
        ("grade", row.grade.to_string().into()),
        ("driver", row.driver.clone()),
        ("certified", certified.into()),
    ];
    TestSuite {
        name: outside!("{}::{}", row.name, name),
        properties: run_properties(run).into_iter().chain(of_row).collect(),
        cases: own.map(|cell| test_case(cell, gate.conclusion(cell, &row.driver))).collect(),
    }
}

fn test_case(cell: &Cell, conclusion: Conclusion) -> TestCase {
    let mut properties = vec![
        ("level", cell.level.to_string().into()),
        ("verdict", cell.word().into()),
        ("requirement", cell.requirement.clone()),
    ];
    properties.extend(cell.observation.clone().map(|observation| ("observation", observation)));
    TestCase {
        name: cell.case.clone(),
        seconds: cell.seconds,
        status: status(cell, conclusion),
        properties,
        stderr: cell.stderr_tail.clone(),
    }
}

/// Red for the CI system is exactly what is red for the run.
fn status(cell: &Cell, conclusion: Conclusion) -> Status {
    let skipped = |reason: Option<&Outside>| {
        let reason = reason.cloned().unwrap_or_else(|| "no reason".into());
        Status::Skipped(outside!("{}: {}", cell.word(), reason))
    };
    match conclusion {
        Conclusion::Red | Conclusion::ConditionFired => Status::Failed(diagnostic(cell)),
        Conclusion::Error => Status::Error(diagnostic(cell)),
        Conclusion::Unavailable => skipped(cell.reason.as_ref()),
        Conclusion::Green if cell.is_waived() => {
            skipped(cell.waiver.as_ref().map(|waiver| &waiver.reason))
        }
        Conclusion::Green if cell.verdict == Verdict::Unsupported => skipped(cell.reason.as_ref()),
        Conclusion::Green => Status::Passed,
    }
}

fn diagnostic(cell: &Cell) -> Diagnostic {
    let failure = cell.failure.as_ref();
    Diagnostic {
        kind: failure.map(|failure| failure.kind.word()),
        message: failure
            .map(|failure| outside!("expected {}; actual {}", failure.expected, failure.actual))
            .or_else(|| cell.reason.clone()),
        lines: detail(cell),
    }
}
