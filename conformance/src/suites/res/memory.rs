//! Memory: connections leave none behind, however they end, and neither do answered messages.

use std::thread;
use std::time::Duration;

use harness::process::Process;
use report::{Failure, FailureKind};

use super::{BATCH, KIB, MIB, SETTLE_TIME, SPARE_DESCRIPTORS};
use crate::case::{CaseResult, Observation};
use crate::client::connection::{Connection, Setup};
use crate::client::duplex::{Flow, exchange};
use crate::client::peer::Peer;
use crate::expectation::DescriptorBaseline;
use crate::growth::Allowance;
use crate::suites::tcp_backpressure::{STALLED_BYTES, stall};

/// What a server may keep per ended connection: a few words in a table, and no buffer.
const BYTES_PER_CONNECTION: f64 = 512.0;
/// What a server may keep per message: its garbage collector may not have run yet.
const BYTES_PER_MESSAGE: f64 = 16.0;
/// Rounds before memory growth is first estimated.
const ROUNDS: usize = 12;

pub(super) fn memory_after_churn(peer: &Peer, process: &Process) -> CaseResult {
    let mut random = peer.random(0);
    let mut echo = |connections: &mut [Connection]| {
        for connection in connections.iter_mut() {
            connection.send(random.u64(1..8 * KIB))?;
        }
        connections.iter_mut().try_for_each(Connection::receive_all)
    };
    // Resets leave no port in TIME_WAIT, so there can be enough of them for a garbage collector to
    // run.
    expect_freed(peer, process, "connection that was reset", 1, &mut echo)?;
    expect_freed(peer, process, "connection that ended", 3, |connections| {
        echo(connections)?;
        finish(connections)
    })?;
    peer.expect_service()?;
    Observation::met()
}

pub(in crate::suites) fn memory_after_either_end(peer: &Peer, process: &Process) -> CaseResult {
    let mut random = peer.random(0);
    expect_freed(peer, process, "connection that ended or was reset", 1, |connections| {
        for connection in connections.iter_mut() {
            connection.send(random.u64(1..8 * KIB))?;
        }
        connections.iter_mut().try_for_each(Connection::receive_all)?;
        let half = connections.len() / 2;
        finish(&mut connections[..half])
    })?;
    peer.expect_service()?;
    Observation::met()
}

pub(super) fn memory_after_resets(peer: &Peer, process: &Process) -> CaseResult {
    expect_freed(peer, process, "connection that was reset amid an echo", 1, |connections| {
        for connection in connections.iter_mut() {
            connection.send(16 * KIB)?;
        }
        connections.iter_mut().try_for_each(|connection| connection.receive(8 * KIB))
    })?;
    expect_freed(peer, process, "connection that was reset without a byte", 1, |_| Ok(()))?;
    expect_freed(peer, process, "connection that ended without a byte", 3, finish)?;
    peer.expect_service()?;
    Observation::met()
}

/// Sends FIN on all connections, and expects the server's FIN on each.
fn finish(connections: &mut [Connection]) -> Result<(), Failure> {
    connections.iter_mut().try_for_each(Connection::finish_sending)?;
    connections.iter_mut().try_for_each(Connection::expect_end)
}

/// Judges what the server keeps per connection. `each` gets one batch of connections, which are
/// reset afterwards. At most `peer.size() / part` connections are made.
fn expect_freed(
    peer: &Peer,
    process: &Process,
    unit: &'static str,
    part: u64,
    mut each: impl FnMut(&mut [Connection]) -> Result<(), Failure>,
) -> Result<(), Failure> {
    /// Batches per round.
    const BATCHES: u64 = 4;
    let mut at_rest = DescriptorBaseline::measure(process, peer, SPARE_DESCRIPTORS, SETTLE_TIME)?;
    let (bytes, max_count) = (BYTES_PER_CONNECTION, peer.size() / part);
    let allowance = Allowance { bytes, unit, rounds: ROUNDS, max_count };
    allowance.judge(process, peer.clock(), || {
        for _ in 0..BATCHES {
            let mut connections = peer.connect_many(BATCH)?;
            each(&mut connections)?;
            connections.into_iter().for_each(Connection::reset);
        }
        // Otherwise connections that are not freed yet would count.
        at_rest.await_freed()?;
        Ok(BATCHES * BATCH)
    })
}

