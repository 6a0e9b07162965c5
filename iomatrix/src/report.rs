//! `iomatrix report`: result files of all commands, and of several hosts, as one page.

use std::path::{Path, PathBuf};

use report::Outside;
use report::bench::Bench;
use report::compare::Comparison;
use report::load::LoadResult;
use report::run::parts::{missing, overview};
use report::sweep::Sweep;
use report::trace::Trace;
use report::{Document, Exit, Format, Run, View};
use serde::Serialize;

use crate::error::Error;
use crate::notice::say;
use crate::output::{self, Output, Outputs};
use crate::results::{AnyDocument, ResultFiles};

/// What all documents are offered in, and all of them by kind.
const FORMATS: &[Format] = &[Format::Text, Format::Markdown, Format::Json];

#[derive(clap::Args)]
pub(crate) struct Arguments {
    /// Result files, or directories in which every .json file is one.
    #[arg(required = true, value_name = "PATH")]
    paths: Vec<PathBuf>,
    /// A label that must be there; without a result file it is shown as "no result" and is red.
    #[arg(long = "expect", value_name = "LABEL", value_delimiter = ',')]
    expected: Vec<Outside>,
    #[arg(long = "output", value_name = "FORMAT[=FILE]", default_value = "text")]
    #[arg(help = output::help(FORMATS), value_parser = Output::parser(FORMATS))]
    outputs: Vec<Output>,
}

/// All documents of the files, by kind.
#[derive(Default, Serialize)]
struct Collection {
    runs: Vec<Run>,
    benches: Vec<Bench>,
    sweeps: Vec<Sweep>,
    loads: Vec<LoadResult>,
    traces: Vec<Trace>,
    comparisons: Vec<Comparison>,
}

pub(crate) fn run(arguments: &Arguments) -> Result<Exit, Error> {
    let mut outputs = Outputs::open(&arguments.outputs)?;
    let inputs: Vec<&Path> = arguments.paths.iter().map(PathBuf::as_path).collect();
    outputs.expect_apart(&inputs)?;
    let ResultFiles { documents, unused } = ResultFiles::below(&arguments.paths);
    if documents.is_empty() && arguments.expected.is_empty() {
        return Err(Error::no_result(&arguments.paths, unused));
    }
    unused.iter().for_each(|unused| say(format_args!("iomatrix: {unused}")));
    let collection = Collection::of(documents.into_iter().map(|(_, document)| document));
    outputs.write(|format, view| match format {
        Format::Json => output::json(&collection),
        Format::Text | Format::Markdown => collection.page(&arguments.expected, format, view),
        Format::Jsonl | Format::Csv | Format::Junit | Format::Margins => {
            Err(Error::not_offered(format))
        }
    })?;
    let missing = missing(&collection.runs, &arguments.expected);
    for label in &missing {
        say(format_args!("no result from {}", label.on_terminal()));
    }
    let unused = unused.iter().map(|_| Exit::Error);
    let missing = missing.iter().map(|_| Exit::Red);
    Ok(Exit::worst(collection.exits().into_iter().chain(unused).chain(missing)))
}

impl Collection {
    fn of(documents: impl Iterator<Item = AnyDocument>) -> Self {
        let mut collection = Self::default();
        for document in documents {
            match document {
                AnyDocument::Run(run) => collection.runs.push(*run),
                AnyDocument::Bench(bench) => collection.benches.push(*bench),
                AnyDocument::Sweep(sweep) => collection.sweeps.push(*sweep),
                AnyDocument::Load(load) => collection.loads.push(*load),
                AnyDocument::Trace(trace) => collection.traces.push(*trace),
                AnyDocument::Comparison(comparison) => collection.comparisons.push(*comparison),
            }
        }
        collection.runs.sort_by(|a, b| a.label.cmp(&b.label));
        collection.benches.sort_by(|a, b| a.label.cmp(&b.label));
        collection
    }

    /// The matrix first: what is wrong has no speed.
    fn page(&self, expected: &[Outside], format: Format, view: View) -> Result<String, Error> {
        // In Markdown, a table of all hosts.
        let mut pages = match format {
            Format::Markdown if self.runs.is_empty() && expected.is_empty() => Vec::new(),
            Format::Markdown => vec![report::render::markdown(&overview(&self.runs, expected))],
            Format::Text
            | Format::Json
            | Format::Jsonl
            | Format::Csv
            | Format::Junit
            | Format::Margins => pages(&self.runs, format, view)?,
        };
        pages.extend(self::pages(&self.benches, format, view)?);
        pages.extend(self::pages(&self.sweeps, format, view)?);
        pages.extend(self::pages(&self.loads, format, view)?);
        pages.extend(self::pages(&self.traces, format, view)?);
        pages.extend(self::pages(&self.comparisons, format, view)?);
        Ok(pages.join("\n"))
    }

    /// What checks and benches end with; a load, sweep, trace or comparison has been looked at by
    /// who ran it.
    fn exits(&self) -> Vec<Exit> {
        exits(&self.runs).chain(exits(&self.benches)).collect()
    }
}

fn pages<D: Document>(documents: &[D], format: Format, view: View) -> Result<Vec<String>, Error> {
    let page = |document| Ok(report::render(document, &D::Question::default(), format, view)?);
    documents.iter().map(page).collect()
}

fn exits<D: Document>(documents: &[D]) -> impl Iterator<Item = Exit> {
    documents.iter().map(|document| document.exit(&D::Question::default()))
}
