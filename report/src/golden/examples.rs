//! An example of every document, with each verdict, each kind of absence, and rows of every model.

use crate::bench::{Bench, BenchRow, Count, Pinning, Refusal, RefusalKind};
use crate::compare::{Comparison, OtherHosts, Results, compare};
use crate::example::{self, cell, check, invalid, open};
use crate::host::{
    Availability, Counter, Driver, Hint, Host, IoUring, Limit, LimitValue, Limits, Runner, Seccomp,
};
use crate::load::{Arrival, Ending, ErrorKind, LoadResult, Measurement};
use crate::run::certificate::{Certificate, Scope, certify};
use crate::run::{
    Attestation, Cell, Failure, FailureKind, Gate, Margin, Run, RunRow, Strictness, WaiverNote,
    WaiverState,
};
use crate::sweep::{self, Sweep};
use crate::trace::{self, Call, Ladder, Operations, Outcome, Request, Trace};
use crate::verdict::{Grade, Level, Model, Question, Verdict};

const OPEN: Arrival = Arrival::Open { messages_per_second: 20_000.0 };

/// A host with every property known.
fn host() -> Host {
    let hint = || Some(Hint { name: "kvm".into(), evidence: "dmi".into() });
    let limit = Some(Limit { soft: LimitValue::At(1), hard: LimitValue::Unlimited });
    let state = Availability::Unavailable { reason: "EPERM".into(), fix: None };
    Host {
        virtualisation: hint(),
        container: hint(),
        seccomp: Some(Seccomp::Filter),
        runner: Some(Runner { image: None, image_version: None, name: None }),
        limits: Limits { open_files: limit, memlock: limit, memlock_exempt: true },
        drivers: vec![Driver { name: "epoll".into(), state: state.clone() }],
        counters: vec![Counter { name: "ring".into(), state }],
        io_uring: Some(IoUring {
            features: Vec::new(),
            setup_flags: Vec::new(),
            operations: Vec::new(),
        }),
        ..example::host()
    }
}

/// A check of four servers. The last one announces hostile text as its runtime and its driver.
pub(crate) fn run() -> Run {
    let rows = [
        ("tokio", Model::Readiness, "epoll", Grade::Contract),
        ("compio-io_uring", Model::Completion, "io_uring", Grade::Contract),
        ("threads", Model::Blocking, "threads", Grade::Command),
        ("stranger", Model::Undeclared, "e|\u{1b}[2J\u{1b}[41m|**p**", Grade::Address),
    ];
    let cells = rows.iter().enumerate().flat_map(|(index, (name, ..))| cells(index, name));
    let cells: Vec<Cell> = cells.collect();
    let row = |(name, model, driver, grade): (&str, Model, &str, Grade)| {
        let own: Vec<&Cell> = cells.iter().filter(|cell| cell.row == name).collect();
        let certificate: Certificate = certify(&own, &scope(grade), Strictness::Must);
        let (runtime, attestation) = match grade {
            Grade::Contract => (Some("Example 1.2.3".into()), seen("a ring, 12 operations")),
            Grade::Command => (None, not_seen("this system does not show it")),
            Grade::Address => (Some("r|\u{1b}[2J|`x`".into()), not_seen("no process to look at")),
        };
        RunRow {
            name: name.into(),
            model,
            driver: driver.into(),
            flavor: "plain".into(),
            workers: 2,
            runtime,
            attestation,
            grade,
            certificate,
        }
    };
    let rows = rows.map(row).into();
    Run { label: "example".into(), host: host(), rows, ..check(cells) }
}

/// A gate for [`run`] under which each SHOULD counts. It requires a driver that has an unavailable
/// cell, and a driver that no row has.
pub(crate) fn strict_gate() -> Gate {
    let required_drivers = ["epoll", "io_uring", "kqueue"].map(Into::into).into();
    Gate { strictness: Strictness::Strict, required_drivers }
}

