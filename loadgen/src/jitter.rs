//! How late this host lets a thread be that only sleeps and spins: what no generator can undercut.

use std::time::Duration;

use hdrhistogram::Histogram;

use crate::clock::{Clock, SECOND};

/// How long it is measured.
const TIME_NS: u64 = SECOND / 2;
/// What a sleep may wake up too late, as in the load loop.
const SPIN_NS: u64 = 1_500_000;

/// 99th percentile of the lateness at slots of a distance, in nanoseconds.
pub(crate) fn p99_ns(interval_ns: u64) -> anyhow::Result<u64> {
    // Slots that are far apart would be too few for a percentile.
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
