//! What a sweep says, as the parts of a page: rows down, values across, then what follows.

use super::crossover::{crossovers, rows};
use super::knee::{TOO_SLOW, knees};
use super::{Dimension, Point, Sweep};
use crate::bench::metric::{Metric, Standing, standing};
use crate::bench::parts::{NOT_HERE, absence, doubts, reasons, refused, shown};
use crate::bench::{Bench, BenchRow};
use crate::load::Arrival;
use crate::part::{Head, Part, Table};
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

/// The whole page but for the findings; `width` is that of the terminal in columns, if it has one.
pub(super) fn measured(sweep: &Sweep, width: Option<u16>) -> Vec<Part> {
    let points = sweep.ascending();
    let Some(first) = points.first() else {
        let title = format!("sweep over {}", sweep.dimension);
        return vec![Part::Title(title), Part::Lines(vec!["no value was reached".to_owned()])];
    };
    let title = format!("sweep over {} on {}", sweep.dimension, first.bench.label);
    let mut parts = vec![Part::Title(title), Part::Lines(frame(sweep, &points))];
    let tables = SHOWN.iter().flat_map(|(metric, title)| {
        let table = table(sweep.dimension, &points, *metric, title);
        table.map(|table| split(table, width)).unwrap_or_default()
    });
    parts.extend(tables.map(Part::Table));
    let metrics = SHOWN.map(|(metric, _)| metric);
    let noted = |lines: &dyn Fn(&Bench) -> Vec<String>| noted(sweep.dimension, &points, lines);
    parts.push(Part::List("refused, and not measured", noted(&refused)));
    parts.push(Part::List("rounds that do not count", noted(&flaws)));
    parts.push(Part::List("no data", noted(&|bench| reasons(bench, &metrics))));
    parts.push(Part::List("drivers not seen from outside", noted(&not_attested)));
    parts
}

/// What follows, in words.
pub(super) fn findings(sweep: &Sweep) -> Vec<Part> {
    let crossovers = crossovers(sweep).iter().map(|crossover| crossover.words()).collect();
    let knees: Vec<String> = knees(sweep).iter().map(|knee| knee.words()).collect();
    let mut parts = vec![
        Part::List("where completion pays", crossovers),
        Part::List("where the server no longer keeps up", knees.clone()),
    ];
    if !knees.is_empty() {
        let rule = format!(
            "a row keeps up while it echoes what is sent, at the rate, and p99 stays below \
             {TOO_SLOW} times that at the lowest rate"
        );
        parts.push(Part::Lines(vec![rule]));
    }
    parts
}

