//! `iomatrix compare`: what changed between two results, each a folder or a file.

use std::path::{Path, PathBuf};

use clap::ValueEnum;
use report::bench::{self, Bench};
use report::compare::{OtherHosts, Results, compare};
use report::{Exit, Run, run};
use serde::de::DeserializeOwned;
use serde_json::Value;

use crate::merge;

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

/// What a JSON file holds.
enum Document {
    Bench(Box<Bench>),
    Run(Box<Run>),
    /// Something else, and what to say of it.
    Other(String),
}

pub(crate) fn run(arguments: &Arguments) -> anyhow::Result<Exit> {
    let other_hosts = if arguments.force { OtherHosts::TimesToo } else { OtherHosts::CountsOnly };
    let found = read(&arguments.before)
        .and_then(|before| Ok((before, read(&arguments.after)?)))
        .and_then(|(before, after)| compare(&before, &after, other_hosts));
    let comparison = match found {
        Ok(comparison) => comparison,
        Err(mistake) => {
            eprintln!("iomatrix compare: {mistake}");
            return Ok(Exit::Usage);
        }
    };
    match arguments.output {
        Output::Text => print!("{}", comparison.text(crate::check::terminal_width())),
        Output::Json => println!("{}", serde_json::to_string_pretty(&comparison)?),
        Output::Markdown => print!("{}", comparison.markdown()),
    }
    Ok(comparison.exit())
}

/// All results below a folder, or the one in a file.
fn read(path: &Path) -> Result<Results, String> {
    let shown = path.display();
    let files = merge::result_files(path).map_err(|e| format!("{e:#}"))?;
    let mut results = Results { name: shown.to_string(), ..Results::default() };
    let mut others = Vec::new();
    for file in &files {
        match document(file)? {
            Document::Bench(bench) => results.benches.push(*bench),
            Document::Run(run) => results.runs.push(*run),
            Document::Other(what) => others.push(what),
        }
    }
    if results.benches.is_empty() && results.runs.is_empty() {
        others.truncate(3);
        let found =
            if others.is_empty() { String::new() } else { format!(": {}", others.join("; ")) };
        return Err(format!(
            "{shown} has no result of `iomatrix bench` ({}) or `iomatrix check --out FILE`{found}",
            bench::FILE_NAME
        ));
    }
    Ok(results)
}

/// Told apart by a field that only one kind of document has.
fn document(path: &Path) -> Result<Document, String> {
    let shown = path.display();
    let text = std::fs::read_to_string(path).map_err(|e| format!("read {shown}: {e}"))?;
    let Ok(value) = serde_json::from_str::<Value>(&text) else {
        return Ok(Document::Other(format!("{shown} is no JSON")));
    };
    if value.get("baseline").is_some() {
        return Ok(Document::Bench(Box::new(typed(value, path, bench::FORMAT_VERSION)?)));
    }
    if value.get("cells").is_some() {
        return Ok(Document::Run(Box::new(typed(value, path, run::FORMAT_VERSION)?)));
    }
    let is_load = value.get("measurements").is_some();
    let what = if is_load { "is one of `iomatrix load`" } else { "is no result" };
    Ok(Document::Other(format!("{shown} {what}")))
}

fn typed<T: DeserializeOwned>(value: Value, path: &Path, reads: u32) -> Result<T, String> {
    let version = value.get("version").and_then(Value::as_u64);
    if version != Some(reads.into()) {
        let version = version.map_or_else(|| "no version".to_owned(), |v| format!("format {v}"));
        return Err(format!("{} has {version}, this program reads {reads}", path.display()));
    }
    serde_json::from_value(value).map_err(|e| format!("{} is no result: {e}", path.display()))
}
