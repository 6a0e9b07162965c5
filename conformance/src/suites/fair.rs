//! Fairness: a busy client leaves the other clients their share of the server.

use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use harness::launcher::{Server, Start};
use harness::process::Process;
use report::{Failure, FailureKind, Question, Transport};

use crate::case::{Case, CaseResult, Need, Observation, Suite};
use crate::client::connection::{Connection, ReadResult};
use crate::client::peer::Peer;
use crate::client::ping_pong::{p99_planned, p99_round};
use crate::client::streams::Streams;
use crate::clock::CellClock;
use crate::expectation::expect_survival;
use crate::lifecycle::Lifecycle;
use crate::suites::restricted::work_without_threads;

pub(super) const SUITE: Suite = Suite {
    name: "fair",
    about: "Whatever one client does, the other clients get their share of the server.",
    question: Question::Promptness,
    cases: &[
        Case::must(
            "hot-connection",
            "A client that streams at full speed does not delay the small messages of other \
             clients.",
        )
        .sizes(20, 40, 400)
        .exclusive_timed()
        .wire(hot_connection),
        Case::must(
            "bandwidth-split",
            "Among equal streams at full speed, every one makes progress.",
        )
        .sizes(300, 300, 5000)
        .wire(bandwidth_split),
        Case::should("bandwidth-even", "Equal streams at full speed get about equal shares.")
            .sizes(300, 300, 5000)
            .exclusive_untimed()
            .wire(bandwidth_even),
        Case::should(
            "streams-under-accept-storm",
            "While a thousand clients per second connect, streams keep at least a quarter of \
             their throughput.",
        )
        .sizes(250, 250, 5000)
        .exclusive_untimed()
        .wire(streams_under_accept_storm),
        Case::should(
            "slow-clients",
            "Hundreds of clients that send one byte per second each do not delay the other \
             clients.",
        )
        .sizes(20, 20, 200)
        .needs(&[Need::Descriptors(SLOW_CLIENTS)])
        .exclusive_timed()
        .wire(slow_clients),
        Case::must(
            "cpu-bound-request",
            "Messages that cost CPU time do not delay the echo of other clients.",
        )
        .sizes(500, 500, 2000)
        .needs(&[Need::SocketsBesideWork])
        .with_capability("cpu")
        .exclusive_timed()
        .lifecycle(cpu_bound_request),
        Case::must(
            "cpu-bound-saturation",
            "The server answers all CPU-bound messages, even when twice as many arrive at once as \
             there are cores.",
        )
        .sizes(50, 100, 200)
        .with_capability("cpu")
        .exclusive_untimed()
        .lifecycle(cpu_bound_saturation),
        Case::should(
            "work-without-threads",
            "When the kernel refuses threads, the server answers each CPU-bound message or closes \
             its client, serves the other clients, and can be stopped.",
        )
        .sizes(50, 50, 100)
        .needs(&[Need::ThreadLimit, Need::CpuTime])
        .answers(Question::Limits)
        .with_capability("cpu")
        .lifecycle(work_without_threads),
        Case::info("workers-share", "How much of the work does the busiest worker do?")
            .sizes(20, 50, 500)
            .needs(&[Need::Threads, Need::CpuTime])
            .lifecycle(workers_share),
        Case::should(
            "udp-versus-tcp",
            "A flood of UDP datagrams does not delay the small messages of TCP clients.",
        )
        .sizes(40, 100, 1000)
        .with_transport(Transport::Udp)
        .exclusive_timed()
        .lifecycle(udp_versus_tcp),
    ],
};

/// The limit for the 99th percentile of small rounds next to a client that streams.
const HOT_LIMIT: Duration = Duration::from_millis(250);
/// The limit for the 99th percentile of small rounds next to clients that send a byte per second.
const SLOW_LIMIT: Duration = Duration::from_millis(100);
/// How many time windows a slow host may need. A server that starves a stream starves it in all of
/// them.
const PATIENCE: u32 = 5;
/// Streams that compete.
const STREAMS: u64 = 8;
/// Clients that send one byte per second each.
const SLOW_CLIENTS: u64 = 500;
/// The interval between planned rounds next to messages that cost CPU time.
const PACE: Duration = Duration::from_millis(5);