/// What the numbers stand on.
fn frame(sweep: &Sweep, points: &[&Point]) -> Vec<String> {
    let Some(Point { value, bench }) = points.first() else { return Vec::new() };
    let latency = match bench.workload.arrival {
        Arrival::Open { .. } => "latency is response, from the planned send",
        Arrival::Closed => "latency is service, from the real send, which hides stalls",
    };
    let samples = points.iter().flat_map(|point| &point.bench.rows).map(|row| row.samples.len());
    let rounds = counted(samples.max().unwrap_or(0) as u64, "round");
    let workers = counted(bench.workers.into(), "worker");
    let mut lines = vec![
        format!("{}: {}", sweep.dimension, sweep.dimension.list(points.iter().map(|p| p.value))),
        format!("at {}: {}", sweep.dimension.short(*value), bench.workload.describe()),
        format!("{workers} a server; {latency}"),
        format!("medians of up to {rounds}; what is clear is so by the ratio within rounds"),
        format!("host: {}; {}", bench.host.describe(), bench.build.rustc),
    ];
    if sweep.interrupted {
        lines.push("stopped by the user before all values were done".to_owned());
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
    let mut heads = vec![Head::of(dimension.name(), "")];
    heads.extend(points.iter().map(|point| Head::of(&dimension.short(point.value), "")));
    let line = |row: &BenchRow| {
        let cells = points.iter().map(|point| cell(point, &row.name, metric));
        [row.name.clone()].into_iter().chain(cells).collect()
    };
    Some(Table::plain(title, heads, rows.into_iter().map(line).collect()))
}

fn cell(point: &Point, name: &str, metric: Metric) -> String {
    let Some(row) = point.row(name) else { return NOT_HERE.to_owned() };
    match absence(row) {
        Some(word) => word.to_owned(),
        None => shown(metric, &metric.value(&point.bench, row)),
    }
}

/// The same as several tables that are no wider than so many columns: a number over two lines can
/// be misread.
fn split(table: Table, width: Option<u16>) -> Vec<Table> {
    let Some(width) = width else { return vec![table] };
    let rows: Vec<&Vec<String>> = table.groups.iter().flat_map(|group| &group.rows).collect();
    let of_column = |index: usize| {
        let cells = rows.iter().filter_map(|row| row.get(index));
        let texts = cells.chain([&table.heads[index].0]);
        // Two spaces between columns.
        texts.map(|text| text.chars().count()).max().unwrap_or(0) + 2
    };
    // A border on either side; the first column has its two spaces around it.
    let room = usize::from(width).saturating_sub(2 + of_column(0));
    let mut chunks: Vec<Vec<usize>> = Vec::new();
    let mut used = 0;
    for index in 1..table.heads.len() {
        used += of_column(index);
        match chunks.last_mut() {
            Some(chunk) if used <= room => chunk.push(index),
            Some(_) | None => {
                chunks.push(vec![index]);
                used = of_column(index);
            }
        }
    }
    let of_chunk = |chunk: &Vec<usize>| {
        let columns = || [0].into_iter().chain(chunk.iter().copied());
        let heads = columns().map(|index| table.heads[index].clone()).collect();
        let line = |row: &&Vec<String>| columns().map(|index| row[index].clone()).collect();
        Table::plain(table.title, heads, rows.iter().map(line).collect())
    };
    chunks.iter().map(of_chunk).collect()
}

/// What is to be said about each bench, each sentence once, with the values where it holds unless
/// it does at all.
fn noted(
    dimension: Dimension,
    points: &[&Point],
    lines: &dyn Fn(&Bench) -> Vec<String>,
) -> Vec<String> {
    let mut found: Vec<(String, Vec<f64>)> = Vec::new();
    for point in points {
        for line in lines(&point.bench) {
            match found.iter_mut().find(|(known, _)| *known == line) {
                Some((_, values)) => values.push(point.value),
                None => found.push((line, vec![point.value])),
            }
        }
    }
    let sentence = |(line, values): (String, Vec<f64>)| match values.len() == points.len() {
        true => line,
        false => format!("at {}: {line}", dimension.list(values)),
    };
    found.into_iter().map(sentence).collect()
}

fn flaws(bench: &Bench) -> Vec<String> {
    let line = |row: &BenchRow| {
        let flaws: Vec<String> = row.samples.iter().filter_map(|s| s.measurement.flaw()).collect();
        let (count, rounds) = (flaws.len(), row.samples.len());
        Some(format!("{}: {count} of its {rounds} rounds; {}", row.name, flaws.first()?))
    };
    bench.rows.iter().filter_map(line).collect()
}

/// Rows that were measured, on a driver that nobody has seen.
fn not_attested(bench: &Bench) -> Vec<String> {
    let line = |row: &BenchRow| match (standing(row), &row.attestation) {
        (Standing::Measured, Attestation::NotAttested { reason }) => {
            Some(format!("{}: {reason}", row.name))
        }
        (Standing::Refused { .. } | Standing::MostlyInvalid { .. } | Standing::NotReached, _)
        | (Standing::Measured, Attestation::Attested { .. }) => None,
    };
    bench.rows.iter().filter_map(line).collect()
}
