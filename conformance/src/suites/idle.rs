//! Idleness: a server with nothing to do costs nothing, and keeps its clients.

use std::thread;
use std::time::{Duration, Instant};

use harness::process::Process;
use report::{Failure, FailureKind, Question};

use crate::case::{Case, CaseResult, Feature, Need, Observation, Suite};
use crate::client::connection::Connection;
use crate::client::duplex::{Flow, exchange};
use crate::client::peer::Peer;
use crate::expectation::{DescriptorBaseline, FREE_TIME_LIMIT, expect_low_cpu, wait_for_idle};

pub(super) const SUITE: Suite = Suite {
    name: "idle",
    about: "An idle server uses almost no CPU and no additional memory, and keeps its clients.",
    question: Question::Resources,
    cases: &[
        Case::must(
            "connection-survives",
            "After a long silence, the server still echoes on a connection and answers its FIN.",
        )
        .sizes(1000, 16_000, 75_000)
        .reports_reach()
        .answers(Question::Bytes)
        .relies_on(&[Feature::SilentClients])
        .wire(connection_survives),
        Case::should(
            "steady",
            "A client that sends a message four times a second always gets its echo within 300 ms.",
        )
        .sizes(2000, 12_000, 35_000)
        .answers(Question::Promptness)
        .answering_failures(&[FailureKind::Slow])
        .wire(steady),
        Case::must(
            "cpu-no-connections",
            "Without connections, the server uses at most 5 % of a core.",
        )
        .sizes(500, 1000, 5000)
        .needs(&[Need::CpuTime])
        .answering_failures(&[FailureKind::Cpu])
        .process(cpu_no_connections),
        Case::must(
            "cpu-500-connections",
            "With 500 silent clients, the server uses at most 5 % of a core.",
        )
        .sizes(500, 1000, 5000)
        .needs(&[Need::CpuTime, Need::Descriptors(CROWD)])
        .answering_failures(&[FailureKind::Cpu])
        .process(cpu_500_connections),
        Case::must(
            "cpu-after-peers-gone",
            "After its clients have closed, reset or half-closed, the server uses at most 5 % of a \
             core and has freed their descriptors.",
        )
        .sizes(50, 200, 200)
        .needs(&[Need::CpuTime, Need::DescriptorCount, Need::Descriptors(200)])
        .answering_failures(&[FailureKind::Cpu, FailureKind::Descriptors])
        .process(cpu_after_peers_gone),
        Case::should("memory", "The resident memory of an idle server does not grow.")
            .sizes(1000, 5000, 30_000)
            .needs(&[Need::ResidentMemory, Need::Descriptors(SILENT_CLIENTS)])
            .answering_failures(&[FailureKind::Memory])
            .relies_on(&[Feature::SilentClients])
            .process(memory),
        Case::info("wakeups", "How often does an idle server wake up?")
            .sizes(400, 1000, 5000)
            .needs(&[Need::ContextSwitches])
            .process(wakeups),
        Case::info(
            "iowait-accounting",
            "Which threads of an idle server does the kernel count as waiting for I/O?",
        )
        .sizes(20, 30, 150)
        .needs(&[Need::IoWait, Need::Signals, Need::Threads])
        .process(iowait_accounting),
        Case::info(
            "kernel-threads",
            "How many threads does the kernel run for the server's rings?",
        )
        .sizes(200, 1000, 30_000)
        .needs(&[Need::Threads, Need::KernelThreads])
        .process(kernel_threads),
    ],
};

/// An idle server may use at most this share of one core.
const MAX_CPU_SHARE: f64 = 0.05;
/// The observation says whether an idle server stays below this share of one core.
const LOW_CPU_SHARE: f64 = 0.01;
/// Silent clients of an idle server.
const CROWD: u64 = 500;
/// Silent clients while the server's memory is watched.
const SILENT_CLIENTS: u64 = 100;

/// What the client that was busy has exchanged.
const BUSY_BYTES: u64 = 4 * 1024 * 1024;

fn connection_survives(peer: &Peer) -> CaseResult {
    /// How often the talker sends. It is never silent for long, so only a limit on the age of its
    /// connection could end it.
    const PACE: Duration = Duration::from_millis(500);
    /// How soon the server must answer FIN, however long the client was silent.
    const FIN_LIMIT: Duration = Duration::from_secs(1);
    let mut silent = peer.connect()?;
    let mut quiet = peer.connect()?;
    let mut talker = peer.connect()?;
    let mut leaving = peer.connect_many(2)?;
    leaving[0].exchange(1024)?;
    quiet.exchange(1024)?;
    let start = Instant::now();
    while start.elapsed() < Duration::from_millis(peer.size()) {
        talker.exchange(64)?;
        // The case tests this silence.
        quiet.expect_silence(PACE)?;
    }
    for connection in &mut leaving {
        connection.finish_sending()?;
        connection.expect_end_within(FIN_LIMIT)?;
    }
    for connection in [&mut talker, &mut quiet, &mut silent] {
        connection.exchange(16 * 1024)?;
    }
    peer.expect_service()?;
    Observation::met()
}

