//! Stopping: the server serves its accept queue, stops listening, writes what it has read, sends
//! FIN, reads to the end of each connection at most until `--drain` is over, and exits with 0.

use std::net::SocketAddr;
use std::thread;
use std::time::{Duration, Instant};

use harness::deadline::Deadline;
use harness::launcher::{Attempt, DRAIN, Ended, Launch, Server, Start};
use harness::process::{Cpu, Process, Signal};
use harness::restrict::Restrictions;
use report::{Failure, FailureKind, Question};

use crate::case::{Case, CaseResult, Need, Observation, Suite};
use crate::client::connection::{BACKLOG_LIMIT, Connection, End, Setup};
use crate::client::peer::Peer;
use crate::client::queues;
use crate::client::streams::Streams;
use crate::clock::CellClock;
use crate::expectation::{GRACE_BEYOND_DRAIN, expect_graceful_end, expect_survival};
use crate::lifecycle::Lifecycle;
use crate::suites::tcp_accept::start_at_the_limit;

/// The table.
pub(super) const SUITE: Suite = Suite {
    name: "shutdown",
    about: "A server that is asked to stop ends in order, with every connection and its port.",
    question: Question::Stop,
    cases: &[
        Case::must("sigterm-idle", "SIGTERM ends a server without connections within 2 s.")
            .needs(&[Need::Signals])
            .lifecycle(sigterm_idle),
        Case::must("sigint-idle", "SIGINT ends a server without connections within 2 s.")
            .needs(&[Need::Signals])
            .lifecycle(sigint_idle),
        Case::must(
            "with-idle-connections",
            "At a stop, silent clients get FIN, and the server ends although they stay, using no \
             CPU meanwhile.",
        )
        .sizes(50, 50, 50)
        .needs(&[Need::Descriptors(50)])
        .lifecycle(with_idle_connections),
        Case::must(
            "with-blocked-writes",
            "Clients that do not read, or that never stop sending, cannot keep a stopped server.",
        )
        .lifecycle(with_blocked_writes),
        Case::must(
            "beside-work",
            "Messages that still cost CPU time do not keep a stopped server beyond its drain.",
        )
        .asks_for("cpu")
        .lifecycle(beside_work),
        Case::must(
            "without-descriptors",
            "A server that is out of descriptors stops as any other does.",
        )
        .needs(&[Need::DescriptorLimit, Need::DescriptorCount])
        .lifecycle(without_descriptors),
        Case::must(
            "serves-the-queue",
            "Clients that had connected and sent before a stop are answered, and then get FIN.",
        )
        .sizes(20, 50, 200)
        .needs(&[Need::Signals, Need::Threads, Need::Descriptors(50)])
        .lifecycle(serves_the_queue),
        Case::must("drains-inflight", "All that the server had read before a stop comes back.")
            .lifecycle(drains_inflight),
        Case::must(
            "prefix-exact",
            "Whenever a stop comes, what was echoed is an exact prefix of what was sent.",
        )
        .sizes(3, 8, 50)
        .lifecycle(prefix_exact),
        Case::must("under-load-no-crash", "A stop under the load of 100 streams is in order too.")
            .sizes(30, 50, 500)
            .needs(&[Need::Descriptors(100)])
            .lifecycle(under_load_no_crash),
        Case::must("stops-accepting", "While a server drains, it takes no new clients.")
            .lifecycle(stops_accepting),
        Case::must(
            "releases-port",
            "A server can start at once on the port of one that has just been stopped.",
        )
        .sizes(10, 10, 50)
        .lifecycle(releases_port),
        Case::must("second-signal", "A second SIGTERM ends the server at once, with status 1.")
            .needs(&[Need::Signals])
            .lifecycle(second_signal),
        Case::must(
            "sigkill-then-restart",
            "A server that was killed under load leaves nothing that keeps the next from starting.",
        )
        .sizes(20, 30, 500)
        .needs(&[Need::PromptCleanUp])
        .lifecycle(sigkill_then_restart),
        Case::must("parent-gone", "The end of standard input ends the server within 2 s.")
            .lifecycle(parent_gone),
        Case::must(
            "exit-code",
            "The exit status is 0 after a stop and not 0 after a failed start.",
        )
        .lifecycle(exit_code),
    ],
};

