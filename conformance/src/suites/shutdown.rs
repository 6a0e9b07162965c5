//! Stopping: the server serves its accept queue, stops listening, writes what it has read and sends
//! FIN. It then reads each connection to its end, for `--drain` at most, and exits with 0.

use std::net::SocketAddr;
use std::thread;
use std::time::{Duration, Instant};

use harness::deadline::Deadline;
use harness::launcher::{Attempt, DRAIN_TIME, Launch, Server, ServerExit, Start};
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
use crate::suites::tcp_accept::start_without_descriptors;

pub(super) const SUITE: Suite = Suite {
    name: "shutdown",
    about: "The server ends its connections, releases its port and exits when it is asked to stop.",
    question: Question::Stop,
    cases: &[
        Case::must("sigterm-idle", "Without connections, the server exits within 2 s of SIGTERM.")
            .needs(&[Need::Signals])
            .lifecycle(sigterm_idle),
        Case::must("sigint-idle", "Without connections, the server exits within 2 s of SIGINT.")
            .needs(&[Need::Signals])
            .lifecycle(sigint_idle),
        Case::must(
            "with-idle-connections",
            "After a stop signal, the server sends FIN to silent clients, does not spin, and exits \
             even if the clients stay.",
        )
        .sizes(50, 50, 50)
        .needs(&[Need::Descriptors(50)])
        .lifecycle(with_idle_connections),
        Case::must(
            "with-blocked-writes",
            "After a stop signal, the server exits even if clients do not read or never stop \
             sending.",
        )
        .lifecycle(with_blocked_writes),
        Case::must(
            "beside-work",
            "After a stop signal, the server does not wait for unfinished CPU work beyond its \
             drain time.",
        )
        .with_capability("cpu")
        .lifecycle(stops_during_work),
        Case::must(
            "without-descriptors",
            "A server that is out of descriptors still sends FIN to its clients and exits after a \
             stop signal.",
        )
        .needs(&[Need::DescriptorLimit, Need::DescriptorCount])
        .lifecycle(without_descriptors),
        Case::must(
            "serves-the-queue",
            "A client that connected and sent before the stop signal gets its echo and then FIN.",
        )
        .sizes(20, 50, 200)
        .needs(&[Need::Signals, Need::Threads, Need::Descriptors(200)])
        .lifecycle(serves_the_queue),
        Case::must(
            "drains-inflight",
            "The server echoes every byte that it had read before the stop signal.",
        )
        .lifecycle(drains_inflight),
        Case::must(
            "prefix-exact",
            "Whenever the server is stopped, its echo is an exact prefix of what the client sent.",
        )
        .sizes(3, 8, 50)
        .lifecycle(prefix_exact),
        Case::must(
            "under-load-no-crash",
            "With 100 busy streams, the server exits with status 0 after a stop signal.",
        )
        .sizes(30, 50, 500)
        .needs(&[Need::Descriptors(100)])
        .lifecycle(under_load_no_crash),
        Case::must("stops-accepting", "The server accepts no new client while it drains.")
            .lifecycle(stops_accepting),
        Case::must(
            "releases-port",
            "A new server can start at once on the port of a server that has just been stopped.",
        )
        .sizes(10, 10, 50)
        .lifecycle(releases_port),
        Case::must(
            "second-signal",
            "The server exits with status 1 within 1 s of a second SIGTERM.",
        )
        .needs(&[Need::Signals])
        .lifecycle(second_signal),
        Case::must(
            "sigkill-then-restart",
            "A new server can start within 2 s on the port of a server that was killed under load.",
        )
        .sizes(20, 30, 500)
        .needs(&[Need::PromptCleanUp])
        .lifecycle(sigkill_then_restart),
        Case::must("parent-gone", "The server exits within 2 s of the end of its standard input.")
            .lifecycle(parent_gone),
        Case::must(
            "exit-code",
            "The server exits with status 0 after a stop, and with another status after a failed \
             start.",
        )
        .lifecycle(exit_code),
    ],
};

/// How soon an idle server must exit.
const IDLE_END_LIMIT: Duration = Duration::from_secs(2);

fn sigterm_idle(lifecycle: &Lifecycle) -> CaseResult {
    signal_idle(lifecycle, Signal::Terminate)
}

