//! `iomatrix check`: judges the same cells as `cargo test -p conformance`, and prints the matrix.

use std::io::IsTerminal;
use std::num::NonZeroUsize;
use std::str::FromStr as _;
use std::sync::{Mutex, MutexGuard, PoisonError, mpsc};
use std::thread;
use std::time::Duration;

use clap::builder::{PossibleValuesParser, TypedValueParser};
use conformance::case::Feature;
use conformance::check::{self, Collector};
use conformance::introduction::{IntroductionError, connect_once, introduce, start_once};
use conformance::judge::{Disturbance, Judge};
use conformance::plan::{Filter, PlannedCell, plan};
use conformance::profile::Profile;
use harness::launcher::{CommandLine, Origin, Program};
use harness::pattern::{Pattern, matches};
use harness::place::Endpoint;
use harness::registry::Registry;
use harness::row::Row;
use harness::schedule::Schedule;
use indicatif::{ProgressBar, ProgressStyle};
use report::output::Output;
use report::part::{Medium, Part};
use report::run::letters;
use report::{
    Cell, Conclusion, Document as _, Exit, Format, Gate, Grade, Level, Outside, Pages, Record, Run,
    Seed, Strictness, TestSuites, Transport, outside,
};
use serde::Serialize;

use crate::building::show_builds;
use crate::error::Error;
use crate::interruption::on_interruption;
use crate::listing::Listing;
use crate::notice::{is_silent, own_command, print_error, print_error_line, print_notice};
use crate::output::{self, Outputs};
use crate::selection::{self, CasePattern};
use crate::values::parse_time;

#[derive(clap::Args)]
pub(crate) struct Arguments {
    /// Only these rows; `*` stands for any text.
    #[arg(long = "row", alias = "rows", value_name = "NAME", value_delimiter = ',')]
    rows: Vec<String>,
    /// Judge this server: a command line in which `{addr}` or `{port}` says where it is to listen.
    #[arg(long, value_name = "COMMAND", conflicts_with = "rows")]
    command: Option<String>,
    /// Judge this server, which speaks docs/CONTRACT.md: a command line to which `--listen` and the
    /// contract's other options are appended. It gets all cases.
    #[arg(long, value_name = "COMMAND", conflicts_with_all = ["rows", "command"])]
    contract: Option<String>,
    /// Judge the server that already listens here: IP:PORT, udp:IP:PORT, unix:/PATH or
    /// unixgram:/PATH.
    #[arg(long, value_name = "ADDR", conflicts_with_all = ["rows", "command", "contract"])]
    #[arg(value_parser = Endpoint::from_str)]
    address: Option<Endpoint>,
    /// What clients of the command's server use. With unix and unixgram, `{path}` in the command
    /// says where it is to listen.
    #[arg(long, value_parser = transports(), default_value = Transport::Tcp.kind())]
    #[arg(requires = "command")]
    transport: Transport,
    /// Declare that the server by design does not do this; its certificate says so.
    #[arg(long, value_name = "FEATURE", value_delimiter = ',', value_parser = features())]
    #[arg(conflicts_with_all = ["rows", "contract"])]
    without: Vec<Feature>,
    /// Allow an address beyond loopback.
    #[arg(long, requires = "address")]
    allow_remote: bool,
    /// Only these suites; `*` stands for any text.
    #[arg(long = "suite", alias = "suites", value_name = "NAME", value_delimiter = ',')]
    suites: Vec<String>,
    /// Only these cases, as suite/case, or cells, as row::suite/case; `*` stands for any text.
    /// A name without its suite is enough if only one suite has such a case.
    #[arg(long = "case", alias = "cases", value_name = "ID", value_delimiter = ',')]
    cases: Vec<String>,
    /// Leave out these cases, as suite/case, or cells, as row::suite/case. A server that was not
    /// asked everything gets no certificate.
    #[arg(long = "skip", value_name = "ID", value_delimiter = ',')]
    skipped: Vec<String>,
    /// Only cases of this level.
    #[arg(long, value_parser = levels(), ignore_case = true)]
    level: Option<Level>,
    /// How thorough to be: quick takes about 10 s per row, full has the catalogue's counts.
    #[arg(long, value_parser = profiles(), default_value = Profile::Default.name())]
    #[arg(env = "CONFORMANCE_PROFILE", hide_env_values = true)]
    profile: Profile,
    /// A SHOULD that is not met is red.
    #[arg(long)]
    strict: bool,
    /// Red unless a row with this driver was judged.
    #[arg(long, value_name = "DRIVER", env = "CONFORMANCE_REQUIRE", hide_env_values = true)]
    require: Vec<String>,
    /// Judge each cell N times and keep the worst.
    #[arg(long, value_name = "N", default_value_t = 1)]
    #[arg(value_parser = clap::value_parser!(u32).range(1..))]
    repeat: u32,
    /// Send the same bytes as an earlier check. The server gets no certificate, because it could
    /// have read the seed in the command line. Random and printed if absent.
    #[arg(long, value_name = "HEX")]
    #[arg(env = "CONFORMANCE_SEED", hide_env_values = true)]
    seed: Option<Seed>,
    /// How long a server may take to become ready.
    #[arg(long, value_name = "TIME", default_value = "30s")]
    #[arg(value_parser = parse_time, conflicts_with = "address")]
    start_timeout: Duration,
    /// Cells to run in parallel.
    #[arg(long, value_name = "N", default_value_t = default_jobs())]
    jobs: NonZeroUsize,
    #[arg(long = "output", value_name = "FORMAT[=FILE]", default_value = "text")]
    #[arg(help = output::help(Run::FORMATS), value_parser = output::parser(Run::FORMATS))]
    outputs: Vec<Output>,
    /// Show every cell, as a letter, before everything else.
    #[arg(long)]
    matrix: bool,
    /// Show the cells and start nothing; as text, markdown or json.
    #[arg(long)]
    list: bool,
}

