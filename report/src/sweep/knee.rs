//! Up to which rate a row keeps up, in a sweep over the rate of an open loop.

use super::crossover::rows;
use super::{Dimension, Point, Sweep};
use crate::bench::BenchRow;
use crate::bench::metric::Metric;
use crate::host::grouped;
use crate::load::Measurement;
use crate::outside;
use crate::outside::Outside;
use crate::quantity::number;
use crate::statistics::median;

/// How far from the rate the throughput of a server that keeps up may be: 1 %.
pub const TOLERANCE: f64 = 0.01;
/// How many times the p99 at the lowest rate is too long: a queue has begun to grow.
pub const TOO_SLOW: f64 = 5.0;

/// Up to which rate a row keeps up.
///
/// At a rate it keeps up when, in most of the rounds that count, all messages that were due were
/// sent (but for [`TOLERANCE`]: some are due when a round ends), every message that was sent came
/// back, and throughput is within [`TOLERANCE`] of the rate; and when the median of p99 response is
/// below [`TOO_SLOW`] times that at the lowest rate that counts. The knee is the highest rate
/// before the first at which it does not: what happens beyond that is chance.
#[derive(Clone, Debug, PartialEq)]
pub struct Knee {
    /// The row.
    pub row: Outside,
    /// The highest rate at which it kept up, in messages a second.
    pub held: Option<f64>,
    /// The first rate at which it did not, and how that shows.
    pub broke: Option<(f64, Overload)>,
    /// Rates up to there about which nothing can be said: invalid, refused, or without a p99.
    pub unknown: Vec<f64>,
}

/// How it shows that a row does not keep up.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Overload {
    /// It echoed fewer messages than were due.
    Behind {
        /// Messages echoed a second; the median of the rounds.
        messages_per_second: f64,
    },
    /// Messages that were sent did not come back: datagrams.
    Lost {
        /// Of all rounds that count.
        messages: u64,
    },
    /// Answers took long.
    Slow {
        /// How many times the p99 at the lowest rate.
        times: f64,
    },
}

/// What one rate says.
enum Pace {
    KeepsUp,
    Not(Overload),
    Unknown,
}

/// The knee of each row; none unless the rate was varied.
#[must_use]
pub fn knees(sweep: &Sweep) -> Vec<Knee> {
    let points = match sweep.dimension {
        Dimension::Rate => sweep.ascending(),
        Dimension::Connections | Dimension::MessageBytes | Dimension::Workers => return Vec::new(),
    };
    rows(&points).into_iter().map(|row| knee(&points, &row.name)).collect()
}

fn knee(points: &[&Point], name: &Outside) -> Knee {
    let mut knee = Knee { row: name.clone(), held: None, broke: None, unknown: Vec::new() };
    let mut lowest_p99 = None;
    for point in points {
        let judged = match point.row(name) {
            Some(row) => judge(point, row, &mut lowest_p99),
            None => Pace::Unknown,
        };
        match judged {
            Pace::KeepsUp => knee.held = Some(point.value),
            Pace::Unknown => knee.unknown.push(point.value),
            Pace::Not(overload) => {
                knee.broke = Some((point.value, overload));
                break;
            }
        }
    }
    knee
}

/// `lowest_p99` is that of the lowest rate that counts, once it is known.
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
    if !most(&|m| is_at(m, point.value)) {
        return Pace::Not(Overload::Behind { messages_per_second });
    }
    if !most(&|m| missing(m) == 0) {
        let messages = counting().map(missing).fold(0, u64::saturating_add);
        return Pace::Not(Overload::Lost { messages });
    }
    let Some(p99) = Metric::P99.value(&point.bench, row).number() else { return Pace::Unknown };
    let lowest = *lowest_p99.get_or_insert(p99);
    if lowest > 0.0 && p99 >= TOO_SLOW * lowest {
        return Pace::Not(Overload::Slow { times: p99 / lowest });
    }
    Pace::KeepsUp
}

/// Whether all that was due was sent, and came back in time.
fn is_at(measurement: &Measurement, rate: f64) -> bool {
    let due = rate * measurement.seconds * (1.0 - TOLERANCE);
    let near = |rates: crate::load::Throughput| {
        (rates.messages_per_second - rate).abs() <= TOLERANCE * rate
    };
    measurement.traffic.sent as f64 >= due.floor() && measurement.throughput.is_some_and(near)
}

impl Knee {
    /// A sentence without a full stop.
    #[must_use]
    pub fn words(&self) -> Outside {
        let rate = |value: f64| Dimension::Rate.long(value);
        let said = match (self.held, self.broke) {
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
        if self.unknown.is_empty() || (self.held, self.broke) == (None, None) {
            return outside!("{}: {}", self.row, said);
        }
        let unknown = Dimension::Rate.list(self.unknown.iter().copied());
        outside!("{}: {}; not judged at {}", self.row, said, unknown)
    }
}

impl Overload {
    fn words(self) -> String {
        match self {
            Self::Behind { messages_per_second } => {
                format!("it echoes {} of them", number(messages_per_second))
            }
            Self::Lost { messages } => format!("{} were lost", grouped(messages)),
            Self::Slow { times } => {
                format!("p99 is {} times that at the lowest rate", number(times))
            }
        }
    }
}
