//! Threads and processes: those that a server starts for its clients end with its clients.

use harness::process::Process;
use report::{Failure, FailureKind};

use super::{BATCH, KIB, SETTLED};
use crate::case::{CaseResult, Observation};
use crate::client::connection::Connection;
use crate::client::peer::Peer;
use crate::expectation::{expect_at_most, threads_at_rest};

pub(super) fn threads_bounded(peer: &Peer, process: &Process) -> CaseResult {
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

pub(super) fn threads_after_churn(peer: &Peer, process: &Process) -> CaseResult {
    /// A pool may have as many as there are clients at once, and a runtime starts some when it
    /// first needs them.
    const MORE_THREADS: usize = 16;
    churn(peer, 2 * BATCH, BATCH)?;
    let most = threads_at_rest(process, peer)? + MORE_THREADS;
    churn(peer, peer.size(), BATCH)?;
    let what = format!("threads after {} connections", peer.size());
    let threads = || Ok(process.threads()?.all);
    expect_at_most(FailureKind::Threads, &what, most, SETTLED, peer.clock(), threads)?;
    peer.serves()?;
    Observation::met()
}

pub(super) fn children_waited_for(peer: &Peer, process: &Process) -> CaseResult {
    /// Few at once, as a server that starts a process for each of them takes its time.
    const TOGETHER: u64 = 10;
    /// A server may wait for those that have ended when the next client comes.
    const LEFT: usize = 16;
    churn(peer, peer.size(), TOGETHER)?;
    let what = format!("unwaited children after {} connections", peer.size());
    let unwaited = || process.unwaited_children();
    expect_at_most(FailureKind::Children, &what, LEFT, SETTLED, peer.clock(), unwaited)?;
    peer.serves()?;
    Observation::met()
}

/// Connections that exchange a message, `together` at once. They end in order, by a reset, or by a
/// reset amid an echo.
fn churn(peer: &Peer, count: u64, together: u64) -> Result<(), Failure> {
    for _ in 0..count / together {
        let connections = peer.connect_many(together)?;
        // Together, or a server that takes its time to answer FIN would take minutes.
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
