//! `iomatrix doctor`: shows which drivers work on this host, exactly why others do not, and what to
//! change. `harness::host` has the probes and their sentences; here they are judged and laid out.

mod judge;
mod parts;
mod sockets;

use harness::host;
use harness::registry::Registry;
use harness::row::Row;
use report::host::{Driver, Host};
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

/// A host, and the rows that may run on it.
struct Checkup {
    host: Host,
    rows: Vec<Row>,
}

/// Probes this host and prints what was found. A driver that is not available is not an error.
pub(crate) fn run(arguments: &Arguments) -> Result<Exit, Error> {
    let mut outputs = Outputs::open(&arguments.outputs)?;
    let registry = Registry::load()?;
    let rows = registry.built_rows().filter(|row| row.local_driver().is_some());
    let rows = rows.map(Row::from_entry).collect();
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

/// The rows of `driver` that cannot run here, in the registry's order.
fn affected_rows<'a>(driver: &Driver, host: &Host, rows: &'a [Row]) -> Vec<&'a str> {
    let on_driver = rows.iter().filter(|row| row.driver.as_ref() == Some(&driver.name));
    let affected = on_driver.filter(|row| row.missing_driver(host).is_some());
    affected.map(|row| row.name.as_str()).collect()
}

fn count_runnable(host: &Host, rows: &[Row]) -> usize {
    rows.iter().filter(|row| row.missing_driver(host).is_none()).count()
}

#[cfg(test)]
mod tests;
