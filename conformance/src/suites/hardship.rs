//! Cases of suite `life` on servers from which the host has taken something: io_uring, memory,
//! descriptors, threads, an address family, or a standard stream.

use std::time::Duration;

use harness::announcement::Announcement;
use harness::attest::{Closeness, Exchange, attest_process};
use harness::launcher::{Attempt, DRAIN, Ended, Launch, Server, Start};
use harness::process::Process;
use harness::restrict::{Denial, Restrictions, ThreadLimit};
use harness::wait::{Interest, wait_any};
use report::{Attestation, Failure, FailureKind, Outside};

use crate::case::{CaseResult, Observation};
use crate::client::connection::Connection;
use crate::client::peer::Peer;
use crate::clock::CellClock;
use crate::expectation::{
    GRACE_BEYOND_DRAIN, expect_graceful_end, expect_quiet, expect_survival, let_finish,
};
use crate::lifecycle::Lifecycle;
use crate::suites::tcp_accept::{at_the_limit_under, is_turned_away};

/// How soon a server without descriptors recovers once some are free.
const RECOVERY: Duration = Duration::from_secs(3);

pub(super) fn uring_denied(lifecycle: &Lifecycle) -> CaseResult {
    let usual = lifecycle.start()?;
    let needs_ring = usual.ready()?.driver == "io_uring";
    drop(usual);
    let mut observation = Observation::default();
    for denial in [Denial::Enosys, Denial::Eperm, Denial::Enomem] {
        let taken = Restrictions { deny_io_uring: Some(denial), ..Restrictions::default() };
        match launch_without(lifecycle, &taken)? {
            Launch::Ready(server) => {
                observation = serves_as_it_says(lifecycle, &server, observation)?;
            }
            Launch::Declined(Announcement::Unavailable(_)) if needs_ring => {}
            other @ (Launch::Declined(_) | Launch::Ended(_)) => {
                return Err(dishonest("a server that serves, or is unavailable", &other));
            }
        }
    }
    Ok(observation)
}

pub(super) fn memlock_tiny(lifecycle: &Lifecycle) -> CaseResult {
    let mut observation = Observation::default();
    for bytes in [0, 64 * 1024] {
        let taken = Restrictions { memlock_bytes: Some(bytes), ..Restrictions::default() };
        match launch_without(lifecycle, &taken)? {
            Launch::Ready(server) => {
                observation = serves_as_it_says(lifecycle, &server, observation)?;
            }
            Launch::Declined(Announcement::Unavailable(_)) => {}
            other @ (Launch::Declined(_) | Launch::Ended(_)) => {
                return Err(dishonest("a server that serves, or is unavailable", &other));
            }
        }
    }
    Ok(observation)
}

pub(super) fn few_descriptors(lifecycle: &Lifecycle) -> CaseResult {
    for open_files in [4, 6, 8, 10, 12, 16, 24] {
        let taken = Restrictions { open_files: Some(open_files), ..Restrictions::default() };
        match launch_without(lifecycle, &taken)? {
            // One that found enough for itself may have none left for a client.
            Launch::Ready(_) | Launch::Declined(Announcement::Unavailable(_)) => {}
            Launch::Ended(Attempt { ended: Ended::Code(1), stdout, stderr, .. })
                if stdout.is_empty() && !stderr.is_empty() => {}
            other @ (Launch::Declined(_) | Launch::Ended(_)) => {
                let expected = format!(
                    "with {open_files} descriptors: ready, unavailable, or exit 1 with a message"
                );
                return Err(dishonest(&expected, &other));
            }
        }
    }
    Observation::met()
}

