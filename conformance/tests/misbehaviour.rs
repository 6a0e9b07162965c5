//! The judge against servers that misbehave before or while they serve: each gets a clear verdict
//! in bounded time.

use std::path::PathBuf;
use std::process::ExitCode;
use std::time::{Duration, Instant};

use conformance::judge::{Disturbance, Judge};
use conformance::mutants::MutantTable;
use conformance::plan::{Filter, plan};
use conformance::profile::Profile;
use harness::row::Row;
use harness::schedule::Schedule;
use harness::{binaries, host, supervisor};
use libtest_mimic::{Arguments, Failed, Trial};
use report::{Cell, FailureKind, Gate, Outside, Seed, SeedSource, Verdict};

fn main() -> ExitCode {
    supervisor::run_if_asked();
    let arguments = Arguments::from_args();
    const ONE_BYTE: &str = "tcp-echo/one-byte";
    let misbehaviour = [
        ("never-announces", ONE_BYTE, Some((Verdict::Error, FailureKind::Start))),
        ("prints-garbage", ONE_BYTE, Some((Verdict::Fail, FailureKind::Announcement))),
        ("dies-early", ONE_BYTE, Some((Verdict::Crash, FailureKind::Crash))),
        ("hangs", ONE_BYTE, Some((Verdict::Timeout, FailureKind::Timeout))),
        ("floods-stderr", ONE_BYTE, None),
        (
            "floods-clients",
            "tcp-echo/silent-until-spoken-to",
            // The flood arrives in place of the first echo, by which the judge attests the driver.
            Some((Verdict::Fail, FailureKind::Altered)),
        ),
        // It always sends a little, but a trickle is not progress.
        ("drips", "tcp-echo/all-byte-values", Some((Verdict::Timeout, FailureKind::Timeout))),
    ];
    let mut trials = Vec::new();
    if cfg!(unix) {
        let verdict = || expect_verdict("closes-streams", ONE_BYTE, None);
        trials.push(Trial::test("verdict-on::closes-streams", verdict));
    }
    trials.extend(misbehaviour.map(|(fault, case, expected)| {
        Trial::test(format!("verdict-on::{fault}"), move || expect_verdict(fault, case, expected))
    }));
    // A capability, a listener that the judge asks for, and a listener that the case asks for.
    for (what, case) in [
        ("cancel", "res/cancelled-read-no-loss"),
        ("udp", "udp/echo-basic"),
        ("udp", "udp/shutdown-and-rebind"),
    ] {
        for (name, fault, lacks, expected) in [
            ("offered", None, "", Verdict::Pass),
            ("offered-and-denied", None, what, Verdict::Fail),
            ("lacking", Some("lacks-capabilities"), what, Verdict::Unsupported),
            ("lacking-and-undeclared", Some("lacks-capabilities"), "", Verdict::Fail),
        ] {
            let trial = move || expect_lack_verdict(case, fault, lacks, expected);
            trials.push(Trial::test(format!("{name}::{case}"), trial));
        }
    }
    libtest_mimic::run(&arguments, trials).exit_code()
}

/// The cell fails if the server and the registry contradict each other about what is offered. If
/// they agree that it is lacking, the cell is unsupported. Otherwise the case decides.
fn expect_lack_verdict(
    case: &str,
    fault: Option<&str>,
    lacks: &str,
    expected: Verdict,
) -> Result<(), Failed> {
    let mut row = MutantTable::load()?.row(executable()?, fault);
    row.lacks = vec![lacks.to_owned()];
    let cell = judge(&row, case)?;
    if cell.verdict != expected {
        return Err(format!("expected {expected:?}, found {cell:?}").into());
    }
    Ok(())
}

/// Expects this verdict and failure, or none, within the deadlines of one cell.
fn expect_verdict(
    fault: &str,
    case: &str,
    expected: Option<(Verdict, FailureKind)>,
) -> Result<(), Failed> {
    let row = MutantTable::load()?.row(executable()?, Some(fault));
    let started = Instant::now();
    let cell = judge(&row, case)?;
    // Twice the longest wait without progress, on the slowest host on which cells are judged.
    if started.elapsed() > Duration::from_secs(45) {
        return Err(format!("took {:?}", started.elapsed()).into());
    }
    let found = cell.failure.as_ref().map(|failure| (cell.verdict, failure.kind));
    if found != expected {
        return Err(format!("expected {expected:?}, found {cell:?}").into());
    }
    Ok(())
}

/// Judges one cell in profile quick.
fn judge(row: &Row, case: &str) -> Result<Cell, Failed> {
    let host = host::probe();
    let filter = Filter { cases: vec![case.into()], ..Filter::default() };
    let cells = plan(std::slice::from_ref(row), &filter, Profile::Full, &host);
    let judge = Judge {
        profile: Profile::Quick,
        seed: Seed::new(1),
        seed_source: SeedSource::Given,
        host,
        schedule: Schedule::of_this_user(),
        start_timeout: Duration::from_secs(5),
        disturbance: Disturbance::default(),
        gate: Gate::default(),
        repeat: |_, _, _, _| Outside::default(),
    };
    Ok(judge.judge_cell(row, &cells[0], None).cell)
}

fn executable() -> Result<PathBuf, Failed> {
    Ok(binaries::locate_once("mutant")?)
}
