//! Two benches row by row. Counts have a gate; a time is a change only where Mann-Whitney's test
//! finds one and the medians are apart.

use serde::{Deserialize, Serialize};

use super::OtherHosts;
use super::circumstances::{host_differences, pinning_differences, workload_differences};
use crate::bench::metric::{Better, Metric, Rule, Standing, standing};
use crate::bench::{Bench, BenchRow, Count};
use crate::outside;
use crate::outside::Outside;
use crate::statistics::{chance, median};

/// A count that is worse by more is a regression.
pub(super) const COUNT_GATE: f64 = 0.10;
/// A time whose median changed by less is no change, however sure it is.
pub(super) const TIME_GATE: f64 = 0.05;
/// A time changed where chance alone would show as much less often.
pub(super) const CHANCE: f64 = 0.05;

/// What changed between two benches of one workload.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct BenchComparison {
    /// The label of the second.
    pub label: Outside,
    /// Whether times were compared.
    pub times: Times,
    /// Every quantity that both have, changed or not.
    pub changes: Vec<Change>,
    /// Rows that had numbers and have none any more, and why.
    pub lost: Vec<Outside>,
    /// Counts that only one of them has, and why.
    pub no_data: Vec<Outside>,
    /// Rows that only the first has.
    pub only_before: Vec<Outside>,
    /// Rows that only the second has.
    pub only_after: Vec<Outside>,
}

/// Whether times were compared.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "state", rename_all = "kebab-case")]
pub enum Times {
    /// Both benches are of one host.
    Compared,
    /// They are not, but the user wanted it.
    Forced {
        /// What differs.
        differences: Vec<Outside>,
    },
    /// They were not.
    NotCompared {
        /// What differs.
        differences: Vec<Outside>,
    },
}

/// One quantity of one row.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Change {
    /// The row.
    pub row: Outside,
    /// The quantity.
    pub metric: Metric,
    /// Its median, or what was counted, in the first bench.
    pub before: f64,
    /// The same in the second.
    pub after: f64,
    /// How often chance alone would show as much; absent for a count.
    pub chance: Option<f64>,
    /// What that means.
    pub judgement: Judgement,
}

/// What a change means.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Judgement {
    /// It is worse.
    Regression,
    /// It is better.
    Improvement,
    /// It is neither.
    NoClearDifference,
    /// Nothing can be said of a time with so few rounds.
    TooFewRounds,
}

/// Compares two benches.
///
/// # Errors
/// What differs in the workload: then nothing can be said.
pub(super) fn compare(
    before: &Bench,
    after: &Bench,
    other_hosts: OtherHosts,
) -> Result<BenchComparison, Outside> {
    let differences = workload_differences(before, after);
    if !differences.is_empty() {
        return Err(outside!(
            "the benches of {} differ in workload: {}",
            after.label,
            Outside::join(&differences, ", ")
        ));
    }
    let mut found = BenchComparison {
        label: after.label.clone(),
        times: Times::of(before, after, other_hosts),
        changes: Vec::new(),
        lost: Vec::new(),
        no_data: Vec::new(),
        only_before: names_missing(before, after),
        only_after: names_missing(after, before),
    };
    for row in &before.rows {
        if let Some(other) = after.rows.iter().find(|other| other.name == row.name) {
            found.compare_rows((before, row), (after, other));
        }
    }
    Ok(found)
}

fn names_missing(of: &Bench, from: &Bench) -> Vec<Outside> {
    let missing = |row: &&BenchRow| !from.rows.iter().any(|other| other.name == row.name);
    of.rows.iter().filter(missing).map(|row| row.name.clone()).collect()
}

impl BenchComparison {
    /// The changes that mean so.
    pub fn of(&self, judgement: Judgement) -> impl Iterator<Item = &Change> {
        self.changes.iter().filter(move |change| change.judgement == judgement)
    }

