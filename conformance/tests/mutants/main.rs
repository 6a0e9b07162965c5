//! The suite's own test. Each mutant makes its named case red with the named failure, three times
//! of three, and is right otherwise. Each odd but correct server passes. Every case is proven by a
//! mutant. With `CONFORMANCE_MUTANTS=once`, each mutant is run once. `CONFORMANCE_MUTANTS=all` asks
//! each mutant all other MUST cases.

mod kill_matrix;
mod sample;
mod turn_order;

use std::collections::{BTreeMap, BTreeSet};
use std::error::Error;
use std::ffi::OsString;
use std::fs;
use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use conformance::check;
use conformance::judge::{Disturbance, Judge};
use conformance::mutants::{Mutant, MutantTable, Odd};
use conformance::plan::{Filter, PlannedCell, plan};
use conformance::profile::Profile;
use conformance::suites;
use harness::registry::Registry;
use harness::row::Row;
use harness::schedule::{Schedule, Sharing};
use harness::{binaries, host, seed, supervisor};
use libtest_mimic::{Arguments, Failed, Trial};
use report::run::details;
use report::{Cell, Exit, FailureKind, Gate, Level, Outside, Seed, Verdict};

use crate::sample::Extent;
use crate::turn_order::TurnOrder;

/// A mutant must pass at least this share of the other MUST cases that it is asked.
const MIN_PASS_SHARE: f64 = 0.8;

/// How long a mutant may take to start, or to exit if it must not start. Each does so in a moment,
/// or never.
const START_LIMIT: Duration = Duration::from_secs(8);

/// How many of the slowest trials are printed.
const SLOWEST_TRIALS: usize = 5;

type Proof = Box<dyn FnOnce(&SelfTest) -> Result<(), Failed> + Send>;

/// Shared by all trials: what they need, and what they find.
struct SelfTest {
    table: MutantTable,
    executable: PathBuf,
    registry: Registry,
    judge: Judge,
    extent: Extent,
    /// The other cases that each mutant turned red.
    others: Mutex<BTreeMap<String, String>>,
    /// What this host could not prove.
    unproven_here: Mutex<BTreeSet<String>>,
    reds: Mutex<Vec<String>>,
    times: Mutex<Vec<(Duration, String)>>,
    turn_order: TurnOrder,
}

fn main() -> ExitCode {
    supervisor::run_if_asked();
    match run(Arguments::from_args()) {
        Ok(exit) => exit,
        Err(e) => {
            // Escaped, because the message may contain a path or a value of the environment.
            let sentence = e.to_string();
            sentence.lines().for_each(|line| eprintln!("{}", Outside::from(line).on_terminal()));
            Exit::Error.into()
        }
    }
}

fn run(mut arguments: Arguments) -> Result<ExitCode, Box<dyn Error>> {
    let programs = if arguments.list {
        None
    } else {
        Some(binaries::locate(&["mutant"], binaries::OWN_PROFILE)?)
    };
    let executable = programs.map(|programs| programs["mutant"].clone()).unwrap_or_default();
    let (seed, seed_source) = seed::given_or_random(check::Environment::read()?.seed);
    let self_test = Arc::new(SelfTest {
        table: MutantTable::load()?,
        executable,
        registry: Registry::default(),
        judge: Judge {
            profile: Profile::Default,
            seed,
            seed_source,
            host: host::probe(),
            schedule: Schedule::of_this_user(),
            start_timeout: START_LIMIT,
            disturbance: Disturbance::default(),
            gate: Gate::default(),
            repeat: repeat_command,
        },
        extent: Extent::read(page_to_write().is_some())?,
        others: Mutex::default(),
        unproven_here: Mutex::default(),
        reds: Mutex::default(),
        times: Mutex::default(),
        turn_order: TurnOrder::default(),
    });
    // More trials than usual in parallel: most wait for a mutant until a deadline, and no speed is
    // judged.
    arguments.test_threads.get_or_insert_with(|| check::default_jobs() * 3 / 2);
    let conclusion = libtest_mimic::run(&arguments, trials(&self_test));
    let others = self_test.others.lock().map_err(|e| e.to_string())?;
    others.iter().for_each(|(fault, red)| println!("{fault:<28} also red: {red}"));
    let unproven_here = self_test.unproven_here.lock().map_err(|e| e.to_string())?;
    unproven_here.iter().for_each(|case| println!("not proven here: {case}"));
    if let Some(path) = page_to_write() {
        let sentences = kill_matrix::sentences(&self_test.executable)?;
        let page = kill_matrix::page(&self_test.table, &sentences, &others);
        fs::write(&path, page).map_err(|e| format!("{}: {e}", path.display()))?;
    }
    let mut times = self_test.times.lock().map_err(|e| e.to_string())?;
    times.sort_by(|(one, _), (other, _)| other.cmp(one));
    let slowest = times.iter().take(SLOWEST_TRIALS);
    slowest.for_each(|(time, name)| println!("took {:.1} s: {name}", time.as_secs_f64()));
    // Printed again, because the end of a long log is what people read.
    let reds = self_test.reds.lock().map_err(|e| e.to_string())?;
    reds.iter().for_each(|line| println!("red: {line}"));
    Ok(conclusion.exit_code())
}

