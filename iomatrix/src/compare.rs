//! `iomatrix compare`: what changed between two results, each a folder or a file.

use std::path::{Path, PathBuf};

use clap::ValueEnum;
use report::compare::{OtherHosts, Results, compare};
use report::{Document as _, Exit, Format};

use crate::error::Error;
use crate::output;
use crate::results::{Document, Found, Unused};

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
    /// What to print.
    #[arg(long, value_enum, default_value_t = Output::Text)]
    output: Output,
}

#[derive(Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Output {
    /// For a terminal.
    Text,
    /// Everything that was compared, changed or not.
    Json,
    /// For a step summary.
    Markdown,
}

pub(crate) fn run(arguments: &Arguments) -> Result<Exit, Error> {
    let other_hosts = if arguments.force { OtherHosts::TimesToo } else { OtherHosts::CountsOnly };
    let (before, mut unused) = side(&arguments.before)?;
    let (after, others) = side(&arguments.after)?;
    unused.extend(others);
    unused.iter().for_each(|unused| eprintln!("iomatrix: {unused}"));
    let comparison = compare(&before, &after, other_hosts).map_err(Error::NotComparable)?;
    let format = match arguments.output {
        Output::Text => Format::Text,
        Output::Json => Format::Json,
        Output::Markdown => Format::Markdown,
    };
    output::print(&comparison, &(), format)?;
    let exit = comparison.exit(&());
    Ok(if exit == Exit::Green && !unused.is_empty() { Exit::Error } else { exit })
}

/// All results below a folder, or the one in a file, and the files that cannot be compared.
fn side(path: &Path) -> Result<(Results, Vec<Unused>), Error> {
    let mut found = Found::below(&[path.to_owned()]);
    found.refuse_unless("compare", |document| match document {
        Document::Bench(_) | Document::Run(_) => true,
        Document::Sweep(_) | Document::Load(_) | Document::Trace(_) => false,
    });
    let Found { documents, unused } = found;
    if documents.is_empty() {
        return Err(Error::no_result(&[path.to_owned()], unused));
    }
    let mut results = Results { name: path.display().to_string(), ..Results::default() };
    for (_, document) in documents {
        match document {
            Document::Bench(bench) => results.benches.push(*bench),
            Document::Run(run) => results.runs.push(*run),
            Document::Sweep(_) | Document::Load(_) | Document::Trace(_) => {}
        }
    }
    Ok((results, unused))
}
