//! The numbers by which the runs of one load are compared, and their median over the runs that
//! count.

use super::{Arrival, LoadResult, Measurement, Percentile};
use crate::quantity::{number, time};
use crate::statistics::median;

#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum Statistic {
    /// Messages per second.
    Rate,
    /// A percentile of response in an open loop, and of service in a closed loop.
    Percentile { percent: f64, arrival: Arrival },
    /// The longest latency.
    Max(Arrival),
}

/// The statistics of a result: its rate, the percentiles that were asked for, and the longest
/// latency.
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
    /// Its value in a run, if the run is valid and has one; the run may be partial.
    pub(super) fn run_value(&self, measurement: &Measurement) -> Option<f64> {
        if !measurement.validity.is_valid() {
            return None;
        }
        match *self {
            Self::Rate => measurement.throughput.map(|rates| rates.messages_per_second),
            Self::Percentile { percent, arrival } => {
                measurement.latency(arrival)?.percentile_ns(percent).map(|ns| ns as f64)
            }
            Self::Max(arrival) => measurement.latency(arrival).map(|latency| latency.max_ns as f64),
        }
    }

    /// The median over the runs that count.
    pub(super) fn median(&self, measurements: &[Measurement]) -> Option<f64> {
        let counting = measurements.iter().filter(|measurement| measurement.flaw().is_none());
        median(counting.filter_map(|measurement| self.run_value(measurement)))
    }

    pub(super) fn name(&self) -> String {
        match self {
            Self::Rate => "messages/s".to_owned(),
            Self::Percentile { percent, .. } => Percentile::name_of(*percent),
            Self::Max(_) => "max".to_owned(),
        }
    }

    /// The value without its name; `-` if there is none.
    pub(super) fn format_value(&self, value: Option<f64>) -> String {
        match (self, value) {
            (_, None) => "-".to_owned(),
            (Self::Rate, Some(rate)) => number(rate),
            (Self::Percentile { .. } | Self::Max(_), Some(ns)) => time(ns),
        }
    }

    /// The value with its name: `20,001 messages/s`, `p99 121 µs`.
    pub(super) fn format_with_name(&self, value: Option<f64>) -> String {
        match self {
            Self::Rate => format!("{} {}", self.format_value(value), self.name()),
            Self::Percentile { .. } | Self::Max(_) => {
                format!("{} {}", self.name(), self.format_value(value))
            }
        }
    }
}
