//! Resources: what a server has taken for a connection it gives back when that ends, however it
//! ends, what it gives up it does not lose, and what it takes is recorded.

use std::thread;
use std::time::{Duration, Instant};

use harness::kernel_log::KernelLog;
use harness::launcher::Start;
use harness::process::{Process, Signal};
use report::host::size;
use report::{Failure, FailureKind, Question};

use crate::case::{Case, CaseResult, Need, Observation, Suite};
use crate::client::connection::{Connection, Read1, Setup};
use crate::client::duplex::{Flow, exchange};
use crate::client::peer::Peer;
use crate::expectation::{AtRest, expect_survival};
use crate::lifecycle::Lifecycle;
use crate::suites::tcp_backpressure::{STALLED_BYTES, stall};

/// The table.
pub(super) const SUITE: Suite = Suite {
    name: "res",
    about: "A server gives back what it takes, and loses nothing that it gives up.",
    question: Question::Resources,
    cases: &[
        Case::must(
            "descriptors-after-churn",
            "After many connections that ended in order, no descriptor is left over.",
        )
        .sizes(200, 500, 2000)
        .needs(&[Need::DescriptorCount])
        .judges(&[FailureKind::Descriptors])
        .process(descriptors_after_churn),
        Case::must(
            "descriptors-after-resets",
            "After many connections that were reset at any moment, no descriptor is left over.",
        )
        .sizes(200, 500, 2000)
        .needs(&[Need::DescriptorCount])
        .judges(&[FailureKind::Descriptors])
        .process(descriptors_after_resets),
        Case::must(
            "descriptors-after-aborted-accepts",
            "After many connections that ended while they were accepted, no descriptor is left \
             over.",
        )
        .sizes(1, 2, 10)
        .needs(&[Need::DescriptorCount])
        .judges(&[FailureKind::Descriptors])
        .process(descriptors_after_aborted_accepts),
        Case::must(
            "cancelled-accept-no-orphan",
            "A client that comes while an accept is cancelled is served or closed within 2 s.",
        )
        .sizes(200, 1000, 5000)
        .asks_for("cancel")
        .answers(Question::Bytes)
        .lifecycle(cancelled_accept_no_orphan),
        Case::must(
            "cancelled-read-no-loss",
            "No byte that comes while a read is cancelled is lost or comes back twice.",
        )
        .sizes(100, 300, 3000)
        .asks_for("cancel")
        .answers(Question::Bytes)
        .lifecycle(cancelled_read_no_loss),
        Case::should("memory-after-churn", "As many connections again need no more memory.")
            .sizes(300, 700, 7000)
            .needs(&[Need::ResidentMemory, Need::DescriptorCount])
            .judges(&[FailureKind::Memory])
            .process(memory_after_churn),
        Case::must(
            "memory-after-resets",
            "Connections that are reset leave next to no memory behind.",
        )
        .sizes(100, 200, 2000)
        .needs(&[Need::ResidentMemory, Need::DescriptorCount])
        .judges(&[FailureKind::Memory])
        .process(memory_after_resets),
        Case::must(
            "after-blocked-writes",
            "Connections that end while their writes are blocked leave nothing behind.",
        )
        .sizes(16, 24, 100)
        .needs(&[Need::ResidentMemory, Need::DescriptorCount, Need::Descriptors(100)])
        .judges(&[FailureKind::Memory, FailureKind::Descriptors])
        .process(after_blocked_writes),
        Case::must(
            "memory-of-streams",
            "What has gone through a connection takes no memory, while it goes on.",
        )
        .sizes(2, 8, 64)
        .needs(&[Need::ResidentMemory])
        .judges(&[FailureKind::Memory])
        .process(memory_of_streams),
        Case::info("memory-per-idle-connection", "How much memory does an idle connection take?")
            .sizes(1000, 1000, 1000)
            .needs(&[Need::ResidentMemory, Need::Descriptors(1010)])
            .process(memory_per_idle_connection),
        Case::should("threads-bounded", "Beside 500 clients, the server has no more threads.")
            .sizes(500, 500, 500)
            .needs(&[Need::Threads, Need::Descriptors(500)])
            .judges(&[FailureKind::Threads])
            .process(threads_bounded),
        Case::info("cpu-per-mebibyte", "How much CPU time does a MiB take, in messages of a size?")
            .sizes(1, 1, 8)
            .needs(&[Need::CpuTime])
            .process(cpu_per_mebibyte),
        Case::info("kernel-log-clean", "What does the kernel's log say of the server?")
            .sizes(200, 300, 2000)
            .needs(&[Need::KernelLog, Need::KernelThreads])
            .process(kernel_log_clean),
    ],
};

