//! Many rounds, of which few may stall: a timer that hides a lost wake-up, or a loop that sleeps,
//! shows in none of them alone.

use std::time::{Duration, Instant};

use report::{Failure, FailureKind};

use crate::clock::CellClock;

/// What a slow round counts for: 1 above 10 ms, 2 above 40 ms in all, and 5 above 200 ms, which a
/// busy host alone does not cause.
const SLOW: [(Duration, f64); 3] = [
    (Duration::from_millis(10), 1.0),
    (Duration::from_millis(40), 1.0),
    (Duration::from_millis(200), 3.0),
];
/// A host pauses, too, and rarely so often in so short a time.
const FEW: f64 = 4.0;
/// A server may take its time for all of the rounds, and is asked fewer then.
const ENOUGH: Duration = Duration::from_secs(2);

/// Goes through `rounds` rounds, or as many as fit into 2 s, and expects that few of them take far
/// longer than such a round takes.
///
/// # Errors
///
/// That of a round; [`FailureKind::Slow`] if too many of them stalled.
pub(super) fn expect_few(
    of: &str,
    rounds: u64,
    clock: &CellClock,
    mut round: impl FnMut() -> Result<(), Failure>,
) -> Result<(), Failure> {
    let start = Instant::now();
    let (mut stalls, mut done) = (0.0, 0);
    while done < rounds && start.elapsed() < ENOUGH {
        let began = Instant::now();
        round()?;
        stalls += weight(began, clock);
        done += 1;
    }
    let what = format!("{of} above 10 ms, above 40 ms once more, above 200 ms five times");
    clock.judge(FailureKind::Slow, &what, stalls, FEW)
}

/// What a round that has just ended counts for, without the time in which the host held it back.
fn weight(began: Instant, clock: &CellClock) -> f64 {
    if began.elapsed() <= clock.scaled(SLOW[0].0) {
        return 0.0;
    }
    let took = began.elapsed().saturating_sub(clock.held_back_since(began));
    SLOW.iter().filter(|(limit, _)| took > clock.scaled(*limit)).map(|(_, weight)| weight).sum()
}
