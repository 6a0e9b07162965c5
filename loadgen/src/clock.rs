//! Time as nanoseconds since the load's own beginning, which fit into one word.

use std::time::{Duration, Instant};

/// Nanoseconds in a second.
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

/// Nanoseconds in so many seconds.
pub(crate) fn nanoseconds(seconds: f64) -> u64 {
    (seconds * SECOND as f64).round() as u64
}

/// Seconds in so many nanoseconds.
pub(crate) fn seconds(nanoseconds: u64) -> f64 {
    Duration::from_nanos(nanoseconds).as_secs_f64()
}
