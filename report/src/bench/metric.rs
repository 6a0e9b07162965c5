//! The quantities of a bench: round by round, as a median of the rounds that count, or why there is
//! no number. A new one is a variant, a row of the table, and a line in docs/FORMAT.md.

use std::str::FromStr;

use serde::{Deserialize, Serialize};

use super::{Bench, BenchRow, Count, Sample, ServerUse};
use crate::load::Measurement;
use crate::outside::Outside;
use crate::quantity::number;
use crate::statistics::median;
use crate::word::UnknownWord;

/// One quantity of a row, measured or counted. The order is that of `DESCRIPTIONS`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Metric {
    /// Messages echoed a second.
    Throughput,
    /// Median latency: response in an open loop, service in a closed one.
    P50,
    /// 99th percentile of the same.
    P99,
    /// 99.9th percentile of the same.
    P999,
    /// CPU time of the server for a message. What a plot shows unless asked otherwise.
    #[default]
    Cpu,
    /// The same over what the kernel alone charges in the same round.
    OverFloor,
    /// CPU time in the server's own code.
    User,
    /// CPU time in the kernel.
    System,
    /// System calls for a message.
    SystemCalls,
    /// Operations handed to rings, for a message.
    Submissions,
    /// Context switches for a message.
    ContextSwitches,
    /// Resident memory under load.
    Resident,
    /// Memory for an idle connection.
    IdleConnection,
    /// Threads under load.
    Threads,
}

impl Metric {
    /// Those that a plot may show, with the words that select them.
    pub const PLOTTED: [(&'static str, Self); 5] = [
        ("cpu", Self::Cpu),
        ("throughput", Self::Throughput),
        ("p99", Self::P99),
        ("calls", Self::SystemCalls),
        ("submissions", Self::Submissions),
    ];
}

impl FromStr for Metric {
    type Err = UnknownWord;

    /// One of [`Metric::PLOTTED`] by its word.
    fn from_str(text: &str) -> Result<Self, UnknownWord> {
        let found = Self::PLOTTED.into_iter().find(|(word, _)| *word == text);
        let known = Self::PLOTTED.map(|(word, _)| word);
        found.map(|(_, metric)| metric).ok_or_else(|| UnknownWord::new(text, "metric", known))
    }
}

/// What is to be known of a metric.
struct Description {
    metric: Metric,
    /// In a sentence.
    name: &'static str,
    /// Above a column.
    head: &'static str,
    /// The unit in which a page shows it, and how much of the data's unit that is.
    unit: (&'static str, f64),
    better: Better,
    rule: Rule,
    source: Source,
    table: Section,
    /// The head of its column in CSV, where it has one.
    csv: Option<&'static str>,
}

/// Which way is better.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Better {
    /// A larger number.
    More,
    /// A smaller one.
    Less,
}

/// How a quantity is judged where two benches are compared.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Rule {
    /// By the gate, and by more than so much.
    Count {
        /// In the unit of the data.
        beyond: f64,
    },
    /// By its rounds.
    Time,
    /// Not at all: it depends on what else the host does, or follows from another.
    NotJudged,
}

/// Where its number comes from.
enum Source {
    /// What one round says.
    Round(fn(&Bench, &Sample) -> Count),
    /// What the server used in one round.
    Server(fn(&ServerUse) -> &Count),
    /// What is counted once a row.
    Row(fn(&BenchRow) -> &Count),
}

/// In which tables of a bench's page it is shown.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Section {
    /// Among the medians of the rounds, the ratio to the baseline behind its number.
    Medians,
    /// Among the medians, and the ratio in a table of its own.
    MediansRatioApart,
    /// Among the medians, without a ratio.
    MediansAlone,
    /// Among the costs, and the ratio in the table of latency and CPU.
    Times,
    /// Among the costs, and the ratio in the table of what a server holds.
    Holdings,
}

