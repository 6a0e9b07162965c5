//! A latency distribution as a result carries it: chosen percentiles with the samples behind them.

use serde::{Deserialize, Serialize};

use crate::host::grouped;

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
        self.percentiles.iter().find(|p| p.is(percent))?.ns
    }

    /// Whether so many samples are enough for a percentile.
    #[must_use]
    pub fn is_backed(samples: u64, percent: f64) -> bool {
        samples as f64 * (100.0 - percent) / 100.0 + 1e-6 >= SAMPLES_BEYOND
    }

    /// Why there is no such percentile, for one that [`Latency::at`] does not give.
    #[must_use]
    pub fn absence(&self, percent: f64) -> String {
        let name = Percentile::name_of(percent);
        if !self.percentiles.iter().any(|p| p.is(percent)) {
            return format!("{name} was not recorded");
        }
        let needed = SAMPLES_BEYOND * 100.0 / (100.0 - percent);
        format!("{name} needs {} samples", grouped((needed - 1e-6).ceil() as u64))
    }
}

impl Percentile {
    /// `p99.9`.
    #[must_use]
    pub fn name(&self) -> String {
        Self::name_of(self.percent)
    }

    pub(crate) fn name_of(percent: f64) -> String {
        format!("p{percent}")
    }

    /// Whether it is that percentile, whatever arithmetic has made the number.
    fn is(&self, percent: f64) -> bool {
        (self.percent - percent).abs() < 1e-9
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

    #[test]
    fn an_absent_percentile_says_why() {
        let percentiles = vec![Percentile { percent: 99.9, ns: None }];
        let latency = Latency { samples: 40, min_ns: 1, mean_ns: 2.0, max_ns: 3, percentiles };
        assert_eq!(latency.absence(99.9), "p99.9 needs 10,000 samples");
        assert_eq!(latency.absence(90.0), "p90 was not recorded");
    }
}
