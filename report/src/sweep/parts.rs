//! What a sweep says, as the parts of a page: rows down, values across, then what follows.

use super::crossover::{crossovers, rows};
use super::knee::{TOO_SLOW, knees};
use super::plotted::plot;
use super::{Dimension, Point, Sweep};
use crate::bench::metric::{Metric, Standing, standing};
use crate::bench::parts::{NOT_HERE, absence, doubts, reasons, refused, shown};
use crate::bench::{Bench, BenchRow};
use crate::load::Arrival;
use crate::outside;
use crate::outside::Outside;
use crate::part::{Head, Medium, Part, Style, Table};
use crate::quantity::counted;
use crate::run::Attestation;

/// The quantities with a table, and its title.
const SHOWN: [(Metric, &str); 6] = [
    (Metric::Throughput, "throughput, messages/s"),
    (Metric::P99, "p99, µs"),
    (Metric::Cpu, "CPU per message, µs"),
    (Metric::OverFloor, "CPU per message, times what the kernel alone charges"),
    (Metric::SystemCalls, "system calls per message"),
    (Metric::Submissions, "ring submissions per message"),
];

pub(super) fn parts(sweep: &Sweep, plotted: Metric, medium: Medium) -> Vec<Part> {
    let points = sweep.ascending();
    let Some(first) = points.first() else {
        let title = format!("sweep over {}", sweep.dimension).into();
        return vec![Part::Title(title), Part::lines(["no value was reached"])];
    };
    let title = outside!("sweep over {} on {}", sweep.dimension, first.bench.label);
    let mut parts = vec![Part::Title(title), Part::lines(frame(sweep, &points))];
    match medium {
        Medium::Terminal => {
            parts.extend(measured(sweep, &points));
            parts.extend(plot(sweep, plotted).map(Part::Plot));
            parts.extend(turning_points(sweep));
        }
        Medium::Page => {
            parts.extend(turning_points(sweep));
            parts.extend(measured(sweep, &points));
        }
    }
    parts
}

fn measured(sweep: &Sweep, points: &[&Point]) -> Vec<Part> {
    let table = |(metric, title)| table(sweep.dimension, points, metric, title);
    let mut parts: Vec<Part> = SHOWN.into_iter().filter_map(table).map(Part::Table).collect();
    let metrics = SHOWN.map(|(metric, _)| metric);
    let noted = |lines: &dyn Fn(&Bench) -> Vec<Outside>| noted(sweep.dimension, points, lines);
    parts.push(Part::list("refused, and not measured", noted(&refused)));
    parts.push(Part::list("rounds that do not count", noted(&flaws)));
    parts.push(Part::list("no data", noted(&|bench| reasons(bench, metrics))));
    parts.push(Part::list("drivers not seen from outside", noted(&not_attested)));
    parts
}

/// What follows, in words.
fn turning_points(sweep: &Sweep) -> Vec<Part> {
    let crossovers = crossovers(sweep).into_iter().map(|crossover| crossover.words());
    let knees: Vec<Outside> = knees(sweep).iter().map(|knee| knee.words()).collect();
    let mut parts = vec![
        Part::list("where completion pays", crossovers),
        Part::list("where the server no longer keeps up", knees.clone()),
    ];
    if !knees.is_empty() {
        let rule = format!(
            "a row keeps up while it echoes what is sent, at the rate, and p99 stays below \
             {TOO_SLOW} times that at the lowest rate"
        );
        parts.push(Part::lines([rule]));
    }
    parts
}

