//! The suite's own test: each mutant must make its named case red with the named failure, three
//! times of three, and be right otherwise; each odd but correct server must pass; every case must
//! be proven by a mutant. `CONFORMANCE_MUTANTS=all` asks each mutant all other MUST cases.

mod kill_matrix;
mod precedence;
mod sample;

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
use conformance::plan::{Filter, Planned, plan};
use conformance::profile::Profile;
use conformance::suites;
use harness::registry::Registry;
use harness::row::Row;
use harness::schedule::{Company, Schedule};
use harness::{binaries, host, seed, supervisor};
use libtest_mimic::{Arguments, Failed, Trial};
use report::run::parts;
use report::{Cell, Exit, FailureKind, Gate, Level, Outside, Seed, Verdict};

use crate::precedence::Precedence;
use crate::sample::Extent;

/// A mutant must be caught so many times of so many.
const TIMES: u32 = 3;
/// A mutant passes at least this share of the other MUST cases that it is asked.
const OTHERWISE_RIGHT: f64 = 0.8;

/// How long a mutant has to start or, where it must not, to end. Each does in a moment, or never.
const START_LIMIT: Duration = Duration::from_secs(8);

/// How many of the trials that took longest are printed.
const SLOWEST: usize = 5;

/// What a trial does.
type Proof = Box<dyn FnOnce(&SelfTest) -> Result<(), Failed> + Send>;

/// What every trial is given, and what they find.
struct SelfTest {
    table: MutantTable,
    executable: PathBuf,
    registry: Registry,
    judge: Judge,
    /// Which of the other cases a mutant is asked.
    extent: Extent,
    /// What each mutant turned red beside its case.
    others: Mutex<BTreeMap<String, String>>,
    /// Cases that this host cannot ask for.
    unproven_here: Mutex<BTreeSet<String>>,
    reds: Mutex<Vec<String>>,
    times: Mutex<Vec<(Duration, String)>>,
    precedence: Precedence,
}

fn main() -> ExitCode {
    supervisor::run_if_asked();
    match run(Arguments::from_args()) {
        Ok(exit) => exit,
        Err(e) => {
            // It may name a path or a value of the environment.
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
        precedence: Precedence::default(),
    });
    // Most mutants are waited for until a deadline, and nobody asks how fast they are.
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
    let slowest = times.iter().take(SLOWEST);
    slowest.for_each(|(time, name)| println!("took {:.1} s: {name}", time.as_secs_f64()));
    // Once more, where the end of a long log shows it.
    let reds = self_test.reds.lock().map_err(|e| e.to_string())?;
    reds.iter().for_each(|line| println!("red: {line}"));
    Ok(conclusion.exit_code())
}

/// Where the kill matrix is to be written, from the repository's folder.
fn page_to_write() -> Option<PathBuf> {
    let root = PathBuf::from(concat!(env!("CARGO_MANIFEST_DIR"), "/.."));
    std::env::var_os("KILL_MATRIX").map(|path: OsString| root.join(path))
}

