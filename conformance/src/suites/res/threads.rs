//! Threads and child processes that a server starts for its clients end with these clients.

use harness::process::Process;
use report::{Failure, FailureKind};

use super::{BATCH, KIB, SETTLE_TIME};
use crate::case::{CaseResult, Observation};
use crate::client::connection::Connection;
use crate::client::peer::Peer;
use crate::expectation::{expect_at_most, threads_at_rest};

pub(super) fn threads_bounded(peer: &Peer, process: &Process) -> CaseResult {
    const MORE_THREADS: f64 = 64.0;
    peer.expect_service()?;
    let base = process.threads()?.all;
    let mut crowd = peer.connect_many(peer.size())?;
    for connection in &mut crowd {
        connection.send(64)?;
    }
    for connection in &mut crowd {
        connection.receive(64)?;
    }
    let more = process.threads()?.all.saturating_sub(base);
    let what = format!("more threads with {} clients", peer.size());
    peer.clock().judge(FailureKind::Threads, &what, more as f64, MORE_THREADS)?;
    Connection::release_all(crowd);
    Observation::met()
}

pub(super) fn threads_after_churn(peer: &Peer, process: &Process) -> CaseResult {
    /// The baseline includes a pool with one thread per concurrent client. A runtime may start a
    /// few more threads when it first needs them.
    const MORE_THREADS: usize = 16;
    churn(peer, 2 * BATCH, BATCH)?;
    let most = threads_at_rest(process, peer)? + MORE_THREADS;
    churn(peer, peer.size(), BATCH)?;
    let what = format!("threads after {} connections", peer.size());
    let threads = || Ok(process.threads()?.all);
    expect_at_most(FailureKind::Threads, &what, most, SETTLE_TIME, peer.clock(), threads)?;
    peer.expect_service()?;
    Observation::met()
}

pub(super) fn children_waited_for(peer: &Peer, process: &Process) -> CaseResult {
    /// Few at once, because a server that starts a process per client is slow.
    const GROUP: u64 = 10;
    /// Unreaped children that are no leak: some servers reap only when the next client connects.
    const SPARE: usize = 16;
    churn(peer, peer.size(), GROUP)?;
    let what = format!("unwaited children after {} connections", peer.size());
    let unwaited = || process.unreaped_children();
    expect_at_most(FailureKind::Children, &what, SPARE, SETTLE_TIME, peer.clock(), unwaited)?;
    peer.expect_service()?;
    Observation::met()
}

/// Opens `count` connections, `together` at a time. Each exchanges a message, and then ends with
/// FIN, with a reset, or with a reset during an echo.
fn churn(peer: &Peer, count: u64, together: u64) -> Result<(), Failure> {
    for _ in 0..count / together {
        let connections = peer.connect_many(together)?;
        // All FINs are awaited together: one by one, a server that is slow to answer FIN would take
        // minutes.
        let mut ending = Vec::new();
        for (number, mut connection) in connections.into_iter().enumerate() {
            connection.exchange(64)?;
            match number % 3 {
                0 => {
                    connection.finish_sending()?;
                    ending.push(connection);
                }
                1 => connection.reset(),
                _ => {
                    connection.send(4 * KIB)?;
                    connection.reset();
                }
            }
        }
        ending.iter_mut().try_for_each(Connection::expect_end)?;
    }
    Ok(())
}
