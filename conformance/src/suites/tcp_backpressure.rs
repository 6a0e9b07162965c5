//! Backpressure: the server stops reading from a client that does not read, and serves the others.

use std::thread;
use std::time::{Duration, Instant};

use harness::process::Process;
use harness::wait::{Interest, wait_any};
use report::{Failure, FailureKind, Question};

use crate::case::{Case, CaseResult, Need, Observation, Suite};
use crate::client::connection::{Connection, Setup};
use crate::client::peer::Peer;
use crate::client::ping_pong::p99_round;
use crate::expectation::judge_demand;

/// The table.
pub(super) const SUITE: Suite = Suite {
    name: "tcp-backpressure",
    about: "Memory for a connection is bounded, and a client that does not read is waited for.",
    question: Question::Bytes,
    cases: &[
        Case::must(
            "bounded",
            "The server stops taking bytes from a client that does not read, and its memory stays.",
        )
        .sizes(200, 300, 1000)
        .needs(&[Need::ResidentMemory])
        .answers(Question::Limits)
        .judges(&[FailureKind::Unbounded, FailureKind::Memory])
        .process(bounded),
        Case::must(
            "small-messages",
            "Small messages of a client that does not read cost bounded memory, and come back.",
        )
        .sizes(20_000, 20_000, 20_000)
        .needs(&[Need::ResidentMemory, Need::SocketQueues])
        .answers(Question::Limits)
        .of_tcp_alone()
        .process(small_messages),
        Case::must("resume", "A client that reads after a pause gets everything.")
            .sizes(200, 300, 1000)
            .wire(resume),
        Case::must("resume-repeated", "So it is each time that the client pauses and reads.")
            .sizes(4, 8, 200)
            .wire(resume_repeated),
        Case::should("slow-reader", "A client that reads slowly costs the server little CPU.")
            .sizes(50 * 1024, 200 * 1024, 4 * 1024 * 1024)
            .needs(&[Need::CpuTime])
            .answers(Question::Resources)
            .judges(&[FailureKind::Cpu])
            .process(slow_reader),
        Case::must("isolation", "A client that does not read does not slow the others down.")
            .sizes(20, 50, 200)
            .alone()
            .wire(isolation),
        Case::must("many-stalled", "Beside many clients that do not read, new ones are served.")
            .sizes(20, 64, 200)
            .needs(&[Need::ResidentMemory, Need::Descriptors(200)])
            .answers(Question::Limits)
            .process(many_stalled),
        Case::must(
            "buffer-pool-exhaustion",
            "However many connections wait for their clients to read, each gets every byte.",
        )
        .sizes(200, 1024, 2048)
        .needs(&[Need::Descriptors(2048)])
        .answers(Question::Limits)
        .wire(buffer_pool_exhaustion),
        Case::should("zero-window-recovery", "A long time without any window loses nothing.")
            .sizes(300, 4000, 15_000)
            .of_tcp_alone()
            .wire(zero_window_recovery),
    ],
};

/// No server may take more from a client that does not read; Linux with default buffers has room
/// for some 9 MiB on the way.
const PLATEAU_MIB: u64 = 64;
/// The server's own memory may grow so far meanwhile.
const GROWTH_MIB: u64 = 32;
const MIB: u64 = 1024 * 1024;
/// What a client sends in one of many cycles at most: more than the server's send buffer holds.
/// What the receive buffer takes then comes ever more slowly, and grows from cycle to cycle.
const CYCLE_BYTES: u64 = 3 * MIB;
/// How long a client does not read in one of many cycles.
const PAUSE: Duration = Duration::from_millis(40);
/// What one of many stalled clients sends at most: it fills the server's send buffer, and many
/// times it does not exhaust the host's memory for sockets.
pub(super) const STALLED_BYTES: u64 = 2 * MIB;
/// New clients beside the stalled ones, more than a server has workers.
const NEW_CLIENTS: u64 = 128;
/// How long the kernel must take nothing before a writer counts as blocked.
const BLOCKED: Duration = Duration::from_millis(100);
/// The same for one that nothing may set going again: longer than the kernel waits before it sends
/// once more what a full buffer has dropped (200 ms at the least on Linux).
const BLOCKED_FOR_GOOD: Duration = Duration::from_millis(300);

