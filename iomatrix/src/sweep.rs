//! `iomatrix sweep`: runs a bench at several values of one quantity, to show where completion
//! starts to pay, and where an open loop has its knee.

use std::time::Duration;

use clap::builder::{PossibleValue, PossibleValuesParser, TypedValueParser};
use report::bench::metric::Metric;
use report::output::Output;
use report::sweep::{Dimension, FILE_NAME, FORMAT_VERSION, Point, Sweep};
use report::{Document as _, Exit, Pages as _, Seed};

use crate::bench::{Session, SubjectArguments};
use crate::error::Error;
use crate::load::WorkloadArguments;
use crate::notice::print_notice;
use crate::output::{self, Outputs};
use crate::values::{parse_number, parse_rate, parse_size, parse_time};

#[derive(clap::Args)]
pub(crate) struct Arguments {
    #[command(flatten)]
    subjects: SubjectArguments,
    /// Rounds at each value.
    #[arg(long, value_name = "N", default_value_t = 5, aliases = ["runs", "repeat"])]
    #[arg(value_parser = clap::value_parser!(u32).range(1..))]
    rounds: u32,
    /// How long to measure in each round.
    #[arg(short, long, value_name = "TIME", default_value = "1s")]
    #[arg(value_parser = parse_time)]
    duration: Duration,
    /// Load that does not count, before the measured part.
    #[arg(short, long, value_name = "TIME", default_value = "250ms")]
    #[arg(value_parser = parse_time)]
    warmup: Duration,
    /// Threads of the generator.
    #[arg(short, long, value_name = "N", default_value_t = 1, value_parser = parse_number)]
    threads: u32,
    /// Messages in flight on a connection.
    #[arg(long, value_name = "N", default_value_t = 1, value_parser = parse_number)]
    pipeline: u32,
    /// Send the same bytes again. Random if absent.
    #[arg(long, value_name = "HEX")]
    seed: Option<Seed>,
    /// What to plot.
    #[arg(long, value_parser = metrics(), default_value = "cpu")]
    metric: Metric,
    #[arg(
        long = "output",
        value_name = "FORMAT[=FILE]",
        default_value = "text",
        alias = "output-format"
    )]
    #[arg(help = output::help(Sweep::FORMATS), value_parser = output::parser(Sweep::FORMATS))]
    outputs: Vec<Output>,
    // Last, because a heading holds for all options that follow.
    #[command(flatten)]
    values: Values,
}

/// One of these has several values, and is what the sweep varies.
#[derive(Clone, Debug, clap::Args)]
#[command(next_help_heading = "Give several values to one of these")]
struct Values {
    /// Connections that carry messages, such as 1,8,64,512.
    #[arg(short, long, value_name = "LIST", value_delimiter = ',', default_value = "64")]
    #[arg(value_parser = parse_number)]
    connections: Vec<u32>,
    /// Open loop: messages a second over all connections, such as 10k,20k,40k.
    #[arg(short, long, value_name = "LIST", value_delimiter = ',', value_parser = parse_rate)]
    rate: Vec<f64>,
    /// Bytes of a message, such as 64,1KiB,16KiB.
    #[arg(short, long, value_name = "LIST", value_delimiter = ',', default_value = "64")]
    #[arg(value_parser = parse_size)]
    payload: Vec<u32>,
    /// Threads that do I/O in each server, such as 1,2,4.
    #[arg(long, value_name = "LIST", value_delimiter = ',', default_value = "1")]
    #[arg(value_parser = clap::value_parser!(u32).range(1..))]
    workers: Vec<u32>,
}

fn metrics() -> impl TypedValueParser<Value = Metric> {
    let value = |(word, metric): (_, Metric)| PossibleValue::new(word).help(metric.name());
    PossibleValuesParser::new(Metric::PLOT_CHOICES.map(value)).try_map(|word| word.parse())
}

