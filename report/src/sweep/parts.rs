//! A sweep as the parts of a page: rows down and values across, then what follows from them.

use super::crossover::{crossovers, distinct_rows};
use super::knee::{SLOW_P99_FACTOR, knees};
use super::plot::plot;
use super::{Dimension, Point, Sweep};
use crate::bench::metric::{Metric, RowState, row_state};
use crate::bench::parts::{EMPTY_CELL, absence_word, doubts, format_value, reasons, refusals};
use crate::bench::{Bench, BenchRow};
use crate::load::Arrival;
use crate::outside;
use crate::outside::Outside;
use crate::part::{Head, Medium, Part, Style, Table};
use crate::quantity::format_count;
use crate::run::Attestation;

/// The quantities with a table, and the titles of the tables.
const TABLE_METRICS: [(Metric, &str); 6] = [
    (Metric::Throughput, "throughput, messages/s"),
    (Metric::P99, "p99, µs"),
    (Metric::Cpu, "CPU per message, µs"),
    (Metric::OverFloor, "CPU per message, times what the kernel alone charges"),
    (Metric::SystemCalls, "system calls per message"),
    (Metric::Submissions, "ring submissions per message"),
];

pub(super) fn parts(sweep: &Sweep, plotted: Metric, medium: Medium) -> Vec<Part> {
    let points = sweep.sorted_points();
    let Some(first) = points.first() else {
        let title = format!("sweep over {}", sweep.dimension).into();
        return vec![Part::Title(title), Part::lines(["no value was reached"])];
    };
    let title = outside!("sweep over {} on {}", sweep.dimension, first.bench.label);
    let mut parts = vec![Part::Title(title), Part::lines(basis_lines(sweep, &points))];
    match medium {
        Medium::Terminal => {
            parts.extend(measured_parts(sweep, &points));
            parts.extend(plot(sweep, plotted).map(Part::Plot));
            parts.extend(turning_points(sweep));
        }
        Medium::Page => {
            parts.extend(turning_points(sweep));
            parts.extend(measured_parts(sweep, &points));
        }
    }
    parts
}

fn measured_parts(sweep: &Sweep, points: &[&Point]) -> Vec<Part> {
    let table = |(metric, title)| table(sweep.dimension, points, metric, title);
    let mut parts: Vec<Part> =
        TABLE_METRICS.into_iter().filter_map(table).map(Part::Table).collect();
    let metrics = TABLE_METRICS.map(|(metric, _)| metric);
    let noted =
        |lines: &dyn Fn(&Bench) -> Vec<Outside>| collect_lines(sweep.dimension, points, lines);
    parts.push(Part::list("refused, and not measured", noted(&refusals)));
    parts.push(Part::list("rounds that do not count", noted(&flaws)));
    parts.push(Part::list("no data", noted(&|bench| reasons(bench, metrics))));
    parts.push(Part::list("drivers not seen from outside", noted(&unattested_rows)));
    parts
}

/// The conclusions, in words.
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
             {SLOW_P99_FACTOR} times that at the lowest rate"
        );
        parts.push(Part::lines([rule]));
    }
    parts
}

/// What the numbers rest on.
fn basis_lines(sweep: &Sweep, points: &[&Point]) -> Vec<Outside> {
    let Some(Point { value, bench }) = points.first() else { return Vec::new() };
    let latency = match bench.workload.arrival {
        Arrival::Open { .. } => "latency is response, from the planned send",
        Arrival::Closed => "latency is service, from the real send, which hides stalls",
    };
    let samples = points.iter().flat_map(|point| &point.bench.rows).map(|row| row.samples.len());
    let rounds = format_count(samples.max().unwrap_or(0) as u64, "round");
    let workers = format_count(bench.workers.into(), "worker");
    let values = sweep.dimension.format_list(points.iter().map(|point| point.value));
    let at = sweep.dimension.format(*value);
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

/// Rows down, values across; `None` if no row has a number.
fn table(
    dimension: Dimension,
    points: &[&Point],
    metric: Metric,
    title: &'static str,
) -> Option<Table> {
    let rows = distinct_rows(points);
    let has_number = |row: &&BenchRow| {
        let numbers = |point: &&Point| metric.value(&point.bench, point.row(&row.name)?).number();
        points.iter().find_map(numbers).is_some()
    };
    if metric != Metric::Throughput && !rows.iter().any(has_number) {
        return None;
    }
    let mut heads = vec![Head::new(dimension.name())];
    heads.extend(points.iter().map(|point| Head::new(dimension.format(point.value))));
    let line = |row: &BenchRow| {
        let cells = points.iter().map(|point| cell(point, &row.name, metric).into());
        [row.name.clone().into()].into_iter().chain(cells).collect()
    };
    let rows = rows.into_iter().map(line).collect();
    Some(Table::plain(title, Style::WholeNumbers, heads, rows))
}

fn cell(point: &Point, name: &Outside, metric: Metric) -> String {
    let Some(row) = point.row(name) else { return EMPTY_CELL.to_owned() };
    match absence_word(row) {
        Some(word) => word.to_owned(),
        None => format_value(metric, &metric.value(&point.bench, row)),
    }
}

/// The lines of all benches, each line once, with the values to which it applies unless it applies
/// to all.
fn collect_lines(
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
        false => outside!("at {}: {}", dimension.format_list(values), line),
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

/// Rows that were measured although nobody saw their driver.
fn unattested_rows(bench: &Bench) -> Vec<Outside> {
    let line = |row: &BenchRow| match (row_state(row), &row.attestation) {
        (
            RowState::Measured,
            Attestation::Announced { reason } | Attestation::NotAttested { reason },
        ) => Some(outside!("{}: {}", row.name, reason)),
        (RowState::Refused { .. } | RowState::MostlyInvalid { .. } | RowState::NotReached, _)
        | (RowState::Measured, Attestation::Attested { .. }) => None,
    };
    bench.rows.iter().filter_map(line).collect()
}
