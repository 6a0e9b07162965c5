//! Why a check cannot judge anything at all. A fault of a server is a `report::Failure`.

use std::fmt;

use report::Outside;

use crate::page::CasePageError;

/// Its message says what is wrong and what to do.
#[derive(Debug)]
pub enum Error {
    Harness(harness::Error),
    /// The table of mutants is invalid. The error names the line.
    Mutants(toml::de::Error),
    /// A case has no page, or a page is invalid.
    Page(CasePageError),
    /// An environment variable has an invalid value. The text says what to write instead.
    Variable(Outside),
}

/// The message contains the cause, so there is no `source`.
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
