//! `iomatrix doctor`: shows which drivers work on this host, exactly why others do not, and what to
//! change. `harness::host` has the probes and their sentences; here they are judged and laid out.

mod judge;
mod parts;
mod sockets;

use harness::host;
use harness::registry::Registry;
use report::host::{Availability, Driver, Host};
use report::output::Output;
use report::part::{Medium, Part};
use report::{Exit, Format, Pages};
use serde::Serialize;

use crate::error::Error;
use crate::output::{self, Outputs};

#[derive(clap::Args)]
pub(crate) struct Arguments {
    #[arg(long = "output", value_name = "FORMAT[=FILE]", default_value = "text")]
    #[arg(help = output::help(Checkup::FORMATS))]
    #[arg(value_parser = output::parser(Checkup::FORMATS))]
    outputs: Vec<Output>,
}

/// A row of the matrix and the driver it runs on, as the registry names them.
type RowDriver = (String, String);

/// A host, and the rows that may run on it.
struct Checkup {
    host: Host,
    rows: Vec<RowDriver>,
}

/// Probes this host and prints what was found. A driver that is not available is not an error.
pub(crate) fn run(arguments: &Arguments) -> Result<Exit, Error> {
    let mut outputs = Outputs::open(&arguments.outputs)?;
    let registry = Registry::load()?;
    let rows: Vec<RowDriver> = registry
        .built_rows()
        .filter_map(|row| Some((row.name.clone(), row.local_driver()?.to_owned())))
        .collect();
    outputs.write_pages(&Checkup { host: host::probe(), rows }, &())?;
    Ok(Exit::Green)
}

impl Pages for Checkup {
    const FORMATS: &'static [Format] = &[Format::Text, Format::Markdown, Format::Json];
    type Question = ();

    fn parts(&self, (): &(), medium: Medium) -> Vec<Part> {
        parts::parts(&self.host, &self.rows, medium)
    }

    /// The host, in the form that result files hold.
    fn data(&self) -> impl Serialize {
        &self.host
    }
}

/// The rows that cannot run because `driver` is not available, in the registry's order.
fn affected_rows<'a>(driver: &Driver, rows: &'a [RowDriver]) -> Vec<&'a str> {
    match driver.state {
        Availability::Available { .. } => Vec::new(),
        Availability::Unavailable { .. } => rows
            .iter()
            .filter(|(_, needs)| driver.name == *needs)
            .map(|(row, _)| row.as_str())
            .collect(),
    }
}

/// How many rows have a driver that works here. A driver without a probe counts as not working.
fn count_runnable(host: &Host, rows: &[RowDriver]) -> usize {
    rows.iter()
        .filter(|(_, needs)| host.driver(needs).is_some_and(Availability::is_available))
        .count()
}

#[cfg(test)]
mod tests;
