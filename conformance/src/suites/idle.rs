//! Idleness: a server with nothing to do costs nothing, and keeps its clients.

use std::thread;
use std::time::{Duration, Instant};

use harness::process::Process;
use report::{Failure, FailureKind, Question};

use crate::case::{Case, CaseResult, Feature, Need, Observation, Suite};
use crate::client::connection::Connection;
use crate::client::duplex::{Flow, exchange};
use crate::client::peer::Peer;
use crate::expectation::{AtRest, FREED_WITHIN, expect_quiet, let_finish};

/// The table.
pub(super) const SUITE: Suite = Suite {
    name: "idle",
    about: "A server with nothing to do costs nothing, and keeps its clients.",
    question: Question::Resources,
    cases: &[
        Case::must(
            "connection-survives",
            "After a long silence, a connection still echoes, and ends in order.",
        )
        .sizes(1000, 16_000, 75_000)
        .up_to_its_size()
        .answers(Question::Bytes)
        .relies_on(&[Feature::SilentClients])
        .wire(connection_survives),
        Case::should(
            "steady",
            "All the time, a client that speaks four times a second is answered at once.",
        )
        .sizes(2000, 12_000, 35_000)
        .answers(Question::Promptness)
        .judges(&[FailureKind::Slow])
        .wire(steady),
        Case::must("cpu-no-connections", "Without connections, the server uses no CPU.")
            .sizes(500, 1000, 5000)
            .needs(&[Need::CpuTime])
            .judges(&[FailureKind::Cpu])
            .process(cpu_no_connections),
        Case::must("cpu-500-connections", "Beside 500 silent clients, the server uses no CPU.")
            .sizes(500, 1000, 5000)
            .needs(&[Need::CpuTime, Need::Descriptors(CROWD)])
            .judges(&[FailureKind::Cpu])
            .process(cpu_500_connections),
        Case::must(
            "cpu-after-peers-gone",
            "Once its clients are gone, however they left, the server uses no CPU and has freed \
             what it had for them.",
        )
        .sizes(50, 200, 200)
        .needs(&[Need::CpuTime, Need::DescriptorCount, Need::Descriptors(200)])
        .judges(&[FailureKind::Cpu, FailureKind::Descriptors])
        .process(cpu_after_peers_gone),
        Case::should("memory", "While nothing happens, the server needs no more memory.")
            .sizes(1000, 5000, 30_000)
            .needs(&[Need::ResidentMemory, Need::Descriptors(SILENT)])
            .judges(&[FailureKind::Memory])
            .relies_on(&[Feature::SilentClients])
            .process(memory),
        Case::info("wakeups", "How often does an idle server wake up?")
            .sizes(400, 1000, 5000)
            .needs(&[Need::ContextSwitches])
            .process(wakeups),
        Case::info(
            "iowait-accounting",
            "What of an idle server does the kernel count as waiting for I/O?",
        )
        .sizes(20, 30, 150)
        .needs(&[Need::IoWait, Need::Signals, Need::Threads])
        .process(iowait_accounting),
        Case::info("kernel-threads", "Which threads does the kernel run for the server's rings?")
            .sizes(200, 1000, 30_000)
            .needs(&[Need::Threads, Need::KernelThreads])
            .process(kernel_threads),
    ],
};

/// An idle server may use so much of one core.
const QUIET: f64 = 0.05;
/// And should use no more than this.
const STILL: f64 = 0.01;
/// Clients of a server that is idle although it has many.
const CROWD: u64 = 500;
/// Clients of a server whose memory is looked at while they are silent.
const SILENT: u64 = 100;

/// What a client has exchanged that was busy.
const BUSY_BYTES: u64 = 4 * 1024 * 1024;