/// The file to which `KILL_MATRIX` tells this run to write the page, relative to the repository.
fn page_to_write() -> Option<PathBuf> {
    let root = PathBuf::from(concat!(env!("CARGO_MANIFEST_DIR"), "/.."));
    std::env::var_os("KILL_MATRIX").map(|path: OsString| root.join(path))
}

/// All trials, those of exclusive cells first: later, each of these would hold up all the others.
fn trials(self_test: &Arc<SelfTest>) -> Vec<Trial> {
    let unproven = unproven_cases(&self_test.table.mutants).join(", ");
    let mut trials = vec![];
    let mut add = |sharing: Sharing, name: String, proof: Proof| {
        let self_test = Arc::clone(self_test);
        let trial = Trial::test(name.clone(), move || {
            let _turn = self_test.turn_order.wait_turn(sharing);
            let start = Instant::now();
            let proven = proof(&self_test).inspect_err(|red| note_red(&self_test, &name, red));
            self_test.times.lock().map_err(|e| e.to_string())?.push((start.elapsed(), name));
            proven
        });
        trials.push((sharing, trial));
    };
    let is_proven = move |_: &SelfTest| {
        if unproven.is_empty() { Ok(()) } else { Err(format!("no mutant for {unproven}").into()) }
    };
    add(Sharing::Shared, "every-case-is-proven".to_owned(), Box::new(is_proven));
    add(Sharing::Shared, "kill-matrix-is-current".to_owned(), Box::new(expect_current_page));
    add(
        Sharing::Shared,
        "sample-covers-every-suite".to_owned(),
        Box::new(expect_sample_covers_suites),
    );
    for odd in self_test.table.odd.iter().filter(|odd| !odd.cases.is_empty()).cloned() {
        let name = format!("correct::{}", odd.fault);
        let passes = move |self_test: &SelfTest| expect_cases_passed(self_test, &odd);
        add(Sharing::Shared, name, Box::new(passes));
    }
    let odd = self_test.table.odd.iter().filter(|odd| odd.cases.is_empty());
    let odd = odd.map(|odd| Some(odd.fault.clone()));
    for fault in odd.chain([None]) {
        let name = format!("correct::{}", fault.as_deref().unwrap_or("no-fault"));
        // One trial per suite: all suites in one trial would take longer than everything else.
        for suite in suites::ALL {
            for (sharing, suffix) in [(Sharing::Shared, ""), (Sharing::Exclusive, "::alone")] {
                if !suite.cases.iter().any(|c| c.level == Level::Must && c.sharing == sharing) {
                    continue;
                }
                let fault = fault.clone();
                let passes = move |self_test: &SelfTest| {
                    expect_suite_passed(self_test, fault.as_deref(), suite.name, sharing)
                };
                add(sharing, format!("{name}::{}{suffix}", suite.name), Box::new(passes));
            }
        }
    }
    let mut tried = BTreeSet::new();
    for mutant in self_test.table.mutants.clone() {
        let name = format!("caught::{}::{}", mutant.fault, mutant.caught_by.replace('/', "::"));
        let sharing = sharing(&mutant.caught_by);
        let caught = mutant.clone();
        add(sharing, name, Box::new(move |self_test| expect_caught(self_test, &caught)));
        if self_test.extent == Extent::All && mutant.at.is_some() {
            let name = format!("caught-in-full::{}", mutant.fault);
            let caught = mutant.clone();
            add(
                sharing,
                name,
                Box::new(move |self_test| expect_caught_in_full(self_test, &caught)),
            );
        }
        let is_first = tried.insert(mutant.fault.clone());
        if !mutant.stops && is_first {
            let name = format!("otherwise-right::{}", mutant.fault);
            let is_right = move |self_test: &SelfTest| expect_otherwise_right(self_test, &mutant);
            add(Sharing::Shared, name, Box::new(is_right));
        }
    }
    trials.sort_by_key(|(sharing, _)| *sharing == Sharing::Shared);
    trials.into_iter().map(|(_, trial)| trial).collect()
}

/// Whether other cells may run next to those of this case.
fn sharing(id: &str) -> Sharing {
    let cases = suites::ALL.iter().flat_map(|suite| suite.cases.iter().map(move |c| (suite, c)));
    let mut of_id = cases.filter(|(suite, case)| format!("{}/{}", suite.name, case.name) == id);
    of_id.next().map_or(Sharing::Shared, |(_, case)| case.sharing)
}