/// A run whose screen begins with every cell.
struct EveryCell<'a>(&'a Run);

impl Pages for EveryCell<'_> {
    const FORMATS: &'static [Format] = Run::FORMATS;
    type Question = Gate;

    fn parts(&self, gate: &Gate, medium: Medium) -> Vec<Part> {
        let mut parts = match medium {
            Medium::Terminal => letters::parts(self.0, gate),
            // The page of a run has the whole matrix.
            Medium::Page => Vec::new(),
        };
        parts.extend(self.0.parts(gate, medium));
        parts
    }

    fn data(&self) -> impl Serialize {
        self.0.data()
    }

    fn records(&self) -> Vec<Record> {
        self.0.records()
    }

    fn suites(&self, gate: &Gate) -> TestSuites {
        self.0.suites(gate)
    }

    fn margins(&self) -> Vec<Part> {
        self.0.margins()
    }
}

fn default_jobs() -> NonZeroUsize {
    NonZeroUsize::new(check::default_jobs()).unwrap_or(NonZeroUsize::MIN)
}

fn levels() -> impl TypedValueParser<Value = Level> {
    PossibleValuesParser::new(["must", "should", "info"]).try_map(|word| word.parse())
}

fn transports() -> impl TypedValueParser<Value = Transport> {
    PossibleValuesParser::new(Transport::ALL.map(Transport::kind)).try_map(|kind| kind.parse())
}

fn features() -> impl TypedValueParser<Value = Feature> {
    let parse = |word: String| {
        let found = Feature::ALL.into_iter().find(|feature| feature.word() == word);
        found.ok_or("no such feature")
    };
    PossibleValuesParser::new(Feature::ALL.map(Feature::word)).try_map(parse)
}

fn profiles() -> impl TypedValueParser<Value = Profile> {
    PossibleValuesParser::new(Profile::ALL.map(Profile::name)).try_map(|name| name.parse())
}

pub(crate) fn run(arguments: &Arguments) -> Result<Exit, Error> {
    let registry = Registry::load()?;
    let filter = arguments.filter()?;
    if arguments.list {
        Listing::expect_formats(&arguments.outputs)?;
    }
    let mut outputs = Outputs::open(&arguments.outputs)?;
    let mut rows = arguments.rows(&registry)?;
    let host = harness::host::probe();
    let profile = arguments.profile;
    let mut planned = plan(&rows, &filter, profile, &host);
    arguments.keep_named_cells(&registry, &rows, &mut planned)?;
    let mut in_full = plan(&rows, &filter, Profile::Full, &host);
    arguments.keep_named_cells(&registry, &rows, &mut in_full)?;
    arguments.expect_each_case(&rows, &planned, &in_full)?;
    if planned.is_empty() {
        return Err(Error::NoCase { only_in_full: !in_full.is_empty() });
    }
    if arguments.list {
        outputs.write_pages(&Listing::new(&rows, &planned), &())?;
        return Ok(Exit::Green);
    }
    show_builds(|on_build| check::find_programs(&mut rows, &planned, on_build))?;
    print_notice(format_args!("judging {}", check::describe_plan(&planned, profile)));
    let (seed, seed_source) = harness::seed::given_or_random(arguments.seed);
    let judge = Judge {
        profile,
        seed,
        seed_source,
        host,
        schedule: Schedule::of_this_user(),
        start_timeout: arguments.start_timeout,
        disturbance: Disturbance::default(),
        gate: arguments.gate(),
        repeat: repeat_command,
    };
    let checked = Check { judge, registry, rows, planned, outputs: Mutex::new(outputs) };
    checked.run(arguments)
}

