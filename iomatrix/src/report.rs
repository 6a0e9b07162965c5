//! `iomatrix report`: result files of all commands, and of several hosts, as one page.

use std::path::{Path, PathBuf};

use report::Outside;
use report::run::parts::{missing, overview};
use report::{Document, Exit, Format, View};

use crate::error::Error;
use crate::notice::say;
use crate::output::{self, Output, Outputs};
use crate::results::{Collection, ResultFiles};

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

pub(crate) fn run(arguments: &Arguments) -> Result<Exit, Error> {
    let mut outputs = Outputs::open(&arguments.outputs)?;
    let inputs: Vec<&Path> = arguments.paths.iter().map(PathBuf::as_path).collect();
    outputs.expect_apart(&inputs)?;
    let ResultFiles { documents, unused, .. } = ResultFiles::below(&arguments.paths);
    if documents.is_empty() && arguments.expected.is_empty() {
        return Err(Error::no_result(&arguments.paths, unused));
    }
    unused.iter().for_each(|unused| say(format_args!("iomatrix: {unused}")));
    let collection = Collection::of(documents.into_iter().map(|(_, document)| document));
    outputs.write(|format, view| match format {
        Format::Json => output::json(&collection),
        Format::Text | Format::Markdown => page(&collection, &arguments.expected, format, view),
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

/// The matrix first: what is wrong has no speed.
fn page(
    collection: &Collection,
    expected: &[Outside],
    format: Format,
    view: View,
) -> Result<String, Error> {
    // In Markdown, a table of all hosts.
    let mut all = match format {
        Format::Markdown if collection.runs.is_empty() && expected.is_empty() => Vec::new(),
        Format::Markdown => vec![report::render::markdown(&overview(&collection.runs, expected))],
        Format::Text
        | Format::Json
        | Format::Jsonl
        | Format::Csv
        | Format::Junit
        | Format::Margins => pages(&collection.runs, format, view)?,
    };
    all.extend(pages(&collection.benches, format, view)?);
    all.extend(pages(&collection.sweeps, format, view)?);
    all.extend(pages(&collection.loads, format, view)?);
    all.extend(pages(&collection.traces, format, view)?);
    all.extend(pages(&collection.comparisons, format, view)?);
    Ok(all.join("\n"))
}

fn pages<D: Document>(documents: &[D], format: Format, view: View) -> Result<Vec<String>, Error> {
    let page = |document| Ok(report::render(document, &D::Question::default(), format, view)?);
    documents.iter().map(page).collect()
}
