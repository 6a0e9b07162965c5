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

pub(super) const SUITE: Suite = Suite {
    name: "tcp-backpressure",
    about: "A client that does not read costs bounded memory, and gets every byte once it reads.",
    question: Question::Bytes,
    cases: &[
        Case::must(
            "bounded",
            "The server stops reading from a client that does not read, and grows by at most \
             32 MiB.",
        )
        .sizes(200, 300, 1000)
        .needs(&[Need::ResidentMemory])
        .answers(Question::Limits)
        .answering_failures(&[FailureKind::Unbounded, FailureKind::Memory])
        .process(bounded),
        Case::must(
            "small-messages",
            "Small messages of a client that does not read cost at most 32 MiB of memory, and come \
             back.",
        )
        .sizes(20_000, 20_000, 20_000)
        .needs(&[Need::ResidentMemory, Need::SocketQueues])
        .answers(Question::Limits)
        .tcp_only()
        .process(small_messages),
        Case::must("resume", "A client that stops reading and resumes later gets every byte.")
            .sizes(200, 300, 1000)
            .wire(resume),
        Case::must(
            "resume-repeated",
            "A client that pauses and resumes many times gets every byte each time.",
        )
        .sizes(4, 8, 200)
        .wire(resume_repeated),
        Case::should(
            "slow-reader",
            "A client that reads slowly costs the server at most 20 % of a core.",
        )
        .sizes(48 * 1024, 200 * 1024, 4 * 1024 * 1024)
        .needs(&[Need::CpuTime])
        .answers(Question::Resources)
        .answering_failures(&[FailureKind::Cpu])
        .process(slow_reader),
        Case::must(
            "isolation",
            "While one client does not read, 99 % of the other clients' rounds take at most \
             100 ms.",
        )
        .sizes(20, 50, 200)
        .exclusive_timed()
        .wire(isolation),
        Case::must(
            "many-stalled",
            "While many clients do not read, the server serves new clients.",
        )
        .sizes(20, 64, 200)
        .needs(&[Need::ResidentMemory, Need::Descriptors(200)])
        .answers(Question::Limits)
        .process(many_stalled),
        Case::must(
            "buffer-pool-exhaustion",
            "Hundreds of clients that all send before any of them reads get every byte.",
        )
        .sizes(200, 1024, 2048)
        .needs(&[Need::Descriptors(2048)])
        .answers(Question::Limits)
        .wire(buffer_pool_exhaustion),
        Case::should(
            "zero-window-recovery",
            "A client whose receive window stays closed for a long time loses no byte.",
        )
        .sizes(300, 4000, 15_000)
        .tcp_only()
        .wire(zero_window_recovery),
    ],
};

/// The most MiB that a server may take from a client that does not read. With default buffers,
/// Linux has room for about 9 MiB between the two.
const PLATEAU_MIB: u64 = 64;
/// The most MiB by which the server's memory may grow meanwhile.
const GROWTH_MIB: u64 = 32;
const MIB: u64 = 1024 * 1024;
/// The most that a client sends per cycle: more than the server's send buffer holds. Further bytes
/// would fill the server's receive buffer, which takes time: it takes bytes ever more slowly as it
/// fills, and has more room in each cycle than in the one before.
const CYCLE_BYTES: u64 = 3 * MIB;
/// How long the kernel must take nothing before the client of a cycle counts as blocked, and how
/// long the client then waits until it reads.
const PAUSE: Duration = Duration::from_millis(40);
/// The most that each of many stalled clients sends. It fills the server's send buffer, and many
/// times this much does not exhaust the host's memory for sockets.
pub(super) const STALLED_BYTES: u64 = 2 * MIB;
/// New clients next to the stalled ones: more than a server has workers.
const NEW_CLIENTS: u64 = 128;
/// How long the kernel must take nothing before a writer counts as blocked.
const BLOCK_TIME: Duration = Duration::from_millis(100);
/// How long the kernel must take nothing before a writer counts as blocked for good. This is longer
/// than the minimum retransmission timeout (200 ms on Linux), after which the kernel sends again
/// what a full buffer has dropped.
const LONG_BLOCK_TIME: Duration = Duration::from_millis(300);

fn bounded(peer: &Peer, process: &Process) -> CaseResult {
    peer.expect_service()?;
    let mut connection = peer.connect()?;
    connection.exchange(1024)?;
    let before = process.resident_bytes()?;
    let quiet = Duration::from_millis(peer.size());
    let judge = |kind, what, bytes: u64, limit: u64| {
        peer.clock().judge(kind, what, bytes as f64 / MIB as f64, limit as f64)
    };
    // Twice, because a connection that resumed may be blocked by different code the second time.
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
    peer.expect_service()?;
    Observation::met()
}