/// How soon an idle server ends.
const IDLE_END: Duration = Duration::from_secs(2);

fn sigterm_idle(lifecycle: &Lifecycle) -> CaseResult {
    signal_idle(lifecycle, Signal::Terminate)
}

fn sigint_idle(lifecycle: &Lifecycle) -> CaseResult {
    signal_idle(lifecycle, Signal::Interrupt)
}

fn signal_idle(lifecycle: &Lifecycle, signal: Signal) -> CaseResult {
    let untouched = lifecycle.start()?;
    let used = lifecycle.start()?;
    lifecycle.peer(&used)?.serves()?;
    for server in [untouched, used] {
        server.stop_by(signal)?;
        expect_graceful_end(&server, IDLE_END, lifecycle.clock())?;
    }
    Observation::met()
}

/// A drain that is long enough to be looked at.
const LONG_DRAIN: Duration = Duration::from_secs(2);
/// For so long it is.
const WATCHED: Duration = Duration::from_secs(1);
/// A server that drains uses no more of one core.
const QUIET: f64 = 0.10;

fn with_idle_connections(lifecycle: &Lifecycle) -> CaseResult {
    let limit = LONG_DRAIN + GRACE_BEYOND_DRAIN;
    let server = lifecycle.start_with(&Start { drain: LONG_DRAIN, ..Start::default() })?;
    let mut clients = lifecycle.peer(&server)?.connect_many(lifecycle.size())?;
    for client in clients.iter_mut().step_by(2) {
        client.exchange(64)?;
    }
    let stopped = Instant::now();
    server.ask_to_stop()?;
    for client in &mut clients {
        client.expect_end_within(limit)?;
    }
    if Process::IS_TOLD {
        expect_quiet_drain(&server, lifecycle, || {
            thread::sleep(WATCHED);
            Ok(())
        })?;
    }
    expect_end_since(&server, lifecycle.clock(), stopped, limit)?;
    Observation::met()
}

/// What a server uses that drains while its clients do something for [`WATCHED`].
fn expect_quiet_drain(
    server: &Server,
    lifecycle: &Lifecycle,
    clients: impl FnOnce() -> Result<(), Failure>,
) -> Result<(), Failure> {
    let process = server.process();
    let ended_before = lifecycle.ended_cpu();
    let Cpu { user, system } = match process.cpu() {
        // It had no client that it could have waited for.
        Err(e) if e.kind == FailureKind::Harness && server.ended().is_some() => return Ok(()),
        cpu => cpu?,
    };
    let demand = process.demand().and_then(|before| {
        clients()?;
        Ok(process.demand()?.share_since(&before))
    });
    let share = match demand {
        // It has ended since. What it used until then may be that of a whole watch, however long
        // it was: to end costs time, too.
        Err(e) if e.kind == FailureKind::Harness && server.ended().is_some() => {
            let used = lifecycle.ended_cpu().saturating_sub(ended_before + user + system);
            used.as_secs_f64() / WATCHED.as_secs_f64()
        }
        share => share?,
    };
    lifecycle.clock().judge(FailureKind::Cpu, "share of one core while it drains", share, QUIET)
}

