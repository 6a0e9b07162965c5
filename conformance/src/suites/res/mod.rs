//! Resources: the server frees what it used for a connection, however the connection ends, and
//! loses nothing when it cancels an operation. Some cases only record what the server uses.

mod cancellation;
mod memory;
mod threads;

use std::time::Duration;

use harness::kernel_log::KernelLog;
use harness::process::{Process, Signal};
use report::host::size;
use report::{Failure, FailureKind, Question};

use crate::case::{Case, CaseResult, Need, Observation, Suite};
use crate::client::connection::Connection;
use crate::client::peer::Peer;
use crate::expectation::DescriptorBaseline;
use cancellation::{cancelled_accept_no_orphan, cancelled_read_no_loss};
use memory::{after_blocked_writes, memory_after_churn, memory_after_resets, memory_of_streams};
use threads::{children_waited_for, threads_after_churn, threads_bounded};

pub(super) use memory::memory_after_either_end;

pub(super) const SUITE: Suite = Suite {
    name: "res",
    about: "The server frees what it used for a connection, and cancels operations without loss.",
    question: Question::Resources,
    cases: &[
        Case::must(
            "descriptors-after-churn",
            "Connections that end in order leave no descriptor open.",
        )
        .sizes(200, 500, 2000)
        .needs(&[Need::DescriptorCount])
        .answering_failures(&[FailureKind::Descriptors])
        .process(descriptors_after_churn),
        Case::must(
            "descriptors-after-resets",
            "Connections that are reset at any moment leave no descriptor open.",
        )
        .sizes(200, 500, 2000)
        .needs(&[Need::DescriptorCount])
        .answering_failures(&[FailureKind::Descriptors])
        .tcp_only()
        .process(descriptors_after_resets),
        Case::must(
            "descriptors-after-aborted-accepts",
            "Connections that end while the server accepts them leave no descriptor open.",
        )
        .sizes(1, 2, 10)
        .needs(&[Need::DescriptorCount])
        .answering_failures(&[FailureKind::Descriptors])
        .tcp_only()
        .process(descriptors_after_aborted_accepts),
        Case::must(
            "cancelled-accept-no-orphan",
            "A client that connects while an accept is cancelled is served or closed within 2 s.",
        )
        .sizes(200, 1000, 5000)
        .with_capability("cancel")
        .answers(Question::Bytes)
        .lifecycle(cancelled_accept_no_orphan),
        Case::must(
            "cancelled-read-no-loss",
            "Every byte that arrives while a read is cancelled comes back exactly once.",
        )
        .sizes(100, 300, 3000)
        .with_capability("cancel")
        .answers(Question::Bytes)
        .lifecycle(cancelled_read_no_loss),
        Case::must("memory-after-churn", "Connections that have ended leave no memory behind.")
            .sizes(32_000, 32_000, 200_000)
            .needs(&[Need::ResidentMemory, Need::DescriptorCount])
            .answering_failures(&[FailureKind::Memory])
            .process(memory_after_churn),
        Case::must(
            "memory-after-resets",
            "Connections that are reset during an echo, or that end without sending a byte, leave \
             no memory behind.",
        )
        .sizes(32_000, 32_000, 200_000)
        .needs(&[Need::ResidentMemory, Need::DescriptorCount])
        .answering_failures(&[FailureKind::Memory])
        .tcp_only()
        .process(memory_after_resets),
        Case::must(
            "after-blocked-writes",
            "Connections that end while the server's writes are blocked leave no memory or \
             descriptor behind.",
        )
        .sizes(16, 16, 100)
        .needs(&[Need::ResidentMemory, Need::DescriptorCount, Need::Descriptors(100)])
        .answering_failures(&[FailureKind::Memory, FailureKind::Descriptors])
        .process(after_blocked_writes),
        Case::must(
            "memory-of-streams",
            "An open connection takes no additional memory, however many bytes pass through it.",
        )
        .sizes(48_000, 96_000, 1_000_000)
        .needs(&[Need::ResidentMemory])
        .answering_failures(&[FailureKind::Memory])
        .process(memory_of_streams),
        Case::info("memory-per-idle-connection", "How much memory does an idle connection take?")
            .sizes(1000, 1000, 1000)
            .needs(&[Need::ResidentMemory, Need::Descriptors(1010)])
            .process(memory_per_idle_connection),
        Case::should("threads-bounded", "500 connections add at most 64 threads.")
            .sizes(500, 500, 500)
            .needs(&[Need::Threads, Need::Descriptors(500)])
            .answering_failures(&[FailureKind::Threads])
            .process(threads_bounded),
        Case::must("threads-after-churn", "Connections that have ended leave no thread behind.")
            .sizes(500, 1000, 5000)
            .needs(&[Need::Threads])
            .answering_failures(&[FailureKind::Threads])
            .process(threads_after_churn),
        Case::must(
            "children-waited-for",
            "The server reaps the child processes that it started for its clients.",
        )
        .sizes(100, 200, 1000)
        .needs(&[Need::EndedChildren])
        .answering_failures(&[FailureKind::Children])
        .process(children_waited_for),
        Case::info(
            "cpu-per-mebibyte",
            "How much CPU time does the server use per MiB, at each message size?",
        )
        .sizes(1, 1, 8)
        .needs(&[Need::CpuTime])
        .process(cpu_per_mebibyte),
        Case::info("kernel-log-clean", "What does the kernel log say about the server?")
            .sizes(200, 300, 2000)
            .needs(&[Need::KernelLog, Need::KernelThreads])
            .tcp_only()
            .process(kernel_log_clean),
    ],
};

