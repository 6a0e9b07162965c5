//! A latency distribution as a result stores it: chosen percentiles, and the number of samples.

use serde::{Deserialize, Serialize};

use crate::host::group_digits;

/// Samples that must lie beyond a percentile: p99.9 needs 10,000 in total.
pub const SAMPLES_BEYOND: f64 = 10.0;

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Latency {
    pub samples: u64,
    pub min_ns: u64,
    pub mean_ns: f64,
    pub max_ns: u64,
    /// The percentiles that were asked for, ascending.
    pub percentiles: Vec<Percentile>,
}

#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Percentile {
    /// Percent of the samples that are at most as long: 99.9 for p99.9.
    pub percent: f64,
    /// Absent if fewer than [`SAMPLES_BEYOND`] samples lie beyond it.
    pub ns: Option<u64>,
}

impl Latency {
    /// The time of a percentile in nanoseconds, if it was asked for and has enough samples.
    #[must_use]
    pub fn percentile_ns(&self, percent: f64) -> Option<u64> {
        self.percentiles.iter().find(|p| p.has_percent(percent))?.ns
    }

    /// Whether there are enough samples for a percentile.
    #[must_use]
    pub fn has_enough_samples(samples: u64, percent: f64) -> bool {
        samples as f64 * (100.0 - percent) / 100.0 + 1e-6 >= SAMPLES_BEYOND
    }

    /// Why [`Latency::percentile_ns`] has no value for this percentile.
    #[must_use]
    pub fn absence(&self, percent: f64) -> String {
        let name = Percentile::name_of(percent);
        if !self.percentiles.iter().any(|p| p.has_percent(percent)) {
            return format!("{name} was not recorded");
        }
        let needed = SAMPLES_BEYOND * 100.0 / (100.0 - percent);
        format!("{name} needs {} samples", group_digits((needed - 1e-6).ceil() as u64))
    }
}

impl Percentile {
    /// Such as `p99.9`.
    #[must_use]
    pub fn name(&self) -> String {
        Self::name_of(self.percent)
    }

    pub(crate) fn name_of(percent: f64) -> String {
        format!("p{percent}")
    }

    /// Whether it is this percentile; tolerates the rounding errors of arithmetic.
    fn has_percent(&self, percent: f64) -> bool {
        (self.percent - percent).abs() < 1e-9
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_percentile_needs_ten_samples_beyond_it() {
        assert!(
            Latency::has_enough_samples(10_000, 99.9) && !Latency::has_enough_samples(9_999, 99.9)
        );
        assert!(Latency::has_enough_samples(20, 50.0) && !Latency::has_enough_samples(19, 50.0));
    }

    #[test]
    fn an_absent_percentile_says_why() {
        let percentiles = vec![Percentile { percent: 99.9, ns: None }];
        let latency = Latency { samples: 40, min_ns: 1, mean_ns: 2.0, max_ns: 3, percentiles };
        assert_eq!(latency.absence(99.9), "p99.9 needs 10,000 samples");
        assert_eq!(latency.absence(90.0), "p90 was not recorded");
    }
}