fn with_blocked_writes(lifecycle: &Lifecycle) -> CaseResult {
    const BLOCKED: Duration = Duration::from_millis(100);
    let limit = LONG_DRAIN + GRACE_BEYOND_DRAIN;
    let server = lifecycle.start_with(&Start { drain: LONG_DRAIN, ..Start::default() })?;
    let peer = lifecycle.peer(&server)?;
    let mut blocked = peer.connect_with(Setup::tight())?;
    let mut finished = peer.connect_with(Setup::tight())?;
    let mut talker = peer.connect()?;
    for client in [&mut blocked, &mut finished] {
        client.exchange(64)?;
        client.send_until_blocked(BLOCKED, BACKLOG_LIMIT)?;
    }
    finished.finish_sending()?;
    talker.exchange(64)?;
    let stopped = Instant::now();
    let in_time = lifecycle.clock().within(limit);
    server.ask_to_stop()?;
    if Process::IS_TOLD {
        let watched = Instant::now() + WATCHED;
        let talks = || talk(&mut talker, &server, || Instant::now() >= watched);
        expect_quiet_drain(&server, lifecycle, talks)?;
    }
    talk(&mut talker, &server, || in_time.is_over())?;
    expect_end_since(&server, lifecycle.clock(), stopped, limit)?;
    Observation::met()
}

fn beside_work(lifecycle: &Lifecycle) -> CaseResult {
    /// Far more than the drain.
    const WORK: &str = "20s";
    /// Short, because the work uses a processor until the server ends.
    const SHORT_DRAIN: Duration = Duration::from_millis(200);
    /// Once the server has used this much CPU time, it works on the message.
    const BEGUN: Duration = Duration::from_millis(20);
    let listen = ["tcp:127.0.0.1:0", "cpu:127.0.0.1:0"].map(str::to_owned).to_vec();
    let start = Start { listen, drain: SHORT_DRAIN, ..Start::default() };
    let start = start.with("--capability").with("cpu").with("--cpu-work").with(WORK);
    let server = lifecycle.start_with(&start)?;
    let ready = server.ready()?;
    let [costly] = ready.addresses("cpu")?[..] else {
        return Err(ready.wrong_listeners("one cpu listener"));
    };
    let process = server.process();
    let before = if Process::IS_TOLD { Some(process.cpu_times()?) } else { None };
    let mut client = lifecycle.peer_at(costly).connect()?;
    client.send(1)?;
    lifecycle.peer(&server)?.serves()?;
    let deadline = lifecycle.clock().progress();
    while let Some(before) = &before
        && process.cpu_times()?.since(before).total < BEGUN
    {
        if deadline.is_over() {
            return Err(deadline.failure("work for a message"));
        }
        thread::sleep(Duration::from_millis(5));
    }
    let stopped = Instant::now();
    server.ask_to_stop()?;
    expect_end_since(&server, lifecycle.clock(), stopped, SHORT_DRAIN + GRACE_BEYOND_DRAIN)?;
    Observation::met()
}

/// A client that sends a little again and again, as long as the server lives and until it is told.
fn talk(
    client: &mut Connection,
    server: &Server,
    is_enough: impl Fn() -> bool,
) -> Result<(), Failure> {
    const PAUSE: Duration = Duration::from_millis(20);
    while server.ended().is_none() && !is_enough() {
        thread::sleep(PAUSE);
        // The server may cut it off at any moment.
        match client.try_send(16).and_then(|_| client.try_receive(1024)) {
            Ok(_) => {}
            Err(end) if end.kind == FailureKind::Reset => {}
            Err(wrong) => return Err(wrong),
        }
    }
    Ok(())
}

fn without_descriptors(lifecycle: &Lifecycle) -> CaseResult {
    let (server, crowd) = start_at_the_limit(lifecycle, &Restrictions::default())?;
    let mut served = crowd.map(|crowd| crowd.served).unwrap_or_default();
    let stopped = Instant::now();
    server.ask_to_stop()?;
    let told = served.iter_mut().try_for_each(|client| client.expect_end());
    expect_end_since(&server, lifecycle.clock(), stopped, DRAIN + GRACE_BEYOND_DRAIN)?;
    told?;
    Observation::met()
}

