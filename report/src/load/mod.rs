//! What a load measured, as it stands in a result file: the workload, and for each measurement its
//! validity, counts, histograms and errors. `loadgen` fills it; nothing here opens a socket.

use std::collections::BTreeMap;
use std::fmt;

use serde::{Deserialize, Serialize};

use crate::host::Host;
use crate::outside;
use crate::outside::Outside;
#[cfg(feature = "statistics")]
use crate::{
    document::{Document, Kind},
    exit::{Conclusion, Conclusions},
    format::Format,
    pages::Pages,
    part::{Medium, Part},
    record::Record,
};

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

/// One load on one server that listened somewhere: `iomatrix load`'s result file.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct LoadResult {
    /// [`FORMAT_VERSION`] of the program that wrote it.
    pub version: u32,
    /// Seconds since 1970-01-01 UTC when it started.
    pub started_unix: u64,
    /// The host of the generator, and of the server where it is on loopback.
    pub host: Host,
    /// What was sent, to whom and how.
    pub workload: Workload,
    /// One for each of `--runs`, in order.
    pub measurements: Vec<Measurement>,
}

/// One result of a workload on a server. What an invalid one measured is absent, never zero.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Measurement {
    /// Whether it counts.
    pub validity: Validity,
    /// Whether it ran as long as it was asked to.
    pub ending: Ending,
    /// Seconds from the first connect(2) until every connection was open; absent when that did not
    /// come about.
    pub opening_seconds: Option<f64>,
    /// Length of the measured part in seconds: warm-up and the wait for the last answers excluded.
    pub seconds: f64,
    /// Messages and bytes of the measured part.
    pub traffic: Traffic,
    /// Rates over the measured part; absent when invalid.
    pub throughput: Option<Throughput>,
    /// From the planned send to the last byte of the echo. Open loop only.
    pub response: Option<Latency>,
    /// From the first byte really sent to the last byte of the echo.
    pub service: Option<Latency>,
    /// From when a message was due and its connection free to when its first byte was sent: the
    /// generator's own lateness. Open loop only, and given for an invalid measurement too, because
    /// it says why.
    pub send_lag: Option<Latency>,
    /// From the call of connect(2) to an established connection: those of the start, or with
    /// `churn` one for each message.
    pub connect: Option<Latency>,
    /// What went wrong, warm-up included, by kind.
    pub errors: BTreeMap<ErrorKind, u64>,
    /// Sentences about the first of these errors, and about what else a reader has to know.
    pub notes: Vec<Outside>,
    /// What the generator itself needed.
    pub generator: Generator,
}

/// Whether a measurement counts, and why not.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "state", rename_all = "lowercase")]
pub enum Validity {
    /// It does.
    Valid,
    /// It does not, and gives no number.
    Invalid {
        /// Why, each a sentence without a full stop.
        reasons: Vec<Outside>,
    },
}

/// How a measurement came to its end.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Ending {
    /// After its whole duration or number of messages.
    Complete,
    /// The user stopped it: what is there is partial.
    Interrupted,
    /// It was given up: the server had died or stalled, or the host is too noisy to begin.
    Abandoned,
}

/// Messages and bytes of the measured part.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Traffic {
    /// Messages given to a connection to be sent.
    pub sent: u64,
    /// Messages that came back whole and right.
    pub echoed: u64,
    /// Bytes of the echoed messages, one way.
    pub bytes: u64,
}

/// Rates over the measured part.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Throughput {
    /// Messages echoed a second.
    pub messages_per_second: f64,
    /// Bytes echoed a second, one way.
    pub bytes_per_second: f64,
}

/// What went wrong with a message or a connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum ErrorKind {
    /// connect(2) failed.
    Connect,
    /// The server ended a connection in the middle (FIN).
    Closed,
    /// A connection was reset (RST).
    Reset,
    /// Another error of a socket.
    Socket,
    /// A message did not come back.
    Lost,
    /// An earlier message came again.
    Duplicated,
    /// A message of another connection came.
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
    /// Their CPU time in seconds; `None` where the system does not tell.
    pub cpu_seconds: Option<f64>,
    /// CPU share of the busiest thread, 1 being one core. An open loop spins, so it says little
    /// there.
    pub busiest_share: Option<f64>,
    /// How often a thread found nothing to do, over how often it looked. Near 0 means that the
    /// generator was the bottleneck. `None` where not told.
    pub waits_share: Option<f64>,
    /// Lateness of the host's own sleep and spin, measured alone before an open loop: 99th
    /// percentile in nanoseconds.
    pub jitter_p99_ns: Option<u64>,
    /// Build profile of the generator's code: `release` or `dev`.
    pub profile: BuildProfile,
}

/// How a program was compiled.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum BuildProfile {
    /// With the optimisations that users build with.
    #[default]
    Release,
    /// For development.
    Dev,
}

impl LoadResult {
    /// What each condition that holds says of each measurement that counts.
    #[must_use]
    pub fn fired(&self, conditions: &[Condition]) -> Vec<Outside> {
        let counting = || self.measurements.iter().filter(|one| one.validity.is_valid());
        conditions.iter().flat_map(|one| counting().filter_map(|m| one.fires(m))).collect()
    }
}

#[cfg(feature = "statistics")]
impl Document for LoadResult {
    const KIND: Kind = Kind::Load;
    const VERSION: u32 = FORMAT_VERSION;

    /// An invalid measurement meets no condition.
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
        Conclusions { interrupted, ..Conclusions::of(pieces) }
    }
}

#[cfg(feature = "statistics")]
impl Pages for LoadResult {
    const FORMATS: &'static [Format] =
        &[Format::Text, Format::Markdown, Format::Json, Format::Jsonl, Format::Csv];
    /// Those of `--fail-if`.
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

/// A line of JSON lines: one measurement, with what was measured.
#[cfg(feature = "statistics")]
#[derive(Serialize)]
struct Line<'a> {
    /// Its number, from 1.
    run: usize,
    workload: &'a Workload,
    #[serde(flatten)]
    measurement: &'a Measurement,
}

impl Validity {
    /// Whether it counts.
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

    /// Whether bytes came that should not have, or came otherwise than they should.
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
    /// One that gives no number: valid, complete, and without anything measured yet.
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

    /// CPU time of the generator for a message that came back, in nanoseconds.
    #[must_use]
    pub fn generator_ns(&self) -> Option<f64> {
        let echoed = Some(self.traffic.echoed).filter(|echoed| *echoed > 0)?;
        Some(self.generator.cpu_seconds? * 1e9 / echoed as f64)
    }

    /// The times that say how long a user waited: response in an open loop, in a closed one, which
    /// plans no sends, service.
    #[must_use]
    pub fn latency(&self, arrival: Arrival) -> Option<&Latency> {
        match arrival {
            Arrival::Open { .. } => self.response.as_ref(),
            Arrival::Closed => self.service.as_ref(),
        }
    }

    /// Why it says nothing about the server; `None` when it does.
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

    /// All errors together.
    #[must_use]
    pub fn error_count(&self) -> u64 {
        self.errors.values().copied().fold(0, u64::saturating_add)
    }
}
