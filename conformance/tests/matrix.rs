//! The matrix as a test target: each cell is a test named `row::suite::case`. The command
//! `iomatrix check` judges the same cells; the variables `CONFORMANCE_*` mirror its options.

use std::collections::BTreeSet;
use std::error::Error;
use std::process::ExitCode;
use std::sync::{Arc, Mutex, PoisonError};

use conformance::check::{self, Collector, Environment};
use conformance::judge::{Disturbance, Judge};
use conformance::plan::{Filter, PlannedCell, plan};
use conformance::profile::Profile;
use harness::launcher::START_TIMEOUT;
use harness::pattern::Pattern;
use harness::registry::Registry;
use harness::row::Row;
use harness::schedule::Schedule;
use harness::{host, seed, supervisor};
use libtest_mimic::{Arguments, Failed, Trial};
use report::output::{Completeness, Outputs};
use report::render::text;
use report::run::details::detail;
use report::run::parts::{cause_parts, closing_line, cost_parts};
use report::{
    Cell, Conclusion, Document as _, Exit, Gate, Outside, Seed, Strictness, Verdict, View, outside,
};

fn main() -> ExitCode {
    supervisor::run_if_asked();
    match run(&with_separators(Arguments::from_args())) {
        Ok(exit) => exit.into(),
        Err(e) => {
            // Escaped, because the message may contain a path or a value of the environment.
            let sentence = e.to_string();
            sentence.lines().for_each(|line| eprintln!("{}", Outside::from(line).on_terminal()));
            Exit::Error.into()
        }
    }
}

/// Lets a cell be written as `iomatrix` shows it, too: `row::suite/case`.
fn with_separators(mut arguments: Arguments) -> Arguments {
    let names = arguments.filter.iter_mut().chain(&mut arguments.skip);
    names.for_each(|name| *name = name.replace('/', "::"));
    arguments
}

struct SharedState {
    judge: Judge,
    registry: Registry,
    rows: Vec<Row>,
    collector: Collector,
    outputs: Mutex<Outputs>,
}

impl SharedState {
    /// Writes what is judged so far, so that a run that is cut off leaves a result.
    fn write_unfinished(&self) {
        self.collector.write_beside(&self.judge, &self.rows, &|run_so_far| {
            // The lock comes first, so that no older state replaces a newer one.
            let mut outputs = self.outputs.lock().unwrap_or_else(PoisonError::into_inner);
            let run = run_so_far();
            let unwritten = outputs.write_files(&run, &self.judge.gate, Completeness::Partial);
            unwritten.iter().for_each(|error| eprintln!("{error}"));
        });
    }
}

fn run(arguments: &Arguments) -> Result<Exit, Box<dyn Error>> {
    let environment = Environment::read()?;
    let registry = Registry::load()?;
    let mut rows = check::rows(&registry);
    expect_rows(&environment.rows, &rows)?;
    let host = host::probe();
    let filter = Filter { rows: environment.rows.clone(), ..Filter::default() };
    let plan = plan(&rows, &filter, environment.profile, &host);
    let selected: Vec<PlannedCell> = plan
        .iter()
        .filter(|planned| is_selected(arguments, &trial_name(&rows, planned)))
        .cloned()
        .collect();
    if !arguments.list && !selected.is_empty() {
        println!("judging {}", check::describe_plan(&selected, environment.profile));
        // Cargo shows the output of this target as it comes.
        check::find_programs(&mut rows, &selected, &|step| eprintln!("{step}"))?;
    }
    let (seed, seed_source) = seed::given_or_random(environment.seed);
    let judge = Judge {
        profile: environment.profile,
        seed,
        seed_source,
        host,
        schedule: Schedule::of_this_user(),
        start_timeout: START_TIMEOUT,
        disturbance: Disturbance::default(),
        gate: Gate {
            strictness: Strictness::Must,
            required_drivers: environment.required_drivers.clone(),
        },
        repeat: repeat_command,
    };
    let collector = Collector::start(&selected);
    let outputs = Mutex::new(environment.outputs);
    let shared = Arc::new(SharedState { judge, registry, rows, collector, outputs });
    for planned in selected.iter().filter(|planned| planned.unavailable.is_some()) {
        let SharedState { judge, registry, rows, collector, .. } = &*shared;
        collector.add(planned, check::judge_planned(judge, registry, rows, planned));
    }
    let names: Vec<String> = plan.iter().map(|planned| trial_name(&shared.rows, planned)).collect();
    let trials = plan.into_iter().map(|planned| trial(&shared, planned)).collect();
    let mut arguments = arguments.clone();
    arguments.test_threads.get_or_insert_with(check::default_jobs);
    let conclusion = libtest_mimic::run(&arguments, trials);
    if arguments.list {
        return Ok(Exit::Green);
    }
    if selected.is_empty() && (arguments.filter.is_some() || !arguments.skip.is_empty()) {
        return Ok(explain_nothing(&arguments, &names));
    }
    finish(shared, &selected, conclusion.has_failed())
}

