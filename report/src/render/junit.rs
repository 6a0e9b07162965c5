//! Test suites as JUnit XML, which CI systems read.

use std::time::Duration;

use quick_junit::{NonSuccessKind, Property, Report, SerializeError, TestCaseStatus};

use crate::escape;
use crate::outside::Outside;
use crate::suite::{Diagnostic, Status, TestCase, TestSuites};

pub(super) fn junit(TestSuites { seconds, suites }: &TestSuites) -> Result<String, SerializeError> {
    let mut report = Report::new("iomatrix");
    report.set_time(time(*seconds));
    for suite in suites {
        let class = line(&suite.name);
        let mut shown = quick_junit::TestSuite::new(class.clone());
        for (name, value) in &suite.properties {
            shown.add_property(Property::new(*name, line(value)));
        }
        shown.add_test_cases(suite.cases.iter().map(|case| test_case(case, &class)));
        report.add_test_suite(shown);
    }
    report.to_string()
}

fn test_case(case: &TestCase, class: &str) -> quick_junit::TestCase {
    let mut shown = quick_junit::TestCase::new(line(&case.name), status(&case.status));
    shown.set_classname(class);
    shown.set_time(time(case.seconds));
    for (name, value) in &case.properties {
        shown.add_property(Property::new(*name, line(value)));
    }
    if !case.stderr.is_empty() {
        shown.set_system_err(lines(&case.stderr));
    }
    shown
}

fn status(status: &Status) -> TestCaseStatus {
    match status {
        Status::Passed => TestCaseStatus::success(),
        Status::Skipped(reason) => {
            let mut skipped = TestCaseStatus::skipped();
            skipped.set_message(line(reason));
            skipped
        }
        Status::Failed(diagnostic) => non_success(NonSuccessKind::Failure, diagnostic),
        Status::Error(diagnostic) => non_success(NonSuccessKind::Error, diagnostic),
    }
}

fn non_success(kind: NonSuccessKind, diagnostic: &Diagnostic) -> TestCaseStatus {
    let mut status = TestCaseStatus::non_success(kind);
    if let Some(kind) = diagnostic.kind {
        status.set_type(kind);
    }
    if let Some(message) = &diagnostic.message {
        status.set_message(line(message));
    }
    status.set_description(lines(&diagnostic.lines));
    status
}

fn time(seconds: f64) -> Duration {
    Duration::try_from_secs_f64(seconds).unwrap_or_default()
}

/// XML 1.0 cannot hold control characters, and the log of a job shows the file line by line.
fn line(text: &Outside) -> String {
    escape::line(text.open())
}

fn lines(lines: &[Outside]) -> String {
    lines.iter().map(line).collect::<Vec<_>>().join("\n")
}