const KIB: u64 = 1024;
const MIB: u64 = 1024 * KIB;
/// Descriptors above the baseline that are no leak: a runtime may open one for itself meanwhile.
const SPARE_DESCRIPTORS: usize = 2;
/// How long a server may take to free what is left.
const SETTLE_TIME: Duration = Duration::from_secs(3);
/// Concurrent connections in cases that open many batches.
const BATCH: u64 = 50;

fn descriptors_after_churn(peer: &Peer, process: &Process) -> CaseResult {
    /// Connections whose FINs are awaited together: one by one, a server that is slow to answer FIN
    /// would take minutes.
    const GROUP: u64 = 10;
    DescriptorBaseline::measure(process, peer, SPARE_DESCRIPTORS, SETTLE_TIME)?.expect_freed(
        || {
            for _ in 0..peer.size() / GROUP {
                let mut connections = peer.connect_many(GROUP)?;
                for connection in &mut connections {
                    connection.exchange(64)?;
                    connection.finish_sending()?;
                }
                connections.iter_mut().try_for_each(Connection::expect_end)?;
            }
            Ok(())
        },
    )?;
    peer.expect_service()?;
    Observation::met()
}

fn descriptors_after_resets(peer: &Peer, process: &Process) -> CaseResult {
    let mut random = peer.random(0);
    DescriptorBaseline::measure(process, peer, SPARE_DESCRIPTORS, SETTLE_TIME)?.expect_freed(
        || {
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
        },
    )?;
    peer.expect_service()?;
    Observation::met()
}

fn descriptors_after_aborted_accepts(peer: &Peer, process: &Process) -> CaseResult {
    /// Connections per round, if accept queues on this host can have room for this many.
    const ROUND: u64 = 500;
    let mut random = peer.random(0);
    DescriptorBaseline::measure(process, peer, SPARE_DESCRIPTORS, SETTLE_TIME)?.expect_freed(
        || {
            for _ in 0..peer.size() {
                for _ in 0..peer.host_queue(ROUND) {
                    // What follows races with the server's accept of this client.
                    let pending = peer.start_established()?;
                    match random.u8(0..3) {
                        0 => drop(pending),
                        1 => pending.reset(),
                        _ => {
                            let mut connection =
                                pending.finish(peer.clock().progress_deadline())?;
                            connection.send(random.u64(1..64))?;
                            connection.reset();
                        }
                    }
                }
                peer.expect_service()?;
            }
            Ok(())
        },
    )?;
    peer.expect_service()?;
    Observation::met()
}

fn cpu_per_mebibyte(peer: &Peer, process: &Process) -> CaseResult {
    /// Bytes per message, and messages per round.
    const MESSAGES: [(u64, u64); 3] = [(64, 1000), (4 * KIB, 250), (64 * KIB, 32)];
    /// The cheapest round counts, because a disturbance only adds CPU time.
    const ROUNDS: usize = 3;
    /// A server that spends more than this share of its CPU time in user mode does more than echo.
    const OWN_CODE_SHARE: f64 = 0.75;
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
        // Rounded to orders of magnitude, so that repeated runs agree.
        let ms = 10f64.powf(cheapest.log10().floor());
        costs.push(format!("{} to {} ms in messages of {}", ms, ms * 10.0, size(bytes)));
    }
    let end = process.cpu()?;
    // The times of a process that has ended are no longer counted, so the sums can shrink.
    let user = end.user.saturating_sub(start.user);
    let system = end.system.saturating_sub(start.system);
    if user.as_secs_f64() > OWN_CODE_SHARE * (user + system).as_secs_f64() {
        costs.push("mostly in its own code".to_owned());
    }
    Observation::recorded(costs.join(", "))
}

fn kernel_log_clean(peer: &Peer, process: &Process) -> CaseResult {
    /// Clients that connect while the server is suspended.
    const QUEUED: u64 = 50;
    let unread =
        |e: std::io::Error| Failure::new(FailureKind::Harness, "the kernel's log", e.to_string());
    let mut log = KernelLog::open_at_end().map_err(unread)?;
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
    Observation::recorded(match about_it.first() {
        None => "nothing".to_owned(),
        Some(line) => format!("{:?}", without_numbers(line)),
    })
}

/// A line with every number replaced by `N`, because numbers differ from server to server.
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

fn memory_per_idle_connection(peer: &Peer, process: &Process) -> CaseResult {
    peer.expect_service()?;
    let before = process.resident_bytes()?;
    let mut idle = peer.connect_many(peer.size())?;
    for connection in &mut idle {
        connection.send(64)?;
    }
    for connection in &mut idle {
        connection.receive(64)?;
    }
    let growth = process.resident_bytes()?.saturating_sub(before);
    peer.expect_service()?;
    Connection::release_all(idle);
    // Rounded, so that repeated runs agree.
    let kib = growth as f64 / KIB as f64 / peer.size() as f64;
    Observation::recorded(format!("about {} KiB", kib.max(1.0).log2().round().exp2()))
}
