//! The judge against servers that misbehave before or beside serving: a clear verdict in bounded
//! time.

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
            // It stands where the echo of the first message should, by which the driver is seen.
            Some((Verdict::Fail, FailureKind::Altered)),
        ),
        // It drips all the time, and that is no progress.
        ("drips", "tcp-echo/all-byte-values", Some((Verdict::Timeout, FailureKind::Timeout))),
    ];
    let mut trials = Vec::new();
    if cfg!(unix) {
        let verdict = || verdict_on("closes-streams", ONE_BYTE, None);
        trials.push(Trial::test("verdict-on::closes-streams", verdict));
    }
    trials.extend(misbehaviour.map(|(fault, case, expected)| {
        Trial::test(format!("verdict-on::{fault}"), move || verdict_on(fault, case, expected))
    }));
    // A capability, a kind of listener that the judge asks for, and one that the case does.
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
            let trial = move || verdict_on_lack(case, fault, lacks, expected);
            trials.push(Trial::test(format!("{name}::{case}"), trial));
        }
    }
    libtest_mimic::run(&arguments, trials).exit_code()
}

/// A server and the registry that agree on what is offered are judged by the case; else by that.
fn verdict_on_lack(
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

/// A server that misbehaves gets the expected verdict within the deadlines of one cell, and the
/// judge does not collect what it sends.
fn verdict_on(
    fault: &str,
    case: &str,
    expected: Option<(Verdict, FailureKind)>,
) -> Result<(), Failed> {
    let row = MutantTable::load()?.row(executable()?, Some(fault));
    let started = Instant::now();
    let cell = judge(&row, case)?;
    // Twice the longest wait without progress, on a host that is as slow as is still judged.
    if started.elapsed() > Duration::from_secs(45) {
        return Err(format!("took {:?}", started.elapsed()).into());
    }
    let found = cell.failure.as_ref().map(|failure| (cell.verdict, failure.kind));
    if found != expected {
        return Err(format!("expected {expected:?}, found {cell:?}").into());
    }
    Ok(())
}

/// One quick cell.
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

fn executable() -> Result<std::path::PathBuf, Failed> {
    Ok(binaries::locate(&["mutant"], binaries::OWN_PROFILE)?["mutant"].clone())
}