fn sigint_idle(lifecycle: &Lifecycle) -> CaseResult {
    signal_idle(lifecycle, Signal::Interrupt)
}

fn signal_idle(lifecycle: &Lifecycle, signal: Signal) -> CaseResult {
    let untouched = lifecycle.start()?;
    let used = lifecycle.start()?;
    lifecycle.peer(&used)?.expect_service()?;
    for server in [untouched, used] {
        server.stop_with_signal(signal)?;
        expect_graceful_end(&server, IDLE_END_LIMIT, lifecycle.clock())?;
    }
    Observation::met()
}

/// Long enough for the drain to be watched.
const LONG_DRAIN: Duration = Duration::from_secs(2);
/// How long the drain is watched.
const WATCH_TIME: Duration = Duration::from_secs(1);
/// A draining server uses at most this share of one core.
const MAX_CPU_SHARE: f64 = 0.10;

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
    if Process::IS_SUPPORTED {
        expect_low_cpu_drain(&server, lifecycle, || {
            thread::sleep(WATCH_TIME);
            Ok(())
        })?;
    }
    expect_end_since(&server, lifecycle.clock(), stopped, limit)?;
    Observation::met()
}

/// Judges the CPU time of a draining server. `clients` runs meanwhile and takes [`WATCH_TIME`].
fn expect_low_cpu_drain(
    server: &Server,
    lifecycle: &Lifecycle,
    clients: impl FnOnce() -> Result<(), Failure>,
) -> Result<(), Failure> {
    let process = server.process();
    let ended_before = lifecycle.ended_cpu();
    let Cpu { user, system } = match process.cpu() {
        // The server has exited already: it had no client to wait for.
        Err(e) if e.kind == FailureKind::Harness && server.exit().is_some() => return Ok(()),
        cpu => cpu?,
    };
    let demand = process.demand().and_then(|before| {
        clients()?;
        Ok(process.demand()?.share_since(&before))
    });
    let share = match demand {
        // The server has exited since. However early that was, its CPU time counts as a share of
        // the whole watch, because exiting costs CPU time, too.
        Err(e) if e.kind == FailureKind::Harness && server.exit().is_some() => {
            let used = lifecycle.ended_cpu().saturating_sub(ended_before + user + system);
            used.as_secs_f64() / WATCH_TIME.as_secs_f64()
        }
        share => share?,
    };
    lifecycle.clock().judge(
        FailureKind::Cpu,
        "share of one core while it drains",
        share,
        MAX_CPU_SHARE,
    )
}

fn with_blocked_writes(lifecycle: &Lifecycle) -> CaseResult {
    const BLOCK_TIME: Duration = Duration::from_millis(100);
    let limit = LONG_DRAIN + GRACE_BEYOND_DRAIN;
    let server = lifecycle.start_with(&Start { drain: LONG_DRAIN, ..Start::default() })?;
    let peer = lifecycle.peer(&server)?;
    let mut blocked = peer.connect_with(Setup::small_buffers())?;
    let mut finished = peer.connect_with(Setup::small_buffers())?;
    let mut talker = peer.connect()?;
    for client in [&mut blocked, &mut finished] {
        client.exchange(64)?;
        client.send_until_blocked(BLOCK_TIME, BACKLOG_LIMIT)?;
    }
    finished.finish_sending()?;
    talker.exchange(64)?;
    let stopped = Instant::now();
    let in_time = lifecycle.clock().deadline_after(limit);
    server.ask_to_stop()?;
    if Process::IS_SUPPORTED {
        let watched = Instant::now() + WATCH_TIME;
        let talks = || talk(&mut talker, &server, || Instant::now() >= watched);
        expect_low_cpu_drain(&server, lifecycle, talks)?;
    }
    talk(&mut talker, &server, || in_time.is_over())?;
    expect_end_since(&server, lifecycle.clock(), stopped, limit)?;
    Observation::met()
}

