//! Memory: finished connections, however they ended, and finished messages leave none behind.

use std::thread;
use std::time::Duration;

use harness::process::Process;
use report::{Failure, FailureKind};

use super::{BATCH, KIB, MIB, SETTLED, SPARE_DESCRIPTORS};
use crate::case::{CaseResult, Observation};
use crate::client::connection::{Connection, Setup};
use crate::client::duplex::{Flow, exchange};
use crate::client::peer::Peer;
use crate::expectation::AtRest;
use crate::growth::Allowance;
use crate::suites::tcp_backpressure::{STALLED_BYTES, stall};

/// What a server may keep of a connection that is over: a few words in a table, and no buffer.
const BYTES_PER_CONNECTION: f64 = 512.0;
/// What it may keep of a message: a collector of garbage may not have run.
const BYTES_PER_MESSAGE: f64 = 16.0;
/// Rounds that a line takes.
const ROUNDS: usize = 12;

pub(super) fn memory_after_churn(peer: &Peer, process: &Process) -> CaseResult {
    let mut random = peer.random(0);
    let mut echo = |connections: &mut [Connection]| {
        for connection in connections.iter_mut() {
            connection.send(random.u64(1..8 * KIB))?;
        }
        connections.iter_mut().try_for_each(Connection::receive_all)
    };
    // These leave no port in TIME_WAIT, so that a collector is given its time by them.
    expect_freed(peer, process, "connection that was reset", 1, &mut echo)?;
    expect_freed(peer, process, "connection that ended", 3, |connections| {
        echo(connections)?;
        finish(connections)
    })?;
    peer.serves()?;
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
    peer.serves()?;
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
    peer.serves()?;
    Observation::met()
}

/// Ends all of them in order.
fn finish(connections: &mut [Connection]) -> Result<(), Failure> {
    connections.iter_mut().try_for_each(Connection::finish_sending)?;
    connections.iter_mut().try_for_each(Connection::expect_end)
}

/// Judges what the server keeps of connections, in batches. What `each` does with a batch is
/// followed by a reset of what is left of it. The most of them are a part of what the case allows.
fn expect_freed(
    peer: &Peer,
    process: &Process,
    of: &'static str,
    part: u64,
    mut each: impl FnMut(&mut [Connection]) -> Result<(), Failure>,
) -> Result<(), Failure> {
    /// Batches of a round.
    const BATCHES: u64 = 4;
    let mut at_rest = AtRest::now(process, peer, SPARE_DESCRIPTORS, SETTLED)?;
    let (bytes, most) = (BYTES_PER_CONNECTION, peer.size() / part);
    let allowance = Allowance { bytes, of, rounds: ROUNDS, most };
    allowance.judge(process, peer.clock(), || {
        for _ in 0..BATCHES {
            let mut connections = peer.connect_many(BATCH)?;
            each(&mut connections)?;
            connections.into_iter().for_each(Connection::reset);
        }
        // Or what is not freed yet would count.
        at_rest.settle()?;
        Ok(BATCHES * BATCH)
    })
}

pub(super) fn after_blocked_writes(peer: &Peer, process: &Process) -> CaseResult {
    /// Far more than elsewhere: each of them makes the server fill all of its buffers, and there
    /// are only some of them in a round.
    const BYTES: f64 = 32.0 * 1024.0;
    let mut at_rest = AtRest::now(process, peer, 0, SETTLED)?;
    let of = "connection that ended while a write was blocked";
    let allowance = Allowance { bytes: BYTES, of, rounds: 4, most: 6 * peer.size() };
    let judged = allowance.judge(process, peer.clock(), || {
        end_while_blocked(peer)?;
        at_rest.settle()?;
        Ok(peer.size())
    });
    match judged {
        // The collector of a server that has one may not have run in so few connections.
        Err(failure) if failure.kind == FailureKind::Memory => {
            let kept = kept_of_garbage(peer, process, &mut at_rest)? / peer.size() as f64;
            let (bytes, most) = (BYTES + kept, 6 * peer.size());
            Allowance { bytes, most, ..allowance }.judge(process, peer.clock(), || {
                end_while_blocked(peer)?;
                make_garbage(peer)?;
                at_rest.settle()?;
                Ok(peer.size())
            })?;
        }
        judged => judged?,
    }
    peer.serves()?;
    Observation::met()
}