pub(super) fn no_ipv6(lifecycle: &Lifecycle) -> CaseResult {
    let restrictions = Restrictions { no_ipv6: true, ..Restrictions::default() };
    let usual = Start { restrictions, ..Start::default() };
    let server = lifecycle.start_with(&usual)?;
    expect_survival(&server, lifecycle.peer(&server)?.serves(), lifecycle.clock())?;
    let on_ipv6 = Start { listen: vec!["tcp:[::1]:0".to_owned()], ..usual };
    let attempt = lifecycle.attempt(&on_ipv6)?;
    expect_silent_error(&attempt, 1)?;
    expect_message(&attempt, "::1")?;
    Observation::met()
}

pub(super) fn stderr_closed(lifecycle: &Lifecycle) -> CaseResult {
    let taken = Restrictions { unread_stderr: true, ..Restrictions::default() };
    // Out of descriptors there is something to write.
    at_the_limit_under(lifecycle, &taken, |peer, _, crowd| {
        for connection in &mut crowd.served {
            connection.exchange(64)?;
            connection.finish_sending()?;
        }
        // What it does with a client for whom there is no descriptor yet is another case.
        for connection in &mut crowd.served {
            connection.expect_end()?;
        }
        // Those who wait go as well, or they would take every descriptor that is free now.
        crowd.leave();
        let mut client = peer.connect()?;
        client.send(64)?;
        client.receive_in("a new client's echo after all", 64, RECOVERY)?;
        Observation::met()
    })
}

fn launch_without(lifecycle: &Lifecycle, taken: &Restrictions) -> Result<Launch, Failure> {
    lifecycle.launch_judged(&Start { restrictions: taken.clone(), ..Start::default() })
}

/// The driver that is announced is the one in use, whatever it fell back to. What is known already
/// stays, unless nothing could be seen now.
fn serves_as_it_says(lifecycle: &Lifecycle, server: &Server, known: Observation) -> CaseResult {
    let peer = lifecycle.peer(server)?;
    let process = server.process();
    let driver = &server.ready()?.driver;
    let seen =
        |exchange: Exchange<'_>| attest_process(driver, &process, 4, Closeness::Glance, exchange);
    let found = peer.exchanging(seen).and_then(|seen| peer.serves().map(|()| seen));
    match expect_survival(server, found, lifecycle.clock())? {
        Attestation::Attested { .. } => Ok(known),
        unseen @ (Attestation::Announced { .. } | Attestation::NotAttested { .. }) => {
            Observation::attested(unseen)
        }
    }
}

fn dishonest(expected: &str, launch: &Launch) -> Failure {
    match launch {
        Launch::Ready(_) => Failure::new(FailureKind::Announcement, expected, "ready"),
        Launch::Declined(said) => {
            Failure::new(FailureKind::Announcement, expected, format!("{said:?}"))
        }
        Launch::Ended(attempt) => {
            let actual = format!("it {} after writing {:?}", attempt.ended, attempt.stdout);
            Failure::new(FailureKind::Crash, expected, actual)
        }
    }
}

/// What a server wrote to standard error has a text in it.
pub(super) fn expect_message(attempt: &Attempt, text: &str) -> Result<(), Failure> {
    if attempt.stderr.iter().any(|line| line.contains(text)) {
        return Ok(());
    }
    let expected = format!("a message that names {text}");
    Err(Failure::new(FailureKind::Output, expected, format!("{:?}", attempt.stderr)))
}