/// Four cases per level, some cases that only profile `full` asks, and a feature that the server
/// was declared not to have.
fn scope(grade: Grade) -> Scope {
    let mut catalogue = vec![(Question::Bytes, Level::Must); 4];
    catalogue.extend([(Question::Promptness, Level::Should); 4]);
    catalogue.extend([(Question::Resources, Level::Info); 4]);
    if grade == Grade::Contract {
        catalogue.push((Question::Stop, Level::Must));
    }
    let without = if grade == Grade::Address { vec!["half-close".into()] } else { Vec::new() };
    let only_in_full = vec!["endurance/10000-at-once".into(), "tcp-large/over-4-gib".into()];
    let up_to = vec!["16 s (idle/connection-survives)".into()];
    Scope { catalogue, only_in_full, up_to, without, ..Scope::default() }
}

fn seen(what: &str) -> Attestation {
    Attestation::Attested { seen: what.into() }
}

fn not_seen(why: &str) -> Attestation {
    Attestation::NotAttested { reason: why.into() }
}

/// One row that meets every requirement, on another host.
pub(crate) fn green_run() -> Run {
    let cells = ["one-byte", "order"].map(|case| cell(case, Verdict::Pass));
    Run { label: "other".into(), ..check(cells.into()) }
}

/// The cells of one of the four rows.
fn cells(row: usize, name: &str) -> Vec<Cell> {
    use Verdict::{Crash, Error, Fail, Info, Miss, Pass, Timeout, Unavailable, Unsupported};
    let cases = [
        ("tcp-echo", "one-byte", Level::Must, [Pass, Pass, Pass, Pass]),
        ("tcp-echo", "order", Level::Must, [Fail, Pass, Timeout, Crash]),
        ("tcp-echo", "half-close", Level::Must, [Pass, Unavailable, Pass, Unsupported]),
        ("tcp-echo", "waived", Level::Must, [Fail, Pass, Fail, Error]),
        ("tcp-timing", "nodelay", Level::Should, [Pass, Pass, Miss, Miss]),
        ("tcp-timing", "close", Level::Info, [Info, Info, Info, Unavailable]),
    ];
    let cells = cases.into_iter().map(|(suite, case, level, verdicts)| {
        let mut cell =
            Cell { row: name.into(), suite: suite.into(), level, ..cell(case, verdicts[row]) };
        cell.question = match level {
            Level::Must => Question::Bytes,
            Level::Should => Question::Promptness,
            Level::Info => Question::Resources,
        };
        add_details(&mut cell, row);
        if case == "order" && row == 2 {
            cell.is_unasked = true;
            cell.follows_from = Some("tcp-echo/waived".into());
        }
        if case == "waived" {
            cell.waiver = waiver(row);
        }
        cell
    });
    cells.collect()
}

/// Adds what belongs to the cell's verdict.
fn add_details(cell: &mut Cell, row: usize) {
    cell.repeat = "iomatrix check stranger --case order --seed c0ffee".into();
    cell.exclusive = cell.level == Level::Should;
    cell.cpu_seconds = Some(0.1 * (row + 1) as f64);
    match cell.verdict {
        Verdict::Pass | Verdict::Unsupported | Verdict::Unavailable => {}
        Verdict::Fail => {
            cell.failure = Some(Failure::new(FailureKind::Altered, "byte 7 is 0x2a", "it is 0x2b"));
        }
        Verdict::Crash => {
            cell.failure = Some(Failure::new(FailureKind::Crash, "it serves", "signal 11"));
            cell.stderr_tail = vec!["thread 'main' panicked".into(), "index 7 of 7".into()];
        }
        Verdict::Timeout => {
            cell.failure = Some(Failure::new(FailureKind::Timeout, "64 bytes in 5 s", "12 bytes"));
        }
        Verdict::Miss => {
            cell.failure = Some(Failure::new(FailureKind::Slow, "below 20 ms", "41 ms"));
            let what = "longest pause in ms".into();
            cell.margin = Some(Margin { what, observed: 41.0, limit: 20.0 });
        }
        Verdict::Info => {
            let recorded = if row == 1 { "closes with RST" } else { "closes with FIN" };
            cell.observation = Some(recorded.into());
        }
        Verdict::Error => {
            cell.failure =
                Some(Failure::new(FailureKind::Harness, "an idle host", "held back 9 %"));
            cell.reason = Some("the host was busy; run it again".into());
        }
    }
}

