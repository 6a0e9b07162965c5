//! Ping-pong rounds of several clients, and how long the slowest of them took.

use std::time::{Duration, Instant};

use report::Failure;

use crate::connection::Connection;
use crate::peer::Peer;

/// The 99th percentile of rounds of 64 bytes, `peer.size()` for each client. Ends early when too
/// many rounds are above `limit` for it to be still met.
///
/// # Errors
/// A payload failure, `closed`, `reset` or `timeout`.
pub fn p99_round(
    clients: &mut [Connection],
    peer: &Peer,
    limit: Option<Duration>,
) -> Result<Duration, Failure> {
    let limit = limit.map(|limit| peer.clock().scaled(limit));
    let allowed = usize::try_from(peer.size()).unwrap_or(usize::MAX) * clients.len() / 100;
    let mut rounds = Vec::new();
    let mut late = 0;
    for _ in 0..peer.size() {
        for client in clients.iter_mut() {
            if late > allowed {
                break;
            }
            let start = Instant::now();
            client.exchange(64)?;
            rounds.push(start.elapsed());
            late += usize::from(limit.is_some_and(|limit| start.elapsed() > limit));
        }
    }
    rounds.sort_unstable();
    // As if all had been made: those that were left out would have come before.
    Ok(rounds[rounds.len() - 1 - (rounds.len() / 100).min(late)])
}