/// Clients that end while the server's write to them is blocked, half of them after FIN.
fn end_while_blocked(peer: &Peer) -> Result<(), Failure> {
    /// How long bytes must stay unread before a server counts as busy writing.
    const UNREAD: Duration = Duration::from_millis(20);
    /// How long a server that is blocked may take to see FIN.
    const NOTICED: Duration = Duration::from_millis(150);
    let connect = |_| peer.connect_with(Setup::tight());
    let mut clients = (0..peer.size()).map(connect).collect::<Result<Vec<_>, _>>()?;
    let (finish, stay) = clients.split_at_mut(peer.size() as usize / 2);
    for client in finish {
        // Behind a full window FIN would not reach the server.
        client.send_until_unread(UNREAD, STALLED_BYTES)?;
        client.finish_sending()?;
    }
    stall(stay, peer)?;
    // That they stay blocked for a while is the case.
    thread::sleep(peer.clock().scaled(NOTICED));
    clients.into_iter().for_each(Connection::reset);
    Ok(())
}

/// Connections after which a collector has run in full. CPython's oldest generation takes those
/// that were blocked for long, and is collected once in about 2,300 connections of asyncio.
const GARBAGE: u64 = 2500;

fn make_garbage(peer: &Peer) -> Result<(), Failure> {
    for _ in 0..GARBAGE / BATCH {
        let mut connections = peer.connect_many(BATCH)?;
        connections.iter_mut().try_for_each(|connection| connection.exchange(64))?;
        connections.into_iter().for_each(Connection::reset);
    }
    Ok(())
}

/// The bytes that the server keeps of the connections of [`make_garbage`], up to what it may.
fn kept_of_garbage(
    peer: &Peer,
    process: &Process,
    at_rest: &mut AtRest<'_>,
) -> Result<f64, Failure> {
    const TIMES: u64 = 2;
    let mut resident = || {
        make_garbage(peer)?;
        at_rest.settle()?;
        process.resident_bytes()
    };
    // The first time, a collector frees what it had not before.
    let first = resident()?;
    let mut last = first;
    for _ in 0..TIMES {
        last = resident()?;
    }
    let kept = last.saturating_sub(first) as f64 / TIMES as f64;
    Ok(kept.min(GARBAGE as f64 * BYTES_PER_CONNECTION))
}

pub(super) fn memory_of_streams(peer: &Peer, process: &Process) -> CaseResult {
    /// Connections on which messages come and go side by side.
    const CHATTY: u64 = 16;
    /// Messages of a round on each of them.
    const MESSAGES: u64 = 128;
    /// Less than a hundredth of what goes through a stream.
    const BYTES_PER_KIB: f64 = 8.0;
    let mut chatty = peer.connect_many(CHATTY)?;
    let (bytes, of) = (BYTES_PER_MESSAGE, "message");
    let allowance = Allowance { bytes, of, rounds: ROUNDS, most: peer.size() };
    allowance.judge(process, peer.clock(), || {
        for _ in 0..MESSAGES {
            chatty.iter_mut().try_for_each(|client| client.send(64))?;
            chatty.iter_mut().try_for_each(|client| client.receive(64))?;
        }
        Ok(CHATTY * MESSAGES)
    })?;
    let mut stream = peer.connect()?;
    let (bytes, of, kib) = (BYTES_PER_KIB, "KiB of a stream", 2 * MIB / KIB);
    let allowance = Allowance { bytes, of, rounds: ROUNDS, most: 4 * peer.size() };
    allowance.judge(process, peer.clock(), || {
        exchange(&mut [Flow::new(&mut stream, kib * KIB, peer.seed())], peer.clock())?;
        Ok(kib)
    })?;
    peer.serves()?;
    Observation::met()
}