/// A check that is ready to be run.
struct Check {
    judge: Judge,
    registry: Registry,
    rows: Vec<Row>,
    planned: Vec<PlannedCell>,
    outputs: Mutex<Outputs>,
}

/// What ends the thread that waits for Ctrl-C.
#[derive(Clone, Copy)]
enum Event {
    Interrupted,
    Finished,
}

impl Check {
    fn run(&self, arguments: &Arguments) -> Result<Exit, Error> {
        let Self { judge, registry, rows, planned, .. } = self;
        let (events, watched) = mpsc::channel();
        let interruptions = events.clone();
        // If nobody watches any longer, the check has ended.
        on_interruption(move || interruptions.send(Event::Interrupted).unwrap_or_default())?;
        let progress = progress_bar(planned.len() as u64 * u64::from(arguments.repeat));
        let options = check::Options { jobs: arguments.jobs.get(), repeats: arguments.repeat };
        let on_cell = |cell: &Cell, conclusion| show_progress(&progress, cell, conclusion);
        let write = |run_so_far: &dyn Fn() -> Run| {
            // The lock comes first, so that no older state replaces a newer one.
            let mut outputs = self.outputs();
            if let Err(error) = outputs.write_unfinished(&run_so_far(), &judge.gate) {
                print_error(&error);
            }
        };
        let observers = check::Observers { on_cell: &on_cell, write: &write };
        let collector = Collector::start(planned);
        let run = thread::scope(|scope| {
            // Also sent after a panic: the scope waits for the thread that watches.
            let _finished = Finished(events);
            let (progress, collector) = (&progress, &collector);
            scope.spawn(move || {
                if let Ok(Event::Interrupted) = watched.recv() {
                    progress.finish_and_clear();
                    self.end_early(collector, arguments.matrix);
                }
            });
            check::judge_all(collector, judge, registry, rows, planned, options, observers);
            check::finish_run(collector, judge, registry, rows, planned, options.jobs)
        });
        progress.finish_and_clear();
        self.show(&run, arguments.matrix)?;
        Ok(run.exit(&judge.gate))
    }

    fn outputs(&self) -> MutexGuard<'_, Outputs> {
        self.outputs.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Shows and writes what was judged before Ctrl-C, and ends this process. Its servers end with
    /// it, in the middle of the cells that are being judged.
    fn end_early(&self, collector: &Collector, is_whole: bool) -> ! {
        // The lock comes first and is kept, so that no other state replaces this one.
        let mut outputs = self.outputs();
        let run = collector.run_so_far(&self.judge, &self.rows);
        let (judged, gate) = (run.cells.len(), &self.judge.gate);
        let written = match (judged, is_whole) {
            // A result of an earlier check is worth more than this.
            (0, _) => Ok(()),
            (_, true) => outputs.write_interrupted(&EveryCell(&run), gate),
            (_, false) => outputs.write_interrupted(&run, gate),
        };
        if let Err(error) = written {
            print_error(error);
        }
        print_error_line(format_args!(
            "interrupted: {judged} of {} cells were judged",
            run.planned
        ));
        std::process::exit(i32::from(Exit::Interrupted.status()))
    }

    /// Prints and writes the pages of a run; `is_whole` adds every cell to the screen.
    fn show(&self, run: &Run, is_whole: bool) -> Result<(), Error> {
        let gate = &self.judge.gate;
        match is_whole {
            true => self.outputs().write_pages(&EveryCell(run), gate)?,
            false => self.outputs().write_pages(run, gate)?,
        }
        for missing in gate.missing_drivers(run) {
            print_error_line(missing.sentence().on_terminal());
        }
        Ok(())
    }
}

