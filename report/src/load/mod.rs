//! What a load measured, as a result file stores it: the workload, and for each measurement its
//! validity, counts, latencies and errors. `loadgen` fills it; nothing here opens a socket.

use std::collections::BTreeMap;
use std::fmt;

use serde::{Deserialize, Serialize};

#[cfg(feature = "statistics")]
use crate::document::{Document, Kind};
#[cfg(feature = "statistics")]
use crate::exit::{Conclusion, Conclusions};
#[cfg(feature = "statistics")]
use crate::format::Format;
use crate::host::Host;
use crate::outside;
use crate::outside::Outside;
#[cfg(feature = "statistics")]
use crate::pages::Pages;
#[cfg(feature = "statistics")]
use crate::part::{Medium, Part};
#[cfg(feature = "statistics")]
use crate::record::Record;

pub mod condition;
mod latency;
#[cfg(feature = "statistics")]
mod parts;
#[cfg(feature = "statistics")]
pub(crate) mod records;
#[cfg(feature = "statistics")]
mod summary;
#[cfg(test)]
#[cfg(feature = "statistics")]
mod tests;
mod workload;

pub use condition::{Condition, ConditionError};
pub use latency::{Latency, Percentile, SAMPLES_BEYOND};
pub use workload::{Amount, Arrival, MessageSizes, Target, Workload};

/// The version of the format of load results that this crate reads and writes.
pub const FORMAT_VERSION: u32 = 1;

/// One load on a server that was already listening: the result file of `iomatrix load`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct LoadResult {
    /// [`FORMAT_VERSION`] of the program that wrote it.
    pub version: u32,
    /// Seconds since 1970-01-01 UTC when it started.
    pub started_unix: u64,
    /// The host of the generator; on loopback also the host of the server.
    pub host: Host,
    pub workload: Workload,
    /// One per run (`--runs`), in order.
    pub measurements: Vec<Measurement>,
}

/// One run of a workload on a server. If it is invalid, it has no throughput and no latency but
/// `send_lag`: these are absent, never zero.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Measurement {
    pub validity: Validity,
    pub ending: Ending,
    /// Seconds from the first connect(2) until every connection was open; absent if not every
    /// connection was opened.
    pub opening_seconds: Option<f64>,
    /// Length of the measured part, without warm-up and without the wait for the last answers.
    pub seconds: f64,
    pub traffic: Traffic,
    /// Absent if the measurement is invalid.
    pub throughput: Option<Throughput>,
    /// From the planned send to the last byte of the echo. Open loop only.
    pub response: Option<Latency>,
    /// From the first byte actually sent to the last byte of the echo.
    pub service: Option<Latency>,
    /// From when a message was due and its connection free until its first byte was sent: the
    /// generator's own lateness. Open loop only. An invalid measurement has it too, because it says
    /// why.
    pub send_lag: Option<Latency>,
    /// From connect(2) to an established connection: at the start, or with `churn` once per
    /// message.
    pub connect: Option<Latency>,
    /// Errors by kind, warm-up included.
    pub errors: BTreeMap<ErrorKind, u64>,
    /// Sentences about the first errors, and about what else a reader has to know.
    pub notes: Vec<Outside>,
    pub generator: Generator,
}

/// Whether a measurement counts, and if not, why.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "state", rename_all = "lowercase")]
pub enum Validity {
    Valid,
    /// It does not count, and gives no rate or latency of the server.
    Invalid {
        /// Sentences without a full stop.
        reasons: Vec<Outside>,
    },
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Ending {
    /// It ran for its whole duration or number of messages.
    Complete,
    /// The user stopped it, so its numbers are partial.
    Interrupted,
    /// It was given up: the server had died or stalled, or the host was too noisy to begin.
    Abandoned,
}

/// Messages and bytes of the measured part.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Traffic {
    /// Messages handed to a connection.
    pub sent: u64,
    /// Messages that came back whole and correct.
    pub echoed: u64,
    /// Bytes of the echoed messages, one way.
    pub bytes: u64,
}

/// Rates over the measured part.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Throughput {
    pub messages_per_second: f64,
    /// One way.
    pub bytes_per_second: f64,
}

/// What went wrong with a message or a connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum ErrorKind {
    /// connect(2) failed.
    Connect,
    /// The server closed a connection in the middle (FIN).
    Closed,
    /// A connection was reset (RST).
    Reset,
    /// Another error of a socket.
    Socket,
    /// A message did not come back.
    Lost,
    /// An earlier message came back again.
    Duplicated,
    /// A message of another connection came back.
    Foreign,
    /// Bytes came that nobody had sent.
    Extra,
    /// A message came back changed.
    Altered,
}

/// What the generator needed for the measured part.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Generator {
    /// Threads that sent and received.
    pub threads: u32,
    /// CPU time of these threads; `None` if the system does not report it.
    pub cpu_seconds: Option<f64>,
    /// CPU share of the busiest thread; 1 is one core. It says little in an open loop, because the
    /// generator spins.
    pub busiest_share: Option<f64>,
    /// How often a thread found nothing to do, over how often it looked: the lowest share among the
    /// threads. Near 0, the generator was the bottleneck. `None` if unknown.
    pub waits_share: Option<f64>,
    /// 99th percentile of the lateness of a thread that only sleeps and spins on this host,
    /// measured before an open loop.
    pub jitter_p99_ns: Option<u64>,
    /// Build profile of the generator's code.
    pub profile: BuildProfile,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum BuildProfile {
    /// With the optimisations that users build with.
    #[default]
    Release,
    Dev,
}

