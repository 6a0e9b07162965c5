//! What several runs of one load are compared by, and the median of those that count.

use super::{Arrival, LoadResult, Measurement, Percentile};
use crate::quantity::{number, time};
use crate::statistics::median;

/// A number of a run.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum Statistic {
    /// Messages a second.
    Rate,
    /// A percentile of the latency that the arrival makes meaningful.
    Percentile { percent: f64, arrival: Arrival },
    /// The longest of them.
    Max(Arrival),
}

/// Those of a result: its rate, the percentiles that were asked for, and the longest time.
pub(super) fn statistics(result: &LoadResult) -> Vec<Statistic> {
    let arrival = result.workload.arrival;
    let mut latencies = result.measurements.iter().filter_map(|m| m.latency(arrival));
    let percentiles = latencies.next().map(|latency| latency.percentiles.as_slice());
    let percentiles = percentiles.unwrap_or_default().iter();
    let mut statistics = vec![Statistic::Rate];
    statistics.extend(percentiles.map(|p| Statistic::Percentile { percent: p.percent, arrival }));
    statistics.push(Statistic::Max(arrival));
    statistics
}

impl Statistic {
    /// Its value in a run, if the run is valid and has it; it may be a part.
    pub(super) fn of(&self, measurement: &Measurement) -> Option<f64> {
        if !measurement.validity.is_valid() {
            return None;
        }
        match *self {
            Self::Rate => measurement.throughput.map(|rates| rates.messages_per_second),
            Self::Percentile { percent, arrival } => {
                measurement.latency(arrival)?.at(percent).map(|ns| ns as f64)
            }
            Self::Max(arrival) => measurement.latency(arrival).map(|latency| latency.max_ns as f64),
        }
    }

    /// The median over the runs that count.
    pub(super) fn median(&self, measurements: &[Measurement]) -> Option<f64> {
        let counting = measurements.iter().filter(|measurement| measurement.flaw().is_none());
        median(counting.filter_map(|measurement| self.of(measurement)))
    }

    /// What it is called.
    pub(super) fn name(&self) -> String {
        match self {
            Self::Rate => "messages/s".to_owned(),
            Self::Percentile { percent, .. } => Percentile::name_of(*percent),
            Self::Max(_) => "max".to_owned(),
        }
    }

    /// Its value alone, `-` where there is none.
    pub(super) fn value(&self, value: Option<f64>) -> String {
        match (self, value) {
            (_, None) => "-".to_owned(),
            (Self::Rate, Some(rate)) => number(rate),
            (Self::Percentile { .. } | Self::Max(_), Some(ns)) => time(ns),
        }
    }

    /// Its value with its name: `20,001 messages/s`, `p99 121 µs`.
    pub(super) fn shown(&self, value: Option<f64>) -> String {
        match self {
            Self::Rate => format!("{} {}", self.value(value), self.name()),
            Self::Percentile { .. } | Self::Max(_) => {
                format!("{} {}", self.name(), self.value(value))
            }
        }
    }
}