/// All trials, those of cells that need the host for themselves first: each of them later on would
/// hold up everything that runs beside it.
fn trials(self_test: &Arc<SelfTest>) -> Vec<Trial> {
    let unproven = unproven(&self_test.table.mutants).join(", ");
    let mut trials = vec![];
    let mut add = |company: Company, name: String, proof: Proof| {
        let self_test = Arc::clone(self_test);
        let trial = Trial::test(name.clone(), move || {
            let _turn = self_test.precedence.enter(company);
            let start = Instant::now();
            let proven = proof(&self_test).inspect_err(|red| note_red(&self_test, &name, red));
            self_test.times.lock().map_err(|e| e.to_string())?.push((start.elapsed(), name));
            proven
        });
        trials.push((company, trial));
    };
    let is_proven = move |_: &SelfTest| {
        if unproven.is_empty() { Ok(()) } else { Err(format!("no mutant for {unproven}").into()) }
    };
    add(Company::Shared, "every-case-is-proven".to_owned(), Box::new(is_proven));
    add(Company::Shared, "kill-matrix-is-current".to_owned(), Box::new(is_current));
    add(Company::Shared, "sample-covers-every-suite".to_owned(), Box::new(is_sampled));
    for odd in self_test.table.odd.iter().filter(|odd| !odd.cases.is_empty()).cloned() {
        let name = format!("correct::{}", odd.fault);
        let passes = move |self_test: &SelfTest| passes_cases(self_test, &odd);
        add(Company::Shared, name, Box::new(passes));
    }
    let odd = self_test.table.odd.iter().filter(|odd| odd.cases.is_empty());
    let odd = odd.map(|odd| Some(odd.fault.clone()));
    for fault in odd.chain([None]) {
        let name = format!("correct::{}", fault.as_deref().unwrap_or("no-fault"));
        // Suites side by side: one after the other they would take longer than all else.
        for suite in suites::ALL {
            for (company, suffix) in [(Company::Shared, ""), (Company::Exclusive, "::alone")] {
                if !suite.cases.iter().any(|c| c.level == Level::Must && c.company == company) {
                    continue;
                }
                let fault = fault.clone();
                let passes = move |self_test: &SelfTest| {
                    passes_suite(self_test, fault.as_deref(), suite.name, company)
                };
                add(company, format!("{name}::{}{suffix}", suite.name), Box::new(passes));
            }
        }
    }
    let mut tried = BTreeSet::new();
    for mutant in self_test.table.mutants.clone() {
        let name = format!("caught::{}::{}", mutant.fault, mutant.caught_by.replace('/', "::"));
        let company = company(&mutant.caught_by);
        let caught = mutant.clone();
        add(company, name, Box::new(move |self_test| is_caught(self_test, &caught)));
        if self_test.extent == Extent::All && mutant.at.is_some() {
            let name = format!("caught-in-full::{}", mutant.fault);
            let caught = mutant.clone();
            add(company, name, Box::new(move |self_test| is_caught_in_full(self_test, &caught)));
        }
        let is_first = tried.insert(mutant.fault.clone());
        if !mutant.stops && is_first {
            let name = format!("otherwise-right::{}", mutant.fault);
            let is_right = move |self_test: &SelfTest| is_otherwise_right(self_test, &mutant);
            add(Company::Shared, name, Box::new(is_right));
        }
    }
    trials.sort_by_key(|(company, _)| *company == Company::Shared);
    trials.into_iter().map(|(_, trial)| trial).collect()
}

/// Whether other cells may run beside a case's.
fn company(id: &str) -> Company {
    let cases = suites::ALL.iter().flat_map(|suite| suite.cases.iter().map(move |c| (suite, c)));
    let mut of_id = cases.filter(|(suite, case)| format!("{}/{}", suite.name, case.name) == id);
    of_id.next().map_or(Company::Shared, |(_, case)| case.company)
}

/// The cases that no mutant is there for.
fn unproven(mutants: &[Mutant]) -> Vec<String> {
    let proven: BTreeSet<&str> = mutants.iter().map(|mutant| mutant.caught_by.as_str()).collect();
    let ids = suites::ALL
        .iter()
        .flat_map(|suite| suite.cases.iter().map(|case| format!("{}/{}", suite.name, case.name)));
    ids.filter(|id| !proven.contains(id.as_str())).collect()
}

/// The page of the repository has each mutant as it is.
fn is_current(self_test: &SelfTest) -> Result<(), Failed> {
    let sentences = kill_matrix::sentences(&self_test.executable)?;
    let flaws = kill_matrix::flaws(&self_test.table, &sentences);
    // The run that writes it finds the old one.
    if flaws.is_empty() || page_to_write().is_some() {
        return Ok(());
    }
    Err(format!("docs/MUTANTS.md is not current\n{}", flaws.join("\n")).into())
}

/// The sample asks only what exists, and something of each suite.
fn is_sampled(_: &SelfTest) -> Result<(), Failed> {
    let flaws = sample::flaws();
    if flaws.is_empty() { Ok(()) } else { Err(flaws.join("\n").into()) }
}

/// Three times of three, each with another seed, the named case fails in the named way.
fn is_caught(self_test: &SelfTest, mutant: &Mutant) -> Result<(), Failed> {
    let row = row(self_test, Some(&mutant.fault));
    is_caught_by(self_test, mutant, &row, &self_test.judge, TIMES)
}

