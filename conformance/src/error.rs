//! Why a check cannot judge anything at all. A server's fault is a `report::Failure`.

use std::fmt;

use report::Outside;

use crate::page::CasePageError;

/// An expected error. Its sentence says what is wrong, and what to do.
#[derive(Debug)]
pub enum Error {
    /// The harness cannot do what it was asked.
    Harness(harness::Error),
    /// The mutants' table is not what it should be: the line, and what is wrong with it.
    Mutants(toml::de::Error),
    /// A case has no page, or a page is not what it should be.
    Page(CasePageError),
    /// An environment variable has no such value: what to write instead.
    Variable(Outside),
}

/// Its sentence has the cause already, so that there is no source.
impl std::error::Error for Error {}

impl From<CasePageError> for Error {
    fn from(error: CasePageError) -> Self {
        Self::Page(error)
    }
}

impl From<harness::Error> for Error {
    fn from(error: harness::Error) -> Self {
        Self::Harness(error)
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Harness(error) => write!(f, "{error}"),
            Self::Mutants(error) => write!(f, "proof/mutant/mutants.toml: {error}"),
            Self::Page(error) => write!(f, "{error}"),
            Self::Variable(sentence) => f.write_str(&sentence.on_terminal()),
        }
    }
}