pub(super) fn after_blocked_writes(peer: &Peer, process: &Process) -> CaseResult {
    /// Far more than for other connections: each blocked write makes the server fill all of its
    /// buffers, and a round has only a few of them.
    const BYTES: f64 = 32.0 * 1024.0;
    let mut at_rest = DescriptorBaseline::measure(process, peer, 0, SETTLE_TIME)?;
    let unit = "connection that ended while a write was blocked";
    let allowance = Allowance { bytes: BYTES, unit, rounds: 4, max_count: 6 * peer.size() };
    let judged = allowance.judge(process, peer.clock(), || {
        end_while_blocked(peer)?;
        at_rest.await_freed()?;
        Ok(peer.size())
    });
    match judged {
        // A garbage collector may not have run within so few connections.
        Err(failure) if failure.kind == FailureKind::Memory => {
            let kept = measure_kept_garbage(peer, process, &mut at_rest)? / peer.size() as f64;
            let (bytes, max_count) = (BYTES + kept, 6 * peer.size());
            Allowance { bytes, max_count, ..allowance }.judge(process, peer.clock(), || {
                end_while_blocked(peer)?;
                make_garbage(peer)?;
                at_rest.await_freed()?;
                Ok(peer.size())
            })?;
        }
        judged => judged?,
    }
    peer.expect_service()?;
    Observation::met()
}

/// Resets clients while the server's writes to them are blocked. Half of them have sent FIN before.
fn end_while_blocked(peer: &Peer) -> Result<(), Failure> {
    /// How long bytes must stay unread before a server counts as busy writing.
    const UNREAD_TIME: Duration = Duration::from_millis(20);
    /// How long a blocked server may take to notice FIN.
    const FIN_NOTICE_TIME: Duration = Duration::from_millis(150);
    let connect = |_| peer.connect_with(Setup::small_buffers());
    let mut clients = (0..peer.size()).map(connect).collect::<Result<Vec<_>, _>>()?;
    let (finish, stay) = clients.split_at_mut(peer.size() as usize / 2);
    for client in finish {
        // FIN would not reach the server behind a full window.
        client.send_until_unread(UNREAD_TIME, STALLED_BYTES)?;
        client.finish_sending()?;
    }
    stall(stay, peer)?;
    // The case tests clients that stay blocked for a while.
    thread::sleep(peer.clock().scale(FIN_NOTICE_TIME));
    clients.into_iter().for_each(Connection::reset);
    Ok(())
}

/// A garbage collector has run in full after this many connections. CPython moves connections that
/// were blocked for long to its oldest generation, which it collects once per about 2,300
/// connections of asyncio.
const GARBAGE_CONNECTIONS: u64 = 2500;

fn make_garbage(peer: &Peer) -> Result<(), Failure> {
    for _ in 0..GARBAGE_CONNECTIONS / BATCH {
        let mut connections = peer.connect_many(BATCH)?;
        connections.iter_mut().try_for_each(|connection| connection.exchange(64))?;
        connections.into_iter().for_each(Connection::reset);
    }
    Ok(())
}

/// Bytes that the server keeps per run of [`make_garbage`], at most what it is allowed to keep.
fn measure_kept_garbage(
    peer: &Peer,
    process: &Process,
    at_rest: &mut DescriptorBaseline<'_>,
) -> Result<f64, Failure> {
    const RUNS: u64 = 2;
    let mut resident = || {
        make_garbage(peer)?;
        at_rest.await_freed()?;
        process.resident_bytes()
    };
    // In the first run, a garbage collector also frees what it had not freed before.
    let first = resident()?;
    let mut last = first;
    for _ in 0..RUNS {
        last = resident()?;
    }
    let kept = last.saturating_sub(first) as f64 / RUNS as f64;
    Ok(kept.min(GARBAGE_CONNECTIONS as f64 * BYTES_PER_CONNECTION))
}

pub(super) fn memory_of_streams(peer: &Peer, process: &Process) -> CaseResult {
    /// Connections that exchange messages at the same time.
    const CHATTY: u64 = 16;
    /// Messages per round on each connection.
    const MESSAGES: u64 = 128;
    /// Less than a hundredth of what passes through a stream.
    const BYTES_PER_KIB: f64 = 8.0;
    let mut chatty = peer.connect_many(CHATTY)?;
    let (bytes, unit) = (BYTES_PER_MESSAGE, "message");
    let allowance = Allowance { bytes, unit, rounds: ROUNDS, max_count: peer.size() };
    allowance.judge(process, peer.clock(), || {
        for _ in 0..MESSAGES {
            chatty.iter_mut().try_for_each(|client| client.send(64))?;
            chatty.iter_mut().try_for_each(|client| client.receive(64))?;
        }
        Ok(CHATTY * MESSAGES)
    })?;
    let mut stream = peer.connect()?;
    let (bytes, unit, kib) = (BYTES_PER_KIB, "KiB of a stream", 2 * MIB / KIB);
    let allowance = Allowance { bytes, unit, rounds: ROUNDS, max_count: 4 * peer.size() };
    allowance.judge(process, peer.clock(), || {
        exchange(&mut [Flow::new(&mut stream, kib * KIB, peer.seed())], peer.clock())?;
        Ok(kib)
    })?;
    peer.expect_service()?;
    Observation::met()
}