fn connection_survives(peer: &Peer) -> CaseResult {
    /// How often one of them speaks, which has to outlive its age alone.
    const PACE: Duration = Duration::from_millis(500);
    /// How soon FIN is answered, however long a client had been silent.
    const ANSWERED: Duration = Duration::from_secs(1);
    let mut silent = peer.connect()?;
    let mut quiet = peer.connect()?;
    let mut talker = peer.connect()?;
    let mut leaving = peer.connect_many(2)?;
    leaving[0].exchange(1024)?;
    quiet.exchange(1024)?;
    let start = Instant::now();
    while start.elapsed() < Duration::from_millis(peer.size()) {
        talker.exchange(64)?;
        // The silence is the case.
        quiet.expect_silence(PACE)?;
    }
    for connection in &mut leaving {
        connection.finish_sending()?;
        connection.expect_end_within(ANSWERED)?;
    }
    for connection in [&mut talker, &mut quiet, &mut silent] {
        connection.exchange(16 * 1024)?;
    }
    peer.serves()?;
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
        slowest = slowest.max(peer.clock().undisturbed(round));
        // Periodic work that stops the loop for longer than this delays at least one round.
        client.expect_silence(PACE)?;
    }
    peer.clock().judge_rounds("the slowest round", slowest, LIMIT)?;
    Observation::met()
}

fn cpu_no_connections(peer: &Peer, process: &Process) -> CaseResult {
    peer.serves()?;
    quiet(peer, process, Duration::from_millis(peer.size()))
}

fn cpu_500_connections(peer: &Peer, process: &Process) -> CaseResult {
    let mut crowd = peer.connect_many(CROWD)?;
    for connection in crowd.iter_mut().step_by(2) {
        connection.exchange(64)?;
    }
    // One of them was busy, and is silent now like the others.
    exchange(&mut [Flow::new(&mut crowd[0], BUSY_BYTES, peer.seed())], peer.clock())?;
    // A later client that is served shows that the silent ones were accepted.
    peer.serves()?;
    quiet(peer, process, Duration::from_millis(peer.size()))
}

fn cpu_after_peers_gone(peer: &Peer, process: &Process) -> CaseResult {
    /// A client that leaves without a word has been silent for so long.
    const SILENCE: Duration = Duration::from_millis(150);
    let mut at_rest = AtRest::now(process, peer, 0, FREED_WITHIN)?;
    // Freeing them is work, and a server that never does it is judged by what it uses first.
    let freed = at_rest.expect_freed(|| {
        for leave in [Leave::Close, Leave::Reset, Leave::HalfClose] {
            let mut connections = peer.connect_many(peer.size())?;
            for connection in &mut connections {
                connection.exchange(64)?;
            }
            // That they leave a server that has nothing to do is the case.
            thread::sleep(SILENCE);
            match leave {
                Leave::Close => drop(connections),
                Leave::Reset => connections.into_iter().for_each(Connection::reset),
                Leave::HalfClose => {
                    for connection in &mut connections {
                        connection.finish_sending()?;
                    }
                    thread::sleep(SILENCE);
                }
            }
        }
        Ok(())
    });
    expect_quiet(process, Duration::from_secs(1), QUIET, peer.clock())?;
    freed?;
    peer.serves()?;
    Observation::met()
}

fn memory(peer: &Peer, process: &Process) -> CaseResult {
    peer.serves()?;
    let_finish(process, QUIET)?;
    grows_at_rest(peer, process, "KiB by which it grew without clients")?;
    let mut silent = peer.connect_many(SILENT)?;
    for connection in silent.iter_mut().step_by(2) {
        connection.exchange(64)?;
    }
    peer.serves()?;
    let_finish(process, QUIET)?;
    grows_at_rest(peer, process, "KiB by which it grew beside silent clients")?;
    silent.iter_mut().try_for_each(|connection| connection.exchange(64))?;
    Observation::met()
}

