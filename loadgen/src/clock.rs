//! Time in nanoseconds since the clock of the load was started, so that it fits into one word.

use std::time::{Duration, Instant};

pub(crate) const SECOND: u64 = 1_000_000_000;

/// A clock that all threads of a load share.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Clock {
    epoch: Instant,
}

impl Clock {
    pub(crate) fn start() -> Self {
        Self { epoch: Instant::now() }
    }

    /// Nanoseconds since the start.
    #[inline]
    pub(crate) fn now(self) -> u64 {
        let elapsed = self.epoch.elapsed();
        elapsed.as_secs() * SECOND + u64::from(elapsed.subsec_nanos())
    }
}

pub(crate) fn nanoseconds(seconds: f64) -> u64 {
    (seconds * SECOND as f64).round() as u64
}

pub(crate) fn seconds(nanoseconds: u64) -> f64 {
    Duration::from_nanos(nanoseconds).as_secs_f64()
}
