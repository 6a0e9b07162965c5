//! Ping-pong rounds of several clients, and how long the slowest rounds took.

use std::time::{Duration, Instant};
use std::{iter, thread};

use report::Failure;

use crate::client::connection::Connection;
use crate::client::peer::Peer;
use crate::clock::{CellClock, PROGRESS_LIMIT};

/// How often the clients of [`p99_round`] would like to send.
const INTERVAL: Duration = Duration::from_millis(10);

/// The 99th percentile of rounds of 64 bytes. The clients take turns, each makes `peer.size()`
/// rounds, and a round begins at least `pace` after the one before. A round of 25 ms counts as
/// rounds of 25, 15 and 5 ms, because it delays two others: a server that stalls is late for each
/// of them (no coordinated omission). Ends early once too many rounds are above `limit` for the
/// percentile to be below it.
///
/// # Errors
/// A payload failure, `closed`, `reset` or `timeout`.
pub fn p99_round(
    clients: &mut [Connection],
    peer: &Peer,
    limit: Duration,
    pace: Duration,
) -> Result<Duration, Failure> {
    let limit = peer.clock().scale(limit);
    let allowed = usize::try_from(peer.size()).unwrap_or(usize::MAX) * clients.len() / 100;
    let mut rounds = Vec::new();
    let mut late = 0;
    for _ in 0..peer.size() {
        for client in clients.iter_mut() {
            if late > allowed {
                break;
            }
            let start = Instant::now();
            client.send(64)?;
            // Slow rounds are counted here, so they must not use up the time for all waits of the
            // cell.
            client.receive_by_deadline(64, peer.clock().deadline_after(PROGRESS_LIMIT))?;
            let took = peer.clock().elapsed_without_held_back(start);
            let behind = rounds_behind(took);
            late += behind.clone().filter(|took| *took > limit).count();
            rounds.extend(behind);
            thread::sleep(pace.saturating_sub(start.elapsed()));
        }
    }
    // If the rounds ended early, this is one of the late rounds.
    Ok(percentile(99, rounds))
}

/// The time of a round, and the times of the rounds that it delays.
fn rounds_behind(took: Duration) -> impl Iterator<Item = Duration> + Clone {
    let next = |left: &Duration| left.checked_sub(INTERVAL).filter(|left| !left.is_zero());
    iter::successors(Some(took), next)
}

/// The 99th percentile of `rounds` rounds, each measured from when it was due. The rounds are
/// planned in advance, `pace` apart, so a server that stalls is late for every round that was due
/// during the stall (no coordinated omission). Held-back time does not count.
///
/// # Errors
/// The first failure of a round.
pub fn p99_planned(
    clock: &CellClock,
    rounds: u32,
    pace: Duration,
    round: impl FnMut(u32) -> Result<(), Failure>,
) -> Result<Duration, Failure> {
    percentile_planned(clock, 99, rounds, pace, round)
}

/// Like [`p99_planned`], for another percentile.
///
/// # Errors
/// The first failure of a round.
pub fn percentile_planned(
    clock: &CellClock,
    percent: usize,
    rounds: u32,
    pace: Duration,
    mut round: impl FnMut(u32) -> Result<(), Failure>,
) -> Result<Duration, Failure> {
    let start = Instant::now();
    let mut delays = Vec::new();
    for number in 0..rounds {
        let planned = start + pace * number;
        let early = planned.saturating_duration_since(Instant::now());
        thread::sleep(early);
        // If the judge wakes up late, that is not the server's delay.
        let due = if early.is_zero() { planned } else { Instant::now() };
        round(number)?;
        delays.push(clock.elapsed_without_held_back(due));
    }
    Ok(percentile(percent, delays))
}

/// The smallest time that at least `percent` percent of `times` do not exceed; zero if there are
/// none.
fn percentile(percent: usize, mut times: Vec<Duration>) -> Duration {
    times.sort_unstable();
    let rank = (times.len() * percent).div_ceil(100);
    rank.checked_sub(1).map_or(Duration::ZERO, |last| times[last])
}

#[cfg(test)]
mod tests {
    use super::*;

    const MS: Duration = Duration::from_millis(1);

    #[test]
    fn one_stall_makes_many_rounds_late() {
        let stalling = |number| {
            if number == 2 {
                thread::sleep(60 * MS);
            }
            Ok(())
        };
        let clock = CellClock::start(1.0, Duration::from_secs(10));
        let delay = p99_planned(&clock, 100, MS, stalling).unwrap();
        assert!(delay > 30 * MS, "{delay:?}");
    }

    #[test]
    fn a_long_round_counts_for_those_that_would_have_begun_meanwhile() {
        assert_eq!(rounds_behind(10 * MS).collect::<Vec<_>>(), [10 * MS]);
        assert_eq!(rounds_behind(25 * MS).collect::<Vec<_>>(), [25 * MS, 15 * MS, 5 * MS]);
    }

    #[test]
    fn the_percentile_leaves_out_one_of_a_hundred() {
        let one_to = |count: u32| (1..=count).map(|n| n * MS).rev().collect();
        assert_eq!(percentile(99, one_to(100)), 99 * MS);
        assert_eq!(percentile(99, one_to(99)), 99 * MS);
        assert_eq!(percentile(99, one_to(200)), 198 * MS);
        assert_eq!(percentile(99, one_to(0)), Duration::ZERO);
    }
}
