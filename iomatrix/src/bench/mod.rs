//! `iomatrix bench`: measures what rows cost, in interleaved rounds, and checks every answer.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use clap::builder::{PossibleValuesParser, TypedValueParser};
use harness::binaries;
use loadgen::Load;
use report::Outside;
use report::bench::{Bench, Build, FILE_NAME, FORMAT_VERSION};
use report::load::{BuildProfile, Target};
use report::output::Output;
use report::{Document as _, Exit, Host, Pages as _, Transport};

mod pinning;
mod rounds;
mod rows;
mod subject;
mod verify;
mod watch;

use pinning::{PinTo, Placement};
use rounds::{RoundResults, Rounds};
pub(crate) use rows::Candidates;

use crate::error::Error;
use crate::interruption::interruption;
use crate::load::{WorkloadArguments, now_unix};
use crate::output::{self, Outputs};

/// Default time for which a row is loaded in one round. Many short rounds notice a host that
/// changes better than few long ones.
const DURATION: Duration = Duration::from_secs(2);
const WARMUP: Duration = Duration::from_millis(500);
/// The percentiles in the tables.
const PERCENTILES: [f64; 4] = [50.0, 90.0, 99.0, 99.9];

#[derive(clap::Args)]
pub(crate) struct Arguments {
    #[command(flatten)]
    subjects: SubjectArguments,
    /// Threads that do I/O in each server.
    #[arg(long, value_name = "N", default_value_t = 1)]
    #[arg(value_parser = clap::value_parser!(u32).range(1..))]
    workers: u32,
    /// Rounds, each with every row once: A B C, then C B A.
    #[arg(long, value_name = "N", default_value_t = 5, aliases = ["runs", "repeat"])]
    #[arg(value_parser = clap::value_parser!(u32).range(1..))]
    rounds: u32,
    #[arg(
        long = "output",
        value_name = "FORMAT[=FILE]",
        default_value = "text",
        alias = "output-format"
    )]
    #[arg(help = output::help(Bench::FORMATS), value_parser = output::parser(Bench::FORMATS))]
    outputs: Vec<Output>,
    // Last, because a heading holds for all options that follow.
    #[command(flatten)]
    workload: WorkloadArguments,
}

/// Which servers are measured, and where they run: the same for a bench and a sweep.
#[derive(Clone, Debug, clap::Args)]
pub(crate) struct SubjectArguments {
    /// Only these rows, all if absent; `*` stands for any text.
    #[arg(long = "row", alias = "rows", value_name = "NAME", value_delimiter = ',')]
    pub(crate) rows: Vec<String>,
    /// The row that others are compared to, measured too; default: the first that can be, in the
    /// order of `iomatrix list`.
    #[arg(long, value_name = "NAME")]
    pub(crate) baseline: Option<String>,
    /// What clients connect to.
    #[arg(long, default_value_t = Transport::Tcp, value_parser = transports())]
    pub(crate) transport: Transport,
    /// Keep server and generator on processors of their own, or let them share all.
    #[arg(long, value_enum, default_value_t = PinTo::Auto)]
    pub(crate) pin: PinTo,
}

/// The transports for which the generator has clients.
fn transports() -> impl TypedValueParser<Value = Transport> {
    let kinds = [Transport::Tcp, Transport::Udp, Transport::Unix].map(Transport::kind);
    PossibleValuesParser::new(kinds).try_map(|kind| kind.parse())
}

/// What all benches of one command share.
pub(crate) struct Session<'a> {
    pub(crate) subjects: &'a SubjectArguments,
    pub(crate) host: Host,
    pub(crate) interrupted: Arc<AtomicBool>,
}

pub(crate) fn run(arguments: &Arguments) -> Result<Exit, Error> {
    arguments.workload.validate(arguments.subjects.transport)?;
    let session = Session::new(&arguments.subjects)?;
    let candidates = session.candidates(arguments.workers)?;
    let mut outputs = Outputs::open(&arguments.outputs)?;
    let saved = outputs.save_unless_json(FILE_NAME)?;
    let bench = session.bench(candidates, &arguments.workload, arguments.rounds)?;
    outputs.write_pages(&bench, &())?;
    output::print_saved(saved.as_deref());
    Ok(bench.exit(&()))
}

impl<'a> Session<'a> {
    pub(crate) fn new(subjects: &'a SubjectArguments) -> Result<Self, Error> {
        let host = harness::host::probe();
        Ok(Self { subjects, host, interrupted: interruption()? })
    }

    /// The rows that were asked for, with `workers` workers each.
    ///
    /// # Errors
    /// Those of [`Candidates::select`].
    pub(crate) fn candidates(&self, workers: u32) -> Result<Candidates, Error> {
        Candidates::select(self.subjects, workers, &self.host)
    }

    /// Builds the rows' programs, checks their answers, and measures the rows that answer
    /// correctly.
    pub(crate) fn bench(
        &self,
        mut candidates: Candidates,
        workload: &WorkloadArguments,
        rounds: u32,
    ) -> Result<Bench, Error> {
        let (started, started_unix) = (Instant::now(), now_unix());
        candidates.build()?;
        candidates.verify(&self.host);
        let workers = candidates.workers();
        let cpus = Placement::choose(self.subjects.pin, workers, workload.threads);
        let load = self.load(workload, &cpus);
        let interrupted = &self.interrupted;
        let measuring = Rounds { load: &load, cpus: &cpus, host: &self.host, interrupted };
        let RoundResults { rows, floor_ns, ceiling } = measuring.run(&candidates, rounds);
        Ok(Bench {
            version: FORMAT_VERSION,
            label: harness::host::label(),
            started_unix,
            seconds: started.elapsed().as_secs_f64(),
            host: self.host.clone(),
            build: describe_build(),
            workload: load.workload.clone(),
            workers,
            pinning: cpus.pinning(),
            baseline: candidates.baseline().into(),
            interrupted: self.is_interrupted(),
            floor_ns,
            ceiling,
            rows,
        })
    }

    pub(crate) fn is_interrupted(&self) -> bool {
        self.interrupted.load(Ordering::Relaxed)
    }

    /// The load of every row. The address is set for each row before its load.
    fn load(&self, workload: &WorkloadArguments, cpus: &Placement) -> Load {
        let target = Target { transport: self.subjects.transport, address: Outside::default() };
        Load {
            workload: workload.workload(target, DURATION, WARMUP),
            patience: Duration::from_secs(5),
            percentiles: PERCENTILES.to_vec(),
            cpus: cpus.generator(),
            noise_limit: loadgen::NOISE_LIMIT,
        }
    }
}

pub(crate) fn describe_build() -> Build {
    let rustc = std::process::Command::new("rustc").arg("--version").output();
    let rustc = rustc.map(|output| String::from_utf8_lossy(&output.stdout).trim().to_owned());
    Build {
        rustc: rustc.unwrap_or_else(|error| format!("not known: {error}")).into(),
        servers: binaries::directory().is_none().then_some(BuildProfile::Release),
        generator: loadgen::PROFILE,
    }
}
