//! Cases of `life` and `fair` on servers that the host denies something: io_uring, memory,
//! descriptors, threads, an address family or a standard stream.

use std::time::Duration;

use harness::announcement::Announcement;
use harness::attest::{Depth, Exchange, attest_process};
use harness::launcher::{Attempt, DRAIN_TIME, Launch, Server, ServerExit, Start};
use harness::process::Process;
use harness::restrict::{Denial, Restrictions, ThreadLimit};
use harness::wait::{Interest, wait_any};
use report::{Attestation, Failure, FailureKind, Outside};

use crate::case::{CaseResult, Observation};
use crate::client::connection::Connection;
use crate::client::peer::Peer;
use crate::clock::CellClock;
use crate::expectation::{
    GRACE_BEYOND_DRAIN, expect_graceful_end, expect_low_cpu, expect_survival, wait_for_idle,
};
use crate::lifecycle::Lifecycle;
use crate::suites::tcp_accept::{is_turned_away, run_restricted_without_descriptors};

/// How soon a server must recover once descriptors or threads are available again.
const RECOVERY_LIMIT: Duration = Duration::from_secs(3);

pub(super) fn uring_denied(lifecycle: &Lifecycle) -> CaseResult {
    let usual = lifecycle.start()?;
    let needs_ring = usual.ready()?.driver == "io_uring";
    drop(usual);
    let mut observation = Observation::default();
    for denial in [Denial::Enosys, Denial::Eperm, Denial::Enomem] {
        let taken = Restrictions { deny_io_uring: Some(denial), ..Restrictions::default() };
        match launch_restricted(lifecycle, &taken)? {
            Launch::Ready(server) => {
                observation = expect_announced_driver(lifecycle, &server, observation)?;
            }
            Launch::Declined(Announcement::Unavailable(_)) if needs_ring => {}
            other @ (Launch::Declined(_) | Launch::Ended(_)) => {
                return Err(unexpected_launch("a server that serves, or is unavailable", &other));
            }
        }
    }
    Ok(observation)
}

pub(super) fn memlock_tiny(lifecycle: &Lifecycle) -> CaseResult {
    let mut observation = Observation::default();
    for bytes in [0, 64 * 1024] {
        let taken = Restrictions { memlock_bytes: Some(bytes), ..Restrictions::default() };
        match launch_restricted(lifecycle, &taken)? {
            Launch::Ready(server) => {
                observation = expect_announced_driver(lifecycle, &server, observation)?;
            }
            Launch::Declined(Announcement::Unavailable(_)) => {}
            other @ (Launch::Declined(_) | Launch::Ended(_)) => {
                return Err(unexpected_launch("a server that serves, or is unavailable", &other));
            }
        }
    }
    Ok(observation)
}

pub(super) fn few_descriptors(lifecycle: &Lifecycle) -> CaseResult {
    for open_files in [4, 6, 8, 10, 12, 16, 24] {
        let taken = Restrictions { open_files: Some(open_files), ..Restrictions::default() };
        match launch_restricted(lifecycle, &taken)? {
            // A server with enough descriptors to start may have none left for a client.
            Launch::Ready(_) | Launch::Declined(Announcement::Unavailable(_)) => {}
            Launch::Ended(Attempt { exit: ServerExit::Code(1), stdout, stderr, .. })
                if stdout.is_empty() && !stderr.is_empty() => {}
            // On other systems the loader needs more, and ends the program by a signal.
            Launch::Ended(Attempt { exit: ServerExit::Signal(_), .. })
                if cfg!(not(target_os = "linux")) && open_files < 8 => {}
            other @ (Launch::Declined(_) | Launch::Ended(_)) => {
                let expected = format!(
                    "with {open_files} descriptors: ready, unavailable, or exit 1 with a message"
                );
                return Err(unexpected_launch(&expected, &other));
            }
        }
    }
    Observation::met()
}

pub(super) fn no_ipv6(lifecycle: &Lifecycle) -> CaseResult {
    let restrictions = Restrictions { no_ipv6: true, ..Restrictions::default() };
    let usual = Start { restrictions, ..Start::default() };
    let server = lifecycle.start_with(&usual)?;
    expect_survival(&server, lifecycle.peer(&server)?.expect_service(), lifecycle.clock())?;
    let on_ipv6 = Start { listen: vec!["tcp:[::1]:0".to_owned()], ..usual };
    let attempt = lifecycle.attempt(&on_ipv6)?;
    expect_silent_error(&attempt, 1)?;
    expect_message(&attempt, "::1")?;
    Observation::met()
}