fn waiver(row: usize) -> Option<WaiverNote> {
    let state = match row {
        0 => WaiverState::Applies,
        1 => WaiverState::Stale,
        2 => WaiverState::OtherFailure,
        _ => return None,
    };
    let reason = "the runtime offers no way to do it".into();
    Some(WaiverNote { reason, upstream: "example/runtime#7".into(), state })
}

/// An open loop with a run of every ending, and an invalid run.
pub(crate) fn load() -> LoadResult {
    let mut late = Measurement { validity: invalid("the generator was held back"), ..open() };
    late.errors.insert(ErrorKind::Reset, 2);
    late.notes.push("connection 3 was reset".into());
    let mut lost = open();
    lost.errors.insert(ErrorKind::Lost, 1);
    lost.notes.push("message 12 of connection 4 did not come back".into());
    let stopped = Measurement { ending: Ending::Interrupted, ..open() };
    let given_up = Measurement {
        ending: Ending::Abandoned,
        opening_seconds: None,
        throughput: None,
        response: None,
        service: None,
        connect: None,
        ..late.clone()
    };
    LoadResult { host: host(), ..example::load(OPEN, vec![lost, late, stopped, given_up]) }
}

/// The most ordinary load: one run in a closed loop.
pub(crate) fn closed_load() -> LoadResult {
    example::load(Arrival::Closed, vec![example::closed(100_000.0, 90_000)])
}

/// Two rows of one program, and one row for each reason to have no numbers.
pub(crate) fn bench(rounds: usize) -> Bench {
    let refuse = |name: &str, because, reason: &str| {
        let mut row = example::row(name, "backend-refused", Model::Blocking, 1.0);
        row.refused = Some(Refusal::new(because, reason));
        row.samples.clear();
        row.runtime = None;
        row.attestation = not_seen("it was not started");
        row
    };
    let mut bench = example::bench();
    let mut noisy = example::row("noisy", "backend-noisy", Model::Readiness, 1.0);
    for sample in &mut noisy.samples {
        sample.measurement.validity = invalid("the server was held back");
        sample.server = None;
    }
    let mut late = example::row("late", "backend-late", Model::Undeclared, 1.0);
    late.samples.clear();
    bench.host = host();
    bench.rows[2].system_calls = Count::none("perf_event_open(2) is not permitted");
    bench.rows[2].attestation = Attestation::Announced { reason: "no ring, no tracing".into() };
    bench.rows.extend([
        noisy,
        refuse("absent", RefusalKind::Unavailable, "io_uring_setup(2): EPERM"),
        refuse("wrong", RefusalKind::Wrong, "it fails tcp-echo/order"),
        refuse("unjudged", RefusalKind::Error, "it did not start within 10 s"),
        late,
    ]);
    bench.interrupted = true;
    shorten(&mut bench, rounds);
    bench
}

fn shorten(bench: &mut Bench, rounds: usize) {
    bench.floor_ns.truncate(rounds);
    for row in &mut bench.rows {
        row.samples.truncate(rounds);
    }
}

/// Three rows over connections. One row is refused at one value.
pub(crate) fn sweep(rounds: usize) -> Sweep {
    let mut sweep = sweep::example::connections();
    if rounds < 2 {
        sweep.points.truncate(2);
    }
    for point in &mut sweep.points {
        shorten(&mut point.bench, rounds);
    }
    let row: &mut BenchRow = &mut sweep.points[1].bench.rows[1];
    row.refused = Some(Refusal::new(RefusalKind::Wrong, "it lost 3 messages"));
    sweep.points[0].bench.rows[0].attestation = not_seen("no tracing");
    sweep.points[0].bench.rows[0].system_calls = Count::none("not permitted");
    sweep.interrupted = true;
    sweep
}

/// A sweep in which a row stops keeping up with the rate.
pub(crate) fn knee() -> Sweep {
    sweep::example::rates(&[10_000.0, 20_000.0, 40_000.0], 25_000.0)
}

