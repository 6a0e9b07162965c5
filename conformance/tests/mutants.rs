//! The suite's own test: each mutant must make its named case red with the named failure, three
//! times of three, and be right otherwise; each odd but correct server must pass; every case must
//! be proven by a mutant.

use std::collections::BTreeSet;
use std::ffi::OsString;
use std::process::ExitCode;
use std::sync::{Arc, Mutex};

use conformance::case::{Company, Profile};
use conformance::check;
use conformance::judge::Judge;
use conformance::launcher::Program;
use conformance::plan::{Filter, Planned, Row, plan};
use conformance::registry::Registry;
use conformance::schedule::Schedule;
use conformance::{binaries, host, launcher, suites};
use libtest_mimic::{Arguments, Failed, Trial};
use report::{Cell, Exit, FailureKind, Level, Model, Verdict, text};
use serde::Deserialize;

/// The table of mutants.
const TABLE: &str = include_str!("../mutant/mutants.toml");
/// A mutant must be caught so many times of so many.
const TIMES: u64 = 3;
/// A mutant passes at least this share of the other MUST cases.
const OTHERWISE_RIGHT: f64 = 0.8;

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Table {
    mutant: Vec<Mutant>,
    odd: Vec<Odd>,
}

/// A server that is wrong on purpose.
#[derive(Clone, Deserialize)]
#[serde(deny_unknown_fields)]
struct Mutant {
    /// Value of `--fault`.
    fault: String,
    /// `suite/case` that must be red.
    caught_by: String,
    /// The kind of failure it must be red with, or `observation` for an INFO case.
    failure: String,
    /// A mutant of starting, stopping or identity: nothing else is asked of it.
    #[serde(default)]
    stops: bool,
}

/// A server that is correct but unusual.
#[derive(Clone, Deserialize)]
#[serde(deny_unknown_fields)]
struct Odd {
    /// Value of `--fault`.
    fault: String,
}

/// What every trial shares.
struct Shared {
    program: Program,
    registry: Registry,
    judge: Judge,
    kills: Mutex<Vec<String>>,
}

fn main() -> ExitCode {
    launcher::run_if_asked();
    match run(Arguments::from_args()) {
        Ok(exit) => exit,
        Err(e) => {
            eprintln!("{e}");
            Exit::Error.into()
        }
    }
}

fn run(mut arguments: Arguments) -> Result<ExitCode, String> {
    let table: Table = toml::from_str(TABLE).map_err(|e| format!("mutants.toml: {e}"))?;
    let programs = if arguments.list { None } else { Some(binaries::locate(&["mutant"])?) };
    let executable = programs.map(|programs| programs["mutant"].clone()).unwrap_or_default();
    let shared = Arc::new(Shared {
        program: Program { executable, arguments: Vec::new() },
        registry: Registry::default(),
        judge: Judge {
            profile: Profile::Default,
            seed: check::Environment::read()?.seed,
            host: host::probe(),
            schedule: Schedule::of_this_user(),
            repeat: repeat_command,
        },
        kills: Mutex::new(Vec::new()),
    });
    arguments.test_threads.get_or_insert_with(check::default_jobs);
    let conclusion = libtest_mimic::run(&arguments, trials(&shared, table));
    let mut kills = shared.kills.lock().map_err(|e| e.to_string())?;
    kills.sort();
    kills.iter().for_each(|line| println!("{line}"));
    Ok(conclusion.exit_code())
}

fn trials(shared: &Arc<Shared>, table: Table) -> Vec<Trial> {
    let unproven = unproven(&table.mutant);
    let mut trials = vec![
        Trial::test("every-case-is-proven", move || {
            let list = unproven.join(", ");
            if list.is_empty() { Ok(()) } else { Err(format!("no mutant for {list}").into()) }
        }),
        trial(shared, "correct::no-fault".to_owned(), |shared| passes_all(shared, None)),
    ];
    for mutant in table.mutant {
        let name = format!("caught::{}::{}", mutant.fault, mutant.caught_by.replace('/', "::"));
        let caught = mutant.clone();
        trials.push(trial(shared, name, move |shared| is_caught(shared, &caught)));
        if !mutant.stops {
            let name = format!("otherwise-right::{}", mutant.fault);
            trials.push(trial(shared, name, move |shared| is_otherwise_right(shared, &mutant)));
        }
    }
    for odd in table.odd {
        let name = format!("correct::{}", odd.fault);
        trials.push(trial(shared, name, move |shared| passes_all(shared, Some(&odd.fault))));
    }
    trials
}

fn trial(
    shared: &Arc<Shared>,
    name: String,
    test: impl FnOnce(&Shared) -> Result<(), Failed> + Send + 'static,
) -> Trial {
    let shared = Arc::clone(shared);
    Trial::test(name, move || test(&shared))
}

/// The cases that no mutant is there for.
fn unproven(mutants: &[Mutant]) -> Vec<String> {
    let proven: BTreeSet<&str> = mutants.iter().map(|mutant| mutant.caught_by.as_str()).collect();
    let ids = suites::ALL
        .iter()
        .flat_map(|suite| suite.cases.iter().map(|case| format!("{}/{}", suite.name, case.name)));
    ids.filter(|id| !proven.contains(id.as_str())).collect()
}

