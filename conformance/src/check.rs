//! A whole check: judges the planned cells in parallel and collects them into a `Run`.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use harness::binaries::BuildStep;
use harness::pattern::Pattern;
use harness::registry::Registry;
use harness::row::Row;
use harness::schedule::Sharing;
use harness::{binaries, host};
use report::host::{Host, group_digits};
use report::output::{Output, OutputError, Outputs};
use report::run::FORMAT_VERSION;
use report::run::certificate::{Scope, certify};
use report::{
    Attestation, Cell, Conclusion, FailureKind, Grade, Level, Pages as _, Question, Run, RunRow,
    Verdict,
};
use report::{Outside, Seed, SeedError, outside};

use crate::case::Case;
use crate::causes;
use crate::error::Error;
use crate::judge::{Judge, JudgedCell};
use crate::page::CasePage;
use crate::plan::PlannedCell;
use crate::profile::Profile;
use crate::suites;

/// The result is rewritten at least this often, as long as cells are judged.
const WRITING_INTERVAL: Duration = Duration::from_secs(20);

/// Collects judged cells; becomes a [`Run`].
#[derive(Debug)]
pub struct Collector {
    started: Instant,
    started_unix: u64,
    /// How many cells are to be judged.
    planned: usize,
    judged: Mutex<Judged>,
    /// When the result was last written.
    written: Mutex<Instant>,
}

#[derive(Debug)]
struct Judged {
    cells: Vec<JudgedCell>,
    /// How many cells of each row are not judged yet, by the row's index.
    left: BTreeMap<usize, usize>,
}

/// The default number of cells in parallel. It exceeds the number of cores because a cell mostly
/// waits.
#[must_use]
pub fn default_jobs() -> usize {
    thread::available_parallelism().map_or(4, |cores| cores.get() * 7)
}

#[must_use]
pub fn rows(registry: &Registry) -> Vec<Row> {
    registry.built_rows().map(Row::from_entry).collect()
}

/// About how long it takes to judge a plan on an idle host: from measurements of all rows on two
/// cores of a virtual machine.
#[must_use]
pub fn estimated_time(plan: &[PlannedCell], profile: Profile) -> Duration {
    const CORES: f64 = 2.0;
    // Seconds for a cell that runs alone, and for a cell next to others.
    let (alone, together) = match profile {
        Profile::Quick => (0.3, 0.045),
        Profile::Default => (0.34, 0.07),
        Profile::Full => (1.0, 0.55),
    };
    let cores = thread::available_parallelism().map_or(CORES, |cores| cores.get() as f64);
    let judged = plan.iter().filter(|planned| planned.unavailable.is_none());
    let seconds = judged.map(|planned| match planned.case.sharing {
        Sharing::Exclusive => alone,
        Sharing::Shared => together * CORES / cores,
    });
    Duration::from_secs_f64(seconds.sum())
}

/// What is about to be judged: `4,160 cells of 20 rows in profile quick, about 4 min`.
#[must_use]
pub fn describe_plan(plan: &[PlannedCell], profile: Profile) -> String {
    const SHORT: Duration = Duration::from_secs(20);
    let judged = plan.iter().filter(|planned| planned.unavailable.is_none());
    let mut rows: Vec<usize> = judged.map(|planned| planned.row).collect();
    rows.sort_unstable();
    rows.dedup();
    let time = estimated_time(plan, profile);
    let about = match time.as_secs_f64() / 60.0 {
        _ if time < SHORT => "less than a minute".to_owned(),
        minutes => format!("about {:.0} min", minutes.max(1.0)),
    };
    let judged = plan.iter().filter(|planned| planned.unavailable.is_none()).count();
    let cells = if judged == 1 { "cell" } else { "cells" };
    let (count, rows) = (group_digits(judged as u64), rows.len());
    let row_word = if rows == 1 { "row" } else { "rows" };
    format!("{count} {cells} of {rows} {row_word} in profile {}, {about}", profile.name())
}