/// The end of a server that could not start: its exit status, no ready line, and a message.
pub(super) fn expect_silent_error(attempt: &Attempt, code: i32) -> Result<(), Failure> {
    if attempt.ended != Ended::Code(code) {
        let (expected, actual) = (format!("exit {code}"), format!("it {}", attempt.ended));
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

/// A server that is quiet uses at most so much of one core.
const QUIET: f64 = 0.20;
/// What each new client sends.
const HELLO: u64 = 64;

pub(super) fn without_threads(lifecycle: &Lifecycle) -> CaseResult {
    /// Clients that are served before, and as many that come later.
    const CLIENTS: u64 = 4;
    let server = start_limitable(lifecycle, Start::default())?;
    let process = server.process();
    let found = lifecycle.peer(&server).and_then(|peer| {
        let mut served = peer.connect_many(CLIENTS)?;
        served.iter_mut().try_for_each(|client| client.exchange(1024))?;
        process.refuse_threads()?;
        let undecided = greet(&peer, CLIENTS)?;
        for _ in 0..lifecycle.size() {
            served.iter_mut().try_for_each(|client| client.exchange(1024))?;
        }
        let undecided = take_decided(undecided, lifecycle.clock(), SETTLED)?;
        expect_quiet_without_threads(&process, lifecycle.clock())?;
        served.iter_mut().try_for_each(|client| client.exchange(1024))?;
        process.allow_threads()?;
        let mut late = peer.connect()?;
        late.send(HELLO)?;
        late.receive_in("a new client's echo after all", HELLO, RECOVERY)?;
        expect_all_decided(undecided, lifecycle.clock())?;
        expect_quiet(&process, SETTLED, QUIET, lifecycle.clock())?;
        process.refuse_threads()?;
        served.iter_mut().try_for_each(|client| client.exchange(1024))
    });
    expect_survival(&server, found, lifecycle.clock())?;
    expect_stop(lifecycle, &server)
}

pub(super) fn work_without_threads(lifecycle: &Lifecycle) -> CaseResult {
    /// Far more than a message costs, if the server does the work itself.
    const NEIGHBOUR: Duration = Duration::from_secs(1);
    let listen = ["tcp:127.0.0.1:0", "cpu:127.0.0.1:0"].map(str::to_owned).to_vec();
    let work = format!("{}ms", lifecycle.size());
    let arguments = ["--capability", "cpu", "--cpu-work", &work].map(Into::into).to_vec();
    let server = start_limitable(lifecycle, Start { listen, arguments, ..Start::default() })?;
    let ready = server.ready()?;
    let [costly] = ready.addresses("cpu")?[..] else {
        return Err(ready.wrong_listeners("one cpu listener"));
    };
    let (plain, costly) = (lifecycle.peer(&server)?, lifecycle.peer_at(costly));
    let process = server.process();
    let found = (|| {
        let mut neighbour = plain.connect()?;
        neighbour.exchange(64)?;
        process.refuse_threads()?;
        let mut undecided = Vec::new();
        // One after the other: what the first leaves behind must not be in the next one's way.
        for _ in 0..3 {
            let mut client = costly.connect()?;
            client.send(1)?;
            undecided.push(client);
            undecided = take_decided(undecided, lifecycle.clock(), SETTLED)?;
            neighbour.send(64)?;
            neighbour.receive_in("the echo of another client", 64, NEIGHBOUR)?;
        }
        expect_quiet_without_threads(&process, lifecycle.clock())?;
        neighbour.exchange(64)?;
        process.allow_threads()?;
        // Before another message comes: it could be what makes the server look for a thread.
        expect_all_decided(undecided, lifecycle.clock())?;
        let mut late = costly.connect()?;
        late.send(1)?;
        late.receive_in("the answer to a message that costs work", 1, RECOVERY)?;
        let_finish(&process, QUIET)?;
        expect_quiet(&process, SETTLED, QUIET, lifecycle.clock())?;
        process.refuse_threads()?;
        neighbour.exchange(64)
    })();
    expect_survival(&server, found, lifecycle.clock())?;
    expect_stop(lifecycle, &server)
}

/// How long a client is waited for that may have to wait until there are threads again.
const SETTLED: Duration = Duration::from_millis(200);

/// A server to which threads can be refused.
fn start_limitable(lifecycle: &Lifecycle, start: Start) -> Result<Server, Failure> {
    let thread_limit = Some(ThreadLimit::Later);
    let restrictions = Restrictions { thread_limit, ..Restrictions::default() };
    match lifecycle.launch(&Start { restrictions, ..start })? {
        // It runs as another user, who may lack what this one may.
        Launch::Declined(Announcement::Unavailable(reason)) => {
            Err(Failure::new(FailureKind::Harness, "a server that can be limited", reason))
        }
        launched @ (Launch::Ready(_) | Launch::Declined(_) | Launch::Ended(_)) => {
            launched.expect_ready()
        }
    }
}

/// New clients, each of which has sent something: those that were not closed before.
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

/// Those of the clients that still wait after nothing was heard for `time`: the others were
/// answered, or closed without a byte.
fn take_decided(
    mut undecided: Vec<Connection>,
    clock: &CellClock,
    time: Duration,
) -> Result<Vec<Connection>, Failure> {
    while !undecided.is_empty() {
        let sockets: Vec<_> = undecided.iter().map(|c| (c.socket(), Interest::Read)).collect();
        let heard = wait_any(&sockets, clock.scaled(time))?;
        if !heard.contains(&true) {
            break;
        }
        let mut rest = Vec::new();
        for (mut client, is_heard) in undecided.into_iter().zip(heard) {
            if !is_heard {
                rest.push(client);
                continue;
            }
            match client.receive_all() {
                Ok(()) => {}
                Err(end)
                    if client.received() == 0
                        && matches!(end.kind, FailureKind::Closed | FailureKind::Reset) => {}
                Err(wrong) => return Err(wrong),
            }
        }
        undecided = rest;
    }
    Ok(undecided)
}

/// Nobody waits once there are threads again.
fn expect_all_decided(undecided: Vec<Connection>, clock: &CellClock) -> Result<(), Failure> {
    match take_decided(undecided, clock, RECOVERY)?.len() {
        0 => Ok(()),
        left => {
            let expected = "an answer or an end for each client, once there are threads again";
            let actual = format!("nothing for {left} of them within {RECOVERY:?}");
            Err(Failure::new(FailureKind::Timeout, expected, actual))
        }
    }
}

fn expect_quiet_without_threads(process: &Process, clock: &CellClock) -> Result<(), Failure> {
    let_finish(process, QUIET)?;
    expect_quiet(process, Duration::from_millis(700), QUIET, clock)
}

/// The end of a server that was asked for it, where it speaks the contract.
fn expect_stop(lifecycle: &Lifecycle, server: &Server) -> CaseResult {
    if server.ready().is_ok() {
        server.ask_to_stop()?;
        expect_graceful_end(server, DRAIN + GRACE_BEYOND_DRAIN, lifecycle.clock())?;
    }
    Observation::met()
}

pub(super) fn no_standard_streams(lifecycle: &Lifecycle) -> CaseResult {
    let taken = Restrictions { closed_streams: true, ..Restrictions::default() };
    let start = Start { restrictions: taken.clone(), ..Start::default() };
    let server = lifecycle.launch_judged(&start)?.expect_ready()?;
    // The first clients get the lowest descriptors, and whatever is written to them by number.
    let found = lifecycle.peer(&server).and_then(|peer| {
        let mut first = peer.connect_many(4)?;
        first.iter_mut().try_for_each(|client| client.exchange(1024))?;
        for client in peer.connect_many(4)? {
            client.reset();
        }
        first.iter_mut().try_for_each(|client| client.expect_silence(HEARD))?;
        first.iter_mut().try_for_each(|client| client.exchange(64 * 1024))?;
        for client in &mut first {
            client.finish_sending()?;
            client.expect_end()?;
        }
        peer.serves()
    });
    expect_survival(&server, found, lifecycle.clock())?;
    expect_stop(lifecycle, &server)?;
    // Out of descriptors there is something to write, and clients who would get it.
    at_the_limit_under(lifecycle, &taken, |_, _, crowd| {
        for client in &mut crowd.served {
            client.exchange(64)?;
        }
        if let Some(first) = crowd.served.first_mut() {
            first.expect_silence(HEARD)?;
        }
        for client in &mut crowd.served {
            client.exchange(64)?;
        }
        Observation::met()
    })
}

/// Enough for a line of a log to arrive, if there is one.
const HEARD: Duration = Duration::from_millis(50);
