//! `backends/backends.toml`: the rows of the matrix, and the waivers. The harness knows backends
//! only from this file.

use std::collections::BTreeMap;

use report::Outside;
use report::{FailureKind, Model};
use serde::Deserialize;

use crate::error::Error;
use crate::ring_needs::RingNeeds;

/// The file at build time, so that a program that runs elsewhere has it.
const TEXT: &str = include_str!("../../backends/backends.toml");

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Registry {
    /// The rows, in the order of the columns.
    #[serde(rename = "row")]
    pub rows: Vec<RowEntry>,
    /// Failures that no change to a backend's code can fix.
    #[serde(default, rename = "waiver")]
    pub waivers: Vec<Waiver>,
}

/// One row: backend, flavor, driver and workers.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RowEntry {
    /// `NAME[-FLAVOR][-DRIVER]`.
    pub name: String,
    /// Cargo package, and name of its executable.
    pub package: String,
    /// Value of `--flavor`.
    pub flavor: String,
    /// The group of columns that the row belongs to.
    pub model: Model,
    /// Value of `--workers`.
    pub workers: u32,
    /// Driver per operating system, which is named as in `std::env::consts::OS`.
    pub driver: BTreeMap<String, String>,
    /// What the row needs of io_uring.
    #[serde(default)]
    pub ring: RingNeeds,
    /// Which releases of Linux have run the row; `None` if the row does not exist on Linux.
    pub linux: Option<LinuxRuns>,
    /// Cargo feature that enables the row.
    pub feature: Option<String>,
    /// A description, in a few words of Markdown.
    pub about: String,
    /// What the server does not offer, and why.
    #[serde(default)]
    pub lacks: BTreeMap<String, String>,
}

/// On which kernels of Debian ci/kernels.sh has judged a row.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct LinuxRuns {
    /// The oldest release that has served the row.
    pub served: String,
    /// The newest release that has refused the row, if one has.
    pub refused: Option<String>,
}

/// A known failure that is reported upstream and is not the fault of the backend's code.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Waiver {
    pub row: String,
    /// `suite/case`.
    pub case: String,
    /// Operating system, or `wine` for Windows programs under wine.
    pub os: String,
    /// The only kind of failure that is waived.
    pub failure: FailureKind,
    /// Why no code of the backend can meet the requirement.
    pub reason: String,
    /// Where it is reported, `repo#n`.
    pub upstream: String,
    /// A program that shows the failure with the runtime alone, in the backend's `examples/`.
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

    /// The rows of this build: those without a feature, and those whose feature is enabled.
    pub fn built_rows(&self) -> impl Iterator<Item = &RowEntry> {
        self.rows.iter().filter(|row| row.feature.as_deref().is_none_or(is_enabled))
    }

    /// The waiver for a cell on this operating system.
    #[must_use]
    pub fn waiver(&self, row: &str, case: &str, os: &Outside) -> Option<&Waiver> {
        self.waivers.iter().find(|w| w.row == row && w.case == case && *os == w.os)
    }
}

impl RowEntry {
    /// `None` if the row does not exist on this operating system.
    #[must_use]
    pub fn local_driver(&self) -> Option<&str> {
        self.driver.get(std::env::consts::OS).map(String::as_str)
    }
}

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
            let is_on_ring = row.driver.values().any(|driver| driver == "io_uring");
            assert_eq!(!row.ring.operations.is_empty(), is_on_ring, "{}", row.name);
            let unknown = row.ring.unknown();
            assert!(unknown.is_empty(), "{} needs {unknown:?}", row.name);
            assert_eq!(row.linux.is_some(), row.driver.contains_key("linux"), "{}", row.name);
        }
    }
}