/// The cases that no mutant proves.
fn unproven_cases(mutants: &[Mutant]) -> Vec<String> {
    let proven: BTreeSet<&str> = mutants.iter().map(|mutant| mutant.caught_by.as_str()).collect();
    let ids = suites::ALL
        .iter()
        .flat_map(|suite| suite.cases.iter().map(|case| format!("{}/{}", suite.name, case.name)));
    ids.filter(|id| !proven.contains(id.as_str())).collect()
}

/// Expects the repository's page to be current.
fn expect_current_page(self_test: &SelfTest) -> Result<(), Failed> {
    let sentences = kill_matrix::sentences(&self_test.executable)?;
    let flaws = kill_matrix::flaws(&self_test.table, &sentences);
    // The run that writes the page was built with the old one.
    if flaws.is_empty() || page_to_write().is_some() {
        return Ok(());
    }
    Err(format!("docs/MUTANTS.md is not current\n{}", flaws.join("\n")).into())
}

/// Expects the sample to have only cases that exist, and some of each suite.
fn expect_sample_covers_suites(_: &SelfTest) -> Result<(), Failed> {
    let flaws = sample::flaws();
    if flaws.is_empty() { Ok(()) } else { Err(flaws.join("\n").into()) }
}

/// Expects the named case to fail with the named failure every time, each with another seed.
fn expect_caught(self_test: &SelfTest, mutant: &Mutant) -> Result<(), Failed> {
    let row = row(self_test, Some(&mutant.fault));
    expect_caught_by(self_test, mutant, &row, &self_test.judge, self_test.extent.runs())
}

/// Expects profile full to catch a fault where it strikes by itself. Other trials make such a fault
/// strike earlier.
fn expect_caught_in_full(self_test: &SelfTest, mutant: &Mutant) -> Result<(), Failed> {
    let row = self_test.table.row_at_default_strike(self_test.executable.clone(), &mutant.fault);
    let judge = Judge { profile: Profile::Full, ..self_test.judge.clone() };
    expect_caught_by(self_test, mutant, &row, &judge, 1)
}

/// Expects the mutant's case to fail with the named failure, `times` times.
fn expect_caught_by(
    self_test: &SelfTest,
    mutant: &Mutant,
    row: &Row,
    judge: &Judge,
    times: u32,
) -> Result<(), Failed> {
    let planned = plan_case(self_test, row, &mutant.caught_by)?;
    if let Some(reason) = mutant.missing_driver(row, &judge.host) {
        let fault = format!("{} ({})", mutant.fault, reason.on_terminal());
        self_test.unproven_here.lock().map_err(|e| e.to_string())?.insert(fault);
        return Ok(());
    }
    for time in 0..times {
        let judge = judge.with_seed(judge.seed.with_offset(time));
        let cell = judge.judge_cell(row, &planned, None).cell;
        if cell.verdict == Verdict::Unavailable {
            let case = format!("{} ({})", mutant.caught_by, reason(&cell));
            self_test.unproven_here.lock().map_err(|e| e.to_string())?.insert(case);
            return Ok(());
        }
        let found = if mutant.failure == "observation" && cell.failure.is_none() {
            let right = judge.judge_cell(&self::row(self_test, None), &planned, None).cell;
            if cell.observation == right.observation {
                "the same observation"
            } else {
                "observation"
            }
        } else {
            cell.failure.as_ref().map_or("nothing", |failure| failure.kind.word())
        };
        if found != mutant.failure {
            let wanted = &mutant.failure;
            let detail = detail(&cell);
            return Err(format!("expected {wanted}, found {found}, time {time}\n{detail}").into());
        }
    }
    Ok(())
}

/// Expects the mutant to echo one byte, and to pass most cases that are not about its fault.
fn expect_otherwise_right(self_test: &SelfTest, mutant: &Mutant) -> Result<(), Failed> {
    // No exclusive cells: several hundred mutants would occupy the host for minutes. Only the
    // servers that must pass are asked these.
    let all = self_test.table.mutants.iter();
    let catching: Vec<&str> = all
        .filter(|other| other.fault == mutant.fault)
        .map(|other| other.caught_by.as_str())
        .collect();
    let (passed, red) = judge_quick_musts(self_test, Some(&mutant.fault), |planned| {
        let id = planned.id();
        planned.case.sharing == Sharing::Shared
            && self_test.extent.includes(&id)
            && !catching.contains(&id.as_str())
    });
    let names: Vec<String> =
        red.iter().map(|cell| format!("{} {}", cell.id().on_terminal(), kind(cell))).collect();
    let others = if names.is_empty() { "nothing".to_owned() } else { names.join(", ") };
    self_test.others.lock().map_err(|e| e.to_string())?.insert(mutant.fault.clone(), others);
    if red.iter().any(|cell| cell.id() == "tcp-echo/one-byte") {
        return Err("does not even echo one byte".into());
    }
    let share = passed as f64 / (passed + red.len()) as f64;
    if share < MIN_PASS_SHARE {
        let percent = share * 100.0;
        return Err(format!("passes only {percent:.0} %; red: {}", names.join(", ")).into());
    }
    Ok(())
}