pub(crate) fn run(arguments: &Arguments) -> Result<Exit, Error> {
    let points = arguments.values.points()?;
    for (_, point) in &points {
        arguments.workload(point).validate(arguments.subjects.transport)?;
    }
    let session = Session::new(&arguments.subjects)?;
    session.candidates(1)?;
    let mut outputs = Outputs::open(&arguments.outputs)?;
    let saved = outputs.save_unless_json(FILE_NAME)?;
    let metric = arguments.metric;
    let dimension = arguments.values.dimension();
    let mut sweep =
        Sweep { version: FORMAT_VERSION, dimension, points: Vec::new(), interrupted: false };
    for (value, point) in points {
        print_notice(format_args!("{}", dimension.describe(value)));
        let candidates = session.candidates(point.workers[0])?;
        let workload = arguments.workload(&point);
        let bench = session.bench(candidates, &workload, arguments.rounds)?;
        sweep.interrupted = bench.interrupted;
        sweep.points.push(Point { value, bench });
        // Written after each value, because a sweep takes long.
        outputs.write_unfinished(&sweep, &metric)?;
        if sweep.interrupted {
            break;
        }
    }
    outputs.write_pages(&sweep, &metric)?;
    output::print_saved(saved.as_deref());
    Ok(sweep.exit(&metric))
}

impl Arguments {
    fn workload(&self, point: &Values) -> WorkloadArguments {
        WorkloadArguments {
            connections: point.connections[0],
            duration: Some(self.duration),
            requests: None,
            rate: point.rate.first().copied(),
            payload: point.payload.clone(),
            warmup: Some(self.warmup),
            threads: self.threads,
            pipeline: self.pipeline,
            churn: false,
            connect_rate: None,
            idle: 0,
            seed: self.seed,
        }
    }
}

impl Values {
    /// The quantity that has several values.
    fn dimension(&self) -> Dimension {
        if self.connections.len() > 1 {
            Dimension::Connections
        } else if self.rate.len() > 1 {
            Dimension::Rate
        } else if self.payload.len() > 1 {
            Dimension::MessageBytes
        } else {
            Dimension::Workers
        }
    }

    /// Each value with the options for it, in which no quantity has several values.
    ///
    /// # Errors
    /// Not exactly one quantity has several values.
    fn points(&self) -> Result<Vec<(f64, Self)>, Error> {
        let lengths =
            [self.connections.len(), self.rate.len(), self.payload.len(), self.workers.len()];
        if lengths.iter().filter(|length| **length > 1).count() != 1 {
            return Err(Error::NoDimension);
        }
        let at = |change: &dyn Fn(&mut Self)| {
            let mut point = self.clone();
            change(&mut point);
            point
        };
        let whole = |list: &[u32], set: &dyn Fn(&mut Self, u32)| {
            let point = |value: &u32| (f64::from(*value), at(&|point| set(point, *value)));
            list.iter().map(point).collect()
        };
        Ok(match self.dimension() {
            Dimension::Connections => {
                whole(&self.connections, &|point, value| point.connections = vec![value])
            }
            Dimension::MessageBytes => {
                whole(&self.payload, &|point, value| point.payload = vec![value])
            }
            Dimension::Workers => whole(&self.workers, &|point, value| point.workers = vec![value]),
            Dimension::Rate => {
                let rates = self.rate.iter();
                rates.map(|rate| (*rate, at(&|point| point.rate = vec![*rate]))).collect()
            }
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn values(connections: &[u32], rate: &[f64]) -> Values {
        Values {
            connections: connections.to_vec(),
            rate: rate.to_vec(),
            payload: vec![64],
            workers: vec![1],
        }
    }

    #[test]
    fn one_quantity_varies() {
        let points = values(&[1, 8], &[100.0]).points().unwrap();
        let found: Vec<(f64, u32)> =
            points.iter().map(|(value, point)| (*value, point.connections[0])).collect();
        assert_eq!(found, [(1.0, 1), (8.0, 8)]);
        assert_eq!(values(&[1], &[5.0, 6.0]).points().unwrap()[1].1.rate, [6.0]);
        assert!(values(&[1], &[]).points().is_err());
        assert!(values(&[1, 2], &[1.0, 2.0]).points().is_err());
    }
}
