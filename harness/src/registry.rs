//! `backends/backends.toml`: the rows of the matrix and the waivers. Only from this file does the
//! harness know that a backend exists.

use std::collections::BTreeMap;

use report::Outside;
use report::{FailureKind, Model};
use serde::Deserialize;

use crate::error::Error;

/// The registry as it was when this program was built, so that a program run elsewhere has it.
const TEXT: &str = include_str!("../../backends/backends.toml");

/// Rows and waivers.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Registry {
    /// The rows, in the order of columns.
    #[serde(rename = "row")]
    pub rows: Vec<RowEntry>,
    /// Failures that no code of a backend can mend.
    #[serde(default, rename = "waiver")]
    pub waivers: Vec<Waiver>,
}

/// One row: backend, flavor, driver and workers.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RowEntry {
    /// `NAME[-FLAVOR][-DRIVER]`.
    pub name: String,
    /// Cargo package, and name of its program.
    pub package: String,
    /// Value of `--flavor`.
    pub flavor: String,
    /// The group of columns.
    pub model: Model,
    /// Value of `--workers`.
    pub workers: u32,
    /// Driver per operating system, as `std::env::consts::OS` names it.
    pub driver: BTreeMap<String, String>,
    /// Cargo feature that the row belongs to.
    pub feature: Option<String>,
    /// What it is, in a few words of Markdown.
    pub about: String,
    /// What the server does not offer, and why.
    #[serde(default)]
    pub lacks: BTreeMap<String, String>,
}

/// A failure that is known, reported upstream, and no fault of the backend's code.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Waiver {
    /// Name of the row.
    pub row: String,
    /// `suite/case`.
    pub case: String,
    /// Operating system, or `wine` for Windows programs under wine.
    pub os: String,
    /// The one kind of failure that is waived.
    pub failure: FailureKind,
    /// Why no code of the backend can meet the requirement.
    pub reason: String,
    /// Where that is reported, `repo#n`.
    pub upstream: String,
    /// A program on the runtime alone that shows the failure, below `examples/` of the backend.
    pub reproduction: String,
}

impl Registry {
    /// The repository's registry.
    ///
    /// # Errors
    /// [`Error::Registry`], with the line that is wrong.
    pub fn load() -> Result<Self, Error> {
        toml::from_str(TEXT).map_err(Error::Registry)
    }

    /// The rows that belong to this build: those without a feature, and those whose feature is on.
    pub fn built_rows(&self) -> impl Iterator<Item = &RowEntry> {
        self.rows.iter().filter(|row| row.feature.as_deref().is_none_or(is_enabled))
    }

    /// The waiver for a cell on this host.
    #[must_use]
    pub fn waiver(&self, row: &str, case: &str, os: &Outside) -> Option<&Waiver> {
        self.waivers.iter().find(|w| w.row == row && w.case == case && *os == w.os)
    }
}

impl RowEntry {
    /// The driver that this row uses on this operating system.
    #[must_use]
    pub fn driver_here(&self) -> Option<&str> {
        self.driver.get(std::env::consts::OS).map(String::as_str)
    }
}

/// Whether this program was built with a feature that rows can belong to.
fn is_enabled(feature: &str) -> bool {
    feature == "uring" && cfg!(feature = "uring")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_repository_has_one() {
        let registry = Registry::load().unwrap();
        assert!(registry.built_rows().count() >= 4);
        for row in &registry.rows {
            assert!(!row.driver.is_empty(), "{} runs nowhere", row.name);
        }
    }
}
