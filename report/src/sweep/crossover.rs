//! From which value on completion pays: a completion row against a readiness row, value by value.

use super::{Dimension, Point, Sweep};
use crate::bench::BenchRow;
use crate::bench::metric::{Direction, Metric};
use crate::load::Arrival;
use crate::outside;
use crate::outside::Outside;
use crate::pairs;
use crate::statistics::{Clarity, Interval, Ratio, ratio};
use crate::verdict::Model;

/// A completion row against a readiness row, in one quantity.
#[derive(Clone, Debug, PartialEq)]
pub struct Crossover {
    /// The backend of both rows, if they differ only in the driver and the backend has no other
    /// pair.
    pub backend: Option<Outside>,
    pub completion: Outside,
    pub readiness: Outside,
    /// The quantity in which the rows are compared.
    pub gain: GainMetric,
    pub dimension: Dimension,
    /// How the rows compare at each value, the smallest value first.
    pub relations: Vec<(f64, Relation)>,
}

/// The quantity in which completion may be better.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum GainMetric {
    /// The server's CPU time per message.
    Cpu,
    /// Echoed messages per second.
    Throughput,
}

/// How completion compares with readiness at one value, by the interval of the ratio within rounds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Relation {
    /// The interval is on the good side of 1.
    Better,
    /// The interval is on the bad side of 1.
    Worse,
    /// The interval spans 1.
    NoClearDifference,
    /// There are too few rounds for an interval.
    TooFewRounds,
    /// One of the two rows has no numbers at this value.
    NotCompared,
}

/// The values at which completion is better. Values without an interval do not count.
#[derive(Clone, Debug, PartialEq)]
pub enum Onset {
    /// At every value that counts.
    EveryValue,
    /// From this value to the last one that counts.
    FromValue(f64),
    /// At these values, but not at the last one that counts.
    SomeValues(Vec<f64>),
    /// At no value that counts.
    NoValue,
    /// No value counts.
    Unknown,
}

/// Every comparison that a sweep allows. A completion row is compared with the readiness row of its
/// pair. Without a pair, it is compared with the baseline if that is a readiness row, else with
/// every readiness row. In an open loop the rate is given, so there is no gain in throughput.
#[must_use]
pub fn crossovers(sweep: &Sweep) -> Vec<Crossover> {
    let points = sweep.sorted_points();
    let Some(first) = points.first() else { return Vec::new() };
    let gains: &[GainMetric] = match first.bench.workload.arrival {
        Arrival::Closed => &[GainMetric::Cpu, GainMetric::Throughput],
        Arrival::Open { .. } => &[GainMetric::Cpu],
    };
    let opponents = opponents(&distinct_rows(&points), first);
    let of_gain = |gain: &GainMetric| {
        let crossover = |opponents: &Opponents<'_>| Crossover {
            backend: opponents.backend.clone(),
            completion: opponents.completion.name.clone(),
            readiness: opponents.readiness.name.clone(),
            gain: *gain,
            dimension: sweep.dimension,
            relations: points.iter().map(|p| (p.value, opponents.relation(p, *gain))).collect(),
        };
        opponents.iter().map(crossover).collect::<Vec<_>>()
    };
    gains.iter().flat_map(of_gain).collect()
}

/// The rows of all points, each once.
pub(super) fn distinct_rows<'a>(points: &[&'a Point]) -> Vec<&'a BenchRow> {
    let mut rows: Vec<&BenchRow> = Vec::new();
    for row in points.iter().flat_map(|point| &point.bench.rows) {
        if rows.iter().all(|known| known.name != row.name) {
            rows.push(row);
        }
    }
    rows
}

struct Opponents<'a> {
    /// The backend of both rows, if they differ only in the driver and the backend has no other
    /// pair.
    backend: Option<Outside>,
    completion: &'a BenchRow,
    readiness: &'a BenchRow,
}

fn opponents<'a>(rows: &[&'a BenchRow], first: &Point) -> Vec<Opponents<'a>> {
    let pairs = pairs::find_pairs(rows, |row| row.traits(&first.bench.host.os));
    let of_model = |model| rows.iter().copied().filter(move |row| row.model == model);
    let mut found = Vec::new();
    for completion in of_model(Model::Completion) {
        if let Some(pair) = pairs.iter().find(|pair| pair.completion.name == completion.name) {
            let of_it = pairs.iter().filter(|other| other.completion.package == completion.package);
            let backend = (of_it.count() == 1).then(|| completion.backend());
            found.push(Opponents { backend, completion, readiness: pair.readiness });
            continue;
        }
        let baseline = of_model(Model::Readiness).find(|row| row.name == first.bench.baseline);
        let is_chosen = |row: &&BenchRow| baseline.is_none_or(|chosen| chosen.name == row.name);
        let others = of_model(Model::Readiness).filter(is_chosen);
        found.extend(others.map(|readiness| Opponents { backend: None, completion, readiness }));
    }
    found
}