/// A row of each kind: readiness with two threads, completion, a row whose rings tell nothing, and
/// a row that this host cannot run.
pub(crate) fn trace() -> Trace {
    let call =
        |thread, name: &str, gist: &str| Call { thread, name: name.into(), gist: gist.into() };
    let pair =
        |thread| [call(thread, "recvfrom", "-> 64 bytes"), call(thread, "sendto", "-> 64 bytes")];
    let mut calls = vec![call(0, "epoll_wait", "-> 4 events")];
    calls.extend([0, 1, 0, 1].map(pair).concat());
    let waiting = vec![call(0, "epoll_wait", "")];
    let polled = Request { calls, waiting, operations: Operations::NoRing };
    let enter = || call(0, "io_uring_enter", "submit 4, wait 1");
    let counted = Request {
        calls: vec![enter(), enter()],
        waiting: vec![enter()],
        operations: Operations::Counted { submissions: 4, completions: 8 },
    };
    let operations = Operations::NotTold { reason: "no CqTail in fdinfo".into() };
    let untold = Request { operations, ..counted.clone() };
    let ladder = |name: &str, model, driver: &str, outcome| Ladder {
        name: name.into(),
        model,
        driver: driver.into(),
        workers: if model == Model::Readiness { 2 } else { 1 },
        outcome,
    };
    let traced = |request: &Request| Outcome::Traced { requests: vec![request.clone(); 2] };
    let reason = "io_uring_setup(2): EPERM".into();
    Trace {
        version: trace::FORMAT_VERSION,
        connections: 4,
        message_bytes: 64,
        rows: vec![
            ladder("tokio", Model::Readiness, "epoll", traced(&polled)),
            ladder("compio-io_uring", Model::Completion, "io_uring", traced(&counted)),
            ladder("old", Model::Completion, "io_uring", traced(&untold)),
            ladder("absent", Model::Completion, "io_uring", Outcome::Unavailable { reason }),
        ],
    }
}

/// A check whose cells turned in every way, a bench on one host, a bench on two hosts, and a result
/// that only one side has.
pub(crate) fn comparison() -> Comparison {
    use Verdict::{Error, Fail, Pass, Unavailable};
    let turns = [
        ("broke", Pass, Fail),
        ("mended", Fail, Pass),
        ("vanished", Pass, Unavailable),
        ("came", Unavailable, Pass),
        ("unjudged", Pass, Error),
        ("absent", Unavailable, Unavailable),
    ];
    let [mut old, mut new] =
        [turns.map(|(case, was, _)| cell(case, was)), turns.map(|(case, _, is)| cell(case, is))]
            .map(Vec::from);
    old.push(cell("left", Pass));
    new.push(cell("added", Pass));
    let (mut moved, mut elsewhere) = (example::bench(), example::bench());
    moved.rows[1].system_calls = Count::Of(2.5);
    moved.rows[2].system_calls = Count::none("not permitted");
    moved.rows[1].idle_connection_bytes = Count::Of(4_096.0);
    moved.rows[0].refused = Some(Refusal::new(RefusalKind::Wrong, "it fails tcp-echo/order"));
    for sample in &mut moved.rows[2].samples {
        let server = sample.server.as_mut().unwrap();
        server.cpu_ns = server.cpu_ns.clone().map(|ns| ns * 1.2);
    }
    elsewhere.label = "other".into();
    let mut again = elsewhere.clone();
    again.host.kernel = Some("6.18.1".into());
    again.pinning = Pinning::None { reason: "one processor".into() };
    let alone = Run { label: "alone".into(), ..check(Vec::new()) };
    let before = Results {
        name: "before".into(),
        runs: vec![check(old), alone],
        benches: vec![example::bench(), elsewhere],
    };
    let after =
        Results { name: "after".into(), runs: vec![check(new)], benches: vec![moved, again] };
    compare(&before, &after, OtherHosts::CountsOnly).unwrap()
}

#[test]
fn the_run_has_every_verdict_and_every_waiver() {
    let run = run();
    for verdict in Verdict::ALL {
        assert!(run.cells.iter().any(|cell| cell.verdict == verdict), "{verdict}");
    }
    let states = [WaiverState::Applies, WaiverState::Stale, WaiverState::OtherFailure];
    for state in states {
        let has = |cell: &Cell| cell.waiver.as_ref().is_some_and(|waiver| waiver.state == state);
        assert!(run.cells.iter().any(has), "{state:?}");
    }
    let is_attested = |row: &RunRow| matches!(row.attestation, Attestation::Attested { .. });
    assert!(run.rows.iter().any(is_attested) && !run.rows.iter().all(is_attested));
}
