//! The quantities of a bench: their values per round, their median over the rounds that count, or
//! why there is no number. A new quantity is a variant, a row of `DESCRIPTIONS`, and a line in
//! docs/FORMAT.md.

use std::str::FromStr;

use serde::{Deserialize, Serialize};

use super::{Bench, BenchRow, Count, Sample, ServerUse};
use crate::load::Measurement;
use crate::outside::Outside;
use crate::quantity::number;
use crate::statistics::median;
use crate::word::UnknownWord;

/// A quantity of a row, in the order of `DESCRIPTIONS`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Metric {
    /// Echoed messages per second.
    Throughput,
    /// Median latency: response in an open loop, service in a closed loop.
    P50,
    /// 99th percentile of the latency.
    P99,
    /// 99.9th percentile of the latency.
    P999,
    /// CPU time of the server per message. Plots show it by default.
    #[default]
    Cpu,
    /// CPU time of the server per message, over the floor of the same round.
    OverFloor,
    /// CPU time in the server's own code, per message.
    User,
    /// CPU time in the kernel, per message.
    System,
    /// System calls per message.
    SystemCalls,
    /// Operations submitted to rings, per message.
    Submissions,
    /// Context switches per message.
    ContextSwitches,
    /// Resident memory under load.
    Resident,
    /// Memory per idle connection.
    IdleConnection,
    /// Threads under load.
    Threads,
}

impl Metric {
    /// The quantities that a plot can show, each with the word that selects it.
    pub const PLOT_CHOICES: [(&'static str, Self); 5] = [
        ("cpu", Self::Cpu),
        ("throughput", Self::Throughput),
        ("p99", Self::P99),
        ("calls", Self::SystemCalls),
        ("submissions", Self::Submissions),
    ];
}

impl FromStr for Metric {
    type Err = UnknownWord;