impl Opponents<'_> {
    fn relation(&self, point: &Point, gain: GainMetric) -> Relation {
        let rounds = |row: &BenchRow| {
            let row = point.row(&row.name);
            row.map(|row| gain.metric().rounds(&point.bench, row)).unwrap_or_default()
        };
        match ratio(&rounds(self.completion), &rounds(self.readiness)) {
            Some(ratio) => Relation::from_ratio(&ratio, gain.metric().better_direction()),
            None => Relation::NotCompared,
        }
    }
}

impl Relation {
    fn from_ratio(ratio: &Ratio, better: Direction) -> Self {
        match (ratio.clarity(), ratio.interval, better) {
            (Clarity::TooFewRounds, _, _) | (Clarity::Clear, None, _) => Self::TooFewRounds,
            (Clarity::NoClearDifference, _, _) => Self::NoClearDifference,
            (Clarity::Clear, Some(Interval { high, .. }), Direction::Lower) if high < 1.0 => {
                Self::Better
            }
            (Clarity::Clear, Some(Interval { low, .. }), Direction::Higher) if low > 1.0 => {
                Self::Better
            }
            (Clarity::Clear, Some(_), Direction::Lower | Direction::Higher) => Self::Worse,
        }
    }

    /// Whether it says something about the rows.
    fn is_conclusive(self) -> bool {
        match self {
            Self::Better | Self::Worse | Self::NoClearDifference => true,
            Self::TooFewRounds | Self::NotCompared => false,
        }
    }
}

impl GainMetric {
    #[must_use]
    pub fn metric(self) -> Metric {
        match self {
            Self::Cpu => Metric::Cpu,
            Self::Throughput => Metric::Throughput,
        }
    }

    /// What completion does where it is better, and the word for where it is worse.
    fn words(self) -> (&'static str, &'static str) {
        match self {
            Self::Cpu => ("needs less CPU", "more"),
            Self::Throughput => ("echoes more", "less"),
        }
    }
}

impl Crossover {
    #[must_use]
    pub fn onset(&self) -> Onset {
        let counting: Vec<(f64, bool)> = self
            .relations
            .iter()
            .filter(|(_, relation)| relation.is_conclusive())
            .map(|(value, relation)| (*value, *relation == Relation::Better))
            .collect();
        let run = counting.iter().rev().take_while(|(_, is_better)| *is_better).count();
        let better = self.values(Relation::Better);
        match run {
            0 if counting.is_empty() => Onset::Unknown,
            0 if better.is_empty() => Onset::NoValue,
            0 => Onset::SomeValues(better),
            all if all == self.relations.len() => Onset::EveryValue,
            some => Onset::FromValue(counting[counting.len() - some].0),
        }
    }

    /// A sentence without a full stop.
    #[must_use]
    pub fn words(&self) -> Outside {
        let subject = match &self.backend {
            Some(backend) => backend.clone(),
            None => outside!("{} against {}", self.completion, self.readiness),
        };
        let (better, worse) = self.gain.words();
        let onset = self.onset();
        let said = match &onset {
            Onset::EveryValue => format!("completion {better} at every value"),
            Onset::FromValue(value) => {
                format!("completion {better} from {} on", self.dimension.describe(*value))
            }
            Onset::SomeValues(values) => {
                format!(
                    "completion {better} at {} only",
                    self.dimension.format_list(values.clone())
                )
            }
            Onset::NoValue => format!("completion {better} at no value"),
            Onset::Unknown => format!("whether completion {better} is not known"),
        };
        let mut parts = vec![said];
        let before = match onset {
            Onset::FromValue(from) => {
                self.values(Relation::Better).into_iter().filter(|v| *v < from).collect()
            }
            Onset::EveryValue | Onset::SomeValues(_) | Onset::NoValue | Onset::Unknown => {
                Vec::new()
            }
        };
        for (word, values) in [
            ("also", before),
            (worse, self.values(Relation::Worse)),
            ("no clear difference", self.values(Relation::NoClearDifference)),
            ("too few rounds", self.values(Relation::TooFewRounds)),
            ("not compared", self.values(Relation::NotCompared)),
        ] {
            if !values.is_empty() {
                parts.push(format!("{word} at {}", self.dimension.format_list(values)));
            }
        }
        outside!("{}: {}", subject, parts.join("; "))
    }

    fn values(&self, relation: Relation) -> Vec<f64> {
        let those = self.relations.iter().filter(|(_, other)| *other == relation);
        those.map(|(value, _)| *value).collect()
    }
}
