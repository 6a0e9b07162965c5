//! Small sweeps for tests.

use super::{Dimension, FORMAT_VERSION, Point, Sweep};
use crate::bench::{Bench, BenchRow, Count};
use crate::example;
use crate::load::{Arrival, Measurement, Throughput, Traffic};
use crate::verdict::Model;

/// `tokio` alone, and `compio` on two drivers, over connections: the cost of a message in
/// microseconds. Completion is more expensive at first, then equal, then cheaper.
pub(crate) fn connections() -> Sweep {
    let points = [
        (1.0, [9.1, 9.0, 11.0]),
        (8.0, [6.2, 6.5, 6.4]),
        (64.0, [5.1, 5.6, 3.1]),
        (512.0, [5.4, 5.7, 2.9]),
    ];
    let point = |(value, costs): (f64, [f64; 3])| {
        let mut bench = example::bench();
        bench.workload.connections = value as u32;
        bench.baseline = "tokio".into();
        bench.rows = vec![
            row("tokio", "backend-tokio", Model::Readiness, costs[0]),
            row("compio", "backend-compio", Model::Readiness, costs[1]),
            row("compio-io_uring", "backend-compio", Model::Completion, costs[2]),
        ];
        Point { value, bench }
    };
    sweep(Dimension::Connections, points.map(point).into())
}

/// `tokio` over rates. It keeps up until it echoes `most` messages per second.
pub(crate) fn rates(rates: &[f64], most: f64) -> Sweep {
    let point = |rate: f64| {
        let mut bench = example::bench();
        bench.workload.arrival = Arrival::Open { messages_per_second: rate };
        bench.rows = vec![example::row("tokio", "backend-tokio", Model::Readiness, 1.0)];
        for sample in &mut bench.rows[0].samples {
            sample.measurement = open(rate.min(most), 100_000);
        }
        Point { value: rate, bench }
    };
    sweep(Dimension::Rate, rates.iter().copied().map(point).collect())
}

/// A round of 10 s in an open loop.
pub(crate) fn open(rate: f64, p99: u64) -> Measurement {
    let messages = (rate * 10.0) as u64;
    Measurement {
        traffic: Traffic { sent: messages, echoed: messages, bytes: messages * 1024 },
        throughput: Some(Throughput { messages_per_second: rate, bytes_per_second: rate * 1024.0 }),
        response: Some(example::latency(p99)),
        ..example::open()
    }
}

fn sweep(dimension: Dimension, points: Vec<Point>) -> Sweep {
    Sweep { version: FORMAT_VERSION, dimension, points, interrupted: false }
}

/// A row whose rounds differ in the same way as those of other rows, so that the ratio of two rows
/// hardly varies. A completion row costs 5 % more in every second round, so that two rows of about
/// the same cost take turns.
fn row(name: &str, package: &str, model: Model, micros: f64) -> BenchRow {
    let mut row = example::row(name, package, model, micros / 4.0);
    for sample in &mut row.samples {
        let turn = match (model, sample.round % 2) {
            (Model::Completion, 0) => 1.05,
            (Model::Completion | Model::Readiness | Model::Blocking | Model::Undeclared, _) => 1.0,
        };
        let server = sample.server.as_mut().expect("every round has one");
        server.cpu_ns = server.cpu_ns.clone().map(|ns| ns * turn);
        let rates = sample.measurement.throughput.as_mut().expect("every round has one");
        rates.messages_per_second /= turn;
        if model == Model::Completion {
            server.submissions = Count::Of(1.0);
        }
    }
    row
}

#[track_caller]
pub(crate) fn row_mut<'a>(sweep: &'a mut Sweep, point: usize, name: &str) -> &'a mut BenchRow {
    let bench: &mut Bench = &mut sweep.points[point].bench;
    bench.rows.iter_mut().find(|row| row.name == name).expect("a row of this name")
}
