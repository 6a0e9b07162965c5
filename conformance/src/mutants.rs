//! `proof/mutant/mutants.toml`: which case catches which fault of the mutant, and the mutant as a
//! row of the matrix.

use std::ffi::OsString;
use std::path::PathBuf;

use harness::launcher::Origin;
use harness::registry::RowEntry;
use harness::row::Row;
use report::host::Host;
use report::{Model, Outside};
use serde::Deserialize;

use crate::error::Error;

/// The table as it was when this program was built.
const TEXT: &str = include_str!("../../proof/mutant/mutants.toml");

/// The mutant's registry entry and its faults.
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

/// A server that is wrong on purpose.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Mutant {
    /// Value of `--fault`.
    pub fault: String,
    /// `suite/case` that must be red.
    pub caught_by: String,
    /// The kind of failure it must be red with, or `observation` for an INFO case.
    pub failure: String,
    /// A mutant of starting, stopping or identity: nothing else is asked of it.
    #[serde(default)]
    pub stops: bool,
    /// Value of `--fault-at`: strikes earlier than the fault would by itself.
    pub at: Option<u64>,
    /// The driver that the judge is told, where that is not the one in use.
    registered: Option<String>,
    /// The driver in use, where that is not the mutant's usual one: a host without it cannot show
    /// the fault.
    uses: Option<String>,
}

/// A server that is correct but unusual.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Odd {
    /// Value of `--fault`.
    pub fault: String,
    /// What it is odd in: only these cases are asked; all where there are none.
    #[serde(default)]
    pub cases: Vec<String>,
    /// The driver that the judge is told, where that is not the mutant's usual one.
    registered: Option<String>,
}

impl Mutant {
    /// Why this host cannot show the fault, if it cannot.
    #[must_use]
    pub fn missing_driver(&self, row: &Row, host: &Host) -> Option<Outside> {
        let uses = self.uses.clone()?;
        Row { driver: Some(uses.into()), ..row.clone() }.missing_driver(host)
    }
}

impl MutantTable {
    /// The repository's table.
    ///
    /// # Errors
    /// [`Error::Mutants`], with the line that is wrong.
    pub fn load() -> Result<Self, Error> {
        toml::from_str(TEXT).map_err(Error::Mutants)
    }

    /// The mutant as a row, with a fault that strikes where it does by itself.
    #[must_use]
    pub fn row_at_its_own_number(&self, executable: PathBuf, fault: &str) -> Row {
        let mut table = self.clone();
        table.mutants.iter_mut().for_each(|mutant| mutant.at = None);
        table.row(executable, Some(fault))
    }

    /// The mutant as a row, with a fault or with none.
    #[must_use]
    pub fn row(&self, executable: PathBuf, fault: Option<&str>) -> Row {
        let mut row = Row::of(&self.row);
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