impl LoadResult {
    /// A sentence for each condition that fires on each valid measurement.
    #[must_use]
    pub fn fired_sentences(&self, conditions: &[Condition]) -> Vec<Outside> {
        let counting = || self.measurements.iter().filter(|one| one.validity.is_valid());
        conditions.iter().flat_map(|one| counting().filter_map(|m| one.fires(m))).collect()
    }
}

#[cfg(feature = "statistics")]
impl Document for LoadResult {
    const KIND: Kind = Kind::Load;
    const VERSION: u32 = FORMAT_VERSION;

    /// An invalid measurement is an error, and meets no condition.
    fn conclusions(&self, conditions: &Vec<Condition>) -> Conclusions {
        let pieces = self.measurements.iter().map(|measurement| {
            if !measurement.validity.is_valid() {
                Conclusion::Error
            } else if conditions.iter().any(|one| one.fires(measurement).is_some()) {
                Conclusion::ConditionFired
            } else {
                Conclusion::Green
            }
        });
        let interrupted = self.measurements.iter().any(|m| m.ending == Ending::Interrupted);
        Conclusions { interrupted, ..Conclusions::from_pieces(pieces) }
    }
}

#[cfg(feature = "statistics")]
impl Pages for LoadResult {
    const FORMATS: &'static [Format] =
        &[Format::Text, Format::Markdown, Format::Json, Format::Jsonl, Format::Csv];
    /// The conditions of `--fail-if`.
    type Question = Vec<Condition>;

    fn parts(&self, _: &Vec<Condition>, medium: Medium) -> Vec<Part> {
        parts::parts(self, medium)
    }

    fn data(&self) -> impl Serialize {
        self
    }

    fn records(&self) -> Vec<Record> {
        records::records(self)
    }

    fn lines(&self) -> Vec<impl Serialize> {
        let workload = &self.workload;
        let line = |(index, measurement)| Line { run: index + 1, workload, measurement };
        self.measurements.iter().enumerate().map(line).collect()
    }
}

/// One line of JSON lines: a measurement with its workload.
#[cfg(feature = "statistics")]
#[derive(Serialize)]
struct Line<'a> {
    /// Counted from 1.
    run: usize,
    workload: &'a Workload,
    #[serde(flatten)]
    measurement: &'a Measurement,
}

impl Validity {
    #[must_use]
    pub fn is_valid(&self) -> bool {
        match self {
            Self::Valid => true,
            Self::Invalid { .. } => false,
        }
    }
}

impl ErrorKind {
    /// The word used on screen and in files.
    #[must_use]
    pub fn word(self) -> &'static str {
        match self {
            Self::Connect => "connect",
            Self::Closed => "closed",
            Self::Reset => "reset",
            Self::Socket => "socket",
            Self::Lost => "lost",
            Self::Duplicated => "duplicated",
            Self::Foreign => "foreign",
            Self::Extra => "extra",
            Self::Altered => "altered",
        }
    }

    /// Whether bytes came that were not due, or that were altered. Lost bytes are not wrong bytes.
    #[must_use]
    pub fn is_wrong_bytes(self) -> bool {
        match self {
            Self::Duplicated | Self::Foreign | Self::Extra | Self::Altered => true,
            Self::Connect | Self::Closed | Self::Reset | Self::Socket | Self::Lost => false,
        }
    }
}

impl fmt::Display for Ending {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::Complete => "complete",
            Self::Interrupted => "interrupted",
            Self::Abandoned => "abandoned",
        })
    }
}

impl fmt::Display for ErrorKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.word())
    }
}

impl Measurement {
    /// A valid and complete measurement without numbers.
    #[must_use]
    pub fn empty(generator: Generator) -> Self {
        Self {
            validity: Validity::Valid,
            ending: Ending::Complete,
            opening_seconds: None,
            seconds: 0.0,
            traffic: Traffic::default(),
            throughput: None,
            response: None,
            service: None,
            send_lag: None,
            connect: None,
            errors: BTreeMap::new(),
            notes: Vec::new(),
            generator,
        }
    }

    /// CPU time of the generator per echoed message, in nanoseconds.
    #[must_use]
    pub fn generator_ns(&self) -> Option<f64> {
        let echoed = Some(self.traffic.echoed).filter(|echoed| *echoed > 0)?;
        Some(self.generator.cpu_seconds? * 1e9 / echoed as f64)
    }

    /// The latency that a user sees: response in an open loop; service in a closed loop, which
    /// plans no sends.
    #[must_use]
    pub fn latency(&self, arrival: Arrival) -> Option<&Latency> {
        match arrival {
            Arrival::Open { .. } => self.response.as_ref(),
            Arrival::Closed => self.service.as_ref(),
        }
    }

    /// Why it says nothing about the server; `None` if it counts.
    #[must_use]
    pub fn flaw(&self) -> Option<Outside> {
        match (&self.validity, self.ending) {
            (Validity::Invalid { reasons }, _) => {
                Some(outside!("invalid: {}", Outside::join(reasons, "; ")))
            }
            (Validity::Valid, Ending::Interrupted) => Some("interrupted: it is partial".into()),
            (Validity::Valid, Ending::Abandoned) => Some("abandoned: it is partial".into()),
            (Validity::Valid, Ending::Complete) => None,
        }
    }

    #[must_use]
    pub fn error_count(&self) -> u64 {
        self.errors.values().copied().fold(0, u64::saturating_add)
    }
}