pub(super) fn stderr_closed(lifecycle: &Lifecycle) -> CaseResult {
    let taken = Restrictions { unread_stderr: true, ..Restrictions::default() };
    // A server that is out of descriptors has something to log.
    run_restricted_without_descriptors(lifecycle, &taken, |peer, _, crowd| {
        for connection in &mut crowd.served {
            connection.exchange(64)?;
            connection.finish_sending()?;
        }
        // Other cases judge what the server does with a client for whom it has no descriptor yet.
        for connection in &mut crowd.served {
            connection.expect_end()?;
        }
        // Waiting clients leave, too, or they would take every descriptor that is free now.
        crowd.disconnect_all();
        let mut client = peer.connect()?;
        client.send(64)?;
        client.receive_and_judge("a new client's echo after all", 64, RECOVERY_LIMIT)?;
        Observation::met()
    })
}

fn launch_restricted(lifecycle: &Lifecycle, taken: &Restrictions) -> Result<Launch, Failure> {
    lifecycle.launch_judged(&Start { restrictions: taken.clone(), ..Start::default() })
}

/// Expects the announced driver to be in use, whatever the server fell back to. Returns `known`
/// unless the driver could not be attested this time.
fn expect_announced_driver(
    lifecycle: &Lifecycle,
    server: &Server,
    known: Observation,
) -> CaseResult {
    let peer = lifecycle.peer(server)?;
    let process = server.process();
    let driver = &server.ready()?.driver;
    let seen =
        |exchange: Exchange<'_>| attest_process(driver, &process, 4, Depth::Glance, exchange);
    let found = peer.with_exchange(seen).and_then(|seen| peer.expect_service().map(|()| seen));
    match expect_survival(server, found, lifecycle.clock())? {
        Attestation::Attested { .. } => Ok(known),
        unseen @ (Attestation::Announced { .. } | Attestation::NotAttested { .. }) => {
            Observation::attested(unseen)
        }
    }
}

fn unexpected_launch(expected: &str, launch: &Launch) -> Failure {
    match launch {
        Launch::Ready(_) => Failure::new(FailureKind::Announcement, expected, "ready"),
        Launch::Declined(said) => {
            Failure::new(FailureKind::Announcement, expected, format!("{said:?}"))
        }
        Launch::Ended(attempt) => {
            let actual = format!("it {} after writing {:?}", attempt.exit, attempt.stdout);
            Failure::new(FailureKind::Crash, expected, actual)
        }
    }
}

/// Expects `text` in what the server wrote to standard error.
pub(super) fn expect_message(attempt: &Attempt, text: &str) -> Result<(), Failure> {
    if attempt.stderr.iter().any(|line| line.contains(text)) {
        return Ok(());
    }
    let expected = format!("a message that names {text}");
    Err(Failure::new(FailureKind::Output, expected, format!("{:?}", attempt.stderr)))
}

/// Expects that a server that could not start exited with `code`, announced nothing, and wrote a
/// message.
pub(super) fn expect_silent_error(attempt: &Attempt, code: i32) -> Result<(), Failure> {
    if attempt.exit != ServerExit::Code(code) {
        let (expected, actual) = (format!("exit {code}"), format!("it {}", attempt.exit));
        return Err(Failure::new(FailureKind::ExitStatus, expected, actual));
    }
    if !attempt.stdout.is_empty() {
        let actual = format!("{:?}", attempt.stdout);
        return Err(Failure::new(FailureKind::Output, "nothing on standard output", actual));
    }
    if attempt.stderr.iter().all(Outside::is_blank) {
        return Err(Failure::new(FailureKind::Output, "a message on standard error", "none"));
    }
    Ok(())
}

/// A quiet server uses at most this share of one core.
const MAX_CPU_SHARE: f64 = 0.20;
/// Bytes that each new client sends.
const HELLO: u64 = 64;