/// Says that the filter selects no cell. That is a mistake if it is nearly the name of a cell, a
/// row, a suite or a case. Otherwise it may name a test of another target of the package.
fn explain_nothing(arguments: &Arguments, names: &[String]) -> Exit {
    let written = arguments.filter.as_deref().unwrap_or_default();
    let parts = names.iter().flat_map(|name| name.split("::"));
    let known: BTreeSet<&str> = names.iter().map(String::as_str).chain(parts).collect();
    // Tests of other targets may have such a name, too, but not `row::suite` or `suite::case`.
    let begins = |(first, rest): (&str, &str)| {
        let own = |name: &&String| {
            let mut parts = name.split("::");
            let (row, suite) = (parts.next(), parts.next());
            row == Some(first) || (suite == Some(first) && !rest.contains("::"))
        };
        names.iter().any(|name| own(&name))
    };
    let is_cell = written.split_once("::").is_some_and(begins);
    let near = |known: &&str| strsim::levenshtein(written, known);
    let nearest = known.iter().copied().filter(|_| !written.is_empty()).min_by_key(near);
    let nearest = nearest.filter(|known| is_cell || near(known) <= written.len() / 3);
    match nearest {
        Some(nearest) => {
            let written = Outside::from(written).on_terminal();
            eprintln!("no cell matches '{written}'; did you mean '{nearest}'?");
            Exit::Usage
        }
        None => {
            println!("no cell of the matrix matches the filter");
            Exit::Green
        }
    }
}

/// Rejects a name that no row has: it would look like a smaller matrix.
fn expect_rows(patterns: &[Pattern], rows: &[Row]) -> Result<(), conformance::Error> {
    let is_unknown = |pattern: &&Pattern| !rows.iter().any(|row| pattern.matches(&row.name));
    let Some(unknown) = patterns.iter().find(is_unknown) else { return Ok(()) };
    let names: Vec<&str> = rows.iter().map(|row| row.name.as_str()).collect();
    let names = names.join(", ");
    Err(conformance::Error::Variable(outside!(
        "CONFORMANCE_ROWS: no row matches '{}'; the rows are: {}",
        unknown.text(),
        names
    )))
}

/// Prints causes, costs and the closing line, and writes the result files.
fn finish(
    shared: Arc<SharedState>,
    selected: &[PlannedCell],
    has_failed: bool,
) -> Result<Exit, Box<dyn Error>> {
    let shared = Arc::into_inner(shared).ok_or("a trial still runs")?;
    let SharedState { judge, registry, rows, collector, outputs } = shared;
    let mut outputs = outputs.into_inner().unwrap_or_else(PoisonError::into_inner);
    let jobs = check::default_jobs();
    let run = check::finish_run(&collector, &judge, &registry, &rows, selected, jobs);
    println!("{}", text(&cause_parts(&run), View::in_file()));
    println!("{}", text(&cost_parts(&run), View::in_file()));
    println!("{}", closing_line(&run).on_terminal());
    for missing in judge.gate.missing_drivers(&run) {
        println!("{}", missing.sentence().on_terminal());
    }
    let mut unwritten = outputs.write_files(&run, &judge.gate, Completeness::Complete).into_iter();
    if let Some(first) = unwritten.next() {
        unwritten.for_each(|other| eprintln!("{other}"));
        return Err(first.into());
    }
    let exit = run.exit(&judge.gate);
    Ok(if has_failed && exit == Exit::Green { Exit::Red } else { exit })
}

fn trial_name(rows: &[Row], planned: &PlannedCell) -> String {
    format!("{}::{}::{}", rows[planned.row].name, planned.suite.name, planned.case.name)
}

/// Selects as libtest does, which offers no function for it. Only selected rows are built.
fn is_selected(arguments: &Arguments, name: &str) -> bool {
    let is_meant = |text: &str| if arguments.exact { name == text } else { name.contains(text) };
    arguments.filter.as_deref().is_none_or(is_meant) && !arguments.skip.iter().any(|s| is_meant(s))
}

fn trial(shared: &Arc<SharedState>, planned: PlannedCell) -> Trial {
    let name = trial_name(&shared.rows, &planned);
    let row = &shared.rows[planned.row];
    let driver = row.driver_name();
    let is_required = shared.judge.gate.required_drivers.contains(&driver);
    let ignored = planned.unavailable.clone().filter(|_| !is_required);
    let kind = ignored.as_ref().map(|reason| format!("unavailable: {}", reason.on_terminal()));
    let shared = Arc::clone(shared);
    let is_ignored = ignored.is_some();
    let trial = Trial::test(name, move || {
        let judged = check::judge_planned(&shared.judge, &shared.registry, &shared.rows, &planned);
        let outcome = outcome(&judged.cell, shared.judge.gate.conclusion(&judged.cell, &driver));
        if planned.unavailable.is_none() && shared.collector.add(&planned, judged) {
            shared.write_unfinished();
        }
        outcome
    });
    trial.with_kind(kind.unwrap_or_default()).with_ignored_flag(is_ignored)
}

fn outcome(cell: &Cell, conclusion: Conclusion) -> Result<(), Failed> {
    if conclusion.fails_a_test() {
        let lines = detail(cell).iter().map(|line| line.on_terminal() + "\n").collect::<String>();
        return Err(lines.into());
    }
    if !matches!(cell.verdict, Verdict::Pass | Verdict::Unavailable) || cell.is_waived() {
        // libtest has one word, `ok`, for everything that is not red.
        let said = cell.failure.as_ref().map(|failure| failure.actual.clone());
        let said = said.or_else(|| cell.observation.clone()).unwrap_or_default();
        let line =
            outside!("{} {}::{}::{}: {}", cell.word(), cell.row, cell.suite, cell.case, said);
        println!("{}", line.on_terminal());
    }
    Ok(())
}

fn repeat_command(row: &Row, id: &str, seed: Seed, profile: Profile) -> Outside {
    let test = format!("{}::{}", row.name, id.replace('/', "::"));
    let profile = match profile {
        Profile::Default => String::new(),
        Profile::Quick | Profile::Full => format!("CONFORMANCE_PROFILE={} ", profile.name()),
    };
    format!(
        "CONFORMANCE_SEED={seed} {profile}cargo test -p conformance --features uring --test matrix \
         -- --exact {test}"
    )
    .into()
}