fn serves_the_queue(lifecycle: &Lifecycle) -> CaseResult {
    let server = lifecycle.start()?;
    let peer = lifecycle.peer(&server)?;
    let process = server.process();
    peer.serves()?;
    process.wait_asleep(lifecycle.clock().progress())?;
    // It finds both when it goes on: clients in the accept queue, and the signal.
    process.stop(lifecycle.clock().progress())?;
    let connected =
        peer.connect_burst(peer.host_queue(lifecycle.size())).and_then(|mut clients| {
            // One byte: it takes one read, however small a server's reads are.
            clients.iter_mut().try_for_each(|client| client.send(1))?;
            Ok(clients)
        });
    server.stop_by(Signal::Terminate)?;
    process.signal(Signal::Continue)?;
    for client in &mut connected? {
        client.receive(1)?;
        client.expect_end()?;
    }
    expect_graceful_end(&server, DRAIN + GRACE_BEYOND_DRAIN, lifecycle.clock())?;
    Observation::met()
}

fn drains_inflight(lifecycle: &Lifecycle) -> CaseResult {
    /// How long the kernel must take nothing before both ends count as blocked.
    const BLOCKED: Duration = Duration::from_millis(200);
    /// How long after the stop the client begins to read.
    const LATE: Duration = Duration::from_secs(1);
    let server = lifecycle.start_with(&Start { drain: LONG_DRAIN, ..Start::default() })?;
    let peer = lifecycle.peer(&server)?;
    let small = Setup { receive_buffer: Some(64 * 1024), ..Setup::default() };
    let mut client = peer.connect_with(small)?;
    // Without it, a server that has not even accepted would look like one that is blocked.
    client.exchange(64)?;
    client.send_until_blocked(BLOCKED, BACKLOG_LIMIT)?;
    let had_read =
        if queues::ARE_TOLD { client.sent().saturating_sub(client.untaken()?) } else { 0 };
    server.ask_to_stop()?;
    // It learns of the stop while it still cannot write; one that drops everything is gone by then.
    let noticed = Deadline::after(LATE);
    let _ = server.wait(noticed, "the stop to be noticed");
    let end = client.drain_to_any_end()?;
    if client.received() < had_read {
        let expected = format!("the {had_read} bytes that the server had read");
        let actual = format!("{} of them, then {end:?}", client.received());
        return Err(Failure::new(FailureKind::Lost, expected, actual));
    }
    if end == End::Reset {
        let actual = format!("a reset after {} bytes, of {had_read} read", client.received());
        return Err(Failure::new(FailureKind::Reset, "FIN within the drain time", actual));
    }
    drop(client);
    expect_graceful_end(&server, LONG_DRAIN + GRACE_BEYOND_DRAIN, lifecycle.clock())?;
    if queues::ARE_TOLD {
        return Observation::met();
    }
    Observation::of("what the server had read is not known on this system")
}

fn prefix_exact(lifecycle: &Lifecycle) -> CaseResult {
    let mut random = lifecycle.random(0);
    for _ in 0..lifecycle.size() {
        let server = lifecycle.start()?;
        let streams = Streams::start(&lifecycle.peer(&server)?, 4)?;
        let moment = Duration::from_micros(random.u64(0..25_000));
        stop_after(moment, streams, lifecycle, &server)?;
    }
    Observation::met()
}

fn under_load_no_crash(lifecycle: &Lifecycle) -> CaseResult {
    let server = lifecycle.start()?;
    let streams = Streams::start(&lifecycle.peer(&server)?, 100)?;
    stop_after(Duration::from_millis(lifecycle.size()), streams, lifecycle, &server)
}

/// Streams for a while, stops the server, streams on to the end, and judges the server's.
fn stop_after(
    time: Duration,
    mut streams: Streams,
    lifecycle: &Lifecycle,
    server: &Server,
) -> CaseResult {
    let clock = lifecycle.clock();
    expect_survival(server, streams.run(time), clock)?;
    let stopped = Instant::now();
    server.ask_to_stop()?;
    let run = streams.run_to_end(clock);
    let end = expect_end_since(server, clock, stopped, DRAIN + GRACE_BEYOND_DRAIN);
    // A server that did not end in order explains whatever else was seen, except wrong bytes.
    match (run, end) {
        (Err(run), Err(end)) if run.kind == FailureKind::Timeout => Err(end),
        (Err(run), _) => Err(run),
        (Ok(()), Err(end)) => Err(end),
        (Ok(()), Ok(())) => Observation::met(),
    }
}

