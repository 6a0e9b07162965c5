//! Medians, ratios of one row to another within rounds with their confidence intervals, and whether
//! two sets of rounds differ. Chance has a fixed seed, so that a file always gives the same page.

use fastrand::Rng;
use serde::Serialize;
use statrs::statistics::{Data, OrderStatistics as _};
use statrs::stats_tests::Alternative;
use statrs::stats_tests::mannwhitneyu::{MannWhitneyUMethod, mannwhitneyu};

/// Fewer rounds support no claim.
pub const MIN_ROUNDS: usize = 5;
/// How many times the rounds are resampled for an interval.
pub const RESAMPLES: usize = 10_000;

const SEED: u64 = 0x1037_a21c;
/// The share that the interval leaves out on each side: 5 % in total.
const TAIL: f64 = 0.025;

/// A quantity of one row: the number of each round, and the value measured in it.
pub type RoundValues = [(u32, f64)];

/// The ratio of a quantity on one row to the same quantity on another, within rounds.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct Ratio {
    /// Median of the rounds' ratios.
    pub median: f64,
    /// Rounds in which both rows were measured.
    pub rounds: usize,
    /// Absent with fewer than [`MIN_ROUNDS`] rounds.
    pub interval: Option<Interval>,
}

/// A 95 % confidence interval.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct Interval {
    pub low: f64,
    pub high: f64,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Clarity {
    /// The interval lies on one side of 1.
    Clear,
    /// The interval spans 1.
    NoClearDifference,
    /// There are too few rounds for an interval.
    TooFewRounds,
}

/// `None` if there are no values.
#[must_use]
pub fn median(values: impl IntoIterator<Item = f64>) -> Option<f64> {
    let values: Vec<f64> = values.into_iter().collect();
    (!values.is_empty()).then(|| Data::new(values).median())
}

/// The ratio of `row` to `baseline` over the rounds that both have; `None` if there are none.
#[must_use]
pub fn ratio(row: &RoundValues, baseline: &RoundValues) -> Option<Ratio> {
    let of_round = |(round, value): &(u32, f64)| {
        let (_, base) = baseline.iter().find(|(number, _)| number == round)?;
        Some(value / base).filter(|ratio| ratio.is_finite())
    };
    let ratios: Vec<f64> = row.iter().filter_map(of_round).collect();
    let interval = (ratios.len() >= MIN_ROUNDS).then(|| bootstrap(&ratios));
    Some(Ratio { median: median(ratios.iter().copied())?, rounds: ratios.len(), interval })
}

/// The probability of a difference at least as large if both sides came from one distribution:
/// two-sided Mann-Whitney U test. `None` with fewer than [`MIN_ROUNDS`] numbers on a side.
#[must_use]
pub fn chance(before: &[f64], after: &[f64]) -> Option<f64> {
    if before.len().min(after.len()) < MIN_ROUNDS {
        return None;
    }
    // Not the exact method: statrs 0.19.1 returns one minus the probability for it, if the first
    // side is not the longer one.
    let method = MannWhitneyUMethod::AsymptoticInclContinuityCorrection;
    mannwhitneyu(before, after, method, Alternative::TwoSided).ok().map(|(_, chance)| chance)
}

/// Percentile bootstrap of the median.
fn bootstrap(ratios: &[f64]) -> Interval {
    let mut rng = Rng::with_seed(SEED);
    let mut drawn = vec![0.0; ratios.len()];
    let medians: Vec<f64> = (0..RESAMPLES)
        .map(|_| {
            drawn.fill_with(|| ratios[rng.usize(..ratios.len())]);
            Data::new(drawn.as_mut_slice()).median()
        })
        .collect();
    let mut medians = Data::new(medians);
    Interval { low: medians.quantile(TAIL), high: medians.quantile(1.0 - TAIL) }
}

impl Ratio {
    /// Whether the ratio shows a difference.
    #[must_use]
    pub fn clarity(&self) -> Clarity {
        match self.interval {
            None => Clarity::TooFewRounds,
            Some(Interval { low, high }) if low <= 1.0 && 1.0 <= high => Clarity::NoClearDifference,
            Some(_) => Clarity::Clear,
        }
    }