    fn compare_rows(&mut self, before: (&Bench, &BenchRow), after: (&Bench, &BenchRow)) {
        if standing(before.1) != Standing::Measured {
            return;
        }
        let why = match standing(after.1) {
            Standing::Measured => None,
            Standing::Refused { reason } => Some(outside!("refused: {}", reason)),
            Standing::MostlyInvalid { invalid, rounds } => {
                Some(format!("{invalid} of its {rounds} rounds do not count").into())
            }
            Standing::NotReached => Some("the bench ended before its first round".into()),
        };
        if let Some(why) = why {
            return self.lost.push(outside!("{}: {}", before.1.name, why));
        }
        for metric in Metric::all() {
            match metric.rule() {
                Rule::Count { beyond } => self.compare_counts(metric, before, after, beyond),
                Rule::Time => self.compare_times(metric, before, after),
                Rule::NotJudged => {}
            }
        }
    }

    fn compare_counts(
        &mut self,
        metric: Metric,
        (one, row): (&Bench, &BenchRow),
        (two, other): (&Bench, &BenchRow),
        beyond: f64,
    ) {
        let (before, after) = match (metric.value(one, row), metric.value(two, other)) {
            (Count::Of(before), Count::Of(after)) => (before, after),
            (Count::NoData { .. }, Count::NoData { .. }) => return,
            (Count::Of(_), Count::NoData { no_data }) => {
                return self.no_data.push(absence(row, metric, "second", &no_data));
            }
            (Count::NoData { no_data }, Count::Of(_)) => {
                return self.no_data.push(absence(row, metric, "first", &no_data));
            }
        };
        let is_apart = (after - before).abs() > beyond.max(before * COUNT_GATE);
        let judgement =
            if is_apart { metric.turn(before, after) } else { Judgement::NoClearDifference };
        let row = row.name.clone();
        self.changes.push(Change { row, metric, before, after, chance: None, judgement });
    }

    fn compare_times(
        &mut self,
        metric: Metric,
        (one, row): (&Bench, &BenchRow),
        (two, other): (&Bench, &BenchRow),
    ) {
        if matches!(self.times, Times::NotCompared { .. }) {
            return;
        }
        let values = |bench, row| {
            let rounds = metric.rounds(bench, row).into_iter();
            rounds.map(|(_, value)| value).collect::<Vec<f64>>()
        };
        let (ours, theirs) = (values(one, row), values(two, other));
        let medians = (median(ours.iter().copied()), median(theirs.iter().copied()));
        let (Some(before), Some(after)) = medians else { return };
        let chance = chance(&ours, &theirs);
        let judgement = match chance {
            None => Judgement::TooFewRounds,
            Some(chance) if chance < CHANCE && (after / before - 1.0).abs() > TIME_GATE => {
                metric.turn(before, after)
            }
            Some(_) => Judgement::NoClearDifference,
        };
        self.changes.push(Change {
            row: row.name.clone(),
            metric,
            before,
            after,
            chance,
            judgement,
        });
    }
}

fn absence(row: &BenchRow, metric: Metric, side: &str, reason: &Outside) -> Outside {
    outside!("{}, {}: none in the {}: {}", row.name, metric.name(), side, reason)
}

impl Times {
    fn of(before: &Bench, after: &Bench, other_hosts: OtherHosts) -> Self {
        let mut differences = host_differences(&before.host, &after.host);
        differences.extend(pinning_differences(before, after));
        if differences.is_empty() {
            return Self::Compared;
        }
        match other_hosts {
            OtherHosts::TimesToo => Self::Forced { differences },
            OtherHosts::CountsOnly => Self::NotCompared { differences },
        }
    }
}

impl Metric {
    /// What it means that this quantity is not what it was.
    fn turn(self, before: f64, after: f64) -> Judgement {
        let is_better = match self.better() {
            Better::More => after > before,
            Better::Less => after < before,
        };
        if is_better { Judgement::Improvement } else { Judgement::Regression }
    }
}
