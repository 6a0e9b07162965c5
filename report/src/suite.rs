//! Test suites as CI systems know them: the data of JUnit XML.

use crate::outside::Outside;

#[derive(Clone, Debug, Default, PartialEq)]
pub struct TestSuites {
    /// Of all suites together.
    pub seconds: f64,
    pub suites: Vec<TestSuite>,
}

#[derive(Clone, Debug, PartialEq)]
pub struct TestSuite {
    pub name: Outside,
    /// Facts that hold for all its cases.
    pub properties: Vec<(&'static str, Outside)>,
    pub cases: Vec<TestCase>,
}

#[derive(Clone, Debug, PartialEq)]
pub struct TestCase {
    pub name: Outside,
    pub seconds: f64,
    pub status: Status,
    pub properties: Vec<(&'static str, Outside)>,
    pub stderr: Vec<Outside>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Status {
    Passed,
    /// It was not run, or it does not count; with the reason.
    Skipped(Outside),
    /// The server is at fault.
    Failed(Diagnostic),
    /// The judge could not judge it.
    Error(Diagnostic),
}

/// Why a test did not succeed.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Diagnostic {
    /// The class of the failure, if it has one.
    pub kind: Option<&'static str>,
    /// The reason in one line, if one line is enough.
    pub message: Option<Outside>,
    /// The whole reason.
    pub lines: Vec<Outside>,
}
