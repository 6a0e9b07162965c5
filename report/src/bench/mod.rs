//! What a bench measured, as its result folder stores it: rows side by side in interleaved rounds,
//! the floor and the ceiling. `iomatrix bench` fills it.

use serde::{Deserialize, Serialize};

#[cfg(feature = "statistics")]
use crate::document::{Document, Kind};
#[cfg(feature = "statistics")]
use crate::exit::{Conclusion, Conclusions};
#[cfg(feature = "statistics")]
use crate::format::Format;
use crate::host::Host;
use crate::load::{BuildProfile, Measurement, Workload};
use crate::outside::Outside;
#[cfg(feature = "statistics")]
use crate::pages::Pages;
use crate::pairs::Traits;
#[cfg(feature = "statistics")]
use crate::part::{Medium, Part};
#[cfg(feature = "statistics")]
use crate::record::Record;
use crate::run::Attestation;
use crate::verdict::Model;

#[cfg(feature = "statistics")]
pub mod metric;
#[cfg(feature = "statistics")]
pub(crate) mod parts;
#[cfg(feature = "statistics")]
pub(crate) mod records;
#[cfg(test)]
#[cfg(feature = "statistics")]
mod tests;

/// The version of the format of benches that this crate reads and writes.
pub const FORMAT_VERSION: u32 = 1;
/// Name of the file in a result folder.
pub const FILE_NAME: &str = "bench.json";

/// One bench: some rows, one workload, rounds in alternating order (A B C, C B A).
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Bench {
    /// [`FORMAT_VERSION`] of the program that wrote it.
    pub version: u32,
    /// Where it ran: a runner label, else the OS.
    pub label: Outside,
    /// Seconds since 1970-01-01 UTC when it started.
    pub started_unix: u64,
    /// Wall time in seconds.
    pub seconds: f64,
    pub host: Host,
    pub build: Build,
    /// The workload of every row. Its target says the transport; the address means nothing.
    pub workload: Workload,
    /// Threads that do I/O in each server.
    pub workers: u32,
    pub pinning: Pinning,
    /// Name of the row with which the others are compared.
    pub baseline: Outside,
    /// Whether the user stopped it before all rounds were done.
    pub interrupted: bool,
    /// CPU time that the kernel alone charges a server per message over TCP, in nanoseconds, one
    /// per round; empty unless it was measured in every round.
    pub floor_ns: Vec<f64>,
    /// The generator's own limit on this host.
    pub ceiling: Option<Ceiling>,
    /// The rows, in the registry's order.
    pub rows: Vec<BenchRow>,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Build {
    /// `rustc --version`.
    pub rustc: Outside,
    /// Profile of the servers; absent for ready-made programs, whose profile is unknown.
    pub servers: Option<BuildProfile>,
    pub generator: BuildProfile,
}

/// Which processors the server and the generator ran on.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "state", rename_all = "kebab-case")]
pub enum Pinning {
    /// The server and the generator had separate processors.
    Apart {
        /// Numbers of the server's processors.
        server: Vec<usize>,
        /// Numbers of the generator's processors.
        generator: Vec<usize>,
    },
    /// The server and the generator shared all processors.
    None {
        /// Why.
        reason: Outside,
    },
}

/// The generator's own limit: the least CPU time that a message has cost it in any round, of a row
/// or of an echo that does nothing else, and the rate at which this cost fills its threads.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Ceiling {
    pub messages_per_second: f64,
    /// CPU time of the generator per message, in nanoseconds.
    pub generator_ns: f64,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct BenchRow {
    /// `NAME[-FLAVOR][-DRIVER]`.
    pub name: Outside,
    /// Cargo package of its server.
    pub package: Outside,
    pub model: Model,
    /// The driver on this OS.
    pub driver: Outside,
    pub flavor: Outside,
    /// Runtime and version as announced; absent if no server was started.
    pub runtime: Option<Outside>,
    /// Whether the bench saw the driver in use, before the first round and after the last.
    pub attestation: Attestation,
    /// Why it was not measured, or not to the end, and so has no number.
    pub refused: Option<Refusal>,
    /// One per round.
    pub samples: Vec<Sample>,
    /// System calls per message, counted in a separate run because counting costs time.
    pub system_calls: Count,
    /// Memory per connection that is idle after one echo, in bytes.
    pub idle_connection_bytes: Count,
}

/// Why a row has no number.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Refusal {
    pub because: RefusalKind,
    pub reason: Outside,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum RefusalKind {
    /// This host or the row lacks something.
    Unavailable,
    /// The server answers wrongly: it fails a MUST, or it altered, lost or refused something under
    /// load.
    Wrong,
    /// The row could not be judged or measured.
    Error,
}

/// One round of one row.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Sample {
    /// Number of the round, from 0.
    pub round: u32,
    pub measurement: Measurement,
    /// What the server used; absent if the measurement is invalid.
    pub server: Option<ServerUse>,
}