const KIB: u64 = 1024;
const MIB: u64 = 1024 * KIB;
/// Descriptors above the base that are no leak: a runtime may open one of its own meanwhile.
const SPARE_DESCRIPTORS: usize = 2;
/// How long a server may take to close what is left.
const SETTLED: Duration = Duration::from_secs(3);
/// Connections at once where there are many one after another.
const BATCH: u64 = 50;

fn descriptors_after_churn(peer: &Peer, process: &Process) -> CaseResult {
    /// At once, or a server that takes its time to answer FIN would take minutes.
    const TOGETHER: u64 = 10;
    AtRest::now(process, peer, SPARE_DESCRIPTORS, SETTLED)?.expect_freed(|| {
        for _ in 0..peer.size() / TOGETHER {
            let mut connections = peer.connect_many(TOGETHER)?;
            for connection in &mut connections {
                connection.exchange(64)?;
                connection.finish_sending()?;
            }
            connections.iter_mut().try_for_each(Connection::expect_end)?;
        }
        Ok(())
    })?;
    peer.serves()?;
    Observation::met()
}

fn descriptors_after_resets(peer: &Peer, process: &Process) -> CaseResult {
    let mut random = peer.random(0);
    AtRest::now(process, peer, SPARE_DESCRIPTORS, SETTLED)?.expect_freed(|| {
        for _ in 0..peer.size() {
            let mut connection = peer.connect()?;
            match random.u8(0..5) {
                0 => {}
                1 => connection.send(random.u64(1..4 * KIB))?,
                2 => connection.exchange(random.u64(1..4 * KIB))?,
                3 => {
                    connection.send(64 * KIB)?;
                    connection.receive(random.u64(1..32 * KIB))?;
                }
                _ => {
                    connection.send(random.u64(1..4 * KIB))?;
                    connection.finish_sending()?;
                }
            }
            connection.reset();
        }
        Ok(())
    })?;
    peer.serves()?;
    Observation::met()
}

fn descriptors_after_aborted_accepts(peer: &Peer, process: &Process) -> CaseResult {
    /// Connections of one round, as many as nearly every accept queue has room for at once.
    const ROUND: u64 = 500;
    let mut random = peer.random(0);
    AtRest::now(process, peer, SPARE_DESCRIPTORS, SETTLED)?.expect_freed(|| {
        for _ in 0..peer.size() {
            for _ in 0..ROUND {
                // On loopback the connection is established when the call returns, and the server
                // is about to accept it.
                let pending = peer.start()?;
                match random.u8(0..3) {
                    0 => drop(pending),
                    1 => pending.reset(),
                    _ => {
                        let mut connection = pending.finish(peer.clock().progress())?;
                        connection.send(random.u64(1..64))?;
                        connection.reset();
                    }
                }
            }
            peer.serves()?;
        }
        Ok(())
    })?;
    peer.serves()?;
    Observation::met()
}

fn threads_bounded(peer: &Peer, process: &Process) -> CaseResult {
    const MORE_THREADS: f64 = 64.0;
    peer.serves()?;
    let base = process.threads()?.all;
    let mut crowd = peer.connect_many(peer.size())?;
    for connection in &mut crowd {
        connection.send(64)?;
    }
    for connection in &mut crowd {
        connection.receive(64)?;
    }
    let more = process.threads()?.all.saturating_sub(base);
    let what = format!("more threads beside {} clients", peer.size());
    peer.clock().judge(FailureKind::Threads, &what, more as f64, MORE_THREADS)?;
    Observation::met()
}

