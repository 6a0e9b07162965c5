//! `iomatrix compare`: what changed between two results, each a folder or a file.

use std::path::{Path, PathBuf};

use clap::ValueEnum;
use report::Exit;
use report::bench;
use report::compare::{OtherHosts, Results, compare};

use crate::results::{self, Document};

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
    let files = results::result_files(path).map_err(|e| format!("{e:#}"))?;
    let mut found = Results { name: shown.to_string(), ..Results::default() };
    let mut others = Vec::new();
    for file in &files {
        let others_of = |command| format!("{} is one of `iomatrix {command}`", file.display());
        match results::read(file)? {
            Document::Bench(bench) => found.benches.push(*bench),
            Document::Run(run) => found.runs.push(*run),
            Document::Sweep(_) => others.push(others_of("sweep")),
            Document::Load(_) => others.push(others_of("load")),
            Document::Other(what) => others.push(what),
        }
    }
    if found.benches.is_empty() && found.runs.is_empty() {
        others.truncate(3);
        let others =
            if others.is_empty() { String::new() } else { format!(": {}", others.join("; ")) };
        return Err(format!(
            "{shown} has no result of `iomatrix bench` ({}) or `iomatrix check --out FILE`{others}",
            bench::FILE_NAME
        ));
    }
    Ok(found)
}