    /// For a table cell: `1.11 [1.04, 1.19]`, `no clear difference`, or `1.11 too few rounds`.
    #[must_use]
    pub fn words(&self) -> String {
        match (self.clarity(), self.interval) {
            (Clarity::Clear, Some(Interval { low, high })) => {
                format!("{:.2} [{low:.2}, {high:.2}]", self.median)
            }
            (Clarity::NoClearDifference, _) => "no clear difference".to_owned(),
            (Clarity::TooFewRounds | Clarity::Clear, _) => {
                format!("{:.2} too few rounds", self.median)
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rounds(values: &[f64]) -> Vec<(u32, f64)> {
        (0..).zip(values.iter().copied()).collect()
    }

    #[test]
    fn the_median_of_few_is_known() {
        assert_eq!(median([]), None);
        assert_eq!(median([3.0, 1.0, 2.0]), Some(2.0));
        assert_eq!(median([4.0, 1.0]), Some(2.5));
    }

    #[test]
    fn the_same_is_no_clear_difference() {
        let row = rounds(&[10.0, 11.0, 9.0, 10.5, 10.0]);
        let same = ratio(&row, &row).unwrap();
        assert_eq!((same.median, same.clarity()), (1.0, Clarity::NoClearDifference));
        assert_eq!(same.words(), "no clear difference");
    }

    #[test]
    fn twice_as_much_is_clear_even_where_rounds_differ() {
        let base = rounds(&[10.0, 20.0, 40.0, 10.0, 30.0, 15.0]);
        let twice: Vec<f64> =
            base.iter().map(|(round, v)| v * (1.9 + 0.04 * f64::from(*round))).collect();
        let ratio = ratio(&rounds(&twice), &base).unwrap();
        assert_eq!(ratio.clarity(), Clarity::Clear);
        assert!(ratio.words().starts_with("2.00 [1.9"), "{}", ratio.words());
    }

    #[test]
    fn four_rounds_are_too_few_and_say_so() {
        let ratio = ratio(&rounds(&[2.0; 4]), &rounds(&[1.0; 5])).unwrap();
        assert_eq!((ratio.rounds, ratio.interval), (4, None));
        assert_eq!(ratio.words(), "2.00 too few rounds");
    }

    #[test]
    fn only_rounds_of_both_count() {
        let row = [(0, 1.0), (2, 9.0), (7, 5.0)];
        let ratio = ratio(&row, &[(1, 1.0), (2, 3.0), (3, 1.0)]).unwrap();
        assert_eq!((ratio.median, ratio.rounds), (3.0, 1));
        assert_eq!(super::ratio(&row, &[(0, 0.0)]), None);
    }

    #[test]
    fn an_interval_holds_the_truth_about_as_often_as_it_says() {
        let mut rng = Rng::with_seed(1);
        let trials = 200;
        let held = (0..trials)
            .filter(|_| {
                let values: Vec<f64> = (0..15).map(|_| 0.5 + rng.f64()).collect();
                let Interval { low, high } = bootstrap(&values);
                low <= 1.0 && 1.0 <= high
            })
            .count();
        assert!((176..=200).contains(&held), "{held} of {trials}");
    }

    #[test]
    fn chance_does_not_depend_on_which_side_is_the_first() {
        let (low, high) = ([1.0, 2.0, 3.0, 4.0, 5.0], [6.0, 7.0, 8.0, 9.0, 10.0]);
        let mixed = [1.5, 2.5, 3.5, 4.5, 0.5];
        assert!(chance(&low, &high).unwrap() < 0.02);
        assert_eq!(chance(&low, &high), chance(&high, &low));
        assert!(chance(&low, &mixed).unwrap() > 0.5);
        assert_eq!(chance(&low, &low), Some(1.0));
        assert_eq!(chance(&low[..4], &high), None);
    }
}