fn small_messages(peer: &Peer, process: &Process) -> CaseResult {
    const MESSAGE_BYTES: u64 = 10;
    /// The size of the writes that fill the socket buffers. It is far below what a server that
    /// reads ahead may hold, so such a server still has room for small messages.
    const PIECE_BYTES: u64 = 4096;
    /// A server that leaves a message unread for this long takes no more.
    const UNREAD_TIME: Duration = Duration::from_millis(20);
    /// A slow server gets fewer messages: none is sent after this time.
    const TIME_LIMIT: Duration = Duration::from_secs(5);
    peer.expect_service()?;
    let mut connection = peer.connect_with(Setup::small_buffers())?;
    connection.exchange(1024)?;
    let before = process.resident_bytes()?;
    // A server that is only slow writes what it holds eventually; one that is blocked does not.
    while connection.sent_bytes() < PLATEAU_MIB * MIB
        && connection.is_written_within(UNREAD_TIME)?
    {
        connection.send(PIECE_BYTES)?;
        if !connection.is_taken_within(UNREAD_TIME)? {
            break;
        }
    }
    let start = Instant::now();
    // The server reads each message on its own.
    for _ in 0..peer.size() {
        connection.send(MESSAGE_BYTES)?;
        if !connection.is_read_within(UNREAD_TIME)? || start.elapsed() > TIME_LIMIT {
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
    let mut connection = peer.connect_with(Setup::small_buffers())?;
    shut_window(&mut connection, peer)?;
    connection.receive_all()?;
    connection.exchange(64 * 1024)?;
    Observation::met()
}

fn resume_repeated(peer: &Peer) -> CaseResult {
    let mut connection = peer.connect_with(Setup::small_buffers())?;
    for _ in 0..peer.size() {
        connection.send_until_blocked(PAUSE, CYCLE_BYTES)?;
        // The case tests that the client does not read for a while.
        thread::sleep(PAUSE);
        connection.receive_all()?;
    }
    Observation::met()
}

fn slow_reader(peer: &Peer, process: &Process) -> CaseResult {
    const PIECE_BYTES: u64 = 4 * 1024;
    let mut connection = peer.connect_with(Setup::small_buffers())?;
    connection.send_until_blocked(BLOCK_TIME, PLATEAU_MIB * MIB)?;
    let (before, start) = (process.demand()?, Instant::now());
    for piece in 1..=peer.size() / PIECE_BYTES {
        connection.receive(PIECE_BYTES)?;
        connection.send_until_blocked(Duration::ZERO, MIB)?;
        // The case tests this pace: 100 KiB/s.
        let due = start + Duration::from_millis(piece * PIECE_BYTES * 1000 / (100 * 1024));
        thread::sleep(due.saturating_duration_since(Instant::now()));
    }
    judge_demand(process, &before, 0.20, peer.clock())?;
    connection.receive_all()?;
    Observation::met()
}

fn isolation(peer: &Peer) -> CaseResult {
    /// Far more than a round takes. It is not a multiple of this server's own rounds, which may be
    /// slow from the start.
    const LIMIT: Duration = Duration::from_millis(100);
    let mut clients = peer.connect_many(10)?;
    let mut stalled = peer.connect_with(Setup::small_buffers())?;
    stalled.send_until_blocked(LONG_BLOCK_TIME, PLATEAU_MIB * MIB)?;
    let beside = p99_round(&mut clients, peer, LIMIT, Duration::ZERO)?;
    peer.clock().judge_rounds("p99 next to a client that does not read", beside, LIMIT)?;
    stalled.receive_all()?;
    Observation::met()
}

fn many_stalled(peer: &Peer, process: &Process) -> CaseResult {
    let mut neighbour = peer.connect()?;
    neighbour.exchange(64)?;
    let before = process.resident_bytes()?;
    let mut stalled = (0..peer.size())
        .map(|_| peer.connect_with(Setup::small_buffers()))
        .collect::<Result<Vec<_>, _>>()?;
    stall(&mut stalled, peer)?;
    let growth = process.resident_bytes()?.saturating_sub(before);
    // Many clients, so that a server that assigns them to workers in turn gives one to each worker.
    for _ in 0..NEW_CLIENTS {
        peer.expect_service()?;
    }
    neighbour.exchange(64)?;
    // Some connections are enough: all of them would be hundreds of megabytes.
    for connection in stalled.iter_mut().step_by(8) {
        connection.receive_all()?;
    }
    Connection::release_all(stalled);
    // Rounded, so that repeated runs agree.
    let kib = (growth / 1024 / peer.size()).next_power_of_two().max(16);
    Observation::recorded(format!("at most {kib} KiB of the server's memory per stalled client"))
}

/// Sends on all connections until none of them has taken anything for a while, or all of them have
/// taken [`STALLED_BYTES`].
pub(super) fn stall(connections: &mut [Connection], peer: &Peer) -> Result<(), Failure> {
    let deadline = peer.clock().cell_end();
    loop {
        let mut sending: Vec<&mut Connection> = connections
            .iter_mut()
            .filter(|connection| connection.sent_bytes() < STALLED_BYTES)
            .collect();
        let sockets: Vec<_> =
            sending.iter().map(|connection| (connection.socket(), Interest::Write)).collect();
        let has_room = wait_any(&sockets, peer.clock().scale(BLOCK_TIME))?;
        if !has_room.contains(&true) {
            return Ok(());
        }
        if deadline.is_over() {
            return Err(deadline.failure("clients of which nobody can send any more"));
        }
        for (connection, _) in sending.iter_mut().zip(has_room).filter(|(_, room)| *room) {
            connection
                .send_until_blocked(Duration::ZERO, STALLED_BYTES - connection.sent_bytes())?;
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
    peer.expect_service()?;
    for connection in connections {
        connection.reset();
    }
    Observation::met()
}

fn zero_window_recovery(peer: &Peer) -> CaseResult {
    let mut connection = peer.connect_with(Setup::small_buffers())?;
    shut_window(&mut connection, peer)?;
    connection.receive_all()?;
    Observation::met()
}

/// Sends until the server has taken nothing for the case's size in milliseconds. A pause after the
/// last write is not enough: a server that is only slow would take more meanwhile, and would not be
/// blocked.
fn shut_window(connection: &mut Connection, peer: &Peer) -> Result<u64, Failure> {
    connection.send_until_blocked(Duration::from_millis(peer.size()), PLATEAU_MIB * MIB)
}