/// The quantities, in the order in which a reader wants them.
const DESCRIPTIONS: [Description; 14] = [
    Description {
        metric: Metric::Throughput,
        name: "throughput",
        head: "throughput",
        unit: ("messages/s", 1.0),
        better: Better::More,
        rule: Rule::Time,
        source: Source::Round(throughput),
        table: Section::Medians,
        csv: None,
    },
    Description {
        metric: Metric::P50,
        name: "p50",
        head: "p50",
        unit: MICROS,
        better: Better::Less,
        rule: Rule::Time,
        source: Source::Round(|bench, sample| percentile(bench, sample, 50.0)),
        table: Section::MediansRatioApart,
        csv: None,
    },
    Description {
        metric: Metric::P99,
        name: "p99",
        head: "p99",
        unit: MICROS,
        better: Better::Less,
        rule: Rule::Time,
        source: Source::Round(|bench, sample| percentile(bench, sample, 99.0)),
        table: Section::Medians,
        csv: None,
    },
    Description {
        metric: Metric::P999,
        name: "p99.9",
        head: "p99.9",
        unit: MICROS,
        better: Better::Less,
        rule: Rule::NotJudged,
        source: Source::Round(|bench, sample| percentile(bench, sample, 99.9)),
        table: Section::MediansRatioApart,
        csv: None,
    },
    Description {
        metric: Metric::Cpu,
        name: "CPU per message",
        head: "CPU",
        unit: MICROS,
        better: Better::Less,
        rule: Rule::Time,
        source: Source::Server(|server| &server.cpu_ns),
        table: Section::Medians,
        csv: Some("cpu_ns_per_message"),
    },
    Description {
        metric: Metric::OverFloor,
        name: "CPU over the floor",
        head: "over floor",
        unit: ("x", 1.0),
        better: Better::Less,
        rule: Rule::Time,
        source: Source::Round(over_floor),
        table: Section::MediansAlone,
        csv: None,
    },
    Description {
        metric: Metric::User,
        name: "user CPU per message",
        head: "user CPU",
        unit: MICROS,
        better: Better::Less,
        rule: Rule::NotJudged,
        source: Source::Server(|server| &server.user_ns),
        table: Section::Times,
        csv: Some("user_ns_per_message"),
    },
    Description {
        metric: Metric::System,
        name: "system CPU per message",
        head: "system CPU",
        unit: MICROS,
        better: Better::Less,
        rule: Rule::NotJudged,
        source: Source::Server(|server| &server.system_ns),
        table: Section::Times,
        csv: Some("system_ns_per_message"),
    },
    Description {
        metric: Metric::SystemCalls,
        name: "system calls per message",
        head: "system calls",
        unit: ("", 1.0),
        better: Better::Less,
        rule: Rule::Count { beyond: 0.05 },
        source: Source::Row(|row| &row.system_calls),
        table: Section::Holdings,
        csv: Some("system_calls_per_message"),
    },
    Description {
        metric: Metric::Submissions,
        name: "submissions per message",
        head: "submissions",
        unit: ("", 1.0),
        better: Better::Less,
        rule: Rule::Count { beyond: 0.05 },
        source: Source::Server(|server| &server.submissions),
        table: Section::Holdings,
        csv: Some("submissions_per_message"),
    },
    Description {
        metric: Metric::ContextSwitches,
        name: "context switches per message",
        head: "context switches",
        unit: ("", 1.0),
        better: Better::Less,
        rule: Rule::NotJudged,
        source: Source::Server(|server| &server.context_switches),
        table: Section::Holdings,
        csv: Some("context_switches_per_message"),
    },
    Description {
        metric: Metric::Resident,
        name: "resident memory",
        head: "resident",
        unit: ("MiB", 1_048_576.0),
        better: Better::Less,
        rule: Rule::NotJudged,
        source: Source::Server(|server| &server.resident_bytes),
        table: Section::Holdings,
        csv: Some("resident_bytes"),
    },
    Description {
        metric: Metric::IdleConnection,
        name: "memory per idle connection",
        head: "idle connection",
        unit: ("KiB", 1024.0),
        better: Better::Less,
        rule: Rule::Count { beyond: 256.0 },
        source: Source::Row(|row| &row.idle_connection_bytes),
        table: Section::Holdings,
        csv: Some("idle_connection_bytes"),
    },
    Description {
        metric: Metric::Threads,
        name: "threads",
        head: "threads",
        unit: ("", 1.0),
        better: Better::Less,
        rule: Rule::Count { beyond: 0.5 },
        source: Source::Server(|server| &server.threads),
        table: Section::Holdings,
        csv: Some("server_threads"),
    },
];

const MICROS: (&str, f64) = ("µs", 1e3);

/// Whether a row has numbers.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Standing {
    /// It has.
    Measured,
    /// It was not measured.
    Refused {
        /// Why.
        reason: Outside,
    },
    /// Most of its rounds do not count.
    MostlyInvalid {
        /// Rounds that do not.
        invalid: usize,
        /// All rounds.
        rounds: usize,
    },
    /// The bench ended before its first round.
    NotReached,
}

impl Metric {
    /// All of them, in the order in which a reader wants them.
    pub fn all() -> impl Iterator<Item = Self> {
        DESCRIPTIONS.iter().map(|description| description.metric)
    }