fn cpu_per_mebibyte(peer: &Peer, process: &Process) -> CaseResult {
    /// Bytes of a message, and how many of them one round has.
    const MESSAGES: [(u64, u64); 3] = [(64, 1000), (4 * KIB, 250), (64 * KIB, 32)];
    /// The cheapest counts: what disturbs a server makes it dearer.
    const ROUNDS: usize = 3;
    /// A server that has more than this share of its CPU time to itself does more than echo.
    const OWN_CODE: f64 = 0.75;
    let mut connection = peer.connect()?;
    connection.exchange(64 * KIB)?;
    let start = process.cpu()?;
    let mut costs = Vec::new();
    for (bytes, count) in MESSAGES {
        let mut cheapest = f64::INFINITY;
        let mib = (bytes * count * peer.size()) as f64 / MIB as f64;
        for _ in 0..ROUNDS {
            let before = process.demand()?;
            for _ in 0..count * peer.size() {
                connection.exchange(bytes)?;
            }
            let ran = process.demand()?.ran_since(&before);
            cheapest = cheapest.min(ran.as_secs_f64() * 1e3 / mib);
        }
        // By orders of magnitude, so that it is the same from one run to the next.
        let ms = 10f64.powf(cheapest.log10().floor());
        costs.push(format!("{} to {} ms in messages of {}", ms, ms * 10.0, size(bytes)));
    }
    let end = process.cpu()?;
    // What a process of it had is gone with it.
    let user = end.user.saturating_sub(start.user);
    let system = end.system.saturating_sub(start.system);
    if user.as_secs_f64() > OWN_CODE * (user + system).as_secs_f64() {
        costs.push("mostly in its own code".to_owned());
    }
    Observation::of(costs.join(", "))
}

fn kernel_log_clean(peer: &Peer, process: &Process) -> CaseResult {
    /// Clients that come while the server is stopped.
    const QUEUED: u64 = 50;
    let unread =
        |e: std::io::Error| Failure::new(FailureKind::Harness, "the kernel's log", e.to_string());
    let mut log = KernelLog::from_now_on().map_err(unread)?;
    for number in 0..peer.size() {
        let mut connection = peer.connect()?;
        connection.exchange(KIB)?;
        match number % 4 {
            0 => {
                connection.finish_sending()?;
                connection.expect_end()?;
            }
            1 => connection.send(KIB)?,
            _ => {}
        }
        connection.reset();
    }
    process.signal(Signal::Stop)?;
    let queued = peer.connect_many(QUEUED);
    process.signal(Signal::Continue)?;
    for connection in &mut queued? {
        connection.exchange(64)?;
    }
    let port = format!(":{}", peer.address()?.port());
    let mut about_it = Vec::new();
    for line in log.new_lines().map_err(unread)? {
        let names_a_ring = line.contains("io_uring") || line.contains("iou-");
        if names_a_ring || line.contains(&port) || process.is_named_in(&line)? {
            about_it.push(line);
        }
    }
    Observation::of(match about_it.first() {
        None => "nothing".to_owned(),
        Some(line) => format!("{:?}", without_numbers(line)),
    })
}

/// A line without what differs from one server that it is about to another.
fn without_numbers(line: &str) -> String {
    let mut text = String::new();
    for c in line.chars() {
        match c.is_ascii_digit() {
            false => text.push(c),
            true if text.ends_with('N') => {}
            true => text.push('N'),
        }
    }
    text
}

fn memory_after_churn(peer: &Peer, process: &Process) -> CaseResult {
    /// In two equal rounds of 7000, 8 MiB.
    const BYTES_PER_CONNECTION: u64 = 600;
    let mut random = peer.random(0);
    let limit = MIB.max(BYTES_PER_CONNECTION * peer.size());
    let growth = growth(peer, process, limit, |connections| {
        for connection in connections.iter_mut() {
            connection.send(random.u64(1..8 * KIB))?;
        }
        for connection in connections.iter_mut() {
            connection.receive_all()?;
        }
        // Most end by reset, because the others leave the judge's ports in TIME_WAIT.
        for connection in connections.iter_mut().step_by(4) {
            connection.finish_sending()?;
            connection.expect_end()?;
        }
        Ok(())
    })?;
    judge_growth(peer, growth, limit)
}

fn memory_after_resets(peer: &Peer, process: &Process) -> CaseResult {
    const BYTES_PER_CONNECTION: u64 = 16 * KIB;
    let limit = MIB + BYTES_PER_CONNECTION * peer.size();
    let growth = growth(peer, process, limit, |connections| {
        for connection in connections.iter_mut() {
            connection.send(64 * KIB)?;
        }
        for connection in connections.iter_mut() {
            connection.receive(32 * KIB)?;
        }
        Ok(())
    })?;
    judge_growth(peer, growth, limit)
}

