//! The quantities of a bench: round by round, as a median of the rounds that count, or why there is
//! no number.

use serde::{Deserialize, Serialize};

use super::{Bench, BenchRow, Count, Sample, ServerUse};
use crate::load::Measurement;
use crate::quantity::number;
use crate::statistics::median;

/// One quantity of a row.
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

/// Which way is better.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Better {
    /// A larger number.
    More,
    /// A smaller one.
    Less,
}

/// Whether a row has numbers.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Standing {
    /// It has.
    Measured,
    /// It was not measured.
    Refused {
        /// Why.
        reason: String,
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
    pub const ALL: [Self; 14] = [
        Self::Throughput,
        Self::P50,
        Self::P99,
        Self::P999,
        Self::Cpu,
        Self::OverFloor,
        Self::User,
        Self::System,
        Self::SystemCalls,
        Self::Submissions,
        Self::ContextSwitches,
        Self::Resident,
        Self::IdleConnection,
        Self::Threads,
    ];

    /// What it is called in a sentence.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Throughput => "throughput",
            Self::P50 => "p50",
            Self::P99 => "p99",
            Self::P999 => "p99.9",
            Self::Cpu => "CPU per message",
            Self::OverFloor => "CPU over the floor",
            Self::User => "user CPU per message",
            Self::System => "system CPU per message",
            Self::SystemCalls => "system calls per message",
            Self::Submissions => "submissions per message",
            Self::ContextSwitches => "context switches per message",
            Self::Resident => "resident memory",
            Self::IdleConnection => "memory per idle connection",
            Self::Threads => "threads",
        }
    }

    /// The unit in which a page shows it, and how much of the data's unit that is.
    #[must_use]
    pub fn unit(self) -> (&'static str, f64) {
        match self {
            Self::Throughput => ("messages/s", 1.0),
            Self::P50 | Self::P99 | Self::P999 | Self::Cpu | Self::User | Self::System => {
                ("µs", 1e3)
            }
            Self::OverFloor => ("x", 1.0),
            Self::Resident => ("MiB", 1_048_576.0),
            Self::IdleConnection => ("KiB", 1024.0),
            Self::SystemCalls | Self::Submissions | Self::ContextSwitches | Self::Threads => {
                ("", 1.0)
            }
        }
    }

    /// Which way is better.
    #[must_use]
    pub fn better(self) -> Better {
        match self {
            Self::Throughput => Better::More,
            Self::P50
            | Self::P99
            | Self::P999
            | Self::Cpu
            | Self::OverFloor
            | Self::User
            | Self::System
            | Self::SystemCalls
            | Self::Submissions
            | Self::ContextSwitches
            | Self::Resident
            | Self::IdleConnection
            | Self::Threads => Better::Less,
        }
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
        match self {
            Self::SystemCalls => row.system_calls.clone(),
            Self::IdleConnection => row.idle_connection_bytes.clone(),
            Self::Throughput
            | Self::P50
            | Self::P99
            | Self::P999
            | Self::Cpu
            | Self::OverFloor
            | Self::User
            | Self::System
            | Self::Submissions
            | Self::ContextSwitches
            | Self::Resident
            | Self::Threads => self.over_rounds(bench, row),
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
        let measurement = &sample.measurement;
        if measurement.flaw().is_some() {
            return None;
        }
        let server = |pick: fn(&ServerUse) -> &Count| match &sample.server {
            Some(server) => pick(server).clone(),
            None => Count::none("the server's use was not recorded"),
        };
        Some(match self {
            Self::Throughput => match measurement.throughput {
                Some(throughput) => Count::Of(throughput.messages_per_second),
                None => Count::none("throughput was not recorded"),
            },
            Self::P50 => percentile(bench, measurement, 50.0),
            Self::P99 => percentile(bench, measurement, 99.0),
            Self::P999 => percentile(bench, measurement, 99.9),
            Self::Cpu => server(|server| &server.cpu_ns),
            Self::OverFloor => over_floor(bench, sample.round, server(|server| &server.cpu_ns)),
            Self::User => server(|server| &server.user_ns),
            Self::System => server(|server| &server.system_ns),
            Self::Submissions => server(|server| &server.submissions),
            Self::ContextSwitches => server(|server| &server.context_switches),
            Self::Resident => server(|server| &server.resident_bytes),
            Self::Threads => server(|server| &server.threads),
            Self::SystemCalls | Self::IdleConnection => return None,
        })
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

fn percentile(bench: &Bench, measurement: &Measurement, percent: f64) -> Count {
    match measurement.latency(bench.workload.arrival) {
        None => Count::none("latency was not recorded"),
        Some(latency) => match latency.at(percent) {
            Some(ns) => Count::Of(ns as f64),
            None => Count::none(latency.absence(percent)),
        },
    }
}

fn over_floor(bench: &Bench, round: u32, cpu_ns: Count) -> Count {
    match bench.floor_ns.get(round as usize) {
        Some(floor_ns) if *floor_ns > 0.0 => cpu_ns.map(|ns| ns / floor_ns),
        Some(_) | None => Count::none("no floor was measured in the same round"),
    }
}
