//! `iomatrix bench`: what rows cost, side by side in interleaved rounds, with every answer checked.

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use anyhow::{Context as _, anyhow};
use clap::ValueEnum;
use conformance::binaries;
use loadgen::Load;
use report::Exit;
use report::bench::{Bench, Build, FILE_NAME, FORMAT_VERSION, csv, markdown, text};
use report::load::{BuildProfile, Target, Transport};

mod pinning;
mod rounds;
mod rows;
mod subject;
mod verify;
mod watch;

pub(crate) use pinning::{Cpus, PinTo};
pub(crate) use rounds::Rounds;
pub(crate) use rows::Candidates;

use crate::load::{WorkloadArguments, interruption, now_unix};

/// How long a row is loaded in one round, unless asked otherwise: many short rounds see more of a
/// host that changes than few long ones.
const DURATION: Duration = Duration::from_secs(2);
const WARMUP: Duration = Duration::from_millis(500);
/// Percentiles that the tables show.
const PERCENTILES: [f64; 4] = [50.0, 90.0, 99.0, 99.9];

#[derive(clap::Args)]
pub(crate) struct Arguments {
    #[command(flatten)]
    pub(crate) subjects: SubjectArguments,
    #[command(flatten)]
    pub(crate) workload: WorkloadArguments,
    /// Rounds, each with every row once: A B C, then C B A.
    #[arg(long, value_name = "N", default_value_t = 5, aliases = ["runs", "repeat"])]
    #[arg(value_parser = clap::value_parser!(u32).range(1..))]
    rounds: u32,
    /// What to print.
    #[arg(long, value_enum, default_value_t = Output::Text, aliases = ["output-format"])]
    output: Output,
    /// Folder for the results; default: results/ and the time.
    #[arg(long, value_name = "DIR")]
    out: Option<PathBuf>,
}

/// Which servers are measured, and where they run: the same for a bench and a sweep.
#[derive(Clone, Debug, clap::Args)]
pub(crate) struct SubjectArguments {
    /// Only these rows; `*` stands for any text.
    #[arg(long = "row", value_name = "NAME", value_delimiter = ',')]
    pub(crate) rows: Vec<String>,
    /// The row that others are compared to; default: the first.
    #[arg(long, value_name = "NAME")]
    pub(crate) baseline: Option<String>,
    /// Threads that do I/O in each server.
    #[arg(long, value_name = "N", default_value_t = 1)]
    #[arg(value_parser = clap::value_parser!(u32).range(1..))]
    pub(crate) workers: u32,
    /// What clients connect to.
    #[arg(long, value_enum, default_value_t = TransportName::Tcp)]
    pub(crate) transport: TransportName,
    /// Keep server and generator on processors of their own, or let them share all.
    #[arg(long, value_enum, default_value_t = PinTo::Auto)]
    pub(crate) pin: PinTo,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum TransportName {
    Tcp,
    Udp,
    Unix,
}

#[derive(Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum Output {
    /// For a terminal.
    Text,
    /// The result file.
    Json,
    /// A line of values for each row.
    Csv,
    /// For a page.
    Markdown,
}

pub(crate) fn run(arguments: &Arguments) -> anyhow::Result<Exit> {
    let started = (Instant::now(), now_unix());
    let host = conformance::host::probe();
    let mut candidates = match Candidates::select(&arguments.subjects, &host)? {
        Ok(candidates) => candidates,
        Err(usage) => return crate::usage(&usage),
    };
    let folder = arguments.folder(started.1)?;
    let interrupted = interruption()?;
    candidates.build()?;
    candidates.verify(&host)?;
    let cpus =
        Cpus::choose(arguments.subjects.pin, arguments.subjects.workers, arguments.threads());
    let load = arguments.load(&cpus);
    let rounds = Rounds { load: &load, cpus: &cpus, host: &host, interrupted: &interrupted };
    let ceiling = rounds.ceiling();
    let (rows, floor_ns) = rounds.run(&candidates, arguments.rounds)?;
    let bench = Bench {
        version: FORMAT_VERSION,
        label: conformance::check::label(),
        started_unix: started.1,
        seconds: started.0.elapsed().as_secs_f64(),
        build: build(),
        workload: load.workload.clone(),
        workers: arguments.subjects.workers,
        pinning: cpus.pinning(),
        baseline: candidates.baseline().to_owned(),
        interrupted: interrupted.load(Ordering::Relaxed),
        host,
        floor_ns,
        ceiling,
        rows,
    };
    save(&folder, FILE_NAME, &serde_json::to_string_pretty(&bench)?)?;
    print(&bench, arguments.output)?;
    eprintln!("saved {}", folder.join(FILE_NAME).display());
    Ok(exit(&bench, &interrupted))
}