    /// Parses a word of [`Metric::PLOT_CHOICES`].
    fn from_str(text: &str) -> Result<Self, UnknownWord> {
        let found = Self::PLOT_CHOICES.into_iter().find(|(word, _)| *word == text);
        let known = Self::PLOT_CHOICES.map(|(word, _)| word);
        found.map(|(_, metric)| metric).ok_or_else(|| UnknownWord::new(text, "metric", known))
    }
}

struct Description {
    metric: Metric,
    /// The name in a sentence.
    name: &'static str,
    /// The head of its column.
    head: &'static str,
    /// The unit on a page, and how many units of the data it is.
    unit: (&'static str, f64),
    better_direction: Direction,
    rule: Rule,
    source: Source,
    section: Section,
    /// The head of its own CSV column, if it has one.
    csv_head: Option<&'static str>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
/// Which values of a quantity are better.
pub enum Direction {
    Higher,
    Lower,
}

/// How `iomatrix compare` judges a change of the quantity.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Rule {
    /// As a count: it has changed if the difference exceeds both the gate and `threshold`.
    Count {
        /// In the unit of the data.
        threshold: f64,
    },
    /// As a time, by a test on its rounds.
    Time,
    /// Not at all: it depends on what else the host does, or follows from another quantity.
    NotJudged,
}

enum Source {
    /// A value per round, seen by the generator.
    Round(fn(&Bench, &Sample) -> Count),
    /// A value per round of what the server used.
    Server(fn(&ServerUse) -> &Count),
    /// One value per row.
    Row(fn(&BenchRow) -> &Count),
}

/// The tables of a bench's page that show the quantity.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Section {
    /// The table of medians, with the ratio to the baseline in the next column.
    Medians,
    /// The table of medians, and the ratio in the table of latency and CPU.
    MediansAndLatencies,
    /// The table of medians, without a ratio.
    MediansWithoutRatio,
    /// The table of costs, and the ratio in the table of latency and CPU.
    CostsAndLatencies,
    /// The table of costs, and the ratio in the table of what a message needs and a server holds.
    CostsAndHoldings,
}

/// The quantities, in the order in which a reader wants them.
const DESCRIPTIONS: [Description; 14] = [
    Description {
        metric: Metric::Throughput,
        name: "throughput",
        head: "throughput",
        unit: ("messages/s", 1.0),
        better_direction: Direction::Higher,
        rule: Rule::Time,
        source: Source::Round(throughput),
        section: Section::Medians,
        csv_head: None,
    },
    Description {
        metric: Metric::P50,
        name: "p50",
        head: "p50",
        unit: MICROS,
        better_direction: Direction::Lower,
        rule: Rule::Time,
        source: Source::Round(|bench, sample| percentile(bench, sample, 50.0)),
        section: Section::MediansAndLatencies,
        csv_head: None,
    },
    Description {
        metric: Metric::P99,
        name: "p99",
        head: "p99",
        unit: MICROS,
        better_direction: Direction::Lower,
        rule: Rule::Time,
        source: Source::Round(|bench, sample| percentile(bench, sample, 99.0)),
        section: Section::Medians,
        csv_head: None,
    },
    Description {
        metric: Metric::P999,
        name: "p99.9",
        head: "p99.9",
        unit: MICROS,
        better_direction: Direction::Lower,
        rule: Rule::NotJudged,
        source: Source::Round(|bench, sample| percentile(bench, sample, 99.9)),
        section: Section::MediansAndLatencies,
        csv_head: None,
    },
    Description {
        metric: Metric::Cpu,
        name: "CPU per message",
        head: "CPU",
        unit: MICROS,
        better_direction: Direction::Lower,
        rule: Rule::Time,
        source: Source::Server(|server| &server.cpu_ns),
        section: Section::Medians,
        csv_head: Some("cpu_ns_per_message"),
    },
    Description {
        metric: Metric::OverFloor,
        name: "CPU over the floor",
        head: "over floor",
        unit: ("x", 1.0),
        better_direction: Direction::Lower,
        rule: Rule::Time,
        source: Source::Round(over_floor),
        section: Section::MediansWithoutRatio,
        csv_head: None,
    },
    Description {
        metric: Metric::User,
        name: "user CPU per message",
        head: "user CPU",
        unit: MICROS,
        better_direction: Direction::Lower,
        rule: Rule::NotJudged,
        source: Source::Server(|server| &server.user_ns),
        section: Section::CostsAndLatencies,
        csv_head: Some("user_ns_per_message"),
    },
    Description {
        metric: Metric::System,
        name: "system CPU per message",
        head: "system CPU",
        unit: MICROS,
        better_direction: Direction::Lower,
        rule: Rule::NotJudged,
        source: Source::Server(|server| &server.system_ns),
        section: Section::CostsAndLatencies,
        csv_head: Some("system_ns_per_message"),
    },
    Description {
        metric: Metric::SystemCalls,
        name: "system calls per message",
        head: "system calls",
        unit: ("", 1.0),
        better_direction: Direction::Lower,
        rule: Rule::Count { threshold: 0.05 },
        source: Source::Row(|row| &row.system_calls),
        section: Section::CostsAndHoldings,
        csv_head: Some("system_calls_per_message"),
    },
    Description {
        metric: Metric::Submissions,
        name: "submissions per message",
        head: "submissions",
        unit: ("", 1.0),
        better_direction: Direction::Lower,
        rule: Rule::Count { threshold: 0.05 },
        source: Source::Server(|server| &server.submissions),
        section: Section::CostsAndHoldings,
        csv_head: Some("submissions_per_message"),
    },
    Description {
        metric: Metric::ContextSwitches,
        name: "context switches per message",
        head: "context switches",
        unit: ("", 1.0),
        better_direction: Direction::Lower,
        rule: Rule::NotJudged,
        source: Source::Server(|server| &server.context_switches),
        section: Section::CostsAndHoldings,
        csv_head: Some("context_switches_per_message"),
    },
    Description {
        metric: Metric::Resident,
        name: "resident memory",
        head: "resident",
        unit: ("MiB", 1_048_576.0),
        better_direction: Direction::Lower,
        rule: Rule::NotJudged,
        source: Source::Server(|server| &server.resident_bytes),
        section: Section::CostsAndHoldings,
        csv_head: Some("resident_bytes"),
    },
    Description {
        metric: Metric::IdleConnection,
        name: "memory per idle connection",
        head: "idle connection",
        unit: ("KiB", 1024.0),
        better_direction: Direction::Lower,
        rule: Rule::Count { threshold: 256.0 },
        source: Source::Row(|row| &row.idle_connection_bytes),
        section: Section::CostsAndHoldings,
        csv_head: Some("idle_connection_bytes"),
    },
    Description {
        metric: Metric::Threads,
        name: "threads",
        head: "threads",
        unit: ("", 1.0),
        better_direction: Direction::Lower,
        rule: Rule::Count { threshold: 0.5 },
        source: Source::Server(|server| &server.threads),
        section: Section::CostsAndHoldings,
        csv_head: Some("server_threads"),
    },
];

const MICROS: (&str, f64) = ("µs", 1e3);

/// Whether a row has numbers.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum RowState {
    Measured,
    Refused {
        /// Why it was not measured.
        reason: Outside,
    },
    /// More than half of its rounds do not count.
    MostlyInvalid {
        /// Rounds that do not count.
        invalid: usize,
        /// All rounds.
        rounds: usize,
    },
    /// The bench ended before the row's first round.
    NotReached,
}