/// Builds or finds the programs of all rows that have a cell to judge. Calls `on_build` before each
/// build.
///
/// # Errors
/// The output of Cargo, or the program that is missing.
pub fn find_programs(
    rows: &mut [Row],
    plan: &[PlannedCell],
    on_build: &dyn Fn(BuildStep<'_>),
) -> Result<(), harness::Error> {
    let is_judged = |index: usize| plan.iter().any(|p| p.row == index && p.unavailable.is_none());
    let judged = rows.iter_mut().enumerate().filter(|(index, _)| is_judged(*index));
    binaries::provide_executables(judged.map(|(_, row)| row), binaries::OWN_PROFILE, on_build)
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Options {
    /// Cells to run in parallel.
    pub jobs: usize,
    /// How many times each cell is judged. The worst result counts.
    pub repeats: u32,
}

/// Who learns about the progress of a check.
#[derive(Clone, Copy)]
pub struct Observers<'a> {
    /// Gets every judged cell, with the gate's conclusion.
    pub on_cell: &'a (dyn Fn(&Cell, Conclusion) + Sync),
    /// Gets a function that makes a run of what is judged so far, from time to time.
    pub write: &'a (dyn Fn(&dyn Fn() -> Run) + Sync),
}

/// Judges a plan.
#[must_use]
pub fn run(
    judge: &Judge,
    registry: &Registry,
    rows: &[Row],
    plan: &[PlannedCell],
    options: Options,
    observers: Observers<'_>,
) -> Run {
    let collector = Collector::start(plan);
    judge_all(&collector, judge, registry, rows, plan, options, observers);
    finish_run(&collector, judge, registry, rows, plan, options.jobs)
}

/// Judges the cells of a plan, and adds them to the collector.
pub fn judge_all(
    collector: &Collector,
    judge: &Judge,
    registry: &Registry,
    rows: &[Row],
    plan: &[PlannedCell],
    options: Options,
    observers: Observers<'_>,
) {
    let next = AtomicUsize::new(0);
    thread::scope(|scope| {
        for _ in 0..options.jobs.max(1) {
            scope.spawn(|| {
                while let Some(planned) = plan.get(next.fetch_add(1, Ordering::Relaxed)) {
                    let driver = rows[planned.row].driver_name();
                    let tell = |cell: &Cell| {
                        (observers.on_cell)(cell, judge.gate.conclusion(cell, &driver));
                    };
                    let mut worst = judge_planned(judge, registry, rows, planned);
                    let mut last = worst.cell.clone();
                    for repeat in 1..options.repeats {
                        tell(&last);
                        // Each repeat has its own seed: it can find what another seed does not.
                        let judge = judge.with_seed(judge.seed.with_offset(repeat));
                        let again = judge_planned(&judge, registry, rows, planned);
                        last = again.cell.clone();
                        if judge.gate.compare(&again.cell, &worst.cell, &driver).is_gt() {
                            worst = again;
                        }
                    }
                    let is_due = collector.add(planned, worst);
                    // Only now: what is told is also in the result.
                    tell(&last);
                    if is_due {
                        collector.write_beside(judge, rows, observers.write);
                    }
                }
            });
        }
    });
}

/// Makes a run of the judged cells. To find common causes it judges some cells again, `jobs` in
/// parallel.
#[must_use]
pub fn finish_run(
    collector: &Collector,
    judge: &Judge,
    registry: &Registry,
    rows: &[Row],
    plan: &[PlannedCell],
    jobs: usize,
) -> Run {
    let started = collector.started;
    let mut run = collector.run_so_far(judge, rows);
    causes::link(&mut run, rows, plan, jobs, &|planned, seed| {
        judge_planned(&judge.with_seed(seed), registry, rows, planned).cell
    });
    run.seconds = started.elapsed().as_secs_f64();
    run
}

#[must_use]
pub fn judge_planned(
    judge: &Judge,
    registry: &Registry,
    rows: &[Row],
    planned: &PlannedCell,
) -> JudgedCell {
    let row = &rows[planned.row];
    let waiver = registry.waiver(&row.name, &planned.id(), &waiver_os(&judge.host));
    judge.judge_cell(row, planned, waiver)
}

/// The operating system whose waivers apply here. Wine does not count as Windows.
fn waiver_os(host: &Host) -> Outside {
    if host.is_wine() { Host::WINE.into() } else { host.os.clone() }
}

impl Collector {
    #[must_use]
    pub fn start(plan: &[PlannedCell]) -> Self {
        let mut left = BTreeMap::new();
        plan.iter().for_each(|planned| *left.entry(planned.row).or_default() += 1);
        let since_1970 = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        Self {
            started: Instant::now(),
            started_unix: since_1970.as_secs(),
            planned: plan.len(),
            judged: Mutex::new(Judged { cells: Vec::new(), left }),
            written: Mutex::new(Instant::now()),
        }
    }

    /// Adds a judged cell. Returns whether the result is to be written: it was the last cell of its
    /// row, or the result was last written long ago. Cells that run alone come after all others, so
    /// no row is complete before most cells are judged.
    pub fn add(&self, planned: &PlannedCell, cell: JudgedCell) -> bool {
        let mut judged = self.judged();
        judged.cells.push(cell);
        let left = judged.left.entry(planned.row).or_default();
        *left = left.saturating_sub(1);
        let is_row_complete = *left == 0;
        let mut written = self.written.lock().unwrap_or_else(PoisonError::into_inner);
        let is_due = is_row_complete || written.elapsed() >= WRITING_INTERVAL;
        if is_due {
            *written = Instant::now();
        }
        is_due
    }

    /// Lets `write` write what is judged so far, while no cell runs alone: the work could make its
    /// server late.
    pub fn write_beside(&self, judge: &Judge, rows: &[Row], write: &dyn Fn(&dyn Fn() -> Run)) {
        if let Ok(_permit) = judge.schedule.enter(Sharing::Shared) {
            write(&|| self.run_so_far(judge, rows));
        }
    }

    fn judged(&self) -> MutexGuard<'_, Judged> {
        self.judged.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Makes a run of what is judged so far: the rows with what was learnt about them, the cells by
    /// row and in catalogue order.
    #[must_use]
    pub fn run_so_far(&self, judge: &Judge, rows: &[Row]) -> Run {
        let judged = self.judged().cells.clone();
        let order = catalogue_order();
        let row_order =
            |name: &Outside| rows.iter().position(|row| *name == row.name).unwrap_or(usize::MAX);
        let report_rows = rows
            .iter()
            .filter(|row| judged.iter().any(|judged| judged.cell.row == row.name))
            .map(|row| report_row(row, &judged, judge))
            .collect();
        let mut cells: Vec<Cell> = judged.into_iter().map(|judged| judged.cell).collect();
        cells.sort_by_key(|cell| (row_order(&cell.row), order.get(&cell.id()).copied()));
        Run {
            version: FORMAT_VERSION,
            label: host::label(),
            started_unix: self.started_unix,
            seconds: self.started.elapsed().as_secs_f64(),
            seed: judge.seed,
            seed_source: judge.seed_source,
            profile: judge.profile.name().to_owned().into(),
            host: judge.host.clone(),
            planned: self.planned,
            rows: report_rows,
            cells,
        }
    }
}

fn catalogue_order() -> BTreeMap<Outside, usize> {
    let ids = suites::ALL.iter().flat_map(|suite| {
        suite.cases.iter().map(move |case| outside!("{}/{}", suite.name, case.name))
    });
    ids.enumerate().map(|(index, id)| (id, index)).collect()
}

fn report_row(row: &Row, judged: &[JudgedCell], judge: &Judge) -> RunRow {
    let own = || judged.iter().filter(|judged| judged.cell.row == row.name);
    let none_started = own().all(|judged| judged.cell.verdict == Verdict::Unavailable);
    let reason = if none_started { "no server was started" } else { "no cell got so far" };
    let cells: Vec<&Cell> = own().map(|judged| &judged.cell).collect();
    let cases = || suites::ALL.iter().flat_map(|suite| suite.cases.iter().map(move |c| (suite, c)));
    let asked = cases().filter(|(_, case)| case.is_asked(row, judge.profile));
    let catalogue: Vec<(Question, Level)> =
        asked.map(|(suite, case)| (suite.question_of(case), case.level_at(row.grade()))).collect();
    let is_left_to_full =
        |case: &Case| case.is_asked(row, Profile::Full) && !case.is_asked(row, judge.profile);
    let is_declared = row.grade() != Grade::Contract;
    let without: &[String] = if is_declared { &row.lacks } else { &[] };
    let scope = Scope {
        catalogue,
        only_in_full: cases()
            .filter(|(_, case)| is_left_to_full(case))
            .map(|(suite, case)| outside!("{}/{}", suite.name, case.name))
            .collect(),
        up_to: own().filter_map(|judged| describe_reach(&judged.cell, judge.profile)).collect(),
        without: without.iter().cloned().map(Outside::from).collect(),
        seed_source: judge.seed_source,
    };
    RunRow {
        name: row.name.clone().into(),
        model: row.model,
        driver: row.driver_name(),
        flavor: row.flavor.clone(),
        workers: row.workers,
        runtime: own().find_map(|judged| judged.runtime.clone()),
        attestation: attestation(own().collect::<Vec<_>>().as_slice(), reason),
        grade: row.grade(),
        certificate: certify(&cells, &scope, judge.gate.strictness),
    }
}

/// How far the case of a green cell went, if a fault may begin only above that:
/// `16 s (idle/connection-survives)`.
fn describe_reach(cell: &Cell, profile: Profile) -> Option<Outside> {
    let cases = suites::ALL.iter().flat_map(|suite| suite.cases.iter().map(move |c| (suite, c)));
    let (suite, case) = cases
        .filter(|(_, case)| case.reports_reach)
        .find(|(suite, case)| cell.suite == suite.name && cell.case == case.name)?;
    let was_asked = cell.verdict == Verdict::Pass;
    let unit = CasePage::find(suite, case).ok()?.unit?;
    let amount = unit.amount(case.sizes.for_profile(profile));
    was_asked.then(|| outside!("{} ({}/{})", amount, suite.name, case.name))
}

/// What the cells of a row say about its driver. A cell that saw another driver overrides the cells
/// that did not look as closely.
fn attestation(own: &[&JudgedCell], none: &str) -> Attestation {
    let other = own.iter().find_map(|judged| {
        let failure = judged.cell.failure.as_ref().filter(|it| it.kind == FailureKind::Driver)?;
        Some(outside!("{} has seen another driver: {}", judged.cell.id(), failure.actual))
    });
    if let Some(reason) = other {
        return Attestation::NotAttested { reason };
    }
    let seen = own.iter().find_map(|judged| judged.attestation.clone());
    seen.unwrap_or_else(|| Attestation::NotAttested { reason: none.into() })
}

/// Splits a comma-separated list of names, as options and environment variables have them.
#[must_use]
pub fn split_names(list: &str) -> Vec<String> {
    list.split(',').map(str::trim).filter(|name| !name.is_empty()).map(str::to_owned).collect()
}

/// The `CONFORMANCE_*` variables. They give the test target the options of the command.
#[derive(Debug)]
pub struct Environment {
    /// `_ROWS`: names of rows, comma-separated.
    pub rows: Vec<Pattern>,
    /// `_REQUIRE`: drivers that must have been judged, comma-separated.
    pub required_drivers: Vec<Outside>,
    /// `_OUTPUT`: files to write, as `FORMAT=FILE`, comma-separated.
    pub outputs: Outputs,
    /// `_PROFILE`.
    pub profile: Profile,
    /// `_SEED`.
    pub seed: Option<Seed>,
}

impl Environment {
    /// Reads the variables.
    ///
    /// # Errors
    /// [`Error::Variable`]; it names the variable and the values that it may have.
    pub fn read() -> Result<Self, Error> {
        let text = |name: &str| std::env::var(name).ok().filter(|value| !value.is_empty());
        let list = |name: &str| split_names(&text(name).unwrap_or_default());
        let profile = text("CONFORMANCE_PROFILE");
        let profile = profile.map_or(Ok(Profile::Default), |profile| {
            let refuse = |error| Error::Variable(outside!("CONFORMANCE_PROFILE: {}", error));
            profile.parse().map_err(refuse)
        });
        let seed = text("CONFORMANCE_SEED").map(|seed| {
            let refuse = |error| outside!("CONFORMANCE_SEED is '{}': {}", seed, error);
            seed.parse().map_err(|error: SeedError| Error::Variable(refuse(error)))
        });
        Ok(Self {
            rows: list("CONFORMANCE_ROWS").iter().map(Pattern::from).collect(),
            required_drivers: list("CONFORMANCE_REQUIRE").into_iter().map(Outside::from).collect(),
            outputs: outputs(&list("CONFORMANCE_OUTPUT"))?,
            profile: profile?,
            seed: seed.transpose()?,
        })
    }
}

/// Parses `CONFORMANCE_OUTPUT`. Every output needs a file, because standard output belongs to the
/// test framework.
fn outputs(texts: &[String]) -> Result<Outputs, Error> {
    let parsed = |text: &String| {
        let output = Output::parse(text, Run::FORMATS).and_then(Output::expect_file);
        output.map_err(|error: OutputError| {
            Error::Variable(outside!(
                "CONFORMANCE_OUTPUT has '{}', which is refused: {}",
                text,
                error
            ))
        })
    };
    let outputs = texts.iter().map(parsed).collect::<Result<Vec<_>, _>>()?;
    Outputs::open(&outputs)
        .map_err(|error| Error::Variable(outside!("CONFORMANCE_OUTPUT is refused: {}", error)))
}

#[cfg(test)]
mod tests {
    use harness::schedule::Schedule;
    use harness::seed;
    use report::Gate;

    use super::*;
    use crate::judge::Disturbance;
    use crate::plan::{Filter, plan};

    #[test]
    fn what_is_judged_can_be_written_after_each_row() {
        let registry = Registry::load().unwrap();
        let rows = &rows(&registry)[..2];
        let (seed, seed_source) = seed::given_or_random(None);
        let judge = Judge {
            profile: Profile::Quick,
            seed,
            seed_source,
            host: host::probe(),
            schedule: Schedule::of_this_user(),
            start_timeout: Duration::ZERO,
            disturbance: Disturbance::default(),
            gate: Gate::default(),
            repeat: |_, _, _, _| Outside::default(),
        };
        let cases = ["tcp-echo/one-byte", "tcp-echo/size-sweep"].map(Pattern::from);
        let filter = Filter { cases: cases.into(), ..Filter::default() };
        let mut plan = plan(rows, &filter, judge.profile, &judge.host);
        // So no server is started.
        plan.iter_mut().for_each(|planned| planned.unavailable = Some("for this test".into()));
        let written = Mutex::new(Vec::new());
        let options = Options { jobs: 1, repeats: 1 };
        let write = |so_far: &dyn Fn() -> Run| {
            let run = so_far();
            written.lock().unwrap().push((run.cells.len(), run.planned));
        };
        let observers = Observers { on_cell: &|_, _| {}, write: &write };
        let run = run(&judge, &registry, rows, &plan, options, observers);
        assert_eq!(written.into_inner().unwrap(), [(2, 4), (4, 4)]);
        assert_eq!(run.missing_cells(), 0);
    }
}