fn bounded(peer: &Peer, process: &Process) -> CaseResult {
    peer.serves()?;
    let mut connection = peer.connect()?;
    connection.exchange(1024)?;
    let before = process.resident_bytes()?;
    let quiet = Duration::from_millis(peer.size());
    let judge = |kind, what, bytes: u64, limit: u64| {
        peer.clock().judge(kind, what, bytes as f64 / MIB as f64, limit as f64)
    };
    // Once is not enough: what a resumed connection does when it is blocked again is other code.
    for _ in 0..2 {
        let taken = connection.send_until_blocked(quiet, (PLATEAU_MIB + 1) * MIB)?;
        let growth = process.resident_bytes()?.saturating_sub(before);
        judge(
            FailureKind::Unbounded,
            "MiB taken from a client that does not read",
            taken,
            PLATEAU_MIB,
        )?;
        judge(FailureKind::Memory, "MiB by which the server grew", growth, GROWTH_MIB)?;
        connection.receive_all()?;
    }
    connection.reset();
    peer.serves()?;
    Observation::met()
}

fn small_messages(peer: &Peer, process: &Process) -> CaseResult {
    const MESSAGE: u64 = 10;
    /// What fills the buffers of both kernels, and leaves room in one of the server's.
    const PIECE: u64 = 4096;
    /// A server that leaves a message unread for so long takes no more.
    const UNREAD: Duration = Duration::from_millis(20);
    /// A server that takes its time for each of them is asked fewer.
    const ENOUGH: Duration = Duration::from_secs(5);
    peer.serves()?;
    let mut connection = peer.connect_with(Setup::tight())?;
    connection.exchange(1024)?;
    let before = process.resident_bytes()?;
    // A server that is only slow writes what it holds in the end.
    while connection.sent() < PLATEAU_MIB * MIB && connection.is_written_within(UNREAD)? {
        connection.send(PIECE)?;
        if !connection.is_taken_within(UNREAD)? {
            break;
        }
    }
    let start = Instant::now();
    // Each is a read of its own.
    for _ in 0..peer.size() {
        connection.send(MESSAGE)?;
        if !connection.is_read_within(UNREAD)? || start.elapsed() > ENOUGH {
            break;
        }
    }
    let growth = process.resident_bytes()?.saturating_sub(before) as f64 / MIB as f64;
    let (what, limit) = ("MiB by which the server grew", GROWTH_MIB as f64);
    peer.clock().judge(FailureKind::Memory, what, growth, limit)?;
    connection.receive_all()?;
    Observation::met()
}

fn resume(peer: &Peer) -> CaseResult {
    let mut connection = peer.connect_with(Setup::tight())?;
    shut_window(&mut connection, peer)?;
    connection.receive_all()?;
    connection.exchange(64 * 1024)?;
    Observation::met()
}

fn resume_repeated(peer: &Peer) -> CaseResult {
    let mut connection = peer.connect_with(Setup::tight())?;
    for _ in 0..peer.size() {
        connection.send_until_blocked(PAUSE, CYCLE_BYTES)?;
        // That the client does not read for a while is the case.
        thread::sleep(PAUSE);
        connection.receive_all()?;
    }
    Observation::met()
}

fn slow_reader(peer: &Peer, process: &Process) -> CaseResult {
    const PIECE: u64 = 4 * 1024;
    let mut connection = peer.connect_with(Setup::tight())?;
    connection.send_until_blocked(BLOCKED, PLATEAU_MIB * MIB)?;
    let (before, start) = (process.demand()?, Instant::now());
    for piece in 1..=peer.size() / PIECE {
        connection.receive(PIECE)?;
        connection.send_until_blocked(Duration::ZERO, MIB)?;
        // 100 KiB/s: the pace is the case.
        let due = start + Duration::from_millis(piece * PIECE * 1000 / (100 * 1024));
        thread::sleep(due.saturating_duration_since(Instant::now()));
    }
    judge_demand(process, &before, 0.20, peer.clock())?;
    connection.receive_all()?;
    Observation::met()
}

