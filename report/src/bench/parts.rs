//! A bench as the parts of a page: first what a reader came for, then what it rests on.

use super::metric::{Metric, RowState, Section, row_state};
use super::{Bench, BenchRow, Count, Pinning};
use crate::load::{Arrival, BuildProfile};
use crate::outside;
use crate::outside::Outside;
use crate::pairs;
use crate::part::{Entry, Group, Head, Part, Style, Table};
use crate::quantity::{format_count, number, time};
use crate::statistics::{self, median};
use crate::verdict::Model;

pub(crate) const NO_DATA: &str = "no data";
pub(crate) const EMPTY_CELL: &str = "-";

enum Column {
    Value(Metric),
    /// The ratio to the baseline, in the column after the median.
    Ratio(Metric),
    /// The ratio to the baseline, under the head of the quantity.
    RatioOnly(Metric),
}

pub(super) fn parts(bench: &Bench) -> Vec<Part> {
    let latency = match bench.workload.arrival {
        Arrival::Open { .. } => "latency is response, from the planned send",
        Arrival::Closed => "latency is service, from the real send, which hides stalls",
    };
    let what = format!("{}; {latency}", bench.workload.describe()).into();
    let host = outside!("host: {}", bench.host.describe());
    let workers = format_count(bench.workers.into(), "worker");
    let built = outside!("{} a server; {}", workers, bench.build.rustc);
    vec![
        Part::Title(outside!("bench on {}", bench.label)),
        Part::lines([what, host, built]),
        Part::Table(table(bench, "medians of the rounds", &comparison_columns())),
        Part::Table(table(bench, "cost of a message, and what a server holds", &cost_columns())),
        Part::Table(controlled_pairs(bench)),
        Part::Table(table(
            bench,
            "the rest of latency and CPU beside the baseline",
            &latency_columns(),
        )),
        Part::Table(table(
            bench,
            "the same of what a message needs and a server holds",
            &holding_columns(),
        )),
        Part::lines(basis_lines(bench)),
        Part::list("refused, and not measured", refusals(bench)),
        Part::list("without numbers", rows_without_numbers(bench)),
        Part::list("rounds that do not count", flaws(bench)),
        Part::list("no data", reasons(bench, Metric::all())),
        Part::Table(drivers(bench)),
    ]
}

fn comparison_columns() -> Vec<Column> {
    columns(|metric| match metric.section() {
        Section::Medians => vec![Column::Value(metric), Column::Ratio(metric)],
        Section::MediansAndLatencies | Section::MediansWithoutRatio => vec![Column::Value(metric)],
        Section::CostsAndLatencies | Section::CostsAndHoldings => Vec::new(),
    })
}

fn cost_columns() -> Vec<Column> {
    columns(|metric| match metric.section() {
        Section::CostsAndLatencies | Section::CostsAndHoldings => vec![Column::Value(metric)],
        Section::Medians | Section::MediansAndLatencies | Section::MediansWithoutRatio => {
            Vec::new()
        }
    })
}

fn latency_columns() -> Vec<Column> {
    columns(|metric| match metric.section() {
        Section::MediansAndLatencies | Section::CostsAndLatencies => {
            vec![Column::RatioOnly(metric)]
        }
        Section::Medians | Section::MediansWithoutRatio | Section::CostsAndHoldings => Vec::new(),
    })
}

fn holding_columns() -> Vec<Column> {
    columns(|metric| match metric.section() {
        Section::CostsAndHoldings => vec![Column::RatioOnly(metric)],
        Section::Medians
        | Section::MediansAndLatencies
        | Section::MediansWithoutRatio
        | Section::CostsAndLatencies => Vec::new(),
    })
}

fn columns(of: impl Fn(Metric) -> Vec<Column>) -> Vec<Column> {
    Metric::all().flat_map(of).collect()
}

fn table(bench: &Bench, title: &'static str, columns: &[Column]) -> Table {
    let mut heads = vec![Head::new("row")];
    heads.extend(columns.iter().map(|column| match column {
        Column::Value(metric) => Head(metric.head().into(), metric.unit().0.into()),
        Column::Ratio(_) => Head("against".into(), bench.baseline.clone()),
        Column::RatioOnly(metric) => Head::new(metric.head()),
    }));
    let groups = group_by_model(bench, |row| cells(bench, row, columns));
    Table { title, style: Style::Numbers, heads, groups }
}