pub(super) fn without_threads(lifecycle: &Lifecycle) -> CaseResult {
    /// How many clients are served before threads are refused, and how many connect afterwards.
    const CLIENTS: u64 = 4;
    let server = start_limitable(lifecycle, Start::default())?;
    let process = server.process();
    let found = lifecycle.peer(&server).and_then(|peer| {
        let mut served = peer.connect_many(CLIENTS)?;
        served.iter_mut().try_for_each(|client| client.exchange(1024))?;
        process.refuse_threads()?;
        let waiting = greet(&peer, CLIENTS)?;
        for _ in 0..lifecycle.size() {
            served.iter_mut().try_for_each(|client| client.exchange(1024))?;
        }
        let waiting = drop_answered(waiting, lifecycle.clock(), SETTLE_TIME)?;
        expect_low_cpu_without_threads(&process, lifecycle.clock())?;
        served.iter_mut().try_for_each(|client| client.exchange(1024))?;
        process.allow_threads()?;
        let mut late = peer.connect()?;
        late.send(HELLO)?;
        late.receive_and_judge("a new client's echo after all", HELLO, RECOVERY_LIMIT)?;
        expect_all_answered(waiting, lifecycle.clock())?;
        expect_low_cpu(&process, SETTLE_TIME, MAX_CPU_SHARE, lifecycle.clock())?;
        process.refuse_threads()?;
        served.iter_mut().try_for_each(|client| client.exchange(1024))
    });
    expect_survival(&server, found, lifecycle.clock())?;
    expect_stop(lifecycle, &server)
}

pub(super) fn work_without_threads(lifecycle: &Lifecycle) -> CaseResult {
    /// Far more than a message costs if the server works on it in an I/O thread.
    const NEIGHBOUR_LIMIT: Duration = Duration::from_secs(1);
    let listen = ["tcp:127.0.0.1:0", "cpu:127.0.0.1:0"].map(str::to_owned).to_vec();
    let work = format!("{}ms", lifecycle.size());
    let arguments = ["--capability", "cpu", "--cpu-work", &work].map(Into::into).to_vec();
    let server = start_limitable(lifecycle, Start { listen, arguments, ..Start::default() })?;
    let ready = server.ready()?;
    let [costly] = ready.addresses("cpu")?[..] else {
        return Err(ready.wrong_listeners("one cpu listener"));
    };
    let (plain, costly) = (lifecycle.peer(&server)?, lifecycle.peer_at_address(costly));
    let process = server.process();
    let found = (|| {
        let mut neighbour = plain.connect()?;
        neighbour.exchange(64)?;
        process.refuse_threads()?;
        let mut waiting = Vec::new();
        // One after another: what one client leaves behind must not hinder the next.
        for _ in 0..3 {
            let mut client = costly.connect()?;
            client.send(1)?;
            waiting.push(client);
            waiting = drop_answered(waiting, lifecycle.clock(), SETTLE_TIME)?;
            neighbour.send(64)?;
            neighbour.receive_and_judge("the echo of another client", 64, NEIGHBOUR_LIMIT)?;
        }
        expect_low_cpu_without_threads(&process, lifecycle.clock())?;
        neighbour.exchange(64)?;
        process.allow_threads()?;
        // Checked before another message arrives, which could make the server look for a thread.
        expect_all_answered(waiting, lifecycle.clock())?;
        let mut late = costly.connect()?;
        late.send(1)?;
        late.receive_and_judge("the answer to a message that costs work", 1, RECOVERY_LIMIT)?;
        wait_for_idle(&process, MAX_CPU_SHARE)?;
        expect_low_cpu(&process, SETTLE_TIME, MAX_CPU_SHARE, lifecycle.clock())?;
        process.refuse_threads()?;
        neighbour.exchange(64)
    })();
    expect_survival(&server, found, lifecycle.clock())?;
    expect_stop(lifecycle, &server)
}

/// How long the judge waits for clients that may have to wait until threads are available again.
const SETTLE_TIME: Duration = Duration::from_millis(200);

/// Starts a server to which the kernel can refuse threads later.
fn start_limitable(lifecycle: &Lifecycle, start: Start) -> Result<Server, Failure> {
    let thread_limit = Some(ThreadLimit::Later);
    let restrictions = Restrictions { thread_limit, ..Restrictions::default() };
    match lifecycle.launch(&Start { restrictions, ..start })? {
        // The server runs as another user, who may lack a permission that the judge's user has.
        Launch::Declined(Announcement::Unavailable(reason)) => {
            Err(Failure::new(FailureKind::Harness, "a server that can be limited", reason))
        }
        launched @ (Launch::Ready(_) | Launch::Declined(_) | Launch::Ended(_)) => {
            launched.expect_ready()
        }
    }
}

