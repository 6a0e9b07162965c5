//! Compares two benches row by row. A count has changed if it passes a gate. A time has changed
//! only if Mann-Whitney's test finds a difference and the medians are far enough apart.

use serde::{Deserialize, Serialize};

use super::OtherHosts;
use super::circumstances::{host_differences, pinning_differences, workload_differences};
use crate::bench::metric::{Direction, Metric, RowState, Rule, row_state};
use crate::bench::{Bench, BenchRow, Count};
use crate::outside;
use crate::outside::Outside;
use crate::statistics::{chance, median};

/// A count has changed only if it differs by more than this share.
pub(super) const COUNT_GATE: f64 = 0.10;
/// A time has changed only if its median differs by more than this share, however sure the test is.
pub(super) const TIME_GATE: f64 = 0.05;
/// A time has changed only if chance alone would show as large a difference less often than this.
pub(super) const MAX_CHANCE: f64 = 0.05;

/// What changed between two benches of one workload.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct BenchComparison {
    /// Label of the second bench.
    pub label: Outside,
    pub times: TimeComparison,
    /// Every compared quantity that both benches have, changed or not.
    pub changes: Vec<Change>,
    /// Rows that had numbers and no longer have any, and why.
    pub lost: Vec<Outside>,
    /// Counts that only one bench has, and why.
    pub no_data: Vec<Outside>,
    /// Rows that only the first bench has.
    pub only_before: Vec<Outside>,
    /// Rows that only the second bench has.
    pub only_after: Vec<Outside>,
}

/// Whether times were compared.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "state", rename_all = "kebab-case")]
pub enum TimeComparison {
    /// Both benches have the same host and the same pinning.
    Compared,
    /// Host or pinning differ, but the user wanted it (`--force`).
    Forced {
        /// What differs, a few words each.
        differences: Vec<Outside>,
    },
    /// Host or pinning differ.
    NotCompared {
        /// What differs, a few words each.
        differences: Vec<Outside>,
    },
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Change {
    pub row: Outside,
    pub metric: Metric,
    /// Median or count in the first bench, in its unit.
    pub before: f64,
    /// Median or count in the second bench, in its unit.
    pub after: f64,
    /// How often chance alone would show as large a difference, as a share; absent for a count, or
    /// with too few rounds.
    pub chance: Option<f64>,
    pub judgement: Judgement,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Judgement {
    Regression,
    Improvement,
    NoClearDifference,
    /// There are too few rounds to judge a time.
    TooFewRounds,
}

/// # Errors
/// The workloads differ, so nothing can be compared; the text says what differs.
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
        times: TimeComparison::new(before, after, other_hosts),
        changes: Vec::new(),
        lost: Vec::new(),
        no_data: Vec::new(),
        only_before: missing_row_names(before, after),
        only_after: missing_row_names(after, before),
    };
    for row in &before.rows {
        if let Some(other) = after.rows.iter().find(|other| other.name == row.name) {
            found.compare_rows((before, row), (after, other));
        }
    }
    Ok(found)
}

fn missing_row_names(of: &Bench, from: &Bench) -> Vec<Outside> {
    let missing = |row: &&BenchRow| !from.rows.iter().any(|other| other.name == row.name);
    of.rows.iter().filter(missing).map(|row| row.name.clone()).collect()
}

impl BenchComparison {
    pub fn changes_with(&self, judgement: Judgement) -> impl Iterator<Item = &Change> {
        self.changes.iter().filter(move |change| change.judgement == judgement)
    }

    fn compare_rows(&mut self, before: (&Bench, &BenchRow), after: (&Bench, &BenchRow)) {
        if row_state(before.1) != RowState::Measured {
            return;
        }
        let why = match row_state(after.1) {
            RowState::Measured => None,
            RowState::Refused { reason } => Some(outside!("refused: {}", reason)),
            RowState::MostlyInvalid { invalid, rounds } => {
                Some(format!("{invalid} of its {rounds} rounds do not count").into())
            }
            RowState::NotReached => Some("the bench ended before its first round".into()),
        };
        if let Some(why) = why {
            return self.lost.push(outside!("{}: {}", before.1.name, why));
        }
        for metric in Metric::all() {
            match metric.rule() {
                Rule::Count { threshold } => self.compare_counts(metric, before, after, threshold),
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
        threshold: f64,
    ) {
        let (before, after) = match (metric.value(one, row), metric.value(two, other)) {
            (Count::Of(before), Count::Of(after)) => (before, after),
            (Count::NoData { .. }, Count::NoData { .. }) => return,
            (Count::Of(_), Count::NoData { no_data }) => {
                return self.no_data.push(describe_absence(row, metric, "second", &no_data));
            }
            (Count::NoData { no_data }, Count::Of(_)) => {
                return self.no_data.push(describe_absence(row, metric, "first", &no_data));
            }
        };
        let is_apart = (after - before).abs() > threshold.max(before * COUNT_GATE);
        let judgement = if is_apart {
            metric.judge_change(before, after)
        } else {
            Judgement::NoClearDifference
        };
        let row = row.name.clone();
        self.changes.push(Change { row, metric, before, after, chance: None, judgement });
    }

    fn compare_times(
        &mut self,
        metric: Metric,
        (one, row): (&Bench, &BenchRow),
        (two, other): (&Bench, &BenchRow),
    ) {
        if matches!(self.times, TimeComparison::NotCompared { .. }) {
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
            Some(chance) if chance < MAX_CHANCE && (after / before - 1.0).abs() > TIME_GATE => {
                metric.judge_change(before, after)
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

fn describe_absence(row: &BenchRow, metric: Metric, side: &str, reason: &Outside) -> Outside {
    outside!("{}, {}: none in the {}: {}", row.name, metric.name(), side, reason)
}

impl TimeComparison {
    fn new(before: &Bench, after: &Bench, other_hosts: OtherHosts) -> Self {
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
    /// What a change of this quantity means.
    fn judge_change(self, before: f64, after: f64) -> Judgement {
        let is_better = match self.better_direction() {
            Direction::Higher => after > before,
            Direction::Lower => after < before,
        };
        if is_better { Judgement::Improvement } else { Judgement::Regression }
    }
}
