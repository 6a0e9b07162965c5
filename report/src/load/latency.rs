//! A latency distribution as a result carries it: chosen percentiles with the samples behind them.

use serde::{Deserialize, Serialize};

/// Samples that must lie beyond a percentile for it to be given: p99.9 needs 10,000 in all.
pub const SAMPLES_BEYOND: f64 = 10.0;

/// What is known of a distribution of times, in nanoseconds.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Latency {
    /// How many times were recorded.
    pub samples: u64,
    /// The shortest.
    pub min_ns: u64,
    /// Their mean.
    pub mean_ns: f64,
    /// The longest.
    pub max_ns: u64,
    /// The percentiles that were asked for, ascending.
    pub percentiles: Vec<Percentile>,
}

/// One percentile.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Percentile {
    /// Percent of the samples that are at most as long: 99.9 for p99.9.
    pub percent: f64,
    /// Its time in nanoseconds; absent when fewer than [`SAMPLES_BEYOND`] samples lie beyond it.
    pub ns: Option<u64>,
}

impl Latency {
    /// The time of a percentile in nanoseconds, if it was asked for and has samples behind it.
    #[must_use]
    pub fn at(&self, percent: f64) -> Option<u64> {
        self.percentiles.iter().find(|p| (p.percent - percent).abs() < 1e-9)?.ns
    }

    /// Whether so many samples are enough for a percentile.
    #[must_use]
    pub fn is_backed(samples: u64, percent: f64) -> bool {
        samples as f64 * (100.0 - percent) / 100.0 + 1e-6 >= SAMPLES_BEYOND
    }
}

impl Percentile {
    /// `p99.9`.
    #[must_use]
    pub fn name(&self) -> String {
        format!("p{}", self.percent)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_percentile_needs_ten_samples_beyond_it() {
        assert!(Latency::is_backed(10_000, 99.9) && !Latency::is_backed(9_999, 99.9));
        assert!(Latency::is_backed(20, 50.0) && !Latency::is_backed(19, 50.0));
    }
}