/// Connects new clients, each of which sends `HELLO` bytes. Returns those that the server did not
/// close at once.
fn greet(peer: &Peer, count: u64) -> Result<Vec<Connection>, Failure> {
    let mut greeted = Vec::new();
    for mut client in peer.connect_many(count)? {
        match client.send(HELLO) {
            Ok(()) => greeted.push(client),
            Err(end) if is_turned_away(&client, &end) => {}
            Err(wrong) => return Err(wrong),
        }
    }
    Ok(greeted)
}

/// Returns the clients that still wait after nothing has arrived for `time`. The server has
/// answered the others, or closed them without a byte.
fn drop_answered(
    mut waiting: Vec<Connection>,
    clock: &CellClock,
    time: Duration,
) -> Result<Vec<Connection>, Failure> {
    while !waiting.is_empty() {
        let sockets: Vec<_> = waiting.iter().map(|c| (c.socket(), Interest::Read)).collect();
        let heard = wait_any(&sockets, clock.scale(time))?;
        if !heard.contains(&true) {
            break;
        }
        let mut rest = Vec::new();
        for (mut client, is_heard) in waiting.into_iter().zip(heard) {
            if !is_heard {
                rest.push(client);
                continue;
            }
            match client.receive_all() {
                Ok(()) => {}
                Err(end)
                    if client.received_bytes() == 0
                        && matches!(end.kind, FailureKind::Closed | FailureKind::Reset) => {}
                Err(wrong) => return Err(wrong),
            }
        }
        waiting = rest;
    }
    Ok(waiting)
}

/// Expects that no client is left waiting once threads are available again.
fn expect_all_answered(waiting: Vec<Connection>, clock: &CellClock) -> Result<(), Failure> {
    match drop_answered(waiting, clock, RECOVERY_LIMIT)?.len() {
        0 => Ok(()),
        left => {
            let expected = "an answer or an end for each client, once there are threads again";
            let actual = format!("nothing for {left} of them within {RECOVERY_LIMIT:?}");
            Err(Failure::new(FailureKind::Timeout, expected, actual))
        }
    }
}

fn expect_low_cpu_without_threads(process: &Process, clock: &CellClock) -> Result<(), Failure> {
    wait_for_idle(process, MAX_CPU_SHARE)?;
    expect_low_cpu(process, Duration::from_millis(700), MAX_CPU_SHARE, clock)
}

/// Stops a server that speaks the contract, and expects a graceful end.
fn expect_stop(lifecycle: &Lifecycle, server: &Server) -> CaseResult {
    if server.ready().is_ok() {
        server.ask_to_stop()?;
        expect_graceful_end(server, DRAIN_TIME + GRACE_BEYOND_DRAIN, lifecycle.clock())?;
    }
    Observation::met()
}

pub(super) fn no_standard_streams(lifecycle: &Lifecycle) -> CaseResult {
    let taken = Restrictions { closed_streams: true, ..Restrictions::default() };
    let start = Start { restrictions: taken.clone(), ..Start::default() };
    let server = lifecycle.launch_judged(&start)?.expect_ready()?;
    // The first clients get the lowest descriptors, and with them whatever the server writes to
    // standard error by number.
    let found = lifecycle.peer(&server).and_then(|peer| {
        let mut first = peer.connect_many(4)?;
        first.iter_mut().try_for_each(|client| client.exchange(1024))?;
        for client in peer.connect_many(4)? {
            client.reset();
        }
        first.iter_mut().try_for_each(|client| client.expect_silence(LOG_TIME))?;
        first.iter_mut().try_for_each(|client| client.exchange(64 * 1024))?;
        for client in &mut first {
            client.finish_sending()?;
            client.expect_end()?;
        }
        peer.expect_service()
    });
    expect_survival(&server, found, lifecycle.clock())?;
    expect_stop(lifecycle, &server)?;
    // A server that is out of descriptors has something to log, and clients who would receive it.
    run_restricted_without_descriptors(lifecycle, &taken, |_, _, crowd| {
        for client in &mut crowd.served {
            client.exchange(64)?;
        }
        if let Some(first) = crowd.served.first_mut() {
            first.expect_silence(LOG_TIME)?;
        }
        for client in &mut crowd.served {
            client.exchange(64)?;
        }
        Observation::met()
    })
}

/// Long enough for a log line to arrive, if the server writes one.
const LOG_TIME: Duration = Duration::from_millis(50);