/// Expects a server to meet every MUST of a suite, among the cases that share the host, or
/// among those that run alone.
fn expect_suite_passed(
    self_test: &SelfTest,
    fault: Option<&str>,
    suite: &str,
    sharing: Sharing,
) -> Result<(), Failed> {
    let (_, red) = judge_quick_musts(self_test, fault, |planned| {
        planned.suite.name == suite && planned.case.sharing == sharing
    });
    let details: Vec<String> = red.iter().map(detail).collect();
    if details.is_empty() { Ok(()) } else { Err(details.join("\n").into()) }
}

/// Expects an odd server to pass the cases about its oddity every time.
fn expect_cases_passed(self_test: &SelfTest, odd: &Odd) -> Result<(), Failed> {
    let row = row(self_test, Some(&odd.fault));
    let runs = self_test.extent.runs();
    for id in odd.cases.iter().flat_map(|id| (0..runs).map(move |_| id)) {
        let planned = plan_case(self_test, &row, id)?;
        let cell = self_test.judge.judge_cell(&row, &planned, None).cell;
        match cell.verdict {
            Verdict::Pass => {}
            Verdict::Unavailable => {
                let case = format!("{id} of {} ({})", odd.fault, reason(&cell));
                self_test.unproven_here.lock().map_err(|e| e.to_string())?.insert(case);
            }
            Verdict::Fail
            | Verdict::Miss
            | Verdict::Info
            | Verdict::Crash
            | Verdict::Timeout
            | Verdict::Unsupported
            | Verdict::Error => return Err(detail(&cell).into()),
        }
    }
    Ok(())
}

/// Judges the wanted MUST cases in profile quick. Returns how many passed, and the cells that did
/// not.
fn judge_quick_musts(
    self_test: &SelfTest,
    fault: Option<&str>,
    is_wanted: impl Fn(&PlannedCell) -> bool,
) -> (usize, Vec<Cell>) {
    let row = row(self_test, fault);
    let filter = Filter { level: Some(Level::Must), ..Filter::default() };
    let judge = Judge { profile: Profile::Quick, ..self_test.judge.clone() };
    let rows = [row];
    let cells: Vec<Cell> = plan(&rows, &filter, judge.profile, &judge.host)
        .iter()
        .filter(|planned| planned.unavailable.is_none() && is_wanted(planned))
        .map(|planned| check::judge_planned(&judge, &self_test.registry, &rows, planned).cell)
        .collect();
    let total = cells.len();
    let red: Vec<Cell> = cells.into_iter().filter(|cell| cell.verdict != Verdict::Pass).collect();
    (total - red.len(), red)
}

fn plan_case(self_test: &SelfTest, row: &Row, id: &str) -> Result<PlannedCell, Failed> {
    let filter = Filter { cases: vec![id.into()], ..Filter::default() };
    // Profile full selects the cases of every profile; the judge's profile sets their sizes.
    let cells = plan(std::slice::from_ref(row), &filter, Profile::Full, &self_test.judge.host);
    cells.into_iter().next().ok_or_else(|| format!("no case {id}").into())
}

fn row(self_test: &SelfTest, fault: Option<&str>) -> Row {
    self_test.table.row(self_test.executable.clone(), fault)
}

fn note_red(self_test: &SelfTest, name: &str, failed: &Failed) {
    let message = failed.message().unwrap_or_default();
    if let Ok(mut reds) = self_test.reds.lock() {
        let lines: Vec<&str> = message.lines().map(str::trim).collect();
        reds.push(format!("{name}: {}", lines.join("; ")));
    }
}

fn kind(cell: &Cell) -> &'static str {
    cell.failure.as_ref().map_or("", |failure: &report::Failure| FailureKind::word(failure.kind))
}

fn reason(cell: &Cell) -> String {
    cell.reason.as_ref().map_or_else(|| "no reason".to_owned(), Outside::on_terminal)
}

fn detail(cell: &Cell) -> String {
    let lines = details::detail(cell);
    lines.iter().map(Outside::on_terminal).collect::<Vec<_>>().join("\n")
}

fn repeat_command(row: &Row, id: &str, seed: Seed, _: Profile) -> Outside {
    let row = &row.name;
    let id = id.replace('/', "::");
    format!(
        "CONFORMANCE_SEED={seed} cargo test -p conformance --test mutants -- caught::{row}::{id}"
    )
    .into()
}
