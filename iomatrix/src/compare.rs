//! `iomatrix compare`: shows what changed between two results, each of which is a folder or a file.

use std::path::{Path, PathBuf};

use report::compare::{Comparison, OtherHosts, Results, compare};
use report::output::Output;
use report::{Conclusion, Document as _, Exit, Pages as _};

use crate::error::Error;
use crate::notice::print_error;
use crate::output::{self, Outputs};
use crate::results::{AnyDocument, ResultFiles, UnusedFile};

#[derive(clap::Args)]
pub(crate) struct Arguments {
    /// The result to start from: a folder with results of `bench` and `check`, or a file.
    #[arg(value_name = "A")]
    before: PathBuf,
    /// The result to compare with it.
    #[arg(value_name = "B")]
    after: PathBuf,
    /// Compare times of different hosts too.
    #[arg(long)]
    force: bool,
    #[arg(long = "output", value_name = "FORMAT[=FILE]", default_value = "text")]
    #[arg(help = output::help(Comparison::FORMATS))]
    #[arg(value_parser = output::parser(Comparison::FORMATS))]
    outputs: Vec<Output>,
}

pub(crate) fn run(arguments: &Arguments) -> Result<Exit, Error> {
    let other_hosts = if arguments.force { OtherHosts::TimesToo } else { OtherHosts::CountsOnly };
    let mut outputs = Outputs::open(&arguments.outputs)?;
    outputs.reject_overwriting_inputs(&[&arguments.before, &arguments.after])?;
    let (before, mut unused) = read_side(&arguments.before)?;
    let (after, others) = read_side(&arguments.after)?;
    unused.extend(others);
    unused.iter().for_each(print_error);
    let comparison = compare(&before, &after, other_hosts).map_err(Error::NotComparable)?;
    outputs.write_pages(&comparison, &())?;
    let unused = unused.iter().map(|_| Conclusion::Error);
    Ok(comparison.conclusions(&()).with_pieces(unused).exit())
}

/// Reads all results below a folder, or the one in a file. Also returns the files that cannot be
/// compared.
fn read_side(path: &Path) -> Result<(Results, Vec<UnusedFile>), Error> {
    let mut found = ResultFiles::read(&[path.to_owned()]);
    found.keep_only("compare", |document| match document {
        AnyDocument::Bench(_) | AnyDocument::Run(_) => true,
        AnyDocument::Sweep(_)
        | AnyDocument::Load(_)
        | AnyDocument::Trace(_)
        | AnyDocument::Comparison(_) => false,
    });
    let ResultFiles { documents, unused, .. } = found;
    if documents.is_empty() {
        return Err(Error::no_result(&[path.to_owned()], unused));
    }
    let mut results = Results { name: path.display().to_string().into(), ..Results::default() };
    for (_, document) in documents {
        match document {
            AnyDocument::Bench(bench) => results.benches.push(*bench),
            AnyDocument::Run(run) => results.runs.push(*run),
            AnyDocument::Sweep(_)
            | AnyDocument::Load(_)
            | AnyDocument::Trace(_)
            | AnyDocument::Comparison(_) => {}
        }
    }
    Ok((results, unused))
}