    fn description(self) -> &'static Description {
        &DESCRIPTIONS[self as usize]
    }

    /// What it is called in a sentence.
    #[must_use]
    pub fn name(self) -> &'static str {
        self.description().name
    }

    /// What stands above its column.
    #[must_use]
    pub fn head(self) -> &'static str {
        self.description().head
    }

    /// The unit in which a page shows it, and how much of the data's unit that is.
    #[must_use]
    pub fn unit(self) -> (&'static str, f64) {
        self.description().unit
    }

    /// Which way is better.
    #[must_use]
    pub fn better(self) -> Better {
        self.description().better
    }

    /// How it is judged where two benches are compared.
    #[must_use]
    pub fn rule(self) -> Rule {
        self.description().rule
    }

    pub(super) fn place(self) -> Section {
        self.description().table
    }

    pub(super) fn csv(self) -> Option<&'static str> {
        self.description().csv
    }

    /// A value in the page's unit, without it.
    #[must_use]
    pub fn shown(self, value: f64) -> String {
        number(value / self.unit().1)
    }

    /// The rounds of a row that count and have a number; none for what is counted once a row.
    #[must_use]
    pub fn rounds(self, bench: &Bench, row: &BenchRow) -> Vec<(u32, f64)> {
        let of_round = |sample: &Sample| Some((sample.round, self.of(bench, sample)?.number()?));
        match standing(row) {
            Standing::Measured => row.samples.iter().filter_map(of_round).collect(),
            Standing::Refused { .. } | Standing::MostlyInvalid { .. } | Standing::NotReached => {
                Vec::new()
            }
        }
    }

    /// The median over the rounds of a row, or what was counted once, or why there is no number.
    #[must_use]
    pub fn value(self, bench: &Bench, row: &BenchRow) -> Count {
        match standing(row) {
            Standing::Refused { .. } => return Count::none("the row was refused"),
            Standing::MostlyInvalid { .. } => {
                return Count::none("more than half of the row's rounds are invalid");
            }
            Standing::NotReached => return Count::none("no round of the row was measured"),
            Standing::Measured => {}
        }
        match self.description().source {
            Source::Row(pick) => pick(row).clone(),
            Source::Round(_) | Source::Server(_) => self.over_rounds(bench, row),
        }
    }

    fn over_rounds(self, bench: &Bench, row: &BenchRow) -> Count {
        match median(self.rounds(bench, row).into_iter().map(|(_, value)| value)) {
            Some(value) => Count::Of(value),
            None => row
                .samples
                .iter()
                .filter(|sample| sample.measurement.flaw().is_none())
                .find_map(|sample| self.of(bench, sample))
                .unwrap_or_else(|| Count::none("it is not counted round by round")),
        }
    }

    /// What one round says; `None` for what is counted once a row, or when the round is invalid.
    pub(super) fn of(self, bench: &Bench, sample: &Sample) -> Option<Count> {
        if sample.measurement.flaw().is_some() {
            return None;
        }
        match self.description().source {
            Source::Round(pick) => Some(pick(bench, sample)),
            Source::Server(pick) => Some(server_use(sample, pick)),
            Source::Row(_) => None,
        }
    }

    /// What is counted once a row; `None` for what is counted round by round.
    pub(super) fn of_row(self, row: &BenchRow) -> Option<&Count> {
        match self.description().source {
            Source::Row(pick) => Some(pick(row)),
            Source::Round(_) | Source::Server(_) => None,
        }
    }
}

/// Whether a row has numbers, and why not.
#[must_use]
pub fn standing(row: &BenchRow) -> Standing {
    if let Some(refused) = &row.refused {
        return Standing::Refused { reason: refused.reason.clone() };
    }
    let rounds = row.samples.len();
    let invalid = row.samples.iter().filter(|s| s.measurement.flaw().is_some()).count();
    match rounds {
        0 => Standing::NotReached,
        _ if invalid * 2 > rounds => Standing::MostlyInvalid { invalid, rounds },
        _ => Standing::Measured,
    }
}

fn throughput(_: &Bench, sample: &Sample) -> Count {
    match sample.measurement.throughput {
        Some(throughput) => Count::Of(throughput.messages_per_second),
        None => Count::none("throughput was not recorded"),
    }
}

fn server_use(sample: &Sample, pick: fn(&ServerUse) -> &Count) -> Count {
    match &sample.server {
        Some(server) => pick(server).clone(),
        None => Count::none("the server's use was not recorded"),
    }
}

fn percentile(bench: &Bench, Sample { measurement, .. }: &Sample, percent: f64) -> Count {
    match Measurement::latency(measurement, bench.workload.arrival) {
        None => Count::none("latency was not recorded"),
        Some(latency) => match latency.at(percent) {
            Some(ns) => Count::Of(ns as f64),
            None => Count::none(latency.absence(percent)),
        },
    }
}

fn over_floor(bench: &Bench, sample: &Sample) -> Count {
    match bench.floor_ns.get(sample.round as usize) {
        Some(floor_ns) if *floor_ns > 0.0 => {
            server_use(sample, |server| &server.cpu_ns).map(|ns| ns / floor_ns)
        }
        Some(_) | None => Count::none("no floor was measured in the same round"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_description_stands_at_its_place_in_the_table() {
        for (index, description) in DESCRIPTIONS.iter().enumerate() {
            assert_eq!(description.metric as usize, index, "{:?}", description.metric);
        }
    }
}
