//! `iomatrix load`: loads an echo server, written in any language, and reports what it does.

use std::io::IsTerminal as _;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use loadgen::{Load, Watch};
use report::load::condition::Condition;
use report::load::{Ending, FORMAT_VERSION, LoadResult, Target};
use report::output::Output;
use report::quantity::parse_percentile;
use report::{Document as _, Exit, Format, Pages as _};

use crate::error::Error;
use crate::interruption::interruption;
use crate::notice::{is_silent, print_error};
use crate::output::{self, Outputs};
use crate::values::parse_time;

mod pages;
mod progress;
mod workload;

use pages::LoadPages;
use progress::Bar;
pub(crate) use workload::WorkloadArguments;
use workload::{is_local, parse_target};

/// Default lengths of the measured part, and of the warm-up before it.
const DURATION: Duration = Duration::from_secs(10);
const WARMUP: Duration = Duration::from_secs(2);

#[derive(clap::Args)]
pub(crate) struct Arguments {
    /// Where the server listens: IP:PORT, localhost:PORT, udp:IP:PORT or unix:/PATH.
    #[arg(value_name = "ADDR", value_parser = parse_target)]
    target: Target,
    /// Measure N times, one after the other.
    #[arg(long, value_name = "N", default_value_t = 1, aliases = ["repeat"])]
    #[arg(value_parser = clap::value_parser!(u32).range(1..))]
    runs: u32,
    /// Give up when the server has not answered anything for this long.
    #[arg(long, value_name = "TIME", default_value = "5s")]
    #[arg(value_parser = parse_time)]
    patience: Duration,
    /// Percentiles to give.
    #[arg(long, value_name = "LIST", value_delimiter = ',', default_value = "50,90,99,99.9")]
    #[arg(value_parser = parse_percentile)]
    percentiles: Vec<f64>,
    /// Exit with 99 if this holds; can be given several times. It compares p50, p99.9, min, mean or
    /// max (of the response with --rate, else of the service), throughput or errors, as in
    /// 'p99 > 2ms', 'errors > 0' or 'throughput < 100k'.
    #[arg(long = "fail-if", value_name = "CONDITION", value_parser = Condition::parse)]
    conditions: Vec<Condition>,
    #[arg(
        long = "output",
        value_name = "FORMAT[=FILE]",
        default_value = "text",
        alias = "output-format"
    )]
    #[arg(
        help = output::help(LoadPages::FORMATS),
        value_parser = output::parser(LoadPages::FORMATS)
    )]
    outputs: Vec<Output>,
    /// Allow an address beyond loopback.
    #[arg(long)]
    allow_remote: bool,
    // Last, because a heading holds for all options that follow.
    #[command(flatten)]
    workload: WorkloadArguments,
}

pub(crate) fn run(arguments: &Arguments) -> Result<Exit, Error> {
    let target = &arguments.target;
    if !is_local(target) && !arguments.allow_remote {
        return Err(Error::BeyondLoopback {
            address: target.words(),
            harm: "a load is an attack on a host that is not yours",
        });
    }
    arguments.workload.validate(target.transport)?;
    let load = Load {
        workload: arguments.workload.workload(target.clone(), DURATION, WARMUP),
        patience: arguments.patience,
        percentiles: arguments.all_percentiles(),
        cpus: Vec::new(),
        noise_limit: loadgen::NOISE_LIMIT,
    };
    let mut outputs = Outputs::open(&arguments.outputs)?;
    // A line is printed as each run ends.
    let prints_lines = outputs.take_stdout_format(Format::Jsonl);
    let interrupted = interruption()?;
    let result = LoadResult {
        version: FORMAT_VERSION,
        started_unix: now_unix(),
        host: harness::host::probe(),
        workload: load.workload.clone(),
        measurements: Vec::new(),
    };
    let mut loaded = LoadPages { result, recordings: Vec::new() };
    for _ in 0..arguments.runs {
        let mut bar = Bar::new(&load.workload);
        let recording =
            loadgen::run(&load, &mut bar as &mut dyn Watch, &interrupted).map_err(|error| {
                let (target, reason) = (target.words(), format!("{error:#}").into());
                Error::Generator { target, reason }
            })?;
        drop(bar);
        loaded.result.measurements.push(recording.measurement.clone());
        if prints_lines {
            // The lines of earlier runs have already been printed.
            let view = crate::view::screen_view();
            let lines = report::render(&loaded, &arguments.conditions, Format::Jsonl, view)?;
            output::print(&format!("{}\n", lines.lines().last().unwrap_or_default()))?;
        }
        let is_last = recording.measurement.ending != Ending::Complete;
        loaded.recordings.push(recording);
        if is_last {
            break;
        }
    }
    outputs.write_pages(&loaded, &arguments.conditions)?;
    for sentence in loaded.result.fired_sentences(&arguments.conditions) {
        print_error(sentence.on_terminal());
    }
    Ok(loaded.result.exit(&arguments.conditions))
}
impl Arguments {
    /// The percentiles to print, and those that a condition asks about.
    fn all_percentiles(&self) -> Vec<f64> {
        let asked = self.conditions.iter().filter_map(Condition::percentile);
        let mut all: Vec<f64> = self.percentiles.iter().copied().chain(asked).collect();
        all.sort_by(f64::total_cmp);
        all.dedup();
        all
    }
}

/// Seconds since 1970-01-01 UTC.
pub(crate) fn now_unix() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_secs()
}

fn is_watched() -> bool {
    std::io::stderr().is_terminal() && !is_silent()
}