/// The rows grouped by model, in the registry's order within a group.
fn group_by_model(bench: &Bench, line: impl Fn(&BenchRow) -> Vec<Entry>) -> Vec<Group> {
    let models = [Model::Readiness, Model::Completion, Model::Blocking, Model::Undeclared];
    let group = |model: Model| {
        let rows: Vec<_> = bench.rows.iter().filter(|row| row.model == model).map(&line).collect();
        (!rows.is_empty()).then(|| Group { name: model.to_string().into(), rows })
    };
    models.into_iter().filter_map(group).collect()
}

fn cells(bench: &Bench, row: &BenchRow, columns: &[Column]) -> Vec<Entry> {
    let mut cells = vec![row.name.clone().into()];
    if let Some(word) = absence_word(row) {
        cells.push(word.into());
        cells.resize(columns.len() + 1, EMPTY_CELL.into());
        return cells;
    }
    cells.extend(columns.iter().map(|column| match column {
        Column::Value(metric) => format_value(*metric, &metric.value(bench, row)).into(),
        Column::Ratio(metric) | Column::RatioOnly(metric) => {
            ratio_to_baseline(bench, *metric, row).into()
        }
    }));
    cells
}

/// The word in place of the numbers of a row that has none.
pub(crate) fn absence_word(row: &BenchRow) -> Option<&'static str> {
    match row_state(row) {
        RowState::Measured => None,
        RowState::Refused { .. } => Some("refused"),
        RowState::MostlyInvalid { .. } => Some("invalid"),
        RowState::NotReached => Some("not reached"),
    }
}

pub(crate) fn format_value(metric: Metric, value: &Count) -> String {
    value.number().map_or_else(|| NO_DATA.to_owned(), |number| metric.format(number))
}

fn ratio_to_baseline(bench: &Bench, metric: Metric, row: &BenchRow) -> String {
    if row.name == bench.baseline {
        return "baseline".to_owned();
    }
    match bench.rows.iter().find(|other| other.name == bench.baseline) {
        Some(baseline) => format_ratio(bench, metric, row, baseline),
        None => EMPTY_CELL.to_owned(),
    }
}

fn format_ratio(bench: &Bench, metric: Metric, row: &BenchRow, other: &BenchRow) -> String {
    if let Some(ratio) = statistics::ratio(&metric.rounds(bench, row), &metric.rounds(bench, other))
    {
        return ratio.words();
    }
    // A quantity with one value per row has no interval.
    let (value, base) = (metric.value(bench, row).number(), metric.value(bench, other).number());
    let once = value.zip(base).map(|(value, base)| value / base).filter(|ratio| ratio.is_finite());
    once.map_or_else(|| EMPTY_CELL.to_owned(), |ratio| format!("{ratio:.2}"))
}

/// Rows that are one program on two drivers: the ratios of completion to readiness.
fn controlled_pairs(bench: &Bench) -> Table {
    let pairs = pairs::find_pairs(&bench.rows, |row| row.traits(&bench.host.os));
    let rows = pairs.into_iter().map(|pair| {
        let ratio = |metric| format_ratio(bench, metric, pair.completion, pair.readiness);
        let mut cells: Vec<Entry> = vec![
            pair.completion.backend().into(),
            pair.completion.name.clone().into(),
            pair.readiness.name.clone().into(),
        ];
        cells.extend([Metric::Throughput, Metric::P99, Metric::Cpu].map(|m| ratio(m).into()));
        cells
    });
    let heads = ["runtime", "completion", "against", "throughput", "p99", "CPU"];
    let title = "controlled pairs, in which nothing differs but the I/O API";
    Table::plain(title, Style::Numbers, heads.map(Head::new).to_vec(), rows.collect())
}

/// What the numbers rest on: ceiling, floor, pinning, rounds.
fn basis_lines(bench: &Bench) -> Vec<Outside> {
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
            format_count(bench.floor_ns.len() as u64, "round")
        ),
        None => "not measured".to_owned(),
    };
    let rounds = bench.rows.iter().map(|row| row.samples.len()).max().unwrap_or(0);
    let rounds = format_count(rounds as u64, "round");
    let order = if bench.interrupted {
        "stopped by the user before all were done"
    } else {
        "rows in alternating order"
    };
    let mut lines = vec![
        format!("ceiling: {ceiling}").into(),
        format!("floor: {floor}").into(),
        outside!("pinning: {}", pinning(&bench.pinning)),
        format!("rounds: {rounds}, {order}; an interval in brackets is 95 % of the median ratio")
            .into(),
    ];
    lines.extend(doubts(bench));
    lines
}