fn hot_connection(peer: &Peer) -> CaseResult {
    let mut clients = peer.connect_many(20)?;
    let mut hot = Streams::start(peer, 1)?;
    let p99 = run_while_streaming(&mut hot, peer.clock(), || {
        p99_round(&mut clients, peer, HOT_LIMIT, Duration::ZERO)
    })?;
    peer.clock().judge_rounds("p99 of a round next to a stream", p99, HOT_LIMIT)?;
    hot.finish(peer.clock())?;
    Observation::met()
}

fn bandwidth_split(peer: &Peer) -> CaseResult {
    let mut streams = Streams::start(peer, STREAMS)?;
    let time = peer.clock().scale(Duration::from_millis(peer.size()));
    let mut shares = Vec::new();
    for _ in 0..PATIENCE {
        streams.run(time)?;
        shares = streams.received_bytes();
        if !shares.contains(&0) {
            break;
        }
    }
    streams.finish(peer.clock())?;
    if shares.contains(&0) {
        let expected = "bytes for each of the streams";
        return Err(Failure::new(FailureKind::Slow, expected, format!("{shares:?}")));
    }
    Observation::met()
}

fn bandwidth_even(peer: &Peer) -> CaseResult {
    const LIMIT: f64 = 0.4;
    let mut streams = Streams::start(peer, STREAMS)?;
    let time = peer.clock().scale(Duration::from_millis(peer.size()));
    let mut unevenness = 1.0;
    for _ in 0..PATIENCE {
        streams.run(time)?;
        unevenness = 1.0 - jain_index(&streams.received_bytes());
        if unevenness <= LIMIT {
            break;
        }
    }
    streams.finish(peer.clock())?;
    let what = "unevenness of the shares (1 - Jain's index)";
    peer.clock().judge(FailureKind::Slow, what, unevenness, LIMIT)?;
    Observation::met()
}

/// Jain's fairness index: 1 if all shares are equal, 1/n if one of n streams has everything.
fn jain_index(shares: &[u64]) -> f64 {
    let shares = shares.iter().map(|bytes| *bytes as f64);
    let count = shares.len() as f64;
    let (sum, squares) = shares.fold((0.0, 0.0), |(s, q), x| (s + x, q + x * x));
    sum * sum / (count * squares)
}

fn streams_under_accept_storm(peer: &Peer) -> CaseResult {
    /// 8 MiB/s for all streams together.
    const TIME_PER_MIB: Duration = Duration::from_millis(125);
    const MIB: f64 = 1024.0 * 1024.0;
    const MAX_LOSS: f64 = 4.0;
    let time = Duration::from_millis(peer.size());
    let mut streams = Streams::start(peer, 10)?;
    // TCP windows and socket buffers grow first.
    streams.run(time / 2)?;
    let limit = peer.clock().scale(TIME_PER_MIB).as_secs_f64();
    let (mut took, mut loss) = (f64::MAX, f64::MAX);
    for _ in 0..PATIENCE {
        let alone = measure_rate(&mut streams, peer.clock(), || {
            thread::sleep(time);
            Ok(())
        })?;
        let storm = measure_rate(&mut streams, peer.clock(), || accept_storm(peer, time))?;
        let storm = storm.max(f64::MIN_POSITIVE);
        (took, loss) = (MIB / storm, alone / storm);
        if took <= limit && loss <= MAX_LOSS {
            break;
        }
    }
    streams.finish(peer.clock())?;
    // The ratio below says nothing about a server that is slow from the start, so the absolute rate
    // is judged, too.
    let what = "seconds that the streams took for a MiB in the storm";
    peer.clock().judge(FailureKind::Slow, what, took, limit)?;
    let what = "throughput of the streams alone, over that in the storm";
    peer.clock().judge(FailureKind::Slow, what, loss, MAX_LOSS)?;
    Observation::met()
}

