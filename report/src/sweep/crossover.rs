//! From where on completion pays: a row of completion against one of readiness, value by value.

use super::{Dimension, Point, Sweep};
use crate::bench::BenchRow;
use crate::bench::metric::{Better, Metric};
use crate::load::Arrival;
use crate::outside;
use crate::outside::Outside;
use crate::pairs;
use crate::statistics::{Clarity, Interval, Ratio, ratio};
use crate::verdict::Model;

/// A row of completion against one of readiness, in one quantity.
#[derive(Clone, Debug, PartialEq)]
pub struct Crossover {
    /// The backend whose program both are, on two drivers; absent where more than that differs.
    pub backend: Option<Outside>,
    /// Name of the row of completion.
    pub completion: Outside,
    /// Name of the row of readiness.
    pub readiness: Outside,
    /// What they are compared in.
    pub gain: Gain,
    /// What was varied.
    pub dimension: Dimension,
    /// How they compare at each value, the smallest first.
    pub relations: Vec<(f64, Relation)>,
}

/// What completion may be better in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Gain {
    /// The server's CPU time for a message.
    Cpu,
    /// Messages echoed a second.
    Throughput,
}

/// How completion compares with readiness at one value: by the interval of the ratio within rounds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Relation {
    /// The interval is on the good side of 1.
    Better,
    /// It is on the other.
    Worse,
    /// It spans 1.
    NoClearDifference,
    /// There is no interval.
    TooFewRounds,
    /// One of the two has no numbers here.
    NotCompared,
}

/// From where on completion is better. Values at which nothing can be said do not count.
#[derive(Clone, Debug, PartialEq)]
pub enum Onset {
    /// It is at each value.
    Everywhere,
    /// From this value on, to the last that counts.
    From(f64),
    /// At some, but not at the last that counts.
    Only(Vec<f64>),
    /// At none that counts.
    Nowhere,
    /// No value counts.
    Unknown,
}

/// Every comparison that a sweep allows. A row of completion is compared with the row of readiness
/// that is its pair. One that has none is compared with the baseline, where that is of readiness,
/// else with each row of readiness. In an open loop the rate is given, so throughput is no gain.
#[must_use]
pub fn crossovers(sweep: &Sweep) -> Vec<Crossover> {
    let points = sweep.ascending();
    let Some(first) = points.first() else { return Vec::new() };
    let gains: &[Gain] = match first.bench.workload.arrival {
        Arrival::Closed => &[Gain::Cpu, Gain::Throughput],
        Arrival::Open { .. } => &[Gain::Cpu],
    };
    let opponents = opponents(&rows(&points), first);
    let of_gain = |gain: &Gain| {
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
pub(super) fn rows<'a>(points: &[&'a Point]) -> Vec<&'a BenchRow> {
    let mut rows: Vec<&BenchRow> = Vec::new();
    for row in points.iter().flat_map(|point| &point.bench.rows) {
        if rows.iter().all(|known| known.name != row.name) {
            rows.push(row);
        }
    }
    rows
}

/// Two rows to compare.
struct Opponents<'a> {
    /// That of both, if nothing but the driver differs and no other pair is of it.
    backend: Option<Outside>,
    completion: &'a BenchRow,
    readiness: &'a BenchRow,
}

fn opponents<'a>(rows: &[&'a BenchRow], first: &Point) -> Vec<Opponents<'a>> {
    let pairs = pairs::controlled(rows, |row| row.traits(&first.bench.host.os));
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
    fn relation(&self, point: &Point, gain: Gain) -> Relation {
        let rounds = |row: &BenchRow| {
            let row = point.row(&row.name);
            row.map(|row| gain.metric().rounds(&point.bench, row)).unwrap_or_default()
        };
        match ratio(&rounds(self.completion), &rounds(self.readiness)) {
            Some(ratio) => Relation::of(&ratio, gain.metric().better()),
            None => Relation::NotCompared,
        }
    }
}

impl Relation {
    fn of(ratio: &Ratio, better: Better) -> Self {
        match (ratio.clarity(), ratio.interval, better) {
            (Clarity::TooFewRounds, _, _) | (Clarity::Clear, None, _) => Self::TooFewRounds,
            (Clarity::NoClearDifference, _, _) => Self::NoClearDifference,
            (Clarity::Clear, Some(Interval { high, .. }), Better::Less) if high < 1.0 => {
                Self::Better
            }
            (Clarity::Clear, Some(Interval { low, .. }), Better::More) if low > 1.0 => Self::Better,
            (Clarity::Clear, Some(_), Better::Less | Better::More) => Self::Worse,
        }
    }

    /// Whether it says something about the rows.
    fn counts(self) -> bool {
        match self {
            Self::Better | Self::Worse | Self::NoClearDifference => true,
            Self::TooFewRounds | Self::NotCompared => false,
        }
    }
}

impl Gain {
    /// The quantity of a bench.
    #[must_use]
    pub fn metric(self) -> Metric {
        match self {
            Self::Cpu => Metric::Cpu,
            Self::Throughput => Metric::Throughput,
        }
    }

    /// What completion does where it is better, and in a word where it is worse.
    fn words(self) -> (&'static str, &'static str) {
        match self {
            Self::Cpu => ("needs less CPU", "more"),
            Self::Throughput => ("echoes more", "less"),
        }
    }
}

impl Crossover {
    /// From where on completion is better.
    #[must_use]
    pub fn onset(&self) -> Onset {
        let counting: Vec<(f64, bool)> = self
            .relations
            .iter()
            .filter(|(_, relation)| relation.counts())
            .map(|(value, relation)| (*value, *relation == Relation::Better))
            .collect();
        let run = counting.iter().rev().take_while(|(_, is_better)| *is_better).count();
        let better = self.values(Relation::Better);
        match run {
            0 if counting.is_empty() => Onset::Unknown,
            0 if better.is_empty() => Onset::Nowhere,
            0 => Onset::Only(better),
            all if all == self.relations.len() => Onset::Everywhere,
            some => Onset::From(counting[counting.len() - some].0),
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
            Onset::Everywhere => format!("completion {better} at every value"),
            Onset::From(value) => {
                format!("completion {better} from {} on", self.dimension.long(*value))
            }
            Onset::Only(values) => {
                format!("completion {better} at {} only", self.dimension.list(values.clone()))
            }
            Onset::Nowhere => format!("completion {better} at no value"),
            Onset::Unknown => format!("whether completion {better} is not known"),
        };
        let mut parts = vec![said];
        let before = match onset {
            Onset::From(from) => {
                self.values(Relation::Better).into_iter().filter(|v| *v < from).collect()
            }
            Onset::Everywhere | Onset::Only(_) | Onset::Nowhere | Onset::Unknown => Vec::new(),
        };
        for (word, values) in [
            ("also", before),
            (worse, self.values(Relation::Worse)),
            ("no clear difference", self.values(Relation::NoClearDifference)),
            ("too few rounds", self.values(Relation::TooFewRounds)),
            ("not compared", self.values(Relation::NotCompared)),
        ] {
            if !values.is_empty() {
                parts.push(format!("{word} at {}", self.dimension.list(values)));
            }
        }
        outside!("{}: {}", subject, parts.join("; "))
    }

    fn values(&self, relation: Relation) -> Vec<f64> {
        let those = self.relations.iter().filter(|(_, other)| *other == relation);
        those.map(|(value, _)| *value).collect()
    }
}
