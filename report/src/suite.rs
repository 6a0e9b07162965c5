//! Test suites, as CI systems know them: what JUnit XML is made of.

use crate::outside::Outside;

/// All tests of a document.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct TestSuites {
    /// How long all of them took together, in seconds.
    pub seconds: f64,
    /// In order.
    pub suites: Vec<TestSuite>,
}

/// Test cases that belong together.
#[derive(Clone, Debug, PartialEq)]
pub struct TestSuite {
    /// What it is called.
    pub name: Outside,
    /// What is known of all its cases.
    pub properties: Vec<(&'static str, Outside)>,
    /// In order.
    pub cases: Vec<TestCase>,
}

/// One test.
#[derive(Clone, Debug, PartialEq)]
pub struct TestCase {
    /// What it is called within its suite.
    pub name: Outside,
    /// How long it took, in seconds.
    pub seconds: f64,
    /// What came of it.
    pub status: Status,
    /// What is known of it.
    pub properties: Vec<(&'static str, Outside)>,
    /// Its standard error.
    pub stderr: Vec<Outside>,
}

/// What came of a test.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Status {
    /// It succeeded.
    Passed,
    /// It was not run, or does not count.
    Skipped(Outside),
    /// The server is at fault.
    Failed(Diagnostic),
    /// It could not be judged.
    Error(Diagnostic),
}

/// Why a test did not succeed.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Diagnostic {
    /// The class of it, where there is one.
    pub kind: Option<&'static str>,
    /// In a line, where one can say it.
    pub message: Option<Outside>,
    /// In full.
    pub lines: Vec<Outside>,
}
