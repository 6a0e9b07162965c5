//! The server's resident memory.

use std::thread;
use std::time::Duration;

use harness::process::Process;
use report::{Failure, FailureKind};

use super::{BATCH, KIB, MIB, SETTLED, SPARE_DESCRIPTORS};
use crate::case::{Found, Observation};
use crate::connection::{Connection, Setup};
use crate::duplex::{Flow, exchange};
use crate::expectation::{descriptors_at_rest, expect_descriptors};
use crate::peer::Peer;
use crate::suites::tcp_backpressure::{STALLED_BYTES, stall};

pub(super) fn memory_after_churn(peer: &Peer, process: &Process) -> Found {
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

pub(super) fn memory_after_resets(peer: &Peer, process: &Process) -> Found {
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
    let base = descriptors_at_rest(process, peer)?;
    least_growth(process, limit, || {
        let mut left = peer.size();
        while left > 0 {
            let batch = left.min(BATCH);
            let mut connections = peer.connect_many(batch)?;
            each(&mut connections)?;
            connections.into_iter().for_each(Connection::reset);
            // Or the next batch would need memory beside this one, now and then.
            expect_descriptors(process, base + SPARE_DESCRIPTORS, SETTLED, peer.clock())?;
            left -= batch;
        }
        Ok(())
    })
}

/// By how many bytes the server grows in a round, at the least.
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

pub(super) fn after_blocked_writes(peer: &Peer, process: &Process) -> Found {
    /// How long bytes must stay unread before a server counts as busy writing.
    const UNREAD: Duration = Duration::from_millis(20);
    /// How long a server that is blocked may take to see FIN.
    const NOTICED: Duration = Duration::from_millis(150);
    const BYTES_PER_CONNECTION: u64 = 32 * KIB;
    let base = descriptors_at_rest(process, peer)?;
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
        expect_descriptors(process, base, SETTLED, peer.clock())
    })?;
    judge_growth(peer, growth, limit)
}

pub(super) fn memory_of_streams(peer: &Peer, process: &Process) -> Found {
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

fn judge_growth(peer: &Peer, growth: u64, limit: u64) -> Found {
    let mib = |bytes: u64| bytes as f64 / MIB as f64;
    let what = "MiB by which the server grew in a round";
    peer.clock().judge(FailureKind::Memory, what, mib(growth), mib(limit))?;
    peer.serves()?;
    Observation::met()
}

pub(super) fn memory_per_idle_connection(peer: &Peer, process: &Process) -> Found {
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
