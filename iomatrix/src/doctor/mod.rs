//! `iomatrix doctor`: which drivers work on this host, exactly why not, and what to change. The
//! probes and their sentences are `harness::host`'s; here they are judged and laid out.

mod judge;
mod markdown;
mod text;

use harness::host;
use harness::registry::Registry;
use report::Outside;
use report::host::{Driver, Hint, Host, Seccomp, State, size};
use report::{Exit, Format};

use crate::error::Error;
use crate::output::{self, Output, Outputs};
use crate::paragraph;

/// The host as a page, or as result files carry it.
const FORMATS: &[Format] = &[Format::Text, Format::Markdown, Format::Json];

#[derive(clap::Args)]
pub(crate) struct Arguments {
    #[arg(long = "output", value_name = "FORMAT[=FILE]", default_value = "text")]
    #[arg(help = output::help(FORMATS), value_parser = Output::parser(FORMATS))]
    outputs: Vec<Output>,
}

/// A row of the matrix and the driver it runs on, as the registry names them.
type RowDriver = (String, String);

/// Probes this host and prints what was found. A driver that is not available is a finding.
pub(crate) fn run(arguments: &Arguments) -> Result<Exit, Error> {
    let mut outputs = Outputs::open(&arguments.outputs)?;
    let registry = Registry::load()?;
    let rows: Vec<RowDriver> = registry
        .built_rows()
        .filter_map(|row| Some((row.name.clone(), row.driver_here()?.to_owned())))
        .collect();
    let host = host::probe();
    outputs.write(|format, view| match format {
        Format::Text => Ok(text::render(&host, &rows, paragraph::columns(view))),
        Format::Markdown => Ok(markdown::render(&host, &rows)),
        Format::Json => output::json(&host),
        Format::Jsonl | Format::Csv | Format::Junit | Format::Margins => {
            Err(Error::not_offered(format))
        }
    })?;
    Ok(Exit::Green)
}

/// Names of the rows that `driver` keeps from running, in the registry's order.
fn affected<'a>(driver: &Driver, rows: &'a [RowDriver]) -> Vec<&'a str> {
    match driver.state {
        State::Available { .. } => Vec::new(),
        State::Unavailable { .. } => rows
            .iter()
            .filter(|(_, needs)| driver.name == *needs)
            .map(|(row, _)| row.as_str())
            .collect(),
    }
}

/// How many rows have a driver that works here; a driver that no probe knows does not.
fn runnable(host: &Host, rows: &[RowDriver]) -> usize {
    rows.iter().filter(|(_, needs)| host.driver(needs).is_some_and(State::is_available)).count()
}

/// What the machine is, in lines of related facts; what is unknown is left out.
fn identity(host: &Host) -> Vec<String> {
    let hint = |kind: &str, hint: &Option<Hint>| {
        hint.as_ref().map(|hint| {
            format!("{kind}: {} ({})", hint.name.on_terminal(), hint.evidence.on_terminal())
        })
    };
    let known = |text: &Outside| text.on_terminal();
    let system = [Some(&host.os), host.kernel.as_ref(), Some(&host.arch)];
    let machine = [host.cpu_model.as_ref().map(known), host.memory_bytes.map(size)];
    let runner = host.runner.as_ref().map(|runner| {
        let parts = [&runner.image, &runner.image_version, &runner.name];
        format!("runner: {}", join(parts.map(|part| part.as_ref().map(known)), " "))
    });
    [
        Some(join(system.map(|part| part.map(known)), " ")),
        Some(join(machine, ", ")),
        hint("virtualisation", &host.virtualisation),
        hint("container", &host.container),
        host.seccomp.map(|mode| format!("seccomp: {}", seccomp(mode))),
        runner,
    ]
    .into_iter()
    .flatten()
    .filter(|line| !line.is_empty())
    .collect()
}

fn join<const N: usize>(parts: [Option<String>; N], separator: &str) -> String {
    let known: Vec<_> = parts.into_iter().flatten().collect();
    known.join(separator)
}

fn seccomp(mode: Seccomp) -> &'static str {
    match mode {
        Seccomp::Off => "off",
        Seccomp::Strict => "strict mode",
        Seccomp::Filter => "filter mode",
    }
}

#[cfg(test)]
mod tests;
