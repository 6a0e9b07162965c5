//! `iomatrix report`: merges result files of all commands, and of several hosts, into one page.

use std::path::{Path, PathBuf};

use report::Outside;
use report::output::Output;
use report::part::{Medium, Part};
use report::run::parts::{missing_labels, overview};
use report::{Conclusion, Document, Exit, Format, Gate, Pages};
use serde::Serialize;

use crate::error::Error;
use crate::notice::{print_error, print_error_line};
use crate::output::{self, Outputs};
use crate::results::{Collection, ResultFiles};

#[derive(clap::Args)]
pub(crate) struct Arguments {
    /// Result files, or directories in which every .json file is one.
    #[arg(required = true, value_name = "PATH")]
    paths: Vec<PathBuf>,
    /// A label that must be there; without a result file it is shown as "no result" and is red.
    #[arg(long = "expect", value_name = "LABEL", value_delimiter = ',')]
    expected: Vec<Outside>,
    #[arg(long = "output", value_name = "FORMAT[=FILE]", default_value = "text")]
    #[arg(help = output::help(Collection::FORMATS))]
    #[arg(value_parser = output::parser(Collection::FORMATS))]
    outputs: Vec<Output>,
}

pub(crate) fn run(arguments: &Arguments) -> Result<Exit, Error> {
    let mut outputs = Outputs::open(&arguments.outputs)?;
    let inputs: Vec<&Path> = arguments.paths.iter().map(PathBuf::as_path).collect();
    outputs.reject_overwriting_inputs(&inputs)?;
    let ResultFiles { documents, unused, .. } = ResultFiles::read(&arguments.paths);
    if documents.is_empty() && arguments.expected.is_empty() {
        return Err(Error::no_result(&arguments.paths, unused));
    }
    unused.iter().for_each(print_error);
    let collection = Collection::new(documents.into_iter().map(|(_, document)| document));
    outputs.write_pages(&collection, &arguments.expected)?;
    let missing = missing_labels(&collection.runs, &arguments.expected);
    for label in &missing {
        print_error_line(format_args!("no result from {}", label.on_terminal()));
    }
    let unused = unused.iter().map(|_| Conclusion::Error);
    let missing = missing.iter().map(|_| Conclusion::Red);
    Ok(collection.conclusions().with_pieces(unused).with_pieces(missing).exit())
}

impl Pages for Collection {
    /// The formats that all documents offer.
    const FORMATS: &'static [Format] = &[Format::Text, Format::Markdown, Format::Json];
    /// The labels from which results are expected.
    type Question = Vec<Outside>;

    /// The matrix comes first: the speed of a wrong server means nothing.
    fn parts(&self, expected: &Vec<Outside>, medium: Medium) -> Vec<Part> {
        let mut shown: Vec<Part> = match medium {
            Medium::Terminal => parts(&self.runs, medium).collect(),
            Medium::Page if self.runs.is_empty() && expected.is_empty() => Vec::new(),
            // One table of all hosts.
            Medium::Page => overview(&self.runs, &Gate::default(), expected),
        };
        shown.extend(parts(&self.benches, medium));
        shown.extend(parts(&self.sweeps, medium));
        shown.extend(parts(&self.loads, medium));
        shown.extend(parts(&self.traces, medium));
        shown.extend(parts(&self.comparisons, medium));
        shown
    }

    fn data(&self) -> impl Serialize {
        self
    }
}

fn parts<D: Document>(documents: &[D], medium: Medium) -> impl Iterator<Item = Part> {
    documents.iter().flat_map(move |document| document.parts(&D::Question::default(), medium))
}