/// What a server used, seen from outside its process.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct ServerUse {
    /// CPU time per message, user and system.
    pub cpu_ns: Count,
    /// The part of `cpu_ns` in the server's own code.
    pub user_ns: Count,
    /// The part of `cpu_ns` in the kernel.
    pub system_ns: Count,
    /// Operations submitted to rings, per message.
    pub submissions: Count,
    /// Context switches per message.
    pub context_switches: Count,
    /// Resident memory under load.
    pub resident_bytes: Count,
    /// Threads under load, including the kernel's workers for the server's rings.
    pub threads: Count,
}

/// A number, or why there is none. An unknown number is never 0.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(untagged)]
pub enum Count {
    /// What was counted, in the unit of the field.
    Of(f64),
    /// It could not be counted.
    NoData {
        /// Why, and what would help, if known.
        no_data: Outside,
    },
}

#[cfg(feature = "statistics")]
impl Document for Bench {
    const KIND: Kind = Kind::Bench;
    const VERSION: u32 = FORMAT_VERSION;

    fn conclusions(&self, (): &()) -> Conclusions {
        let pieces = self.rows.iter().map(|row| match (&row.refused, metric::row_state(row)) {
            (Some(refused), _) => match refused.because {
                RefusalKind::Unavailable => Conclusion::Unavailable,
                RefusalKind::Wrong => Conclusion::Red,
                RefusalKind::Error => Conclusion::Error,
            },
            (None, metric::RowState::Measured) => Conclusion::Green,
            (None, _) => Conclusion::Error,
        });
        Conclusions { interrupted: self.interrupted, ..Conclusions::from_pieces(pieces) }
    }
}

#[cfg(feature = "statistics")]
impl Pages for Bench {
    const FORMATS: &'static [Format] = &[Format::Text, Format::Markdown, Format::Json, Format::Csv];
    type Question = ();

    fn parts(&self, (): &(), _: Medium) -> Vec<Part> {
        parts::parts(self)
    }

    fn data(&self) -> impl Serialize {
        self
    }

    fn records(&self) -> Vec<Record> {
        records::records(self)
    }
}

impl BenchRow {
    /// What makes the row one half of a pair. `os` is the OS of the host.
    #[must_use]
    pub fn traits<'a>(&'a self, os: &'a Outside) -> Traits<'a, Outside> {
        Traits {
            package: &self.package,
            flavor: &self.flavor,
            model: self.model,
            // A row that does not run on this OS is half of no pair.
            systems: if self.driver.equals("-") { Vec::new() } else { vec![os] },
        }
    }

    /// The name of its backend, taken from the package.
    #[must_use]
    pub fn backend(&self) -> Outside {
        crate::pairs::backend_name(self.package.open()).into()
    }
}

impl Refusal {
    #[must_use]
    pub fn new(because: RefusalKind, reason: impl Into<Outside>) -> Self {
        Self { because, reason: reason.into() }
    }
}

impl Count {
    #[must_use]
    pub fn none(reason: impl Into<Outside>) -> Self {
        Self::NoData { no_data: reason.into() }
    }

    #[must_use]
    pub fn number(&self) -> Option<f64> {
        match self {
            Self::Of(number) => Some(*number),
            Self::NoData { .. } => None,
        }
    }

    /// Converts the number to another unit.
    #[must_use]
    pub fn map(self, change: impl FnOnce(f64) -> f64) -> Self {
        match self {
            Self::Of(number) => Self::Of(change(number)),
            none @ Self::NoData { .. } => none,
        }
    }
}
