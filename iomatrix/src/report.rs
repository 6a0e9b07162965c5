//! `iomatrix report`: result files of all commands, and of several hosts, as one page.

use std::path::PathBuf;

use clap::ValueEnum;
use report::bench::Bench;
use report::bench::metric::Metric;
use report::ladder::Trace;
use report::load::LoadResult;
use report::plot::Ink;
use report::sweep::Sweep;
use report::{Exit, Run, Strictness, gate, markdown, text};
use serde::Serialize;

use crate::error::Error;
use crate::output::json;
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
        Output::Markdown => print!("{}", found.markdown(&arguments.expected)),
        Output::Text => print!("{}", found.text()),
        Output::Json => println!("{}", json(&found)?),
    }
    let missing = markdown::missing(runs, &arguments.expected);
    for label in &missing {
        eprintln!("no result from {label}");
    }
    let worst = runs.iter().map(|run| gate::gate(run, Strictness::Must, &[]));
    let worst = worst.chain(found.benches.iter().map(crate::bench::exit));
    let worst = worst.chain(unused.iter().map(|_: &Unused| Exit::Error));
    let worst = worst.max_by_key(|exit| severity(*exit)).unwrap_or(Exit::Green);
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
    fn markdown(&self, expected: &[String]) -> String {
        let mut pages = Vec::new();
        if !self.runs.is_empty() || !expected.is_empty() {
            pages.push(markdown::render(&self.runs, expected));
        }
        pages.extend(self.benches.iter().map(report::bench::markdown::render));
        pages.extend(self.sweeps.iter().map(report::sweep::markdown::render));
        pages.extend(self.loads.iter().map(report::load::markdown::render));
        pages.extend(self.traces.iter().map(report::ladder::markdown::render));
        pages.join("\n")
    }

    fn text(&self) -> String {
        const WIDTH: u16 = 160;
        let mut pages: Vec<String> = self.runs.iter().map(|run| text::render(run, WIDTH)).collect();
        let benches = self.benches.iter().map(|bench| report::bench::text::render(bench, WIDTH));
        pages.extend(benches);
        let sweep = |sweep| report::sweep::text::render(sweep, Metric::Cpu, WIDTH, Ink::Plain);
        pages.extend(self.sweeps.iter().map(sweep));
        pages.extend(self.loads.iter().map(report::load::text::render));
        pages.extend(self.traces.iter().map(|trace| report::ladder::text::render(trace, WIDTH)));
        pages.join("\n")
    }
}

/// A failure outweighs a run that could not be judged, and that outweighs an absence.
fn severity(exit: Exit) -> u8 {
    match exit {
        Exit::Green => 0,
        Exit::Unavailable => 1,
        Exit::Interrupted | Exit::Usage | Exit::Error => 2,
        Exit::Red | Exit::ConditionFired => 3,
    }
}