/// A fault that is made to strike early elsewhere is caught where it strikes by itself, by what
/// profile full does.
fn is_caught_in_full(self_test: &SelfTest, mutant: &Mutant) -> Result<(), Failed> {
    let row = self_test.table.row_at_its_own_number(self_test.executable.clone(), &mutant.fault);
    let judge = Judge { profile: Profile::Full, ..self_test.judge.clone() };
    is_caught_by(self_test, mutant, &row, &judge, 1)
}

/// The mutant's case fails in the named way, as many `times` as it is asked.
fn is_caught_by(
    self_test: &SelfTest,
    mutant: &Mutant,
    row: &Row,
    judge: &Judge,
    times: u32,
) -> Result<(), Failed> {
    let planned = planned(self_test, row, &mutant.caught_by)?;
    if let Some(reason) = mutant.missing_driver(row, &judge.host) {
        let fault = format!("{} ({})", mutant.fault, reason.on_terminal());
        self_test.unproven_here.lock().map_err(|e| e.to_string())?.insert(fault);
        return Ok(());
    }
    for time in 0..times {
        let judge = judge.with_seed(judge.seed.plus(time));
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

/// One byte comes back, and most of what the mutant is not about works.
fn is_otherwise_right(self_test: &SelfTest, mutant: &Mutant) -> Result<(), Failed> {
    // So many mutants would keep the host to themselves for minutes: cells that judge latency are
    // left to the servers that must pass.
    let all = self_test.table.mutants.iter();
    let catching: Vec<&str> = all
        .filter(|other| other.fault == mutant.fault)
        .map(|other| other.caught_by.as_str())
        .collect();
    let (passed, red) = quick_musts(self_test, Some(&mutant.fault), |planned| {
        let id = planned.id();
        planned.case.company == Company::Shared
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
    if share < OTHERWISE_RIGHT {
        let percent = share * 100.0;
        return Err(format!("passes only {percent:.0} %; red: {}", names.join(", ")).into());
    }
    Ok(())
}

/// Every MUST of a suite is met.
fn passes_suite(
    self_test: &SelfTest,
    fault: Option<&str>,
    suite: &str,
    company: Company,
) -> Result<(), Failed> {
    let (_, red) = quick_musts(self_test, fault, |planned| {
        planned.suite.name == suite && planned.case.company == company
    });
    let details: Vec<String> = red.iter().map(detail).collect();
    if details.is_empty() { Ok(()) } else { Err(details.join("\n").into()) }
}

/// A server that is odd in what some cases are about passes these, three times of three.
fn passes_cases(self_test: &SelfTest, odd: &Odd) -> Result<(), Failed> {
    let row = row(self_test, Some(&odd.fault));
    for id in odd.cases.iter().flat_map(|id| (0..TIMES).map(move |_| id)) {
        let planned = planned(self_test, &row, id)?;
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

/// The MUST cases that are wanted, in the quick profile: how many passed, and the others.
fn quick_musts(
    self_test: &SelfTest,
    fault: Option<&str>,
    is_wanted: impl Fn(&Planned) -> bool,
) -> (usize, Vec<Cell>) {
    let row = row(self_test, fault);
    let filter = Filter { level: Some(Level::Must), ..Filter::default() };
    let judge = Judge { profile: Profile::Quick, ..self_test.judge.clone() };
    let rows = [row];
    let cells: Vec<Cell> = plan(&rows, &filter, judge.profile, &judge.host)
        .iter()
        .filter(|planned| planned.unavailable.is_none() && is_wanted(planned))
        .map(|planned| check::one(&judge, &self_test.registry, &rows, planned).cell)
        .collect();
    let total = cells.len();
    let red: Vec<Cell> = cells.into_iter().filter(|cell| cell.verdict != Verdict::Pass).collect();
    (total - red.len(), red)
}

fn planned(self_test: &SelfTest, row: &Row, id: &str) -> Result<Planned, Failed> {
    let filter = Filter { cases: vec![id.into()], ..Filter::default() };
    // Also those that only `full` asks for, with the sizes of the self-test.
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

/// What a red cell shows, in lines.
fn detail(cell: &Cell) -> String {
    let lines = parts::detail(cell);
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
