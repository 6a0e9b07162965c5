//! `iomatrix trace`: shows the system calls of a request, rows side by side. They come from strace,
//! so they are shapes and never times. The pages are those of `report::trace`.

mod gist;
mod ladder;
mod lines;
mod rings;
mod session;
mod strace;

use std::path::Path;

use clap::builder::RangedU64ValueParser;
use harness::launcher::{Origin, Program};
use harness::registry::{Registry, RowEntry};
use harness::row::Row;
use harness::{binaries, host};
use report::Outside;
use report::output::Output;
use report::trace::{FORMAT_VERSION, Ladder, Outcome, Trace};
use report::{Document as _, Exit, Pages as _};

use session::TracePlan;

use crate::building::show_builds;
use crate::error::Error;
use crate::output::{self, Outputs};
use crate::selection;

#[derive(clap::Args)]
pub(crate) struct Arguments {
    /// Rows, in the order of columns; `*` stands for any text.
    #[arg(required = true, value_name = "ROW", value_delimiter = ',')]
    rows: Vec<String>,
    /// Requests, one after the other; in each, every connection sends one message.
    #[arg(long, value_name = "N", default_value_t = 2, value_parser = bounded(1, 100))]
    requests: u32,
    /// Clients.
    #[arg(long, value_name = "N", default_value_t = 1, value_parser = bounded(1, 256))]
    connections: u32,
    /// Length of a message in bytes.
    #[arg(long, value_name = "BYTES", default_value_t = 64, value_parser = bounded(1, 65_536))]
    message: u32,
    /// Threads of each server that do I/O. A flavor that refuses the number keeps its own.
    #[arg(long, value_name = "N", default_value_t = 1, value_parser = bounded(1, 1024))]
    workers: u32,
    #[arg(long = "output", value_name = "FORMAT[=FILE]", default_value = "text")]
    #[arg(help = output::help(Trace::FORMATS), value_parser = output::parser(Trace::FORMATS))]
    outputs: Vec<Output>,
}

fn bounded(least: u64, most: u64) -> RangedU64ValueParser<u32> {
    RangedU64ValueParser::new().range(least..=most)
}

pub(crate) fn run(arguments: &Arguments) -> Result<Exit, Error> {
    let registry = Registry::load()?;
    let rows = selected(&registry, &arguments.rows)?;
    let mut outputs = Outputs::open(&arguments.outputs)?;
    let tracer = strace::find()?;
    let host = host::probe();
    let mut trace = Trace {
        version: FORMAT_VERSION,
        connections: arguments.connections,
        message_bytes: u64::from(arguments.message),
        rows: Vec::new(),
    };
    for entry in rows {
        trace.rows.push(match Row::from_entry(entry).missing_driver(&host) {
            Some(reason) => unavailable(entry, reason),
            None => arguments.ladder(&tracer, entry)?,
        });
    }
    outputs.write_pages(&trace, &())?;
    Ok(trace.exit(&()))
}

/// The rows in the order in which they were asked for, each once.
fn selected<'a>(registry: &'a Registry, patterns: &[String]) -> Result<Vec<&'a RowEntry>, Error> {
    let mut rows: Vec<&RowEntry> = Vec::new();
    for pattern in patterns {
        for row in selection::rows(registry, std::slice::from_ref(pattern))? {
            if rows.iter().all(|known| known.name != row.name) {
                rows.push(row);
            }
        }
    }
    Ok(rows)
}

impl Arguments {
    /// Traces a row's server with the requested number of workers, or with the row's own if the
    /// server refuses that number.
    fn ladder(&self, tracer: &Path, entry: &RowEntry) -> Result<Ladder, Error> {
        let asked = RowEntry { workers: self.workers, ..entry.clone() };
        let outcome = match self.session(tracer, &asked)? {
            session::SessionOutcome::Refused(_) => self.session(tracer, entry)?,
            answer @ (session::SessionOutcome::Traced(..)
            | session::SessionOutcome::Unavailable(_)) => answer,
        };
        match outcome {
            session::SessionOutcome::Traced(ready, requests) => Ok(Ladder {
                name: entry.name.clone().into(),
                model: entry.model,
                driver: ready.driver,
                workers: ready.workers,
                outcome: Outcome::Traced { requests },
            }),
            session::SessionOutcome::Unavailable(reason) => Ok(unavailable(entry, reason)),
            session::SessionOutcome::Refused(stderr) => {
                Err(Error::RefusesArguments { row: entry.name.clone().into(), stderr })
            }
        }
    }

    fn session(&self, tracer: &Path, entry: &RowEntry) -> Result<session::SessionOutcome, Error> {
        let plan = TracePlan {
            requests: self.requests,
            connections: self.connections,
            message_bytes: self.message as usize,
        };
        session::trace(tracer, &entry.name, program(entry)?, plan)
    }
}

/// Builds or finds a row's program, and adds the arguments of the row.
fn program(entry: &RowEntry) -> Result<Program, Error> {
    let mut row = Row::from_entry(entry);
    show_builds(|on_build| {
        binaries::provide_executables([&mut row], binaries::OWN_PROFILE, on_build)
    })?;
    match row.origin {
        Origin::Contract(program) => Ok(program),
        Origin::Command(_) | Origin::Address(_) => {
            Err(harness::Error::NoExecutable { package: entry.package.clone() }.into())
        }
    }
}

fn unavailable(entry: &RowEntry, reason: Outside) -> Ladder {
    Ladder {
        name: entry.name.clone().into(),
        model: entry.model,
        driver: entry.local_driver().unwrap_or("-").into(),
        workers: entry.workers,
        outcome: Outcome::Unavailable { reason },
    }
}