/// By how many bytes the server grew in a round of `peer.size()` connections. What `each` does with
/// a batch is followed by a reset of what is left of it.
fn growth(
    peer: &Peer,
    process: &Process,
    limit: u64,
    mut each: impl FnMut(&mut [Connection]) -> Result<(), Failure>,
) -> Result<u64, Failure> {
    let mut at_rest = AtRest::now(process, peer, SPARE_DESCRIPTORS, SETTLED)?;
    least_growth(process, limit, || {
        let mut left = peer.size();
        while left > 0 {
            let batch = left.min(BATCH);
            let mut connections = peer.connect_many(batch)?;
            each(&mut connections)?;
            connections.into_iter().for_each(Connection::reset);
            // Or the next batch would need memory beside this one, now and then.
            at_rest.settle()?;
            left -= batch;
        }
        Ok(())
    })
}

/// The least number of bytes by which the server grows in a round.
///
/// The first round warms the allocator up. A leak is in each that follows, so the two in a row with
/// the least growth are the evidence, and there are only as many as it takes to see two within
/// `limit`: an allocator that grows in steps, or a collector that has yet to run, has them in time.
fn least_growth(
    process: &Process,
    limit: u64,
    mut act: impl FnMut() -> Result<(), Failure>,
) -> Result<u64, Failure> {
    const ROUNDS: usize = 12;
    let mut round = || {
        act()?;
        process.resident_bytes()
    };
    let [mut before, mut between] = [round()?, round()?];
    let mut least = u64::MAX;
    for _ in 2..ROUNDS {
        let after = round()?;
        least = least.min(after.saturating_sub(before) / 2);
        if least <= limit {
            break;
        }
        (before, between) = (between, after);
    }
    Ok(least)
}

fn after_blocked_writes(peer: &Peer, process: &Process) -> CaseResult {
    /// How long bytes must stay unread before a server counts as busy writing.
    const UNREAD: Duration = Duration::from_millis(20);
    /// How long a server that is blocked may take to see FIN.
    const NOTICED: Duration = Duration::from_millis(150);
    const BYTES_PER_CONNECTION: u64 = 32 * KIB;
    let mut at_rest = AtRest::now(process, peer, 0, SETTLED)?;
    let limit = BYTES_PER_CONNECTION * peer.size();
    let growth = least_growth(process, limit, || {
        let connect = |_| peer.connect_with(Setup::tight());
        let mut clients = (0..peer.size()).map(connect).collect::<Result<Vec<_>, _>>()?;
        let (finish, stay) = clients.split_at_mut(peer.size() as usize / 2);
        for client in finish {
            // Behind a full window FIN would not reach the server.
            client.send_until_unread(peer.clock().scaled(UNREAD), STALLED_BYTES)?;
            client.finish_sending()?;
        }
        stall(stay, peer)?;
        // That they stay blocked for a while is the case.
        thread::sleep(peer.clock().scaled(NOTICED));
        clients.into_iter().for_each(Connection::reset);
        at_rest.settle().map(drop)
    })?;
    judge_growth(peer, growth, limit)
}

fn memory_of_streams(peer: &Peer, process: &Process) -> CaseResult {
    /// Beside each MiB of the stream.
    const MESSAGES: u64 = 512;
    const LIMIT: u64 = 512 * KIB;
    let (mut long, mut chatty) = (peer.connect()?, peer.connect()?);
    let growth = least_growth(process, LIMIT, || {
        exchange(&mut [Flow::new(&mut long, peer.size() * MIB, peer.seed())], peer.clock())?;
        (0..peer.size() * MESSAGES).try_for_each(|_| chatty.exchange(64))
    })?;
    judge_growth(peer, growth, LIMIT)
}

fn judge_growth(peer: &Peer, growth: u64, limit: u64) -> CaseResult {
    let mib = |bytes: u64| bytes as f64 / MIB as f64;
    let what = "MiB by which the server grew in a round";
    peer.clock().judge(FailureKind::Memory, what, mib(growth), mib(limit))?;
    peer.serves()?;
    Observation::met()
}