/// Judges by how much the server grows in half of the case's time.
fn grows_at_rest(peer: &Peer, process: &Process, what: &str) -> Result<(), Failure> {
    /// Of which that with the most growth is left out: what is done once is no leak.
    const LOOKS: u32 = 5;
    /// 50 KiB a second.
    const KIB_PER_SECOND: f64 = 50.0;
    const LEAST_KIB: f64 = 64.0;
    let time = Duration::from_millis(peer.size()) / 2;
    let mut growths = Vec::new();
    let mut before = process.resident_bytes()?;
    for _ in 0..LOOKS {
        thread::sleep(time / LOOKS);
        let now = process.resident_bytes()?;
        growths.push(now as f64 - before as f64);
        before = now;
    }
    growths.sort_unstable_by(f64::total_cmp);
    growths.pop();
    let kib = (growths.iter().sum::<f64>() / 1024.0).max(0.0);
    let limit = LEAST_KIB.max(KIB_PER_SECOND * time.as_secs_f64());
    peer.clock().judge(FailureKind::Memory, what, kib, limit)
}

/// How a client leaves.
#[derive(Clone, Copy, Debug)]
enum Leave {
    Close,
    Reset,
    /// It finishes sending first, and closes later without having read the server's FIN.
    HalfClose,
}

/// Judges the CPU time of a server that has nothing to do, and records whether it is next to none.
fn quiet(peer: &Peer, process: &Process, time: Duration) -> CaseResult {
    let_finish(process, QUIET)?;
    let before = process.demand()?;
    thread::sleep(time);
    let share = process.demand()?.share_since(&before);
    peer.clock().judge(FailureKind::Cpu, "share of one core", share, QUIET)?;
    Observation::of(if share <= STILL {
        format!("below {:.0} % of a core", STILL * 100.0)
    } else {
        format!("{:.0} to {:.0} % of a core", STILL * 100.0, QUIET * 100.0)
    })
}

fn wakeups(peer: &Peer, process: &Process) -> CaseResult {
    /// One of several looks: what happens once, such as the end of a thread, is in one of them.
    const LOOKS: u32 = 4;
    /// More wake-ups in a second are flagged.
    const MANY: f64 = 100.0;
    peer.serves()?;
    let look = Duration::from_millis(peer.size()) / LOOKS;
    let mut counts = Vec::new();
    for _ in 0..LOOKS {
        let before = process.switches()?;
        thread::sleep(look);
        counts.push(process.switches()?.voluntary.saturating_sub(before.voluntary));
    }
    counts.sort_unstable();
    // The lower of the two in the middle.
    let per_second = counts[counts.len() / 2 - 1] as f64 / look.as_secs_f64();
    Observation::of(match per_second {
        none if none <= 0.0 => "none".to_owned(),
        few if few < MANY => format!("below {MANY} a second"),
        _ => format!("{MANY} a second or more, flagged"),
    })
}

fn iowait_accounting(peer: &Peer, process: &Process) -> CaseResult {
    peer.serves()?;
    let waiting =
        process.waiting_for_io(Duration::from_millis(peer.size()), || peer.clock().progress())?;
    Observation::of(match waiting {
        0 => "none of its threads",
        _ => "threads that wait for clients, so that an idle host shows iowait",
    })
}

fn kernel_threads(peer: &Peer, process: &Process) -> CaseResult {
    /// More threads of any kind are flagged.
    const MANY: usize = 64;
    /// Clients at once, and rounds with each.
    const LOAD: (u64, u64) = (50, 10);
    peer.serves()?;
    let idle = process.threads()?;
    load(peer, LOAD.0, LOAD.1)?;
    thread::sleep(Duration::from_millis(peer.size()));
    let after = process.threads()?;
    let flag = if idle.all.max(after.all) > MANY {
        format!("; more than {MANY} threads in all, flagged")
    } else {
        String::new()
    };
    Observation::of(match (idle.of_rings, after.of_rings) {
        (0, 0) => format!("none{flag}"),
        (idle, after) => format!("{} when idle, {} after load{flag}", some(idle), some(after)),
    })
}

/// So many clients that exchange messages, and end in both ways.
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

/// A number of threads, rounded so that it is the same from one run to the next.
fn some(threads: usize) -> String {
    match threads {
        0 => "none".to_owned(),
        1 => "one".to_owned(),
        more => format!("2 to {}", more.next_power_of_two().max(8)),
    }
}