/// What the numbers stand on.
fn frame(sweep: &Sweep, points: &[&Point]) -> Vec<Outside> {
    let Some(Point { value, bench }) = points.first() else { return Vec::new() };
    let latency = match bench.workload.arrival {
        Arrival::Open { .. } => "latency is response, from the planned send",
        Arrival::Closed => "latency is service, from the real send, which hides stalls",
    };
    let samples = points.iter().flat_map(|point| &point.bench.rows).map(|row| row.samples.len());
    let rounds = counted(samples.max().unwrap_or(0) as u64, "round");
    let workers = counted(bench.workers.into(), "worker");
    let values = sweep.dimension.list(points.iter().map(|point| point.value));
    let at = sweep.dimension.short(*value);
    let mut lines: Vec<Outside> = vec![
        format!("{}: {values}", sweep.dimension).into(),
        format!("at {at}: {}", bench.workload.describe()).into(),
        format!("{workers} a server; {latency}").into(),
        format!("medians of up to {rounds}; what is clear is so by the ratio within rounds").into(),
        outside!("host: {}; {}", bench.host.describe(), bench.build.rustc),
    ];
    if sweep.interrupted {
        lines.push("stopped by the user before all values were done".into());
    }
    lines.extend(doubts(bench));
    lines
}

/// Rows down, values across; `None` where no row has a number.
fn table(
    dimension: Dimension,
    points: &[&Point],
    metric: Metric,
    title: &'static str,
) -> Option<Table> {
    let rows = rows(points);
    let has_number = |row: &&BenchRow| {
        let numbers = |point: &&Point| metric.value(&point.bench, point.row(&row.name)?).number();
        points.iter().find_map(numbers).is_some()
    };
    if metric != Metric::Throughput && !rows.iter().any(has_number) {
        return None;
    }
    let mut heads = vec![Head::of(dimension.name())];
    heads.extend(points.iter().map(|point| Head::of(dimension.short(point.value))));
    let line = |row: &BenchRow| {
        let cells = points.iter().map(|point| cell(point, &row.name, metric).into());
        [row.name.clone().into()].into_iter().chain(cells).collect()
    };
    let rows = rows.into_iter().map(line).collect();
    Some(Table::plain(title, Style::WholeNumbers, heads, rows))
}

fn cell(point: &Point, name: &Outside, metric: Metric) -> String {
    let Some(row) = point.row(name) else { return NOT_HERE.to_owned() };
    match absence(row) {
        Some(word) => word.to_owned(),
        None => shown(metric, &metric.value(&point.bench, row)),
    }
}

/// What is to be said about each bench, each sentence once, with the values where it holds unless
/// it does at all.
fn noted(
    dimension: Dimension,
    points: &[&Point],
    lines: &dyn Fn(&Bench) -> Vec<Outside>,
) -> Vec<Outside> {
    let mut found: Vec<(Outside, Vec<f64>)> = Vec::new();
    for point in points {
        for line in lines(&point.bench) {
            match found.iter_mut().find(|(known, _)| *known == line) {
                Some((_, values)) => values.push(point.value),
                None => found.push((line, vec![point.value])),
            }
        }
    }
    let sentence = |(line, values): (Outside, Vec<f64>)| match values.len() == points.len() {
        true => line,
        false => outside!("at {}: {}", dimension.list(values), line),
    };
    found.into_iter().map(sentence).collect()
}

fn flaws(bench: &Bench) -> Vec<Outside> {
    let line = |row: &BenchRow| {
        let flaws: Vec<Outside> = row.samples.iter().filter_map(|s| s.measurement.flaw()).collect();
        let (count, rounds) = (flaws.len(), row.samples.len());
        Some(outside!("{}: {} of its {} rounds; {}", row.name, count, rounds, flaws.first()?))
    };
    bench.rows.iter().filter_map(line).collect()
}

/// Rows that were measured, on a driver that nobody has seen.
fn not_attested(bench: &Bench) -> Vec<Outside> {
    let line = |row: &BenchRow| match (standing(row), &row.attestation) {
        (
            Standing::Measured,
            Attestation::Announced { reason } | Attestation::NotAttested { reason },
        ) => Some(outside!("{}: {}", row.name, reason)),
        (Standing::Refused { .. } | Standing::MostlyInvalid { .. } | Standing::NotReached, _)
        | (Standing::Measured, Attestation::Attested { .. }) => None,
    };
    bench.rows.iter().filter_map(line).collect()
}