impl Metric {
    /// All quantities, in the order in which a reader wants them.
    pub fn all() -> impl Iterator<Item = Self> {
        DESCRIPTIONS.iter().map(|description| description.metric)
    }

    fn description(self) -> &'static Description {
        &DESCRIPTIONS[self as usize]
    }

    /// The name in a sentence.
    #[must_use]
    pub fn name(self) -> &'static str {
        self.description().name
    }

    /// The head of its column.
    #[must_use]
    pub fn head(self) -> &'static str {
        self.description().head
    }

    /// The unit on a page, and how many units of the data it is.
    #[must_use]
    pub fn unit(self) -> (&'static str, f64) {
        self.description().unit
    }

    #[must_use]
    pub fn better_direction(self) -> Direction {
        self.description().better_direction
    }

    #[must_use]
    pub fn rule(self) -> Rule {
        self.description().rule
    }

    pub(super) fn section(self) -> Section {
        self.description().section
    }

    pub(super) fn csv_head(self) -> Option<&'static str> {
        self.description().csv_head
    }

    /// A value in the page's unit, without the name of the unit.
    #[must_use]
    pub fn format(self, value: f64) -> String {
        number(value / self.unit().1)
    }

    /// Number and value of each round that counts and has a value. Empty if the quantity has one
    /// value per row.
    #[must_use]
    pub fn rounds(self, bench: &Bench, row: &BenchRow) -> Vec<(u32, f64)> {
        let of_round =
            |sample: &Sample| Some((sample.round, self.round_value(bench, sample)?.number()?));
        match row_state(row) {
            RowState::Measured => row.samples.iter().filter_map(of_round).collect(),
            RowState::Refused { .. } | RowState::MostlyInvalid { .. } | RowState::NotReached => {
                Vec::new()
            }
        }
    }

    /// The median over the rounds of a row, or its only value, or why there is no number.
    #[must_use]
    pub fn value(self, bench: &Bench, row: &BenchRow) -> Count {
        match row_state(row) {
            RowState::Refused { .. } => return Count::none("the row was refused"),
            RowState::MostlyInvalid { .. } => {
                return Count::none("more than half of the row's rounds are invalid");
            }
            RowState::NotReached => return Count::none("no round of the row was measured"),
            RowState::Measured => {}
        }
        match self.description().source {
            Source::Row(pick) => pick(row).clone(),
            Source::Round(_) | Source::Server(_) => self.median_over_rounds(bench, row),
        }
    }

    fn median_over_rounds(self, bench: &Bench, row: &BenchRow) -> Count {
        match median(self.rounds(bench, row).into_iter().map(|(_, value)| value)) {
            Some(value) => Count::Of(value),
            None => row
                .samples
                .iter()
                .filter(|sample| sample.measurement.flaw().is_none())
                .find_map(|sample| self.round_value(bench, sample))
                .unwrap_or_else(|| Count::none("it is not counted round by round")),
        }
    }

    /// The value of one round; `None` if the quantity has one value per row, or if the round does
    /// not count.
    pub(super) fn round_value(self, bench: &Bench, sample: &Sample) -> Option<Count> {
        if sample.measurement.flaw().is_some() {
            return None;
        }
        match self.description().source {
            Source::Round(pick) => Some(pick(bench, sample)),
            Source::Server(pick) => Some(server_use(sample, pick)),
            Source::Row(_) => None,
        }
    }

    /// The only value of a row; `None` if the quantity has a value per round.
    pub(super) fn row_value(self, row: &BenchRow) -> Option<&Count> {
        match self.description().source {
            Source::Row(pick) => Some(pick(row)),
            Source::Round(_) | Source::Server(_) => None,
        }
    }
}

/// Whether a row has numbers, and if not, why.
#[must_use]
pub fn row_state(row: &BenchRow) -> RowState {
    if let Some(refused) = &row.refused {
        return RowState::Refused { reason: refused.reason.clone() };
    }
    let rounds = row.samples.len();
    let invalid = row.samples.iter().filter(|s| s.measurement.flaw().is_some()).count();
    match rounds {
        0 => RowState::NotReached,
        _ if invalid * 2 > rounds => RowState::MostlyInvalid { invalid, rounds },
        _ => RowState::Measured,
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
        Some(latency) => match latency.percentile_ns(percent) {
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