impl Arguments {
    fn threads(&self) -> u32 {
        self.workload.threads
    }

    fn folder(&self, started_unix: u64) -> anyhow::Result<PathBuf> {
        result_folder(self.out.as_deref(), started_unix)
    }

    /// The load of every row; each puts its own address into it.
    fn load(&self, cpus: &Cpus) -> Load {
        let target = Target { transport: self.subjects.transport.into(), address: String::new() };
        Load {
            workload: self.workload.workload(target, DURATION, WARMUP),
            patience: Duration::from_secs(5),
            percentiles: PERCENTILES.to_vec(),
            cpus: cpus.generator(),
            noise_limit: loadgen::NOISE_LIMIT,
        }
    }
}

/// Where a bench's results go: made now, so that a wrong path is not found out at the end.
pub(crate) fn result_folder(asked: Option<&Path>, started_unix: u64) -> anyhow::Result<PathBuf> {
    let time = std::time::UNIX_EPOCH + Duration::from_secs(started_unix);
    let time = humantime::format_rfc3339_seconds(time).to_string().replace(':', "");
    let folder = asked.map_or_else(|| Path::new("results").join(time), Path::to_owned);
    fs::create_dir_all(&folder).with_context(|| format!("make {}", folder.display()))?;
    Ok(folder)
}

pub(crate) fn save(folder: &Path, name: &str, text: &str) -> anyhow::Result<()> {
    let path = folder.join(name);
    fs::write(&path, text).with_context(|| format!("write {}", path.display()))
}

/// How servers and generator were built.
pub(crate) fn build() -> Build {
    let rustc = std::process::Command::new("rustc").arg("--version").output();
    let rustc = rustc.map(|output| String::from_utf8_lossy(&output.stdout).trim().to_owned());
    Build {
        rustc: rustc.unwrap_or_else(|error| format!("not known: {error}")),
        servers: BuildProfile::Release,
        generator: loadgen::PROFILE,
    }
}

/// Programs of these packages, in release, each built alone.
fn release_programs(
    packages: &[&str],
) -> anyhow::Result<std::collections::BTreeMap<String, PathBuf>> {
    binaries::locate(packages, BuildProfile::Release).map_err(|error| anyhow!(error))
}

fn print(bench: &Bench, output: Output) -> anyhow::Result<()> {
    match output {
        Output::Text => print!("{}", text::render(bench, crate::check::terminal_width())),
        Output::Json => println!("{}", serde_json::to_string_pretty(bench)?),
        Output::Csv => print!("{}", csv::render(bench)),
        Output::Markdown => print!("{}", markdown::render(bench)),
    }
    Ok(())
}

/// What a bench's rows say about its end: wrong answers outweigh what could not be measured.
pub(crate) fn exit(bench: &Bench, interrupted: &AtomicBool) -> Exit {
    if interrupted.load(Ordering::Relaxed) {
        return Exit::Interrupted;
    }
    let refused = |row: &&report::bench::BenchRow| row.refused.is_some();
    let is_wrong = |row: &report::bench::BenchRow| {
        row.refused.as_deref().is_some_and(|reason| reason.starts_with(verify::FAILS))
    };
    if bench.rows.iter().any(is_wrong) {
        return Exit::Red;
    }
    if bench.rows.iter().all(|row| refused(&row)) {
        return Exit::Unavailable;
    }
    let has_numbers = |row: &report::bench::BenchRow| {
        row.samples.iter().any(|sample| sample.measurement.validity.is_valid())
    };
    let measured = bench.rows.iter().filter(|row| !refused(row));
    if measured.into_iter().all(has_numbers) { Exit::Green } else { Exit::Error }
}

impl From<TransportName> for Transport {
    fn from(name: TransportName) -> Self {
        match name {
            TransportName::Tcp => Self::Tcp,
            TransportName::Udp => Self::Udp,
            TransportName::Unix => Self::Unix,
        }
    }
}
