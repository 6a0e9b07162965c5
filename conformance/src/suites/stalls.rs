//! A check over many rounds, of which few may stall. A timer that hides a lost wake-up, or a loop
//! that sleeps, does not show in a single round.

use std::time::{Duration, Instant};

use report::{Failure, FailureKind};

use crate::clock::CellClock;

/// The weight of a slow round: 1 above 10 ms, 2 in total above 40 ms, and 5 in total above 200 ms,
/// which a busy host alone does not cause.
const SLOW_ROUNDS: [(Duration, f64); 3] = [
    (Duration::from_millis(10), 1.0),
    (Duration::from_millis(40), 1.0),
    (Duration::from_millis(200), 3.0),
];
/// The host causes pauses, too, but rarely this many in such a short time.
const MAX_WEIGHT: f64 = 4.0;
/// A slow server gets fewer rounds: none begins after this time.
const TIME_LIMIT: Duration = Duration::from_secs(2);

/// Runs `rounds` rounds, or as many as fit into 2 s, and expects few stalls.
///
/// # Errors
/// The failure of a round; [`FailureKind::Slow`] if too many rounds stalled.
pub(super) fn expect_few_stalls(
    of: &str,
    rounds: u64,
    clock: &CellClock,
    mut round: impl FnMut() -> Result<(), Failure>,
) -> Result<(), Failure> {
    let start = Instant::now();
    let (mut stalls, mut done) = (0.0, 0);
    while done < rounds && start.elapsed() < TIME_LIMIT {
        let began = Instant::now();
        round()?;
        stalls += weight(began, clock);
        done += 1;
    }
    let what = format!("stalled {of} (1 each above 10 ms, 2 above 40 ms, 5 above 200 ms)");
    clock.judge(FailureKind::Slow, &what, stalls, MAX_WEIGHT)
}

/// The weight of a round that has just ended, without the time in which it was held back.
fn weight(began: Instant, clock: &CellClock) -> f64 {
    if began.elapsed() <= clock.scale(SLOW_ROUNDS[0].0) {
        return 0.0;
    }
    let took = began.elapsed().saturating_sub(clock.held_back_since(began));
    SLOW_ROUNDS
        .iter()
        .filter(|(limit, _)| took > clock.scale(*limit))
        .map(|(_, weight)| weight)
        .sum()
}
