//! What a bench says, as the parts of a page: first what a reader came for, then what it rests on.

use super::metric::{Metric, Standing, standing};
use super::{Bench, BenchRow, Count, Pinning};
use crate::load::{Arrival, BuildProfile};
use crate::pairs;
use crate::part::{Cells, Group, Head, Part, Table};
use crate::quantity::{counted, number, time};
use crate::run::Attestation;
use crate::statistics::{self, median};
use crate::verdict::Model;

pub(crate) const NO_DATA: &str = "no data";
pub(crate) const NOT_HERE: &str = "-";

/// A column of a table.
enum Column {
    /// The median, under a short head.
    Value(Metric, &'static str),
    /// The ratio to the baseline, behind its number.
    Ratio(Metric),
    /// The ratio to the baseline, under a head of its own.
    Beside(Metric, &'static str),
}

pub(super) fn parts(bench: &Bench) -> Vec<Part> {
    let latency = match bench.workload.arrival {
        Arrival::Open { .. } => "latency is response, from the planned send",
        Arrival::Closed => "latency is service, from the real send, which hides stalls",
    };
    let what = format!("{}; {latency}", bench.workload.describe());
    let host = bench.host.describe();
    let workers = counted(bench.workers.into(), "worker");
    let built = format!("{workers} a server; {}", bench.build.rustc);
    vec![
        Part::Title(format!("bench on {}", bench.label)),
        Part::Lines(vec![what, format!("host: {host}"), built]),
        Part::Table(table(bench, "medians of the rounds", &comparison())),
        Part::Table(table(bench, "cost of a message, and what a server holds", &costs())),
        Part::Table(controlled_pairs(bench)),
        Part::Table(table(bench, "the rest of latency and CPU beside the baseline", &latencies())),
        Part::Table(table(
            bench,
            "the same of what a message needs and a server holds",
            &holdings(),
        )),
        Part::Lines(frame(bench)),
        Part::List("refused, and not measured", refused(bench)),
        Part::List("without numbers", without_numbers(bench)),
        Part::List("rounds that do not count", flaws(bench)),
        Part::List("no data", reasons(bench, &Metric::ALL)),
        Part::Table(drivers(bench)),
    ]
}

fn comparison() -> [Column; 9] {
    [
        Column::Value(Metric::Throughput, "throughput"),
        Column::Ratio(Metric::Throughput),
        Column::Value(Metric::P50, "p50"),
        Column::Value(Metric::P99, "p99"),
        Column::Ratio(Metric::P99),
        Column::Value(Metric::P999, "p99.9"),
        Column::Value(Metric::Cpu, "CPU"),
        Column::Ratio(Metric::Cpu),
        Column::Value(Metric::OverFloor, "over floor"),
    ]
}

fn costs() -> [Column; 8] {
    [
        Column::Value(Metric::User, "user CPU"),
        Column::Value(Metric::System, "system CPU"),
        Column::Value(Metric::SystemCalls, "system calls"),
        Column::Value(Metric::Submissions, "submissions"),
        Column::Value(Metric::ContextSwitches, "context switches"),
        Column::Value(Metric::Resident, "resident"),
        Column::Value(Metric::IdleConnection, "idle connection"),
        Column::Value(Metric::Threads, "threads"),
    ]
}

fn latencies() -> [Column; 4] {
    [
        Column::Beside(Metric::P50, "p50"),
        Column::Beside(Metric::P999, "p99.9"),
        Column::Beside(Metric::User, "user CPU"),
        Column::Beside(Metric::System, "system CPU"),
    ]
}

fn holdings() -> [Column; 6] {
    [
        Column::Beside(Metric::SystemCalls, "system calls"),
        Column::Beside(Metric::Submissions, "submissions"),
        Column::Beside(Metric::ContextSwitches, "context switches"),
        Column::Beside(Metric::Resident, "resident"),
        Column::Beside(Metric::IdleConnection, "idle connection"),
        Column::Beside(Metric::Threads, "threads"),
    ]
}

fn table(bench: &Bench, title: &'static str, columns: &[Column]) -> Table {
    let mut heads = vec![Head::of("row", "")];
    heads.extend(columns.iter().map(|column| match column {
        Column::Value(metric, head) => Head::of(head, metric.unit().0),
        Column::Ratio(_) => Head::of("against", &bench.baseline),
        Column::Beside(_, head) => Head::of(head, ""),
    }));
    let groups = by_model(bench, |row| cells(bench, row, columns));
    Table { title, cells: Cells::Numbers, heads, groups }
}

/// The rows grouped by model, in the registry's order within a group.
fn by_model(bench: &Bench, line: impl Fn(&BenchRow) -> Vec<String>) -> Vec<Group> {
    let models = [Model::Readiness, Model::Completion, Model::Blocking, Model::Undeclared];
    let group = |model: Model| {
        let rows: Vec<_> = bench.rows.iter().filter(|row| row.model == model).map(&line).collect();
        (!rows.is_empty()).then(|| Group { name: model.to_string(), rows })
    };
    models.into_iter().filter_map(group).collect()
}

fn cells(bench: &Bench, row: &BenchRow, columns: &[Column]) -> Vec<String> {
    let mut cells = vec![row.name.clone()];
    if let Some(word) = absence(row) {
        cells.push(word.to_owned());
        cells.resize(columns.len() + 1, NOT_HERE.to_owned());
        return cells;
    }
    cells.extend(columns.iter().map(|column| match column {
        Column::Value(metric, _) => shown(*metric, &metric.value(bench, row)),
        Column::Ratio(metric) | Column::Beside(metric, _) => against_baseline(bench, *metric, row),
    }));
    cells
}

/// The word in the place of numbers for a row that has none.
pub(crate) fn absence(row: &BenchRow) -> Option<&'static str> {
    match standing(row) {
        Standing::Measured => None,
        Standing::Refused { .. } => Some("refused"),
        Standing::MostlyInvalid { .. } => Some("invalid"),
        Standing::NotReached => Some("not reached"),
    }
}

pub(crate) fn shown(metric: Metric, value: &Count) -> String {
    value.number().map_or_else(|| NO_DATA.to_owned(), |number| metric.shown(number))
}

fn against_baseline(bench: &Bench, metric: Metric, row: &BenchRow) -> String {
    if row.name == bench.baseline {
        return "baseline".to_owned();
    }
    match bench.rows.iter().find(|other| other.name == bench.baseline) {
        Some(baseline) => against(bench, metric, row, baseline),
        None => NOT_HERE.to_owned(),
    }
}

fn against(bench: &Bench, metric: Metric, row: &BenchRow, other: &BenchRow) -> String {
    if let Some(ratio) = statistics::ratio(&metric.rounds(bench, row), &metric.rounds(bench, other))
    {
        return ratio.words();
    }
    // What is counted once has no interval.
    let (value, base) = (metric.value(bench, row).number(), metric.value(bench, other).number());
    let once = value.zip(base).map(|(value, base)| value / base).filter(|ratio| ratio.is_finite());
    once.map_or_else(|| NOT_HERE.to_owned(), |ratio| format!("{ratio:.2}"))
}

/// The rows that are one program on two drivers: completion over readiness.
fn controlled_pairs(bench: &Bench) -> Table {
    let pairs = pairs::controlled(&bench.rows, |row| row.traits(&bench.host.os));
    let rows = pairs.into_iter().map(|pair| {
        let ratio = |metric| against(bench, metric, pair.completion, pair.readiness);
        vec![
            pairs::backend(&pair.completion.package).to_owned(),
            pair.completion.name.clone(),
            pair.readiness.name.clone(),
            ratio(Metric::Throughput),
            ratio(Metric::P99),
            ratio(Metric::Cpu),
        ]
    });
    let heads = ["runtime", "completion", "against", "throughput", "p99", "CPU"];
    let title = "controlled pairs, in which nothing differs but the I/O API";
    Table::plain(title, heads.map(|head| Head::of(head, "")).to_vec(), rows.collect())
}

/// What the numbers stand on: ceiling, floor, pinning, rounds.
fn frame(bench: &Bench) -> Vec<String> {
    let ceiling = match &bench.ceiling {
        Some(ceiling) => format!(
            "{} messages/s, at {} of the generator's CPU a message: a row that comes near it is \
             limited by the generator",
            number(ceiling.messages_per_second),
            time(ceiling.generator_ns)
        ),
        None => "not measured".to_owned(),
    };
    let floor = match median(bench.floor_ns.iter().copied()) {
        Some(ns) => format!(
            "{} of CPU a message, which the kernel alone charges any server (median of {})",
            time(ns),
            counted(bench.floor_ns.len() as u64, "round")
        ),
        None => "not measured".to_owned(),
    };
    let rounds = bench.rows.iter().map(|row| row.samples.len()).max().unwrap_or(0);
    let rounds = counted(rounds as u64, "round");
    let order = if bench.interrupted {
        "stopped by the user before all were done"
    } else {
        "rows in alternating order"
    };
    let mut lines = vec![
        format!("ceiling: {ceiling}"),
        format!("floor: {floor}"),
        format!("pinning: {}", pinning(&bench.pinning)),
        format!("rounds: {rounds}, {order}; an interval in brackets is 95 % of the median ratio"),
    ];
    lines.extend(doubts(bench));
    lines
}

/// Why no number is to be taken at its word.
pub(crate) fn doubts(bench: &Bench) -> Vec<String> {
    let mut lines = Vec::new();
    if bench.build.generator == BuildProfile::Dev {
        lines.push("build: for development; figures to compare need --release".to_owned());
    }
    if bench.build.servers.is_none() {
        lines.push("build: ready-made servers, whose profile is not known".to_owned());
    }
    let shared = match &bench.host.virtualisation {
        Some(hint) => format!("this machine is virtual ({})", hint.name),
        None => "this machine may be shared".to_owned(),
    };
    lines.push(format!(
        "hint: {shared}, and figures of shared machines are noisy: trust ratios within a bench \
         before numbers, and repeat what surprises you"
    ));
    lines
}

fn pinning(pinning: &Pinning) -> String {
    let list =
        |numbers: &[usize]| numbers.iter().map(usize::to_string).collect::<Vec<_>>().join(",");
    match pinning {
        Pinning::Apart { server, generator } => {
            format!("server on CPUs {}, generator on CPUs {}", list(server), list(generator))
        }
        Pinning::None { reason } => format!("none: {reason}"),
    }
}

pub(crate) fn refused(bench: &Bench) -> Vec<String> {
    let line = |row: &BenchRow| Some(format!("{}: {}", row.name, row.refused.as_ref()?.reason));
    bench.rows.iter().filter_map(line).collect()
}

fn without_numbers(bench: &Bench) -> Vec<String> {
    let line = |row: &BenchRow| match standing(row) {
        Standing::MostlyInvalid { invalid, rounds } => {
            Some(format!("{}: {invalid} of its {rounds} rounds do not count", row.name))
        }
        Standing::NotReached => {
            Some(format!("{}: the bench ended before its first round", row.name))
        }
        Standing::Measured | Standing::Refused { .. } => None,
    };
    bench.rows.iter().filter_map(line).collect()
}

/// Rounds are shown from 1.
fn flaws(bench: &Bench) -> Vec<String> {
    let of_row = |row: &BenchRow| {
        let line = |round: u32, flaw: String| format!("{}, round {}: {flaw}", row.name, round + 1);
        let flaws = row.samples.iter().filter_map(|s| Some(line(s.round, s.measurement.flaw()?)));
        flaws.collect::<Vec<_>>()
    };
    bench.rows.iter().flat_map(of_row).collect()
}

/// Each reason for which one of these has no number, once, with the rows that it is about.
pub(crate) fn reasons(bench: &Bench, metrics: &[Metric]) -> Vec<String> {
    let measured: Vec<&BenchRow> =
        bench.rows.iter().filter(|row| standing(row) == Standing::Measured).collect();
    let mut found: Vec<(String, Vec<&str>)> = Vec::new();
    for metric in metrics {
        for row in &measured {
            let Count::NoData { no_data } = metric.value(bench, row) else { continue };
            let reason = match no_data.starts_with(metric.name()) {
                true => no_data,
                false => format!("{}: {no_data}", metric.name()),
            };
            match found.iter_mut().find(|(known, _)| *known == reason) {
                Some((_, rows)) => rows.push(&row.name),
                None => found.push((reason, vec![&row.name])),
            }
        }
    }
    let line = |(reason, rows): (String, Vec<&str>)| {
        let all = rows.len() == measured.len() && rows.len() > 1;
        let whose = if all { "all rows".to_owned() } else { rows.join(", ") };
        format!("{reason} ({whose})")
    };
    found.into_iter().map(line).collect()
}

fn drivers(bench: &Bench) -> Table {
    let line = |row: &BenchRow| {
        let seen = match &row.attestation {
            Attestation::Attested { seen } => format!("attested: {seen}"),
            Attestation::NotAttested { reason } => format!("not attested: {reason}"),
        };
        let runtime = row.runtime.clone().unwrap_or_else(|| NOT_HERE.to_owned());
        vec![row.name.clone(), row.driver.clone(), row.flavor.clone(), runtime, seen]
    };
    let heads = ["row", "driver", "flavor", "runtime", "attestation"];
    let heads = heads.map(|head| Head::of(head, "")).to_vec();
    let title = "drivers, seen from outside";
    Table { title, cells: Cells::Words, heads, groups: by_model(bench, line) }
}