fn memory_per_idle_connection(peer: &Peer, process: &Process) -> CaseResult {
    peer.serves()?;
    let before = process.resident_bytes()?;
    let mut idle = peer.connect_many(peer.size())?;
    for connection in &mut idle {
        connection.send(64)?;
    }
    for connection in &mut idle {
        connection.receive(64)?;
    }
    let growth = process.resident_bytes()?.saturating_sub(before);
    peer.serves()?;
    // Rounded, so that it is the same from one run to the next.
    let kib = growth as f64 / KIB as f64 / peer.size() as f64;
    Observation::of(format!("about {} KiB", kib.max(1.0).log2().round().exp2()))
}

/// After how long the server cancels what waits.
const CANCEL_AFTER: Duration = Duration::from_millis(1);

/// Starts a server that cancels one kind of operation again and again, and runs a case on it.
fn with_cancelled(
    operation: &str,
    lifecycle: &Lifecycle,
    case: impl FnOnce(&Peer) -> CaseResult,
) -> CaseResult {
    let start = Start::default()
        .with("--capability")
        .with("cancel")
        .with("--cancel")
        .with(format!("{operation}={}ms", CANCEL_AFTER.as_millis()));
    let server = lifecycle.start_with(&start)?;
    let found = lifecycle.peer(&server).and_then(|peer| {
        let observation = case(&peer)?;
        peer.serves()?;
        Ok(observation)
    });
    expect_survival(&server, found, lifecycle.clock())
}

/// Up to so much of the time in which the server waits, at random: that hits each moment of it.
fn any_moment(random: &mut fastrand::Rng, longest: Duration) {
    // The case needs a moment, not a state.
    thread::sleep(longest.mul_f64(random.f64()));
}

fn cancelled_accept_no_orphan(lifecycle: &Lifecycle) -> CaseResult {
    /// So few at once need no descriptors to speak of, and one that is forgotten shows soon.
    const BATCH: u64 = 25;
    const HELLO: u64 = 16;
    let limit = Duration::from_secs(2);
    with_cancelled("accept", lifecycle, |peer| {
        let mut random = lifecycle.random(0);
        let mut closed = 0;
        for _ in 0..lifecycle.size() / BATCH {
            let mut clients = Vec::new();
            for _ in 0..BATCH {
                any_moment(&mut random, 2 * CANCEL_AFTER);
                let mut client = peer.connect()?;
                client.send(HELLO)?;
                clients.push(client);
            }
            for mut client in clients {
                match client.receive_in("a client's echo", HELLO, limit) {
                    Ok(()) => {}
                    Err(e) if matches!(e.kind, FailureKind::Closed | FailureKind::Reset) => {
                        closed += 1;
                    }
                    Err(e) => return Err(e),
                }
                // Leaves nothing in TIME_WAIT.
                client.reset();
            }
        }
        if closed > 0 {
            return Observation::of("some clients were closed without an echo");
        }
        Observation::met()
    })
}

fn cancelled_read_no_loss(lifecycle: &Lifecycle) -> CaseResult {
    const BURSTS: usize = 5;
    const BURST_BYTES: u64 = 16 * 1024;
    with_cancelled("read", lifecycle, |peer| {
        let mut random = lifecycle.random(0);
        let mut clients = peer.connect_many(4)?;
        // Each client sends a byte about once in the time of a read.
        let pause = CANCEL_AFTER / 2;
        let end = Instant::now() + Duration::from_millis(lifecycle.size());
        while Instant::now() < end {
            for client in &mut clients {
                any_moment(&mut random, pause);
                client.send(1)?;
                take(client)?;
            }
        }
        clients.iter_mut().try_for_each(Connection::receive_all)?;
        for _ in 0..BURSTS {
            for client in &mut clients {
                any_moment(&mut random, pause);
                client.send(BURST_BYTES)?;
            }
            clients.iter_mut().try_for_each(Connection::receive_all)?;
        }
        Observation::met()
    })
}

/// Takes and checks what has come back so far.
fn take(client: &mut Connection) -> Result<(), Failure> {
    match client.try_receive(64)? {
        Read1::Bytes(_) | Read1::Nothing => Ok(()),
        Read1::End => Err(client.ended_early(client.sent())),
    }
}
