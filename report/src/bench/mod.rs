//! What a bench measured, as it stands in its result folder: rows side by side in interleaved
//! rounds, the floor and the ceiling. `iomatrix bench` fills it.

use serde::{Deserialize, Serialize};

use crate::host::Host;
use crate::load::{BuildProfile, Measurement, Workload};
use crate::outside::Outside;
use crate::pairs::Traits;
use crate::run::Attestation;
use crate::verdict::Model;
#[cfg(feature = "statistics")]
use crate::{
    document::{Document, Kind},
    exit::{Conclusion, Conclusions},
    format::Format,
    pages::Pages,
    part::{Medium, Part},
    record::Record,
};

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
    /// Where it ran, as a reader knows it: a runner label, else the OS.
    pub label: Outside,
    /// Seconds since 1970-01-01 UTC when it started.
    pub started_unix: u64,
    /// Wall time in seconds.
    pub seconds: f64,
    /// The host's identity.
    pub host: Host,
    /// How servers and generator were built.
    pub build: Build,
    /// The workload of every row; its target says the transport, its address is not meaningful.
    pub workload: Workload,
    /// Threads that do I/O in each server.
    pub workers: u32,
    /// Who ran where.
    pub pinning: Pinning,
    /// Name of the row to which others are compared.
    pub baseline: Outside,
    /// Whether it was stopped before all rounds were done.
    pub interrupted: bool,
    /// CPU time that the kernel alone charges a server for a message over TCP, in nanoseconds, one
    /// a round; empty where it was not measured in all rounds.
    pub floor_ns: Vec<f64>,
    /// What the generator itself can do on this host.
    pub ceiling: Option<Ceiling>,
    /// The rows, in the registry's order.
    pub rows: Vec<BenchRow>,
}

/// How the programs were built.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Build {
    /// `rustc --version`.
    pub rustc: Outside,
    /// Profile of the servers; absent for ready-made programs, whose profile nobody knows.
    pub servers: Option<BuildProfile>,
    /// Profile of the generator.
    pub generator: BuildProfile,
}

/// Who ran on which processors.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "state", rename_all = "kebab-case")]
pub enum Pinning {
    /// Server and generator had processors of their own.
    Apart {
        /// Numbers of the server's.
        server: Vec<usize>,
        /// Numbers of the generator's.
        generator: Vec<usize>,
    },
    /// They shared what there is.
    None {
        /// Why.
        reason: Outside,
    },
}

/// The generator's own limit: the least CPU time that a message has cost it in any round, of a row
/// or of an echo that does nothing else, and the rate at which that fills its threads.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Ceiling {
    /// Messages a second.
    pub messages_per_second: f64,
    /// CPU time of the generator for a message, in nanoseconds.
    pub generator_ns: f64,
}

/// What a bench says of a row.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct BenchRow {
    /// `NAME[-FLAVOR][-DRIVER]`.
    pub name: Outside,
    /// Cargo package of its server.
    pub package: Outside,
    /// The group it is shown in.
    pub model: Model,
    /// The driver of this OS.
    pub driver: Outside,
    /// Its flavor.
    pub flavor: Outside,
    /// Runtime and version as announced; absent when no server was started.
    pub runtime: Option<Outside>,
    /// Whether the driver was seen, before the first round and after the last.
    pub attestation: Attestation,
    /// Why it was not measured, or not to the end, and has no number.
    pub refused: Option<Refused>,
    /// One for each round.
    pub samples: Vec<Sample>,
    /// System calls for a message, counted in a run of their own because counting costs time.
    pub system_calls: Count,
    /// Memory for a connection that is idle after one echo, in bytes.
    pub idle_connection_bytes: Count,
}

/// Why a row has no number.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Refused {
    /// Of what kind it is.
    pub because: Because,
    /// In words.
    pub reason: Outside,
}

/// The kinds of reasons for which a row has no number.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Because {
    /// This host, or the row itself, lacks what is needed.
    Unavailable,
    /// It answers wrongly: it fails a MUST, or has changed, lost or refused something under load.
    Wrong,
    /// It could not be judged or measured.
    Error,
}

/// One round of one row.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Sample {
    /// Number of the round, from 0.
    pub round: u32,
    /// What the generator saw.
    pub measurement: Measurement,
    /// What the server used for each message; absent when the measurement is invalid.
    pub server: Option<ServerUse>,
}

/// What a server used, seen from outside its process. Times are in nanoseconds.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct ServerUse {
    /// CPU time for a message, user and system.
    pub cpu_ns: Count,
    /// Of that, the server's own code.
    pub user_ns: Count,
    /// Of that, the kernel on its behalf.
    pub system_ns: Count,
    /// Operations that it handed to its rings, for a message.
    pub submissions: Count,
    /// How often its threads gave a processor away, for a message.
    pub context_switches: Count,
    /// Resident memory under load, in bytes.
    pub resident_bytes: Count,
    /// Threads under load, the kernel's workers for its rings included.
    pub threads: Count,
}

/// A number, or why there is none. Never 0 for "not known".
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(untagged)]
pub enum Count {
    /// What was counted, in the unit that the field says.
    Of(f64),
    /// It could not be had.
    NoData {
        /// Why, and how to mend it where that is known.
        no_data: Outside,
    },
}

#[cfg(feature = "statistics")]
impl Document for Bench {
    const KIND: Kind = Kind::Bench;
    const VERSION: u32 = FORMAT_VERSION;

    fn conclusions(&self, (): &()) -> Conclusions {
        let pieces = self.rows.iter().map(|row| match (&row.refused, metric::standing(row)) {
            (Some(refused), _) => match refused.because {
                Because::Unavailable => Conclusion::Unavailable,
                Because::Wrong => Conclusion::Red,
                Because::Error => Conclusion::Error,
            },
            (None, metric::Standing::Measured) => Conclusion::Green,
            (None, _) => Conclusion::Error,
        });
        Conclusions { interrupted: self.interrupted, ..Conclusions::of(pieces) }
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
    /// What makes it one half of a pair; `os` is that of the host.
    #[must_use]
    pub fn traits<'a>(&'a self, os: &'a Outside) -> Traits<'a, Outside> {
        Traits {
            package: &self.package,
            flavor: &self.flavor,
            model: self.model,
            // A row that does not run here is no half of anything.
            systems: if self.driver.is("-") { Vec::new() } else { vec![os] },
        }
    }

    /// Its backend's name, of its package.
    #[must_use]
    pub fn backend(&self) -> Outside {
        crate::pairs::backend(self.package.open()).into()
    }
}

impl Refused {
    /// A reason of some kind.
    #[must_use]
    pub fn new(because: Because, reason: impl Into<Outside>) -> Self {
        Self { because, reason: reason.into() }
    }
}

impl Count {
    /// No number, and why.
    #[must_use]
    pub fn none(reason: impl Into<Outside>) -> Self {
        Self::NoData { no_data: reason.into() }
    }

    /// The number, if there is one.
    #[must_use]
    pub fn number(&self) -> Option<f64> {
        match self {
            Self::Of(number) => Some(*number),
            Self::NoData { .. } => None,
        }
    }

    /// The same in another unit.
    #[must_use]
    pub fn map(self, change: impl FnOnce(f64) -> f64) -> Self {
        match self {
            Self::Of(number) => Self::Of(change(number)),
            none @ Self::NoData { .. } => none,
        }
    }
}