fn stops_during_work(lifecycle: &Lifecycle) -> CaseResult {
    /// Far longer than the drain.
    const WORK: &str = "20s";
    /// Short, because the work uses a processor until the server ends.
    const SHORT_DRAIN: Duration = Duration::from_millis(200);
    /// Once the server has used this much CPU time, it works on the message.
    const MIN_WORK_TIME: Duration = Duration::from_millis(20);
    let listen = ["tcp:127.0.0.1:0", "cpu:127.0.0.1:0"].map(str::to_owned).to_vec();
    let start = Start { listen, drain: SHORT_DRAIN, ..Start::default() };
    let start = start
        .with_argument("--capability")
        .with_argument("cpu")
        .with_argument("--cpu-work")
        .with_argument(WORK);
    let server = lifecycle.start_with(&start)?;
    let ready = server.ready()?;
    let [costly] = ready.addresses("cpu")?[..] else {
        return Err(ready.wrong_listeners("one cpu listener"));
    };
    let process = server.process();
    let before = if Process::IS_SUPPORTED { Some(process.cpu_times()?) } else { None };
    let mut client = lifecycle.peer_at_address(costly).connect()?;
    client.send(1)?;
    lifecycle.peer(&server)?.expect_service()?;
    let deadline = lifecycle.clock().progress_deadline();
    while let Some(before) = &before
        && process.cpu_times()?.since(before).total < MIN_WORK_TIME
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

/// Sends a little again and again, until the server has exited or `is_enough` returns true.
fn talk(
    client: &mut Connection,
    server: &Server,
    is_enough: impl Fn() -> bool,
) -> Result<(), Failure> {
    const PAUSE: Duration = Duration::from_millis(20);
    while server.exit().is_none() && !is_enough() {
        thread::sleep(PAUSE);
        // The server may reset the connection at any moment.
        match client.try_send(16).and_then(|_| client.try_receive(1024)) {
            Ok(_) => {}
            Err(end) if end.kind == FailureKind::Reset => {}
            Err(wrong) => return Err(wrong),
        }
    }
    Ok(())
}

fn without_descriptors(lifecycle: &Lifecycle) -> CaseResult {
    let (server, crowd) = start_without_descriptors(lifecycle, &Restrictions::default())?;
    let mut served = crowd.map(|crowd| crowd.served).unwrap_or_default();
    let stopped = Instant::now();
    server.ask_to_stop()?;
    let told = served.iter_mut().try_for_each(|client| client.expect_end());
    expect_end_since(&server, lifecycle.clock(), stopped, DRAIN_TIME + GRACE_BEYOND_DRAIN)?;
    told?;
    Observation::met()
}

fn serves_the_queue(lifecycle: &Lifecycle) -> CaseResult {
    let server = lifecycle.start()?;
    let peer = lifecycle.peer(&server)?;
    let process = server.process();
    peer.expect_service()?;
    process.wait_asleep(lifecycle.clock().progress_deadline())?;
    // When it continues, the server finds clients in its accept queue and the signal.
    process.stop(lifecycle.clock().progress_deadline())?;
    let connected =
        peer.connect_burst(peer.host_queue(lifecycle.size())).and_then(|mut clients| {
            // One byte takes one read, however small the server's buffer is.
            clients.iter_mut().try_for_each(|client| client.send(1))?;
            Ok(clients)
        });
    server.stop_with_signal(Signal::Terminate)?;
    process.signal(Signal::Continue)?;
    for client in &mut connected? {
        client.receive(1)?;
        client.expect_end()?;
    }
    expect_graceful_end(&server, DRAIN_TIME + GRACE_BEYOND_DRAIN, lifecycle.clock())?;
    Observation::met()
}

fn drains_inflight(lifecycle: &Lifecycle) -> CaseResult {
    /// How long the kernel must take nothing before both ends count as blocked.
    const BLOCK_TIME: Duration = Duration::from_millis(200);
    /// How long after the stop the client begins to read.
    const READ_DELAY: Duration = Duration::from_secs(1);
    let server = lifecycle.start_with(&Start { drain: LONG_DRAIN, ..Start::default() })?;
    let peer = lifecycle.peer(&server)?;
    let small = Setup { receive_buffer_bytes: Some(64 * 1024), ..Setup::default() };
    let mut client = peer.connect_with(small)?;
    // Without this exchange, a server that has not even accepted would look blocked.
    client.exchange(64)?;
    client.send_until_blocked(BLOCK_TIME, BACKLOG_LIMIT)?;
    let had_read = if queues::are_reported() {
        client.sent_bytes().saturating_sub(client.unread_bytes()?)
    } else {
        0
    };
    server.ask_to_stop()?;
    // The server notices the stop while it still cannot write. One that drops everything exits now.
    let noticed = Deadline::after(READ_DELAY);
    let _ = server.wait(noticed, "the stop to be noticed");
    let end = client.drain_to_any_end()?;
    if client.received_bytes() < had_read {
        let expected = format!("the {had_read} bytes that the server had read");
        let actual = format!("{} of them, then {end:?}", client.received_bytes());
        return Err(Failure::new(FailureKind::Lost, expected, actual));
    }
    if end == End::Reset {
        let actual = format!("a reset after {} bytes, of {had_read} read", client.received_bytes());
        return Err(Failure::new(FailureKind::Reset, "FIN within the drain time", actual));
    }
    drop(client);
    expect_graceful_end(&server, LONG_DRAIN + GRACE_BEYOND_DRAIN, lifecycle.clock())?;
    if queues::are_reported() {
        return Observation::met();
    }
    Observation::recorded("what the server had read is not known on this system")
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

/// Streams for `time`, stops the server, streams until every connection has ended, and judges how
/// the server ended.
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
    let end = expect_end_since(server, clock, stopped, DRAIN_TIME + GRACE_BEYOND_DRAIN);
    // A server that does not end as it should explains streams that time out, but not wrong bytes.
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
    // The witness stays, so that the server drains for as long as it may.
    let mut witness = peer.connect()?;
    witness.exchange(64)?;
    server.ask_to_stop()?;
    witness.expect_end()?;
    // A server may need a moment between its first FIN and the close of its listener. This limit is
    // not scaled by the host factor, because the server's drain time is not, either.
    let seen = Instant::now();
    while is_served(&peer)? {
        if seen.elapsed() > DRAIN_TIME / 2 {
            let expected = "a new client to be refused or closed during the drain";
            return Err(Failure::new(FailureKind::NotRefused, expected, "its echo"));
        }
    }
    Observation::met()
}

/// Whether a new client is accepted, served and kept.
fn is_served(peer: &Peer) -> Result<bool, Failure> {
    const NOT_SERVED: [FailureKind; 3] =
        [FailureKind::Refused, FailureKind::Closed, FailureKind::Reset];
    const KEEP_TIME: Duration = Duration::from_millis(50);
    let served = peer.connect().and_then(|mut client| {
        client.exchange(64)?;
        client.expect_silence(KEEP_TIME)?;
        client.exchange(64)
    });
    match served {
        Ok(()) => Ok(true),
        Err(e) if NOT_SERVED.contains(&e.kind) => Ok(false),
        Err(e) => Err(e),
    }
}

fn releases_port(lifecycle: &Lifecycle) -> CaseResult {
    /// More than the client's receive buffer, and less than a usual send buffer.
    const UNREAD_BYTES: u64 = 64 * 1024;
    /// A server that takes nothing for this long has taken what it can.
    const TAKE_TIME: Duration = Duration::from_millis(50);
    let server = lifecycle.start_on_reusable_port()?;
    let peer = lifecycle.peer(&server)?;
    // The server's FIN waits behind bytes that this client does not read, so the server's end of
    // the connection outlives the server. TIME_WAIT alone is not enough: a host keeps at most
    // `tcp_max_tw_buckets` connections in it.
    let small = Setup { receive_buffer_bytes: Some(4 * 1024), ..Setup::default() };
    let mut unread = peer.connect_with(small)?;
    unread.exchange(64)?;
    unread.send(UNREAD_BYTES)?;
    if queues::are_reported() {
        unread.wait_until_reads_stop(lifecycle.clock().scale(TAKE_TIME))?;
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
    expect_graceful_end(&server, DRAIN_TIME + GRACE_BEYOND_DRAIN, lifecycle.clock())?;
    expect_start_on(lifecycle, peer.address()?)?;
    drop(unread);
    Observation::met()
}

fn second_signal(lifecycle: &Lifecycle) -> CaseResult {
    let server = lifecycle.start()?;
    let mut witness = lifecycle.peer(&server)?.connect()?;
    witness.exchange(64)?;
    server.stop_with_signal(Signal::Terminate)?;
    witness.expect_end()?;
    server.stop_with_signal(Signal::Terminate)?;
    let limit = Duration::from_secs(1);
    let deadline = lifecycle.clock().deadline_after(DRAIN_TIME + GRACE_BEYOND_DRAIN);
    let ended = server.wait(deadline, "exit 1 after a second signal")?;
    if ended != ServerExit::Code(1) {
        return Err(Failure::new(FailureKind::ExitStatus, "exit 1", format!("it {ended}")));
    }
    lifecycle.clock().judge_time("the end after a second signal", deadline.elapsed(), limit)?;
    Observation::met()
}

fn sigkill_then_restart(lifecycle: &Lifecycle) -> CaseResult {
    let server = lifecycle.start_on_reusable_port()?;
    let peer = lifecycle.peer(&server)?;
    let mut streams = Streams::start(&peer, 8)?;
    streams.run(Duration::from_millis(lifecycle.size()))?;
    server.kill()?;
    // The kernel tears down a ring some time after its process has ended, and with it the pending
    // accept that holds the port. Until then, a failed start is no fault of the server.
    let limit = Duration::from_secs(2);
    let stopwatch = lifecycle.stopwatch();
    streams.run_to_end(lifecycle.clock())?;
    let on = Start::listening_on(peer.address()?);
    let mut started = lifecycle.launch_judged(&on)?;
    while matches!(started, Launch::Ended(_))
        && stopwatch.elapsed() < lifecycle.clock().scale(limit)
    {
        started = lifecycle.launch_judged(&on)?;
    }
    let next = started.expect_ready()?;
    lifecycle.clock().judge_time("a start on the same port", stopwatch.elapsed(), limit)?;
    expect_service(lifecycle, &next)
}

fn parent_gone(lifecycle: &Lifecycle) -> CaseResult {
    let server = lifecycle.start()?;
    lifecycle.peer(&server)?.expect_service()?;
    server.close_stdin();
    expect_graceful_end(&server, IDLE_END_LIMIT, lifecycle.clock())?;
    Observation::met()
}

fn exit_code(lifecycle: &Lifecycle) -> CaseResult {
    let (clock, limit) = (lifecycle.clock(), DRAIN_TIME + GRACE_BEYOND_DRAIN);
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
    expect_refusal(&lifecycle.attempt(&Start::listening_on(address))?)?;
    let nonsense = Start::default().with_argument("--no-such-option");
    expect_refusal(&lifecycle.attempt(&nonsense)?)?;
    // One client ends by itself during the drain; the other stays and is cut off.
    busy.ask_to_stop()?;
    clients.truncate(1);
    expect_graceful_end(&busy, limit, clock)?;
    Observation::met()
}

fn expect_refusal(attempt: &Attempt) -> Result<(), Failure> {
    match attempt.exit {
        ServerExit::Code(0) => {
            Err(Failure::new(FailureKind::ExitStatus, "not 0 after a failed start", "exit 0"))
        }
        ServerExit::Code(_) => Ok(()),
        ServerExit::Signal(signal) => {
            let actual = format!("death by signal {signal}");
            Err(Failure::new(FailureKind::Crash, "an exit status after a failed start", actual))
        }
    }
}

/// Starts a server on an address that another one has just left.
fn expect_start_on(lifecycle: &Lifecycle, address: SocketAddr) -> CaseResult {
    let next = lifecycle.launch_judged(&Start::listening_on(address))?.expect_ready()?;
    expect_service(lifecycle, &next)
}

fn expect_service(lifecycle: &Lifecycle, server: &Server) -> CaseResult {
    let found = lifecycle.peer(server).and_then(|peer| peer.expect_service());
    expect_survival(server, found, lifecycle.clock())?;
    Observation::met()
}

/// Expects a graceful end within `limit` of `stopped`.
fn expect_end_since(
    server: &Server,
    clock: &CellClock,
    stopped: Instant,
    limit: Duration,
) -> Result<(), Failure> {
    expect_graceful_end(server, limit, clock)?;
    clock.judge_time("the server's end after the stop", stopped.elapsed(), limit)
}
