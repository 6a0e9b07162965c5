//! Up to which rate a row keeps up, in a sweep over the rate of an open loop.

use super::crossover::distinct_rows;
use super::{Dimension, Point, Sweep};
use crate::bench::BenchRow;
use crate::bench::metric::Metric;
use crate::host::group_digits;
use crate::load::Measurement;
use crate::outside;
use crate::outside::Outside;
use crate::quantity::number;
use crate::statistics::median;

/// How far throughput may be from the rate while the server keeps up: 1 %.
pub const RATE_TOLERANCE: f64 = 0.01;
/// A p99 of this many times the p99 at the lowest rate is too long: a queue has begun to grow.
pub const SLOW_P99_FACTOR: f64 = 5.0;

/// Up to which rate a row keeps up.
///
/// A row keeps up with a rate if three things hold in most of the rounds that count: all due
/// messages were sent (within [`RATE_TOLERANCE`], because some are due when a round ends), every
/// sent message came back, and throughput is within [`RATE_TOLERANCE`] of the rate. The median p99
/// of response must also be below [`SLOW_P99_FACTOR`] times the p99 at the lowest rate that counts.
/// The knee is the highest rate before the first rate with which the row does not keep up: what
/// happens beyond that is chance.
#[derive(Clone, Debug, PartialEq)]
pub struct Knee {
    pub row: Outside,
    /// The highest rate with which it kept up, in messages per second.
    pub highest_kept: Option<f64>,
    /// The first rate with which it did not keep up, and how that shows.
    pub first_overload: Option<(f64, Overload)>,
    /// Rates up to there about which nothing is known: invalid, refused, or without a p99.
    pub unknown: Vec<f64>,
}

/// How a row shows that it does not keep up.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Overload {
    /// It echoed fewer messages than were due.
    LowThroughput {
        /// The median of the rounds.
        messages_per_second: f64,
    },
    /// Messages that were sent did not come back, over datagrams.
    Lost {
        /// Over all rounds that count.
        messages: u64,
    },
    /// Responses took too long.
    Slow {
        /// How many times the p99 at the lowest rate.
        times: f64,
    },
}

enum Pace {
    KeepsUp,
    Overloaded(Overload),
    Unknown,
}

/// The knee of each row; empty unless the sweep varied the rate.
#[must_use]
pub fn knees(sweep: &Sweep) -> Vec<Knee> {
    let points = match sweep.dimension {
        Dimension::Rate => sweep.sorted_points(),
        Dimension::Connections | Dimension::MessageBytes | Dimension::Workers => return Vec::new(),
    };
    distinct_rows(&points).into_iter().map(|row| knee(&points, &row.name)).collect()
}

fn knee(points: &[&Point], name: &Outside) -> Knee {
    let mut knee =
        Knee { row: name.clone(), highest_kept: None, first_overload: None, unknown: Vec::new() };
    let mut lowest_p99 = None;
    for point in points {
        let judged = match point.row(name) {
            Some(row) => judge(point, row, &mut lowest_p99),
            None => Pace::Unknown,
        };
        match judged {
            Pace::KeepsUp => knee.highest_kept = Some(point.value),
            Pace::Unknown => knee.unknown.push(point.value),
            Pace::Overloaded(overload) => {
                knee.first_overload = Some((point.value, overload));
                break;
            }
        }
    }
    knee
}

/// `lowest_p99` is the p99 at the lowest rate that counts, once it is known.
fn judge(point: &Point, row: &BenchRow, lowest_p99: &mut Option<f64>) -> Pace {
    let throughputs = Metric::Throughput.rounds(&point.bench, row);
    let Some(messages_per_second) = median(throughputs.into_iter().map(|(_, value)| value)) else {
        return Pace::Unknown;
    };
    let counting = || row.samples.iter().map(|s| &s.measurement).filter(|m| m.flaw().is_none());
    let most = |holds: &dyn Fn(&Measurement) -> bool| {
        counting().filter(|m| holds(m)).count() * 2 > counting().count()
    };
    let missing = |m: &Measurement| m.traffic.sent.saturating_sub(m.traffic.echoed);
    if !most(&|m| is_at_rate(m, point.value)) {
        return Pace::Overloaded(Overload::LowThroughput { messages_per_second });
    }
    if !most(&|m| missing(m) == 0) {
        let messages = counting().map(missing).fold(0, u64::saturating_add);
        return Pace::Overloaded(Overload::Lost { messages });
    }
    let Some(p99) = Metric::P99.value(&point.bench, row).number() else { return Pace::Unknown };
    let lowest = *lowest_p99.get_or_insert(p99);
    if lowest > 0.0 && p99 >= SLOW_P99_FACTOR * lowest {
        return Pace::Overloaded(Overload::Slow { times: p99 / lowest });
    }
    Pace::KeepsUp
}

/// Whether all due messages were sent, and throughput is near the rate.
fn is_at_rate(measurement: &Measurement, rate: f64) -> bool {
    let due = rate * measurement.seconds * (1.0 - RATE_TOLERANCE);
    let near = |rates: crate::load::Throughput| {
        (rates.messages_per_second - rate).abs() <= RATE_TOLERANCE * rate
    };
    measurement.traffic.sent as f64 >= due.floor() && measurement.throughput.is_some_and(near)
}

impl Knee {
    /// A sentence without a full stop.
    #[must_use]
    pub fn words(&self) -> Outside {
        let rate = |value: f64| Dimension::Rate.describe(value);
        let said = match (self.highest_kept, self.first_overload) {
            (Some(held), Some((broke, overload))) => {
                format!("keeps up to {}; at {} {}", rate(held), rate(broke), overload.words())
            }
            (Some(held), None) => {
                format!("the knee is beyond the last rate that was tried, {}", rate(held))
            }
            (None, Some((broke, overload))) => {
                format!(
                    "keeps up at no rate that was tried; at {} {}",
                    rate(broke),
                    overload.words()
                )
            }
            (None, None) => "no rate can be judged".to_owned(),
        };
        if self.unknown.is_empty() || (self.highest_kept, self.first_overload) == (None, None) {
            return outside!("{}: {}", self.row, said);
        }
        let unknown = Dimension::Rate.format_list(self.unknown.iter().copied());
        outside!("{}: {}; not judged at {}", self.row, said, unknown)
    }
}

impl Overload {
    fn words(self) -> String {
        match self {
            Self::LowThroughput { messages_per_second } => {
                format!("it echoes {} of them", number(messages_per_second))
            }
            Self::Lost { messages } => format!("{} were lost", group_digits(messages)),
            Self::Slow { times } => {
                format!("p99 is {} times that at the lowest rate", number(times))
            }
        }
    }
}
