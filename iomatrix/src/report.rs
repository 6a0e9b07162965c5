//! `iomatrix report`: result files of all commands, and of several hosts, as one page.

use std::path::PathBuf;

use clap::ValueEnum;
use report::bench::Bench;
use report::load::LoadResult;
use report::run::markdown;
use report::sweep::Sweep;
use report::trace::Trace;
use report::{Document as _, Exit, Format, Gate, Run};
use serde::Serialize;

use crate::error::Error;
use crate::output::{self, json};
use crate::results::{self, Document, Unused};

#[derive(clap::Args)]
pub(crate) struct Arguments {
    /// Result files, or directories in which every .json file is one.
    #[arg(required = true, value_name = "PATH")]
    paths: Vec<PathBuf>,
    /// A label that must be there; without a result file it is shown as "no result" and is red.
    #[arg(long = "expect", value_name = "LABEL", value_delimiter = ',')]
    expected: Vec<String>,
    /// What to print.
    #[arg(long, value_enum, default_value_t = Output::Markdown)]
    output: Output,
}

#[derive(Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Output {
    /// One table per host, for a step summary.
    Markdown,
    /// For a terminal.
    Text,
    /// All documents, by kind.
    Json,
}

/// All documents that were found, by kind.
#[derive(Default, Serialize)]
struct Found {
    runs: Vec<Run>,
    benches: Vec<Bench>,
    sweeps: Vec<Sweep>,
    loads: Vec<LoadResult>,
    traces: Vec<Trace>,
}

pub(crate) fn run(arguments: &Arguments) -> Result<Exit, Error> {
    let results::Found { documents, unused } = results::Found::below(&arguments.paths);
    if documents.is_empty() && arguments.expected.is_empty() {
        return Err(Error::no_result(&arguments.paths, unused));
    }
    unused.iter().for_each(|unused| eprintln!("iomatrix: {unused}"));
    let found = Found::of(documents.into_iter().map(|(_, document)| document));
    let runs = &found.runs;
    match arguments.output {
        Output::Markdown => print!("{}", found.markdown(&arguments.expected)?),
        Output::Text => print!("{}", found.text()?),
        Output::Json => println!("{}", json(&found)?),
    }
    let missing = markdown::missing(runs, &arguments.expected);
    for label in &missing {
        eprintln!("no result from {label}");
    }
    let exits = runs.iter().map(|run| run.exit(&Gate::default()));
    let exits = exits.chain(found.benches.iter().map(|bench| bench.exit(&())));
    let worst = Exit::worst(exits.chain(unused.iter().map(|_: &Unused| Exit::Error)));
    Ok(if missing.is_empty() { worst } else { Exit::Red })
}

impl Found {
    fn of(documents: impl Iterator<Item = Document>) -> Self {
        let mut found = Self::default();
        for document in documents {
            match document {
                Document::Run(run) => found.runs.push(*run),
                Document::Bench(bench) => found.benches.push(*bench),
                Document::Sweep(sweep) => found.sweeps.push(*sweep),
                Document::Load(load) => found.loads.push(*load),
                Document::Trace(trace) => found.traces.push(*trace),
            }
        }
        found.runs.sort_by(|a, b| a.label.cmp(&b.label));
        found.benches.sort_by(|a, b| a.label.cmp(&b.label));
        found
    }

    /// The matrix first: what is wrong has no speed.
    fn markdown(&self, expected: &[String]) -> Result<String, Error> {
        let mut pages = Vec::new();
        if !self.runs.is_empty() || !expected.is_empty() {
            pages.push(markdown::render(&self.runs, expected));
        }
        pages.extend(self.measured(Format::Markdown)?);
        Ok(pages.join("\n"))
    }

    fn text(&self) -> Result<String, Error> {
        let mut pages = pages(&self.runs, Format::Text)?;
        pages.extend(self.measured(Format::Text)?);
        Ok(pages.join("\n"))
    }

    /// The pages of all documents but runs.
    fn measured(&self, format: Format) -> Result<Vec<String>, Error> {
        let mut found = pages(&self.benches, format)?;
        found.extend(pages(&self.sweeps, format)?);
        found.extend(pages(&self.loads, format)?);
        found.extend(pages(&self.traces, format)?);
        Ok(found)
    }
}

fn pages<D: report::Document>(documents: &[D], format: Format) -> Result<Vec<String>, Error> {
    let question = D::Question::default();
    documents.iter().map(|document| output::page(document, &question, format)).collect()
}