/// Three times of three, each with another seed, the named case fails in the named way.
fn is_caught(shared: &Shared, mutant: &Mutant) -> Result<(), Failed> {
    let row = row(shared, Some(&mutant.fault));
    let planned = planned(shared, &row, &mutant.caught_by)?;
    for time in 0..TIMES {
        let judge = shared.judge.with_seed(shared.judge.seed + time);
        let cell = judge.judge_cell(&row, &planned, None).cell;
        if cell.verdict == Verdict::Unavailable {
            note(shared, format!("not proven here: {} ({})", mutant.caught_by, reason(&cell)));
            return Ok(());
        }
        let found = if mutant.failure == "observation" {
            let right = judge.judge_cell(&self::row(shared, None), &planned, None).cell;
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
            let detail = text::detail(&cell);
            return Err(format!("expected {wanted}, found {found}, time {time}\n{detail}").into());
        }
    }
    Ok(())
}

/// One byte comes back, and most of what the mutant is not about works.
fn is_otherwise_right(shared: &Shared, mutant: &Mutant) -> Result<(), Failed> {
    // Seventy mutants would keep the host to themselves for minutes: cells that judge latency are
    // left to the servers that must pass.
    let (passed, red) = quick_musts(shared, Some(&mutant.fault), |planned| {
        planned.id() != mutant.caught_by && planned.case.company == Company::Shared
    });
    let names: Vec<String> =
        red.iter().map(|cell| format!("{} {}", cell.id(), kind(cell))).collect();
    note(shared, format!("{:<28} also: {}", mutant.fault, names.join(", ")));
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

/// Every MUST is met.
fn passes_all(shared: &Shared, fault: Option<&str>) -> Result<(), Failed> {
    let (_, red) = quick_musts(shared, fault, |_| true);
    let details: Vec<String> = red.iter().map(text::detail).collect();
    if details.is_empty() { Ok(()) } else { Err(details.join("\n").into()) }
}

/// The MUST cases that are wanted, in the quick profile: how many passed, and the others.
fn quick_musts(
    shared: &Shared,
    fault: Option<&str>,
    is_wanted: impl Fn(&Planned) -> bool,
) -> (usize, Vec<Cell>) {
    let row = row(shared, fault);
    let filter = Filter { level: Some(Level::Must), ..Filter::default() };
    let judge = Judge { profile: Profile::Quick, ..shared.judge.clone() };
    let rows = [row];
    let cells: Vec<Cell> = plan(&rows, &filter, &judge.host)
        .iter()
        .filter(|planned| planned.unavailable.is_none() && is_wanted(planned))
        .map(|planned| check::one(&judge, &shared.registry, &rows, planned).cell)
        .collect();
    let total = cells.len();
    let red: Vec<Cell> = cells.into_iter().filter(|cell| cell.verdict != Verdict::Pass).collect();
    (total - red.len(), red)
}

fn planned(shared: &Shared, row: &Row, id: &str) -> Result<Planned, Failed> {
    let filter = Filter { cases: vec![id.to_owned()], ..Filter::default() };
    let cells = plan(std::slice::from_ref(row), &filter, &shared.judge.host);
    cells.into_iter().next().ok_or_else(|| format!("no case {id}").into())
}

/// The mutant as a row. Its declared driver is what the registry would say of it.
fn row(shared: &Shared, fault: Option<&str>) -> Row {
    let own_driver = match std::env::consts::OS {
        "linux" => "epoll",
        "windows" => "afd",
        _ => "kqueue",
    };
    let claims_ring = fault.is_some_and(|fault| fault.contains("io-uring"));
    let driver = if claims_ring { "io_uring" } else { own_driver };
    let mut arguments = vec!["--flavor", "default", "--workers", "1", "--driver", own_driver];
    if let Some(fault) = fault {
        arguments.extend(["--fault", fault]);
    }
    Row {
        name: fault.unwrap_or("no-fault").to_owned(),
        model: if claims_ring { Model::Completion } else { Model::Readiness },
        driver: Some(driver.to_owned()),
        flavor: "default".to_owned(),
        workers: 1,
        lacks: Vec::new(),
        package: "mutant".to_owned(),
        program: Program {
            executable: shared.program.executable.clone(),
            arguments: arguments.into_iter().map(OsString::from).collect(),
        },
    }
}

fn note(shared: &Shared, line: String) {
    if let Ok(mut kills) = shared.kills.lock() {
        kills.push(line);
    }
}

fn kind(cell: &Cell) -> &'static str {
    cell.failure.as_ref().map_or("", |failure: &report::Failure| FailureKind::word(failure.kind))
}

fn reason(cell: &Cell) -> &str {
    cell.reason.as_deref().unwrap_or("no reason")
}

fn repeat_command(row: &str, id: &str, seed: u64, _: Profile) -> String {
    let id = id.replace('/', "::");
    format!(
        "CONFORMANCE_SEED={seed} cargo test -p conformance --test mutants -- caught::{row}::{id}"
    )
}