/// Says at its end that the check has finished.
struct Finished(mpsc::Sender<Event>);

impl Drop for Finished {
    fn drop(&mut self) {
        // The thread that watches may have ended already.
        let _ = self.0.send(Event::Finished);
    }
}

impl Arguments {
    /// The selected rows of the registry, or the one row that a command or an address gives.
    fn rows(&self, registry: &Registry) -> Result<Vec<Row>, Error> {
        let mut rows = self.declared_rows(registry)?;
        for row in &mut rows {
            row.lacks.extend(self.without.iter().map(|feature| feature.word().to_owned()));
        }
        Ok(rows)
    }

    fn declared_rows(&self, registry: &Registry) -> Result<Vec<Row>, Error> {
        let mistake = |option| move |error| Error::ServerCommand { option, error };
        if let Some(command) = &self.command {
            let line = CommandLine::parse(command, self.transport).map_err(mistake("--command"))?;
            return Ok(vec![if self.list {
                Row::undeclared("command", Origin::Command(line))
            } else {
                start_once("command", line, self.start_timeout)?
            }]);
        }
        if let Some(command) = &self.contract {
            let program = Program::parse(command).map_err(mistake("--contract"))?;
            return Ok(vec![if self.list {
                Row::undeclared("contract", Origin::Contract(program))
            } else {
                introduce("contract", &program, self.start_timeout)?
            }]);
        }
        let Some(address) = &self.address else {
            let selected = selection::rows(registry, &self.rows)?;
            return Ok(selected.into_iter().map(Row::from_entry).collect());
        };
        if !address.is_local() && !self.allow_remote {
            return Err(Error::BeyondLoopback {
                address: outside!("{}", address),
                harm: "the suite opens thousands of connections and resets them",
            });
        }
        Ok(vec![if self.list {
            Row::undeclared("address", Origin::Address(address.clone()))
        } else {
            connect_once("address", address.clone())?
        }])
    }

    fn gate(&self) -> Gate {
        let strictness = if self.strict { Strictness::Strict } else { Strictness::Must };
        let drivers = self.require.iter().flat_map(|list| check::split_names(list));
        Gate { strictness, required_drivers: drivers.map(Outside::from).collect() }
    }

    /// The selected cases. Rows are selected separately.
    fn filter(&self) -> Result<Filter, Error> {
        selection::expect_suites(&self.suites)?;
        Ok(Filter {
            rows: Vec::new(),
            suites: self.suites.iter().map(Pattern::from).collect(),
            cases: selection::case_patterns(&self.cases)?,
            // A skipped cell may be that of one row: keep_named_cells removes it.
            skipped: Vec::new(),
            level: self.level,
        })
    }

    /// Whether rows of the registry are judged, and not a server of the user's own.
    fn judges_rows(&self) -> bool {
        self.command.is_none() && self.contract.is_none() && self.address.is_none()
    }

    /// Keeps the cells of the named rows, where `--case` names a cell: `row::suite/case`. Removes
    /// those that `--skip` names. A server that has no row of the registry is meant by each name.
    fn keep_named_cells(
        &self,
        registry: &Registry,
        rows: &[Row],
        planned: &mut Vec<PlannedCell>,
    ) -> Result<(), Error> {
        let has_rows = self.judges_rows();
        let read = |names: &[String]| -> Result<Vec<CasePattern>, Error> {
            let named: Vec<CasePattern> =
                names.iter().map(|text| selection::case_pattern(text)).collect::<Result<_, _>>()?;
            for row in named.iter().filter_map(|named| named.row.clone()).filter(|_| has_rows) {
                selection::rows(registry, &[row])?;
            }
            Ok(named)
        };
        let (wanted, skipped) = (read(&self.cases)?, read(&self.skipped)?);
        let is_named = |cell: &PlannedCell, CasePattern { row, id }: &CasePattern| {
            let is_row = |row: &String| !has_rows || matches(row, &rows[cell.row].name);
            matches(id, &cell.id()) && row.as_ref().is_none_or(is_row)
        };
        planned.retain(|cell| {
            (wanted.is_empty() || wanted.iter().any(|named| is_named(cell, named)))
                && !skipped.iter().any(|named| is_named(cell, named))
        });
        Ok(())
    }

