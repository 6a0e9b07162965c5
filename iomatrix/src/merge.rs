//! `iomatrix report`: the result files of several hosts as one page.

use std::path::{Path, PathBuf};

use anyhow::{Context as _, bail};
use clap::ValueEnum;
use report::run::FORMAT_VERSION;
use report::{Exit, Run, Strictness, gate, markdown, text};

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
    /// The runs as one JSON array.
    Json,
}

pub(crate) fn run(arguments: &Arguments) -> anyhow::Result<Exit> {
    let mut runs = Vec::new();
    for path in &arguments.paths {
        for file in result_files(path)? {
            runs.push(read(&file)?);
        }
    }
    runs.sort_by(|a, b| a.label.cmp(&b.label));
    match arguments.output {
        Output::Markdown => print!("{}", markdown::render(&runs, &arguments.expected)),
        Output::Text => runs.iter().for_each(|run| print!("{}", text::render(run, 160))),
        Output::Json => println!("{}", serde_json::to_string_pretty(&runs)?),
    }
    let missing = markdown::missing(&runs, &arguments.expected);
    for label in &missing {
        eprintln!("no result from {label}");
    }
    let worst = runs.iter().map(|run| gate::gate(run, Strictness::Must, &[]));
    let worst = worst.max_by_key(|exit| severity(*exit)).unwrap_or(Exit::Green);
    Ok(if missing.is_empty() { worst } else { Exit::Red })
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

/// The file itself, or every .json file below a directory, sorted.
pub(crate) fn result_files(path: &Path) -> anyhow::Result<Vec<PathBuf>> {
    if !path.is_dir() {
        return Ok(vec![path.to_owned()]);
    }
    let mut files = Vec::new();
    let entries =
        std::fs::read_dir(path).with_context(|| format!("read directory {}", path.display()))?;
    for entry in entries {
        let entry = entry?.path();
        if entry.is_dir() {
            // Downloaded artifacts lie one directory deeper, each in a folder of its name.
            files.extend(result_files(&entry)?);
        } else if entry.extension().is_some_and(|extension| extension == "json") {
            files.push(entry);
        }
    }
    files.sort();
    Ok(files)
}

fn read(path: &Path) -> anyhow::Result<Run> {
    let text = std::fs::read_to_string(path).with_context(|| format!("read {}", path.display()))?;
    let run: Run =
        serde_json::from_str(&text).with_context(|| format!("{} is no result", path.display()))?;
    if run.version != FORMAT_VERSION {
        let version = run.version;
        bail!("{} has format {version}, this program reads {FORMAT_VERSION}", path.display());
    }
    Ok(run)
}
