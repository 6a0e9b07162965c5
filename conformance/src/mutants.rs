//! `proof/mutant/mutants.toml`: which case catches which fault of the mutant. Also makes a row of
//! the mutant.

use std::ffi::OsString;
use std::path::PathBuf;

use harness::launcher::Origin;
use harness::registry::RowEntry;
use harness::row::Row;
use report::host::Host;
use report::{Model, Outside};
use serde::Deserialize;

use crate::error::Error;

/// The table at build time.
const TEXT: &str = include_str!("../../proof/mutant/mutants.toml");

/// The registry entry of the mutant, and its faults.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct MutantTable {
    row: RowEntry,
    /// Servers that are wrong on purpose.
    #[serde(rename = "mutant")]
    pub mutants: Vec<Mutant>,
    /// Servers that are correct but unusual.
    #[serde(rename = "odd")]
    pub odd: Vec<Odd>,
}

#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Mutant {
    /// The value of `--fault`.
    pub fault: String,
    /// The `suite/case` that must be red.
    pub caught_by: String,
    /// The kind of failure that the case must report, or `observation` for an INFO case.
    pub failure: String,
    /// A fault in starting, stopping or identity. The self-test does not require that other cases
    /// stay green.
    #[serde(default)]
    pub stops: bool,
    /// The value of `--fault-at`: the fault strikes earlier than it does by default.
    pub at: Option<u64>,
    /// The driver that the judge is told, if it is not the one in use.
    registered: Option<String>,
    /// The driver in use, if it is not the mutant's default. A host without it cannot show the
    /// fault.
    uses: Option<String>,
}

#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Odd {
    /// The value of `--fault`.
    pub fault: String,
    /// The cases to ask, which are about what is unusual; empty for all cases.
    #[serde(default)]
    pub cases: Vec<String>,
    /// The driver that the judge is told, if it is not the mutant's default.
    registered: Option<String>,
}

impl Mutant {
    /// Why this host cannot show the fault; `None` if it can.
    #[must_use]
    pub fn missing_driver(&self, row: &Row, host: &Host) -> Option<Outside> {
        let uses = self.uses.clone()?;
        Row { driver: Some(uses.into()), ..row.clone() }.missing_driver(host)
    }
}

impl MutantTable {
    /// Reads the table.
    ///
    /// # Errors
    /// [`Error::Mutants`], which names the line.
    pub fn load() -> Result<Self, Error> {
        toml::from_str(TEXT).map_err(Error::Mutants)
    }

    /// The mutant as a row. The fault strikes where it does by default, not at `at`.
    #[must_use]
    pub fn row_at_default_strike(&self, executable: PathBuf, fault: &str) -> Row {
        let mut table = self.clone();
        table.mutants.iter_mut().for_each(|mutant| mutant.at = None);
        table.row(executable, Some(fault))
    }

    /// The mutant as a row, with or without a fault.
    #[must_use]
    pub fn row(&self, executable: PathBuf, fault: Option<&str>) -> Row {
        let mut row = Row::from_entry(&self.row);
        if let Origin::Contract(program) = &mut row.origin {
            program.executable = executable;
            program.arguments.extend(fault.iter().flat_map(|f| ["--fault", f]).map(OsString::from));
        }
        let Some(fault) = fault else { return row };
        fault.clone_into(&mut row.name);
        let mutant = self.mutants.iter().find(|mutant| mutant.fault == fault);
        if let (Some(at), Origin::Contract(program)) =
            (mutant.and_then(|mutant| mutant.at), &mut row.origin)
        {
            program.arguments.extend(["--fault-at".into(), at.to_string().into()]);
        }
        let odd = self.odd.iter().find(|odd| odd.fault == fault);
        let registered = mutant.map(|mutant| &mutant.registered);
        if let Some(driver) = registered.or(odd.map(|odd| &odd.registered)).cloned().flatten() {
            row.model = if driver == "io_uring" { Model::Completion } else { Model::Readiness };
            row.driver = Some(driver.into());
        }
        row
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_judge_can_be_told_another_driver_than_the_one_in_use() {
        let table = MutantTable::load().unwrap();
        let driver = |fault| table.row(PathBuf::new(), fault).driver;
        assert_eq!(driver(Some("says-io-uring")), Some("io_uring".into()));
        assert_eq!(driver(Some("greets")), driver(None));
    }
}