/// Reasons to doubt the numbers.
pub(crate) fn doubts(bench: &Bench) -> Vec<Outside> {
    let mut lines = Vec::new();
    if bench.build.generator == BuildProfile::Dev {
        lines.push("build: for development; figures to compare need --release".into());
    }
    if bench.build.servers.is_none() {
        lines.push("build: ready-made servers, whose profile is not known".into());
    }
    let shared = match &bench.host.virtualisation {
        Some(hint) => outside!("this machine is virtual ({})", hint.name),
        None => "this machine may be shared".into(),
    };
    lines.push(outside!(
        "hint: {}, and figures of shared machines are noisy: trust ratios within a bench before \
         numbers, and repeat what surprises you",
        shared
    ));
    lines
}

fn pinning(pinning: &Pinning) -> Outside {
    let list =
        |numbers: &[usize]| numbers.iter().map(usize::to_string).collect::<Vec<_>>().join(",");
    match pinning {
        Pinning::Apart { server, generator } => {
            format!("server on CPUs {}, generator on CPUs {}", list(server), list(generator)).into()
        }
        Pinning::None { reason } => outside!("none: {}", reason),
    }
}

pub(crate) fn refusals(bench: &Bench) -> Vec<Outside> {
    let line = |row: &BenchRow| Some(outside!("{}: {}", row.name, row.refused.as_ref()?.reason));
    bench.rows.iter().filter_map(line).collect()
}

fn rows_without_numbers(bench: &Bench) -> Vec<Outside> {
    let line = |row: &BenchRow| match row_state(row) {
        RowState::MostlyInvalid { invalid, rounds } => {
            Some(outside!("{}: {} of its {} rounds do not count", row.name, invalid, rounds))
        }
        RowState::NotReached => {
            Some(outside!("{}: the bench ended before its first round", row.name))
        }
        RowState::Measured | RowState::Refused { .. } => None,
    };
    bench.rows.iter().filter_map(line).collect()
}

/// Pages count rounds from 1.
fn flaws(bench: &Bench) -> Vec<Outside> {
    let of_row = |row: &BenchRow| {
        let line = |round: u32, flaw: Outside| {
            outside!("{}, round {}: {}", row.name, u64::from(round) + 1, flaw)
        };
        let flaws = row.samples.iter().filter_map(|s| Some(line(s.round, s.measurement.flaw()?)));
        flaws.collect::<Vec<_>>()
    };
    bench.rows.iter().flat_map(of_row).collect()
}

/// Each reason why one of `metrics` has no number, once, with the rows it applies to.
pub(crate) fn reasons(bench: &Bench, metrics: impl IntoIterator<Item = Metric>) -> Vec<Outside> {
    let measured: Vec<&BenchRow> =
        bench.rows.iter().filter(|row| row_state(row) == RowState::Measured).collect();
    let mut found: Vec<(Outside, Vec<&Outside>)> = Vec::new();
    for metric in metrics {
        for row in &measured {
            let Count::NoData { no_data } = metric.value(bench, row) else { continue };
            let reason = match no_data.starts_with(metric.name()) {
                true => no_data,
                false => outside!("{}: {}", metric.name(), no_data),
            };
            match found.iter_mut().find(|(known, _)| *known == reason) {
                Some((_, rows)) => rows.push(&row.name),
                None => found.push((reason, vec![&row.name])),
            }
        }
    }
    let line = |(reason, rows): (Outside, Vec<&Outside>)| {
        let all = rows.len() == measured.len() && rows.len() > 1;
        let whose = if all { "all rows".into() } else { Outside::join(rows, ", ") };
        outside!("{} ({})", reason, whose)
    };
    found.into_iter().map(line).collect()
}

fn drivers(bench: &Bench) -> Table {
    let line = |row: &BenchRow| {
        let runtime = row.runtime.clone().unwrap_or_else(|| EMPTY_CELL.into());
        let [name, driver, flavor] = [&row.name, &row.driver, &row.flavor].map(Outside::clone);
        [name, driver, flavor, runtime, row.attestation.words()].map(Entry::from).to_vec()
    };
    let heads = ["row", "driver", "flavor", "runtime", "attestation"].map(Head::new).to_vec();
    let title = "drivers, seen from outside";
    Table { title, style: Style::Words, heads, groups: group_by_model(bench, line) }
}