fn stops_accepting(lifecycle: &Lifecycle) -> CaseResult {
    let server = lifecycle.start()?;
    let peer = lifecycle.peer(&server)?;
    // It stays, so that the server drains for as long as it may.
    let mut witness = peer.connect()?;
    witness.exchange(64)?;
    server.ask_to_stop()?;
    witness.expect_end()?;
    // A server may need a moment from its first FIN to the end of its listener. Not scaled by
    // the host factor: the server's own time to drain isn't either.
    let seen = Instant::now();
    while is_served(&peer)? {
        if seen.elapsed() > DRAIN / 2 {
            let expected = "a new client to be refused or closed during the drain";
            return Err(Failure::new(FailureKind::NotRefused, expected, "its echo"));
        }
    }
    Observation::met()
}

/// Whether a new client is taken, served and kept.
fn is_served(peer: &Peer) -> Result<bool, Failure> {
    const NOT_SERVED: [FailureKind; 3] =
        [FailureKind::Refused, FailureKind::Closed, FailureKind::Reset];
    const KEPT: Duration = Duration::from_millis(50);
    let served = peer.connect().and_then(|mut client| {
        client.exchange(64)?;
        client.expect_silence(KEPT)?;
        client.exchange(64)
    });
    match served {
        Ok(()) => Ok(true),
        Err(e) if NOT_SERVED.contains(&e.kind) => Ok(false),
        Err(e) => Err(e),
    }
}

fn releases_port(lifecycle: &Lifecycle) -> CaseResult {
    /// More than the client's receive buffer, and less than a usual send buffer has room for.
    const UNREAD_BYTES: u64 = 64 * 1024;
    /// For so long the server must have taken nothing more.
    const TAKEN: Duration = Duration::from_millis(50);
    let server = lifecycle.start_to_restart()?;
    let peer = lifecycle.peer(&server)?;
    // The server's FIN waits behind bytes that this client does not read, so its end of the
    // connection outlives it. TIME_WAIT alone would not do: a host keeps at most
    // `tcp_max_tw_buckets` such connections.
    let small = Setup { receive_buffer: Some(4 * 1024), ..Setup::default() };
    let mut unread = peer.connect_with(small)?;
    unread.exchange(64)?;
    unread.send(UNREAD_BYTES)?;
    if queues::ARE_TOLD {
        unread.wait_until_untaken(lifecycle.clock().scaled(TAKEN))?;
    }
    let mut clients = peer.connect_many(lifecycle.size())?;
    for client in &mut clients {
        client.exchange(64)?;
    }
    server.ask_to_stop()?;
    for client in &mut clients {
        // The server closes first, so that TIME_WAIT is on its port (RFC 9293, section 3.6).
        client.expect_end()?;
    }
    drop(clients);
    expect_graceful_end(&server, DRAIN + GRACE_BEYOND_DRAIN, lifecycle.clock())?;
    expect_start_on(lifecycle, peer.address()?)?;
    drop(unread);
    Observation::met()
}

fn second_signal(lifecycle: &Lifecycle) -> CaseResult {
    let server = lifecycle.start()?;
    let mut witness = lifecycle.peer(&server)?.connect()?;
    witness.exchange(64)?;
    server.stop_by(Signal::Terminate)?;
    witness.expect_end()?;
    server.stop_by(Signal::Terminate)?;
    let limit = Duration::from_secs(1);
    let deadline = lifecycle.clock().within(DRAIN + GRACE_BEYOND_DRAIN);
    let ended = server.wait(deadline, "exit 1 after a second signal")?;
    if ended != Ended::Code(1) {
        return Err(Failure::new(FailureKind::ExitStatus, "exit 1", format!("it {ended}")));
    }
    lifecycle.clock().judge_time("the end after a second signal", deadline.elapsed(), limit)?;
    Observation::met()
}