/// Connects a new client every millisecond; each resets at once.
fn accept_storm(peer: &Peer, time: Duration) -> Result<(), Failure> {
    const PACE: Duration = Duration::from_millis(1);
    let start = Instant::now();
    let mut count = 0;
    while start.elapsed() < time {
        peer.connect()?.reset();
        count += 1;
        thread::sleep((PACE * count).saturating_sub(start.elapsed()));
    }
    Ok(())
}

/// Bytes per second that come back on the streams while `meanwhile` runs.
fn measure_rate(
    streams: &mut Streams,
    clock: &CellClock,
    meanwhile: impl FnOnce() -> Result<(), Failure>,
) -> Result<f64, Failure> {
    let before: u64 = streams.received_bytes().iter().sum();
    let start = Instant::now();
    run_while_streaming(streams, clock, meanwhile)?;
    let bytes = streams.received_bytes().iter().sum::<u64>() - before;
    Ok(bytes as f64 / start.elapsed().as_secs_f64())
}

fn slow_clients(peer: &Peer) -> CaseResult {
    /// The rounds last for at least a second, in which each slow client sends a byte.
    const PACE: Duration = Duration::from_millis(5);
    // Some of the clients come before the slow ones, and some after them.
    let mut clients = peer.connect_many(5)?;
    let mut slow = peer.connect_many(SLOW_CLIENTS)?;
    // The server has accepted each of them.
    slow.iter_mut().try_for_each(|client| client.send(1))?;
    slow.iter_mut().try_for_each(|client| client.receive(1))?;
    clients.extend(peer.connect_many(5)?);
    let stop = AtomicBool::new(false);
    let beside = thread::scope(|scope| {
        let trickle = scope.spawn(|| {
            let _counted = peer.clock().count_this_thread();
            trickle(&mut slow, &stop)
        });
        let p99 = p99_round(&mut clients, peer, SLOW_LIMIT, PACE);
        stop.store(true, Ordering::Relaxed);
        thread_outcome(trickle.join())?;
        p99
    })?;
    peer.clock().judge_rounds("p99 of a round next to slow clients", beside, SLOW_LIMIT)?;
    for client in &mut slow {
        client.receive_all()?;
    }
    Connection::release_all(slow);
    Observation::met()
}

/// Sends one byte per second from each client, spread evenly over the second.
fn trickle(clients: &mut [Connection], stop: &AtomicBool) -> Result<(), Failure> {
    let gap = Duration::from_secs(1) / u32::try_from(clients.len()).unwrap_or(1);
    while !stop.load(Ordering::Relaxed) {
        for client in clients.iter_mut() {
            if stop.load(Ordering::Relaxed) {
                break;
            }
            client.try_send(1)?;
            thread::sleep(gap);
        }
    }
    Ok(())
}

/// Runs `meanwhile` while the streams run in their own thread.
fn run_while_streaming<T>(
    streams: &mut Streams,
    clock: &CellClock,
    meanwhile: impl FnOnce() -> Result<T, Failure>,
) -> Result<T, Failure> {
    let stop = AtomicBool::new(false);
    thread::scope(|scope| {
        let streaming = scope.spawn(|| {
            let _counted = clock.count_this_thread();
            streams.run_until(&stop)
        });
        let done = meanwhile();
        stop.store(true, Ordering::Relaxed);
        thread_outcome(streaming.join())?;
        done
    })
}

fn thread_outcome(thread: thread::Result<Result<(), Failure>>) -> Result<(), Failure> {
    thread.unwrap_or_else(|_| Err(Failure::new(FailureKind::Harness, "a thread", "its panic")))
}

