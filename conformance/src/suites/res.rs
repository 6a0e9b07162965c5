//! Resources: what a server has taken for a connection it gives back when that ends, however it
//! ends, what it gives up it does not lose, and what it takes is recorded.

mod cancelled;
mod memory;

use std::time::Duration;

use harness::kernel_log::KernelLog;
use harness::process::{Process, Signal};
use report::host::size;
use report::{Failure, FailureKind};

use crate::case::{Case, Found, Need, Observation, Suite};
use crate::connection::Connection;
use crate::expectation::{descriptors_at_rest, expect_descriptors};
use crate::peer::Peer;

/// The table.
pub(super) const SUITE: Suite = Suite {
    name: "res",
    about: "A server gives back what it takes, and loses nothing that it gives up.",
    cases: &[
        Case::must(
            "descriptors-after-churn",
            "After many connections that ended in order, no descriptor is left over.",
        )
        .sizes(200, 500, 2000)
        .needs(&[Need::DescriptorCount])
        .process(descriptors_after_churn),
        Case::must(
            "descriptors-after-resets",
            "After many connections that were reset at any moment, no descriptor is left over.",
        )
        .sizes(200, 500, 2000)
        .needs(&[Need::DescriptorCount])
        .process(descriptors_after_resets),
        Case::must(
            "descriptors-after-aborted-accepts",
            "After many connections that ended while they were accepted, no descriptor is left \
             over.",
        )
        .sizes(1, 2, 10)
        .needs(&[Need::DescriptorCount])
        .process(descriptors_after_aborted_accepts),
        Case::must(
            "cancelled-accept-no-orphan",
            "A client that comes while an accept is cancelled is served or closed within 2 s.",
        )
        .sizes(200, 1000, 5000)
        .asks_for("cancel")
        .lifecycle(cancelled::cancelled_accept_no_orphan),
        Case::must(
            "cancelled-read-no-loss",
            "No byte that comes while a read is cancelled is lost or comes back twice.",
        )
        .sizes(100, 300, 3000)
        .asks_for("cancel")
        .lifecycle(cancelled::cancelled_read_no_loss),
        Case::should("memory-after-churn", "As many connections again need no more memory.")
            .sizes(300, 700, 7000)
            .needs(&[Need::ResidentMemory, Need::DescriptorCount])
            .process(memory::memory_after_churn),
        Case::must(
            "memory-after-resets",
            "Connections that are reset leave next to no memory behind.",
        )
        .sizes(100, 200, 2000)
        .needs(&[Need::ResidentMemory, Need::DescriptorCount])
        .process(memory::memory_after_resets),
        Case::must(
            "after-blocked-writes",
            "Connections that end while their writes are blocked leave nothing behind.",
        )
        .sizes(16, 24, 100)
        .needs(&[Need::ResidentMemory, Need::DescriptorCount, Need::Descriptors(100)])
        .process(memory::after_blocked_writes),
        Case::must(
            "memory-of-streams",
            "What has gone through a connection takes no memory, while it goes on.",
        )
        .sizes(2, 8, 64)
        .needs(&[Need::ResidentMemory])
        .process(memory::memory_of_streams),
        Case::info("memory-per-idle-connection", "How much memory does an idle connection take?")
            .sizes(1000, 1000, 1000)
            .needs(&[Need::ResidentMemory, Need::Descriptors(1010)])
            .process(memory::memory_per_idle_connection),
        Case::should("threads-bounded", "Beside 500 clients, the server has no more threads.")
            .sizes(500, 500, 500)
            .needs(&[Need::Threads, Need::Descriptors(500)])
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

fn descriptors_after_churn(peer: &Peer, process: &Process) -> Found {
    /// At once, or a server that takes its time to answer FIN would take minutes.
    const TOGETHER: u64 = 10;
    let base = descriptors_at_rest(process, peer)?;
    for _ in 0..peer.size() / TOGETHER {
        let mut connections = peer.connect_many(TOGETHER)?;
        for connection in &mut connections {
            connection.exchange(64)?;
            connection.finish_sending()?;
        }
        connections.iter_mut().try_for_each(Connection::expect_end)?;
    }
    expect_descriptors(process, base + SPARE_DESCRIPTORS, SETTLED, peer.clock())?;
    peer.serves()?;
    Observation::met()
}

fn descriptors_after_resets(peer: &Peer, process: &Process) -> Found {
    let mut random = peer.random(0);
    let base = descriptors_at_rest(process, peer)?;
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
    expect_descriptors(process, base + SPARE_DESCRIPTORS, SETTLED, peer.clock())?;
    peer.serves()?;
    Observation::met()
}

fn descriptors_after_aborted_accepts(peer: &Peer, process: &Process) -> Found {
    /// Connections of one round, as many as nearly every accept queue has room for at once.
    const ROUND: u64 = 500;
    let mut random = peer.random(0);
    let base = descriptors_at_rest(process, peer)?;
    for _ in 0..peer.size() {
        for _ in 0..ROUND {
            // On loopback the connection is established when the call returns, and the server is
            // about to accept it.
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
    expect_descriptors(process, base + SPARE_DESCRIPTORS, SETTLED, peer.clock())?;
    peer.serves()?;
    Observation::met()
}

fn threads_bounded(peer: &Peer, process: &Process) -> Found {
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

fn cpu_per_mebibyte(peer: &Peer, process: &Process) -> Found {
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

fn kernel_log_clean(peer: &Peer, process: &Process) -> Found {
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