fn sigkill_then_restart(lifecycle: &Lifecycle) -> CaseResult {
    let server = lifecycle.start_to_restart()?;
    let peer = lifecycle.peer(&server)?;
    let mut streams = Streams::start(&peer, 8)?;
    streams.run(Duration::from_millis(lifecycle.size()))?;
    server.kill()?;
    // The kernel takes a ring apart in its own time, and with it the pending accept that holds the
    // port: until then a start in vain is no fault of the server.
    let limit = Duration::from_secs(2);
    let stopwatch = lifecycle.stopwatch();
    streams.run_to_end(lifecycle.clock())?;
    let on = Start::on(peer.address()?);
    let mut started = lifecycle.launch_judged(&on)?;
    while matches!(started, Launch::Ended(_))
        && stopwatch.elapsed() < lifecycle.clock().scaled(limit)
    {
        started = lifecycle.launch_judged(&on)?;
    }
    let next = started.expect_ready()?;
    lifecycle.clock().judge_time("a start on the same port", stopwatch.elapsed(), limit)?;
    expect_service(lifecycle, &next)
}

fn parent_gone(lifecycle: &Lifecycle) -> CaseResult {
    let server = lifecycle.start()?;
    lifecycle.peer(&server)?.serves()?;
    server.close_stdin();
    expect_graceful_end(&server, IDLE_END, lifecycle.clock())?;
    Observation::met()
}

fn exit_code(lifecycle: &Lifecycle) -> CaseResult {
    let (clock, limit) = (lifecycle.clock(), DRAIN + GRACE_BEYOND_DRAIN);
    let idle = lifecycle.start()?;
    idle.ask_to_stop()?;
    expect_graceful_end(&idle, limit, clock)?;
    let parentless = lifecycle.start()?;
    parentless.close_stdin();
    expect_graceful_end(&parentless, limit, clock)?;
    let busy = lifecycle.start()?;
    let mut clients = lifecycle.peer(&busy)?.connect_many(2)?;
    for client in &mut clients {
        client.exchange(64)?;
    }
    let address = lifecycle.peer(&busy)?.address()?;
    expect_refusal(&lifecycle.attempt(&Start::on(address))?)?;
    let nonsense = Start::default().with("--no-such-option");
    expect_refusal(&lifecycle.attempt(&nonsense)?)?;
    // One client ends by itself during the drain; the other stays and is cut.
    busy.ask_to_stop()?;
    clients.truncate(1);
    expect_graceful_end(&busy, limit, clock)?;
    Observation::met()
}

fn expect_refusal(attempt: &Attempt) -> Result<(), Failure> {
    match attempt.ended {
        Ended::Code(0) => {
            Err(Failure::new(FailureKind::ExitStatus, "not 0 after a failed start", "exit 0"))
        }
        Ended::Code(_) => Ok(()),
        Ended::Signal(signal) => {
            let actual = format!("death by signal {signal}");
            Err(Failure::new(FailureKind::Crash, "an exit status after a failed start", actual))
        }
    }
}

/// A new server on an address that another has just left.
fn expect_start_on(lifecycle: &Lifecycle, address: SocketAddr) -> CaseResult {
    let next = lifecycle.launch_judged(&Start::on(address))?.expect_ready()?;
    expect_service(lifecycle, &next)
}

fn expect_service(lifecycle: &Lifecycle, server: &Server) -> CaseResult {
    let found = lifecycle.peer(server).and_then(|peer| peer.serves());
    expect_survival(server, found, lifecycle.clock())?;
    Observation::met()
}

/// A graceful end within `limit` of a stop some time ago.
fn expect_end_since(
    server: &Server,
    clock: &CellClock,
    stopped: Instant,
    limit: Duration,
) -> Result<(), Failure> {
    expect_graceful_end(server, limit, clock)?;
    clock.judge_time("the server's end after the stop", stopped.elapsed(), limit)
}
