//! A run as JUnit XML, which CI systems read: a test suite for each row and suite, a failure apart
//! from an error, and every reason for a cell that was not judged.

use std::time::Duration;

use quick_junit::{NonSuccessKind, Property, Report, TestCase, TestCaseStatus, TestSuite};

use super::text::detail;
use super::{Cell, Run};
use crate::verdict::Verdict;

/// The whole run.
///
/// # Errors
/// A sentence when it cannot be written as XML.
pub fn render(run: &Run) -> Result<String, String> {
    let mut report = Report::new("iomatrix");
    report.set_time(seconds(run.seconds));
    for row in &run.rows {
        let cells = || run.cells.iter().filter(|cell| cell.row == row.name);
        let mut names: Vec<&str> = cells().map(|cell| cell.suite.as_str()).collect();
        names.dedup();
        for name in names {
            let mut suite = TestSuite::new(format!("{}::{name}", row.name));
            let word = if row.certificate.certified { "yes" } else { "no" };
            let properties = [
                ("label", run.label.as_str()),
                ("profile", run.profile.as_str()),
                ("seed", &run.seed.to_string()),
                ("grade", &row.grade.to_string()),
                ("driver", row.driver.as_str()),
                ("certified", word),
            ];
            for (name, value) in properties {
                suite.add_property(Property::new(name, value));
            }
            suite.add_test_cases(cells().filter(|cell| cell.suite == name).map(test_case));
            report.add_test_suite(suite);
        }
    }
    report.to_string().map_err(|e| e.to_string())
}

fn test_case(cell: &Cell) -> TestCase {
    let mut case = TestCase::new(cell.case.as_str(), status(cell));
    case.set_classname(format!("{}::{}", cell.row, cell.suite));
    case.set_time(seconds(cell.seconds));
    case.add_property(Property::new("level", cell.level.to_string()));
    case.add_property(Property::new("verdict", cell.word()));
    case.add_property(Property::new("requirement", cell.requirement.as_str()));
    if let Some(observation) = &cell.observation {
        case.add_property(Property::new("observation", observation.as_str()));
    }
    if !cell.stderr_tail.is_empty() {
        case.set_system_err(cell.stderr_tail.join("\n"));
    }
    case
}

fn status(cell: &Cell) -> TestCaseStatus {
    let failed = |kind: NonSuccessKind| {
        let mut status = TestCaseStatus::non_success(kind);
        if let Some(failure) = &cell.failure {
            status.set_type(failure.kind.word());
            status.set_message(format!("expected {}; actual {}", failure.expected, failure.actual));
        }
        status.set_description(detail(cell));
        status
    };
    let skipped = |reason: &str| {
        let mut status = TestCaseStatus::skipped();
        status.set_message(format!("{}: {reason}", cell.word()));
        status
    };
    match cell.verdict {
        Verdict::Fail | Verdict::Crash | Verdict::Timeout | Verdict::Miss if cell.is_waived() => {
            let reason = cell.waiver.as_ref().map_or("", |waiver| waiver.reason.as_str());
            skipped(reason)
        }
        Verdict::Fail | Verdict::Crash | Verdict::Timeout => failed(NonSuccessKind::Failure),
        Verdict::Error => failed(NonSuccessKind::Error),
        Verdict::Pass | Verdict::Info if cell.has_stale_waiver() => failed(NonSuccessKind::Failure),
        // A SHOULD that is not met fails nobody's build; the word stands in the properties.
        Verdict::Pass | Verdict::Info | Verdict::Miss => TestCaseStatus::success(),
        Verdict::Unsupported | Verdict::Unavailable => {
            skipped(cell.reason.as_deref().unwrap_or("no reason"))
        }
    }
}

fn seconds(seconds: f64) -> Duration {
    Duration::try_from_secs_f64(seconds).unwrap_or_default()
}