fn cpu_bound_request(lifecycle: &Lifecycle) -> CaseResult {
    /// Far above what a busy host adds to a round, and far below what one message costs.
    const LIMIT: Duration = Duration::from_millis(100);
    /// The server computes until `work` has passed on the wall clock. Other processes may have the
    /// processor for part of that time.
    const MIN_CPU_PART: f64 = 0.2;
    let work = Duration::from_millis(lifecycle.size());
    let mixed = Mixed::start(lifecycle, work)?;
    // One message per I/O thread, so that no free thread hides that the others are blocked.
    let count = mixed.server.ready()?.workers.into();
    let process = mixed.server.process();
    let before = if Process::IS_SUPPORTED { Some(process.cpu_times()?) } else { None };
    let p99 = mixed.p99_during_work(count, work, lifecycle.clock())?;
    lifecycle.clock().judge_rounds("p99 of a round", p99, LIMIT)?;
    let Some(before) = before else { return Observation::met() };
    let used = process.cpu_times()?.since(&before).total;
    let least = work.mul_f64(MIN_CPU_PART) * u32::try_from(count).unwrap_or(u32::MAX);
    if used < least {
        let expected = format!("at least {least:?} of CPU time for {count} messages of {work:?}");
        return Err(Failure::new(FailureKind::Cpu, expected, format!("{used:?}")));
    }
    Observation::met()
}

fn cpu_bound_saturation(lifecycle: &Lifecycle) -> CaseResult {
    /// The second wave shows whether the threads that worked for the first one can do more.
    const WAVES: usize = 2;
    /// More than a pool of a few threads can begin at once.
    const MIN_MESSAGES: u64 = 4;
    const P99_TARGET: Duration = Duration::from_millis(250);
    let work = Duration::from_millis(lifecycle.size());
    let mixed = Mixed::start(lifecycle, work)?;
    let cores = thread::available_parallelism().map_or(1, usize::from) as u64;
    let count = (2 * cores).max(MIN_MESSAGES);
    let mut slowest = Duration::ZERO;
    for _ in 0..WAVES {
        slowest = slowest.max(mixed.p99_during_work(count, 2 * work, lifecycle.clock())?);
    }
    if slowest > lifecycle.clock().scale(P99_TARGET) {
        return Observation::recorded(format!(
            "p99 of a round during the work is above {P99_TARGET:?}"
        ));
    }
    Observation::met()
}

fn workers_share(lifecycle: &Lifecycle) -> CaseResult {
    const CONNECTIONS: u64 = 64;
    /// If the busiest worker does at most this multiple of its fair share, the workers share the
    /// work.
    const EVEN_MULTIPLE: f64 = 1.5;
    /// If the busiest worker does at least this share of all work, it does the work alone.
    const SOLE_SHARE: f64 = 0.9;
    let server = lifecycle.start()?;
    let workers = server.ready()?.workers;
    if workers < 2 {
        return Observation::recorded("it has one worker");
    }
    let found = lifecycle.peer(&server).and_then(|peer| {
        let mut clients = peer.connect_many(CONNECTIONS)?;
        clients.iter_mut().try_for_each(|client| client.exchange(64))?;
        let before = server.process().demand()?;
        for _ in 0..lifecycle.size() {
            clients.iter_mut().try_for_each(|client| client.send(64))?;
            clients.iter_mut().try_for_each(|client| client.receive(64))?;
        }
        Ok(server.process().demand()?.busiest_share_since(&before))
    });
    let share = expect_survival(&server, found, lifecycle.clock())?.unwrap_or(1.0);
    // In quarters, because finer differences vary from run to run. Never 0 or 100 %, because these
    // would contradict the other two answers.
    let about = ((share * 4.0).round() * 25.0).clamp(25.0, 75.0);
    Observation::recorded(match share * f64::from(workers) {
        _ if share >= SOLE_SHARE => format!("one of {workers} workers does all the work"),
        part if part <= EVEN_MULTIPLE => format!("{workers} workers share the work"),
        _ => format!("one of {workers} workers does about {about:.0} % of the work"),
    })
}

fn udp_versus_tcp(lifecycle: &Lifecycle) -> CaseResult {
    let server = lifecycle.start_with(&lifecycle.start_with_listener(Transport::Udp)?)?;
    let found = measure_during_flood(lifecycle, &server);
    expect_survival(&server, found, lifecycle.clock())?;
    Observation::met()
}