fn steady(peer: &Peer) -> CaseResult {
    const PACE: Duration = Duration::from_millis(250);
    const LIMIT: Duration = Duration::from_millis(300);
    let mut client = peer.connect()?;
    let start = Instant::now();
    let mut slowest = Duration::ZERO;
    while start.elapsed() < Duration::from_millis(peer.size()) {
        let round = Instant::now();
        client.exchange(64)?;
        slowest = slowest.max(peer.clock().elapsed_without_held_back(round));
        // Periodic work that blocks the loop for longer than this delays at least one round.
        client.expect_silence(PACE)?;
    }
    peer.clock().judge_rounds("the slowest round", slowest, LIMIT)?;
    Observation::met()
}

fn cpu_no_connections(peer: &Peer, process: &Process) -> CaseResult {
    peer.expect_service()?;
    judge_idle_cpu(peer, process, Duration::from_millis(peer.size()))
}

fn cpu_500_connections(peer: &Peer, process: &Process) -> CaseResult {
    let mut crowd = peer.connect_many(CROWD)?;
    for connection in crowd.iter_mut().step_by(2) {
        connection.exchange(64)?;
    }
    // One client was busy before, and is silent now like the others.
    exchange(&mut [Flow::new(&mut crowd[0], BUSY_BYTES, peer.seed())], peer.clock())?;
    // A later client that is served shows that the silent ones were accepted.
    peer.expect_service()?;
    let found = judge_idle_cpu(peer, process, Duration::from_millis(peer.size()));
    Connection::release_all(crowd);
    found
}

fn cpu_after_peers_gone(peer: &Peer, process: &Process) -> CaseResult {
    /// How long clients are silent before they leave.
    const SILENCE: Duration = Duration::from_millis(150);
    let mut at_rest = DescriptorBaseline::measure(process, peer, 0, FREE_TIME_LIMIT)?;
    // The wait comes first, because freeing connections costs CPU time. Its result is reported
    // after the CPU time is judged.
    let freed = at_rest.expect_freed(|| {
        for leave in [Departure::Close, Departure::Reset, Departure::HalfClose] {
            let mut connections = peer.connect_many(peer.size())?;
            for connection in &mut connections {
                connection.exchange(64)?;
            }
            // The case tests that clients leave a server that is idle.
            thread::sleep(SILENCE);
            match leave {
                Departure::Close => drop(connections),
                Departure::Reset => connections.into_iter().for_each(Connection::reset),
                Departure::HalfClose => {
                    for connection in &mut connections {
                        connection.finish_sending()?;
                    }
                    thread::sleep(SILENCE);
                }
            }
        }
        Ok(())
    });
    expect_low_cpu(process, Duration::from_secs(1), MAX_CPU_SHARE, peer.clock())?;
    freed?;
    peer.expect_service()?;
    Observation::met()
}

fn memory(peer: &Peer, process: &Process) -> CaseResult {
    peer.expect_service()?;
    wait_for_idle(process, MAX_CPU_SHARE)?;
    judge_idle_growth(peer, process, "KiB by which it grew without clients")?;
    let mut silent = peer.connect_many(SILENT_CLIENTS)?;
    for connection in silent.iter_mut().step_by(2) {
        connection.exchange(64)?;
    }
    peer.expect_service()?;
    wait_for_idle(process, MAX_CPU_SHARE)?;
    judge_idle_growth(peer, process, "KiB by which it grew beside silent clients")?;
    silent.iter_mut().try_for_each(|connection| connection.exchange(64))?;
    Connection::release_all(silent);
    Observation::met()
}

/// Judges how much the server grows in half of the case's time.
fn judge_idle_growth(peer: &Peer, process: &Process, what: &str) -> Result<(), Failure> {
    /// Number of intervals. The one with the most growth is left out: one-time growth is no leak.
    const INTERVALS: u32 = 5;
    const KIB_PER_SECOND: f64 = 50.0;
    const MIN_KIB: f64 = 64.0;
    let time = Duration::from_millis(peer.size()) / 2;
    let mut growths = Vec::new();
    let mut before = process.resident_bytes()?;
    for _ in 0..INTERVALS {
        thread::sleep(time / INTERVALS);
        let now = process.resident_bytes()?;
        growths.push(now as f64 - before as f64);
        before = now;
    }
    growths.sort_unstable_by(f64::total_cmp);
    growths.pop();
    let kib = (growths.iter().sum::<f64>() / 1024.0).max(0.0);
    let limit = MIN_KIB.max(KIB_PER_SECOND * time.as_secs_f64());
    peer.clock().judge(FailureKind::Memory, what, kib, limit)
}