    /// Refuses a name of `--case` that no planned cell has: nobody would notice its absence.
    fn expect_each_case(
        &self,
        rows: &[Row],
        planned: &[PlannedCell],
        in_full: &[PlannedCell],
    ) -> Result<(), Error> {
        for text in &self.cases {
            let CasePattern { row, id } = selection::case_pattern(text)?;
            let row = row.filter(|_| self.judges_rows());
            let is_row = |name: &str| row.as_ref().is_none_or(|row| matches(row, name));
            let is_named =
                |cell: &PlannedCell| matches(&id, &cell.id()) && is_row(&rows[cell.row].name);
            let has = |cells: &[PlannedCell]| cells.iter().any(is_named);
            if has(planned) {
                continue;
            }
            if has(in_full) {
                return Err(Error::NoCase { only_in_full: true });
            }
            let is_judged = |row: &String| rows.iter().any(|it| matches(row, &it.name));
            if let Some(row) = row.filter(|row| !is_judged(row)) {
                return Err(Error::value(outside!(
                    "no cell is selected: --case names {}::{}, and --row leaves out {}",
                    row,
                    id,
                    row
                )));
            }
            return Err(Error::NoCase { only_in_full: false });
        }
        Ok(())
    }
}

impl From<IntroductionError> for Error {
    fn from(error: IntroductionError) -> Self {
        match error {
            IntroductionError::Program(error) => Self::NoSuchProgram(error),
            IntroductionError::NothingListens(address, error) => {
                Self::NothingListens { address: outside!("{}", address), error }
            }
            IntroductionError::Start(failure) => Self::NotStarted(failure),
            IntroductionError::Ended(ended, stderr) => Self::EndedAtStart { ended, stderr },
            IntroductionError::NeverListens(failure, stderr) => {
                let hint = "does it listen where {addr}, {port} or {path} says?";
                Self::NeverReady { failure, stderr, hint }
            }
            IntroductionError::NeverAnnounces(failure, stderr) => {
                let hint = "did it write its announcement as one line, and flush it?";
                Self::NeverReady { failure, stderr, hint }
            }
            IntroductionError::Declined(reason) => Self::Declined(reason),
            IntroductionError::InvalidAnnouncement(failure, stderr) => {
                Self::NoAnnouncement { failure, stderr }
            }
        }
    }
}

fn repeat_command(row: &Row, id: &str, seed: Seed, profile: Profile) -> Outside {
    let profile = match profile {
        Profile::Default => String::new(),
        Profile::Quick | Profile::Full => format!(" --profile {}", profile.name()),
    };
    let server = match &row.origin {
        Origin::Contract(program) if row.package.is_none() => {
            outside!("--contract {}", program.quoted())
        }
        Origin::Contract(_) => outside!("--row {}", row.name),
        Origin::Command(line) => match line.transport() {
            Transport::Tcp => outside!("--command {}", line.quoted()),
            other @ (Transport::Udp | Transport::Unix | Transport::Unixgram) => {
                outside!("--command {} --transport {}", line.quoted(), other)
            }
        },
        Origin::Address(address) => outside!("--address {}", address),
    };
    let without = match row.grade() {
        Grade::Contract => String::new(),
        Grade::Address | Grade::Command => {
            row.lacks.iter().map(|word| format!(" --without {word}")).collect()
        }
    };
    let check = outside!("{} check", own_command());
    outside!("{} {}{} --case {} --seed {}{}", check, server, without, id, seed, profile)
}

fn progress_bar(cells: u64) -> ProgressBar {
    let template = "{elapsed_precise} [{bar:30}] {pos}/{len} {wide_msg}";
    let style = ProgressStyle::with_template(template);
    // indicatif draws nothing when standard error is not a terminal.
    let bar = if is_silent() { ProgressBar::hidden() } else { ProgressBar::new(cells) };
    bar.with_style(style.unwrap_or_else(|_| ProgressStyle::default_bar()).progress_chars("=> "))
}

fn show_progress(progress: &ProgressBar, cell: &Cell, conclusion: Conclusion) {
    let name = cell.name().on_terminal();
    if conclusion.fails_a_test() {
        progress.println(format!("{:<8} {name}", cell.word()));
        if !std::io::stderr().is_terminal() {
            print_notice(format_args!("{:<8} {name}", cell.word()));
        }
    }
    progress.set_message(name);
    progress.inc(1);
}
