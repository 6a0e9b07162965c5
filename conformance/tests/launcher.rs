//! The harness against servers that misbehave before or beside serving, and against its own death:
//! a clear verdict in bounded time, and nothing left behind.

use std::ffi::OsString;
use std::io::{self, BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::process::{Command, ExitCode, Stdio};
use std::time::{Duration, Instant};

use conformance::judge::Judge;
use conformance::mutants::Table;
use conformance::plan::{Filter, plan};
use conformance::profile::Profile;
use harness::affinity::{self, Cpus};
use harness::deadline::Deadline;
use harness::launcher::{Launcher, Origin, Program, START_LIMIT, Server, Start};
use harness::restrict::Restrictions;
use harness::row::Row;
use harness::schedule::Schedule;
use harness::{binaries, host, supervisor};
use libtest_mimic::{Arguments, Failed, Trial};
use report::{Cell, Failure, FailureKind, Strictness, Verdict};

/// First argument of this program when it plays the harness that is killed.
const VICTIM: &str = "victim";

fn main() -> ExitCode {
    supervisor::run_if_asked();
    if std::env::args().nth(1).as_deref() == Some(VICTIM) {
        return victim();
    }
    let arguments = Arguments::from_args();
    const ONE_BYTE: &str = "tcp-echo/one-byte";
    let misbehaviour = [
        ("never-announces", ONE_BYTE, Some((Verdict::Timeout, FailureKind::Timeout))),
        ("prints-garbage", ONE_BYTE, Some((Verdict::Fail, FailureKind::Announcement))),
        ("dies-early", ONE_BYTE, Some((Verdict::Crash, FailureKind::Crash))),
        ("hangs", ONE_BYTE, Some((Verdict::Timeout, FailureKind::Timeout))),
        ("floods-stderr", ONE_BYTE, None),
        (
            "floods-clients",
            "tcp-echo/silent-until-spoken-to",
            Some((Verdict::Fail, FailureKind::Extra)),
        ),
        // It drips all the time, and that is no progress.
        ("drips", "tcp-echo/all-byte-values", Some((Verdict::Timeout, FailureKind::Timeout))),
    ];
    let mut trials = vec![Trial::test("a-killed-harness-leaves-nothing-behind", no_orphan)];
    if cfg!(target_os = "linux") {
        trials.push(Trial::test("what-a-server-starts-ends-with-it", no_child));
        trials.push(Trial::test("a-pinned-server-stays-where-it-was-put", pinned));
    }
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
    let mut row = Table::load()?.row(executable()?, fault);
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
    let row = Table::load()?.row(executable()?, Some(fault));
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
    let filter = Filter { cases: vec![case.to_owned()], ..Filter::default() };
    let cells = plan(std::slice::from_ref(row), &filter, Profile::Full, &host);
    let judge = Judge {
        profile: Profile::Quick,
        seed: 1,
        host,
        schedule: Schedule::of_this_user(),
        strictness: Strictness::Must,
        repeat: |_, _, _, _| String::new(),
    };
    Ok(judge.judge_cell(row, &cells[0], None).cell)
}

/// Kills a harness whose server runs, with a signal that it cannot handle, and waits for the
/// server to be gone.
fn no_orphan() -> Result<(), Failed> {
    let mut victim = Command::new(std::env::current_exe()?)
        .args([OsString::from(VICTIM), executable()?.into()])
        .stdout(Stdio::piped())
        .spawn()?;
    let stdout = victim.stdout.take().ok_or("no pipe")?;
    let mut line = String::new();
    BufReader::new(stdout).read_line(&mut line)?;
    let address: SocketAddr = line.trim().parse().map_err(|e| format!("{line:?}: {e}"))?;
    TcpStream::connect(address)?;
    victim.kill()?;
    victim.wait()?;
    let deadline = Deadline::after(Duration::from_secs(5));
    while TcpStream::connect(address).is_ok() {
        if deadline.is_over() {
            return Err("the server still listens".into());
        }
        std::thread::sleep(Duration::from_millis(10));
    }
    Ok(())
}

/// What a server has started in a process group of its own is gone after its cell.
#[cfg(target_os = "linux")]
fn no_child() -> Result<(), Failed> {
    // By its argument the child is known, also beside other runs of this test.
    let seconds = fastrand::u64(100_000..1_000_000).to_string();
    let mut row = Table::load()?.row(executable()?, Some("leaves-child"));
    if let Origin::Contract(program) = &mut row.origin {
        program.arguments.extend(["--fault-at".into(), seconds.clone().into()]);
    }
    let cell = judge(&row, "tcp-echo/one-byte")?;
    if cell.verdict != Verdict::Pass {
        return Err(format!("{cell:?}").into());
    }
    let lives = procfs::process::all_processes()?
        .flatten()
        .filter_map(|process| process.cmdline().ok())
        .any(|words| words == ["sleep", &seconds]);
    if lives { Err("the child lives".into()) } else { Ok(()) }
}

#[cfg(not(target_os = "linux"))]
fn no_child() -> Result<(), Failed> {
    Err("only Linux gives orphans to the judge".into())
}

/// The harness that is killed: it starts a server, says where, and waits.
fn victim() -> ExitCode {
    let Some(executable) = std::env::args_os().nth(2) else { return ExitCode::FAILURE };
    let launcher = launcher_of(executable.into());
    let Ok(server) = start(&launcher, &Start::default()) else { return ExitCode::FAILURE };
    let Ok(address) = server.address() else { return ExitCode::FAILURE };
    println!("{address}");
    std::thread::sleep(Duration::from_secs(60));
    ExitCode::FAILURE
}

fn executable() -> Result<std::path::PathBuf, Failed> {
    Ok(binaries::locate(&["mutant"], binaries::OWN_PROFILE)?["mutant"].clone())
}

fn launcher_of(executable: std::path::PathBuf) -> Launcher {
    let program = Program { executable, arguments: Vec::new() };
    Launcher::new(Origin::Contract(program))
}

fn start(launcher: &Launcher, start: &Start) -> Result<Server, Failure> {
    launcher.launch(start, Deadline::after(START_LIMIT))?.expect_ready()
}

/// A server that is to run on one processor does, and what it uses of it is seen; it has no ring.
fn pinned() -> Result<(), Failed> {
    let given = affinity::allowed()?;
    let one = Cpus::of(given.numbers().pop());
    let restrictions = Restrictions { cpus: one.clone(), ..Restrictions::default() };
    let launcher = launcher_of(executable()?);
    let server = start(&launcher, &Start { restrictions, ..Start::default() });
    let seen = server.and_then(|server| {
        let process = server.process();
        let (before, handed) = (process.cpu_times()?, process.submissions()?);
        exchange(server.address()?)
            .map_err(|e| Failure::new(FailureKind::Closed, "an echo", e.to_string()))?;
        let used = process.cpu_times()?.since(&before).total;
        Ok((process.cpus()?, used, process.submissions()?.since(&handed)))
    });
    let (cpus, used, submissions) = seen.map_err(|failure| format!("{failure:?}"))?;
    if cpus != one || used.is_zero() || submissions.is_some() {
        return Err(format!("{cpus:?} of {one:?}, used {used:?}, {submissions:?}").into());
    }
    if affinity::allowed()? != given {
        return Err("the harness was pinned along with its server".into());
    }
    Ok(())
}

/// A message of one kilobyte, and its echo.
fn exchange(address: SocketAddr) -> io::Result<()> {
    let mut stream = TcpStream::connect(address)?;
    stream.set_read_timeout(Some(Duration::from_secs(5)))?;
    let (sent, mut echo) = ([7; 1024], [0; 1024]);
    stream.write_all(&sent)?;
    stream.read_exact(&mut echo)?;
    if echo == sent { Ok(()) } else { Err(io::Error::other("other bytes")) }
}