#[derive(Clone, Copy, Debug)]
enum Departure {
    Close,
    Reset,
    /// Sends FIN first, and closes later without having read the server's FIN.
    HalfClose,
}

/// Judges the CPU time of an idle server, and records whether it is almost none.
fn judge_idle_cpu(peer: &Peer, process: &Process, time: Duration) -> CaseResult {
    wait_for_idle(process, MAX_CPU_SHARE)?;
    let before = process.demand()?;
    thread::sleep(time);
    let share = process.demand()?.share_since(&before);
    peer.clock().judge(FailureKind::Cpu, "share of one core", share, MAX_CPU_SHARE)?;
    Observation::recorded(if share <= LOW_CPU_SHARE {
        format!("below {:.0} % of a core", LOW_CPU_SHARE * 100.0)
    } else {
        format!("{:.0} to {:.0} % of a core", LOW_CPU_SHARE * 100.0, MAX_CPU_SHARE * 100.0)
    })
}

fn wakeups(peer: &Peer, process: &Process) -> CaseResult {
    /// Number of intervals. A one-time event, such as the end of a thread, is in only one of them.
    const INTERVALS: u32 = 4;
    /// From this many wake-ups per second on, the observation is flagged.
    const MAX_WAKEUPS: f64 = 100.0;
    peer.expect_service()?;
    let look = Duration::from_millis(peer.size()) / INTERVALS;
    let mut counts = Vec::new();
    for _ in 0..INTERVALS {
        let before = process.switches()?;
        thread::sleep(look);
        counts.push(process.switches()?.voluntary.saturating_sub(before.voluntary));
    }
    counts.sort_unstable();
    // The lower median.
    let per_second = counts[counts.len() / 2 - 1] as f64 / look.as_secs_f64();
    Observation::recorded(match per_second {
        none if none <= 0.0 => "none".to_owned(),
        few if few < MAX_WAKEUPS => format!("below {MAX_WAKEUPS} a second"),
        _ => format!("{MAX_WAKEUPS} a second or more, flagged"),
    })
}

fn iowait_accounting(peer: &Peer, process: &Process) -> CaseResult {
    peer.expect_service()?;
    let waiting = process.count_io_waiters(Duration::from_millis(peer.size()), || {
        peer.clock().progress_deadline()
    })?;
    Observation::recorded(match waiting {
        0 => "none of its threads",
        _ => "threads that wait for clients, so that an idle host shows iowait",
    })
}

fn kernel_threads(peer: &Peer, process: &Process) -> CaseResult {
    /// Above this number of threads of any kind, the observation is flagged.
    const MAX_THREADS: usize = 64;
    /// Concurrent clients, and rounds with each of them.
    const LOAD: (u64, u64) = (50, 10);
    peer.expect_service()?;
    let idle = process.threads()?;
    load(peer, LOAD.0, LOAD.1)?;
    thread::sleep(Duration::from_millis(peer.size()));
    let after = process.threads()?;
    let flag = if idle.all.max(after.all) > MAX_THREADS {
        format!("; more than {MAX_THREADS} threads in all, flagged")
    } else {
        String::new()
    };
    Observation::recorded(match (idle.ring_threads, after.ring_threads) {
        (0, 0) => format!("none{flag}"),
        (idle, after) => format!(
            "{} when idle, {} after load{flag}",
            round_thread_count(idle),
            round_thread_count(after)
        ),
    })
}

/// Exchanges messages with `clients` concurrent clients. Half of them end with FIN, half with a
/// reset.
fn load(peer: &Peer, clients: u64, rounds: u64) -> Result<(), Failure> {
    let mut connections = peer.connect_many(clients)?;
    for _ in 0..rounds {
        for connection in &mut connections {
            connection.send(1024)?;
        }
        for connection in &mut connections {
            connection.receive(1024)?;
        }
    }
    for (number, mut connection) in connections.into_iter().enumerate() {
        if number % 2 == 0 {
            connection.finish_sending()?;
            connection.expect_end()?;
        } else {
            connection.reset();
        }
    }
    Ok(())
}

/// A number of threads, rounded so that repeated runs agree.
fn round_thread_count(threads: usize) -> String {
    match threads {
        0 => "none".to_owned(),
        1 => "one".to_owned(),
        more => format!("2 to {}", more.next_power_of_two().max(8)),
    }
}