fn isolation(peer: &Peer) -> CaseResult {
    /// Far more than a round takes, and no multiple of what it takes on a server that may be at
    /// fault from the beginning.
    const LIMIT: Duration = Duration::from_millis(100);
    let mut clients = peer.connect_many(10)?;
    let mut stalled = peer.connect_with(Setup::tight())?;
    stalled.send_until_blocked(BLOCKED_FOR_GOOD, PLATEAU_MIB * MIB)?;
    let beside = p99_round(&mut clients, peer, LIMIT)?;
    peer.clock().judge_rounds("p99 beside a client that does not read", beside, LIMIT)?;
    stalled.receive_all()?;
    Observation::met()
}

fn many_stalled(peer: &Peer, process: &Process) -> CaseResult {
    let mut neighbour = peer.connect()?;
    neighbour.exchange(64)?;
    let before = process.resident_bytes()?;
    let mut stalled = (0..peer.size())
        .map(|_| peer.connect_with(Setup::tight()))
        .collect::<Result<Vec<_>, _>>()?;
    stall(&mut stalled, peer)?;
    let growth = process.resident_bytes()?.saturating_sub(before);
    // More than one: those who are dealt to workers in turn come to each of them.
    for _ in 0..NEW_CLIENTS {
        peer.serves()?;
    }
    neighbour.exchange(64)?;
    // Some of them are enough: the rest would be hundreds of megabytes.
    for connection in stalled.iter_mut().step_by(8) {
        connection.receive_all()?;
    }
    // Rounded, so that it is the same from one run to the next.
    let kib = (growth / 1024 / peer.size()).next_power_of_two().max(16);
    Observation::of(format!("at most {kib} KiB of the server's memory a stalled client"))
}

/// Sends on all connections until none of them has taken anything for a while, or all of them have
/// taken [`STALLED_BYTES`].
pub(super) fn stall(connections: &mut [Connection], peer: &Peer) -> Result<(), Failure> {
    let deadline = peer.clock().cell_end();
    loop {
        let mut sending: Vec<&mut Connection> =
            connections.iter_mut().filter(|connection| connection.sent() < STALLED_BYTES).collect();
        let sockets: Vec<_> =
            sending.iter().map(|connection| (connection.socket(), Interest::Write)).collect();
        let has_room = wait_any(&sockets, peer.clock().scaled(BLOCKED))?;
        if !has_room.contains(&true) {
            return Ok(());
        }
        if deadline.is_over() {
            return Err(deadline.failure("clients of which nobody can send any more"));
        }
        for (connection, _) in sending.iter_mut().zip(has_room).filter(|(_, room)| *room) {
            connection.send_until_blocked(Duration::ZERO, STALLED_BYTES - connection.sent())?;
        }
    }
}

fn buffer_pool_exhaustion(peer: &Peer) -> CaseResult {
    const BATCH: u64 = 128;
    const BYTES: u64 = 16 * 1024;
    let mut connections = Vec::new();
    while (connections.len() as u64) < peer.size() {
        let mut batch = peer.connect_many(BATCH.min(peer.size() - connections.len() as u64))?;
        batch.iter_mut().try_for_each(|connection| connection.send(BYTES))?;
        connections.append(&mut batch);
    }
    for connection in &mut connections {
        connection.receive(BYTES)?;
    }
    peer.serves()?;
    for connection in connections {
        connection.reset();
    }
    Observation::met()
}

fn zero_window_recovery(peer: &Peer) -> CaseResult {
    let mut connection = peer.connect_with(Setup::tight())?;
    shut_window(&mut connection, peer)?;
    connection.receive_all()?;
    Observation::met()
}

/// Sends until the server has taken nothing for as long as the case wants. A pause after the last
/// write would not do: a server that was only slow would take more meanwhile, and nothing would
/// block it.
fn shut_window(connection: &mut Connection, peer: &Peer) -> Result<u64, Failure> {
    connection.send_until_blocked(Duration::from_millis(peer.size()), PLATEAU_MIB * MIB)
}