fn measure_during_flood(lifecycle: &Lifecycle, server: &Server) -> Result<(), Failure> {
    const PACE: Duration = Duration::from_millis(2);
    let datagrams = lifecycle.datagrams(Transport::Udp, server)?;
    let mut neighbour = lifecycle.peer(server)?.connect()?;
    neighbour.exchange(64)?;
    let mut flooder = datagrams.client()?;
    flooder.exchange(64)?;
    let stop = AtomicBool::new(false);
    let p99 = thread::scope(|scope| {
        let flood = scope.spawn(|| {
            let _counted = lifecycle.clock().count_this_thread();
            flooder.flood(64, &stop)
        });
        let rounds = u32::try_from(lifecycle.size()).unwrap_or(u32::MAX);
        let p99 = p99_planned(lifecycle.clock(), rounds, PACE, |_| neighbour.exchange(64));
        stop.store(true, Ordering::Relaxed);
        thread_outcome(flood.join())?;
        p99
    })?;
    lifecycle.clock().judge_rounds("p99 of a round during a flood", p99, HOT_LIMIT)?;
    datagrams.expect_service()
}

/// A server with a plain listener and a `cpu` listener, on which each message costs CPU time.
struct Mixed {
    server: Server,
    plain: Peer,
    costly: Peer,
    work: Duration,
}

impl Mixed {
    fn start(lifecycle: &Lifecycle, work: Duration) -> Result<Self, Failure> {
        let listen = ["tcp:127.0.0.1:0", "cpu:127.0.0.1:0"].map(str::to_owned).to_vec();
        let start = Start { listen, ..Start::default() }
            .with_argument("--capability")
            .with_argument("cpu")
            .with_argument("--cpu-work")
            .with_argument(format!("{}ms", work.as_millis()));
        let server = lifecycle.start_with(&start)?;
        let ready = server.ready()?;
        let [address] = ready.addresses("cpu")?[..] else {
            return Err(ready.wrong_listeners("one cpu listener"));
        };
        let plain = lifecycle.peer(&server)?;
        let costly = lifecycle.peer_at_address(address);
        Ok(Self { server, plain, costly, work })
    }

    /// The 99th percentile of rounds on the plain listener, for `time` after `count` clients have
    /// sent a message that costs work. All these messages must be answered, and none before its
    /// work is done.
    fn p99_during_work(
        &self,
        count: u64,
        time: Duration,
        clock: &CellClock,
    ) -> Result<Duration, Failure> {
        expect_survival(&self.server, self.measure(count, time), clock)
    }

    fn measure(&self, count: u64, time: Duration) -> Result<Duration, Failure> {
        let mut neighbour = self.plain.connect()?;
        neighbour.exchange(64)?;
        let mut clients = self.costly.connect_many(count)?;
        let sent = Instant::now();
        // One byte takes one read, however small the server's buffer is.
        clients.iter_mut().try_for_each(|client| client.send(1))?;
        let rounds = u32::try_from(time.as_millis() / PACE.as_millis()).unwrap_or(u32::MAX);
        let p99 = p99_planned(self.plain.clock(), rounds, PACE, |_| {
            neighbour.exchange(64)?;
            self.take_answers(&mut clients, sent)
        })?;
        clients.iter_mut().try_for_each(Connection::receive_all)?;
        Ok(p99)
    }

    /// Takes the answers that have arrived. An answer before the work is done is an error.
    fn take_answers(&self, clients: &mut [Connection], sent: Instant) -> Result<(), Failure> {
        for client in clients {
            match client.try_receive(1)? {
                ReadResult::Bytes(_) if sent.elapsed() < self.work => {
                    let expected = format!("an answer after {:?} of work", self.work);
                    let actual = format!("one after {:?}", sent.elapsed());
                    return Err(Failure::new(FailureKind::Announcement, expected, actual));
                }
                ReadResult::Bytes(_) | ReadResult::Nothing => {}
                ReadResult::End => return Err(client.early_end_failure(1)),
            }
        }
        Ok(())
    }
}
