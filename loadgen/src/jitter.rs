//! Measures how late a thread that only sleeps and spins is on this host. No generator can be less
//! late.

use std::time::Duration;

use hdrhistogram::Histogram;

use crate::clock::{Clock, SECOND};

/// Length of the measurement.
const TIME_NS: u64 = SECOND / 2;
/// A sleep may end this much too late, so the thread spins for the rest, as in the load loop.
const SPIN_NS: u64 = 1_500_000;

/// Returns the 99th percentile of the lateness at slots that are `interval_ns` apart, in
/// nanoseconds.
pub(crate) fn p99_ns(interval_ns: u64) -> anyhow::Result<u64> {
    // Slots that are further apart would be too few for a percentile.
    let interval = interval_ns.clamp(1_000, TIME_NS / 200);
    let clock = Clock::start();
    let mut lateness = Histogram::<u64>::new_with_bounds(1, 120 * SECOND, 3)?;
    let mut slot = interval;
    while slot < TIME_NS {
        let now = clock.now();
        if now >= slot {
            lateness.saturating_record(now - slot);
            slot += interval;
        } else if slot - now > SPIN_NS {
            let sleep = (slot - now - SPIN_NS) / 1_000_000;
            std::thread::sleep(Duration::from_millis(sleep));
        } else {
            std::hint::spin_loop();
        }
    }
    Ok(lateness.value_at_percentile(99.0))
}
