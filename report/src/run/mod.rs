//! `Run`: everything that one check found, as it stands in a result file.

use std::fmt;

use serde::{Deserialize, Serialize};

pub mod certificate;
pub mod difference;
mod gate;
pub mod parts;
mod records;
mod suites;
// The example of a run is one of a document that has statistics, too.
#[cfg(all(test, feature = "statistics"))]
mod tests;

pub use certificate::Certificate;
pub use gate::{Gate, MissingDriver, Strictness};

use crate::document::{Document, Kind};
use crate::exit::Conclusions;
use crate::format::Format;
use crate::host::Host;
use crate::outside;
use crate::outside::Outside;
use crate::pages::Pages;
use crate::part::{Medium, Part};
use crate::record::Record;
use crate::seed::{Seed, SeedSource};
use crate::suite::TestSuites;
use crate::verdict::{Grade, Level, Model, Question, Verdict};

/// The version of the result format that this crate reads and writes.
pub const FORMAT_VERSION: u32 = 1;

/// One check of some rows on one host. Renderers are pure functions of it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Run {
    /// [`FORMAT_VERSION`] of the program that wrote it.
    pub version: u32,
    /// Where it ran, as a reader of a merged page knows it: a runner label, else the OS.
    pub label: Outside,
    /// Seconds since 1970-01-01 UTC when the first cell started.
    pub started_unix: u64,
    /// Wall time of the whole check, in seconds.
    pub seconds: f64,
    /// The seed from which every cell's own seed is derived.
    pub seed: Seed,
    /// Whether a server could have known it.
    pub seed_source: SeedSource,
    /// `quick`, `default` or `full`.
    pub profile: Outside,
    /// The host's identity and what it can do.
    pub host: Host,
    /// The columns, in the registry's order.
    pub rows: Vec<RunRow>,
    /// The cells, grouped by row, in the catalogue's order.
    pub cells: Vec<Cell>,
}

/// What a run says of a row: what its server announced and what was seen from outside.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct RunRow {
    /// `NAME[-FLAVOR][-DRIVER]`.
    pub name: Outside,
    /// The group of columns it is shown in.
    pub model: Model,
    /// The driver this OS's entry of the registry asks for, `-` where the row does not exist.
    pub driver: Outside,
    /// The registry's flavor.
    pub flavor: Outside,
    /// Threads that do I/O.
    pub workers: u32,
    /// Runtime and version as announced; absent when no server of the row was started.
    pub runtime: Option<Outside>,
    /// Whether the driver in use was seen from outside the process.
    pub attestation: Attestation,
    /// What the server offers to the judge.
    pub grade: Grade,
    /// What the cells of this row add up to.
    pub certificate: Certificate,
}

/// What an observer outside the server's process could say about its driver.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "state", rename_all = "kebab-case")]
pub enum Attestation {
    /// What the process holds and does agrees with the row's driver.
    Attested {
        /// What was seen.
        seen: Outside,
    },
    /// The server has said which driver it uses, and it could not be seen.
    Announced {
        /// Why not.
        reason: Outside,
    },
    /// There is nothing to attest: no server was started, or it declares no driver.
    NotAttested {
        /// Why not.
        reason: Outside,
    },
}

/// One case on one row.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Cell {
    /// Name of the row.
    pub row: Outside,
    /// Name of the suite.
    pub suite: Outside,
    /// Name of the case within its suite.
    pub case: Outside,
    /// How binding the requirement is for a server of this grade.
    pub level: Level,
    /// What it answers.
    pub question: Question,
    /// The requirement sentence.
    pub requirement: Outside,
    /// What the judge says.
    pub verdict: Verdict,
    /// What was expected and what was found, for every verdict that came from a failure.
    pub failure: Option<Failure>,
    /// Why it is unavailable, unsupported or an error; how to mend it where that is known.
    pub reason: Option<Outside>,
    /// What was recorded. Two models that record different things differ.
    pub observation: Option<Outside>,
    /// How near to a limit of time or cost it came.
    pub margin: Option<Margin>,
    /// The seed that repeats it.
    pub seed: Seed,
    /// Wall time in seconds, without waiting for other cells.
    pub seconds: f64,
    /// CPU time of judge and server together, in seconds, as far as it could be measured.
    pub cpu_seconds: f64,
    /// Whether it ran with no other cell beside it.
    pub exclusive: bool,
    /// Which part of the time judge and server were held back by others, for a cell that judges
    /// latency. Above 0.05 it is judged again, and is an `error` if that lasts.
    pub held_back: Option<f64>,
    /// The last lines of the server's standard error, for a cell that is not green.
    pub stderr_tail: Vec<Outside>,
    /// The command that repeats this cell.
    pub repeat: Outside,
    /// The registry's waiver for this cell, if it has one.
    pub waiver: Option<WaiverNote>,
    /// Whether its own question was not asked, because the server failed in another way before.
    pub is_unasked: bool,
    /// `suite/case` of the cell of this row that shows the cause of its failure best. It was judged
    /// once more, and failed in the same way.
    pub follows_from: Option<Outside>,
}

/// A requirement that was not met: what should have been seen and what was.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Failure {
    /// Which class of fault it is.
    pub kind: FailureKind,
    /// What should have been seen.
    pub expected: Outside,
    /// What was seen.
    pub actual: Outside,
    /// Where in a connection's stream the first wrong byte stands, counted from 0.
    pub at: Option<u64>,
}

impl Failure {
    /// What should have been seen, and what was.
    #[must_use]
    pub fn new(
        kind: FailureKind,
        expected: impl Into<Outside>,
        actual: impl Into<Outside>,
    ) -> Self {
        Self { kind, expected: expected.into(), actual: actual.into(), at: None }
    }

    /// The same, about the byte at this position of a connection's stream.
    #[must_use]
    pub fn at(mut self, position: u64) -> Self {
        self.at = Some(position);
        self
    }
}

/// The classes of faults. The first seven are about payload, found from its stamps.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum FailureKind {
    /// Bytes that were sent never came back.
    Lost,
    /// The run of bytes just before came a second time.
    Duplicated,
    /// Bytes came before others that were sent earlier.
    Reordered,
    /// Old bytes of the same connection came in the place of new ones, or behind them.
    Stale,
    /// Bytes of another connection came.
    Foreign,
    /// Bytes came that nobody had sent.
    Extra,
    /// A byte came back changed, and its neighbours stand where they should.
    Altered,
    /// No progress before the deadline.
    Timeout,
    /// The server's process ended.
    Crash,
    /// A reset (RST) where none is due.
    Reset,
    /// The connection's end came too early.
    Closed,
    /// A connection was refused that should have been taken.
    Refused,
    /// Something was accepted that should have been refused.
    NotRefused,
    /// The listener's accept queue is too short for the clients that came at once.
    Queue,
    /// A latency or throughput limit was passed.
    Slow,
    /// The server used CPU time where it should have waited.
    Cpu,
    /// The server's resident memory grew beyond the limit.
    Memory,
    /// The server took bytes without a bound from a peer that does not read.
    Unbounded,
    /// Descriptors stayed open.
    Descriptors,
    /// The server had more threads than the limit.
    Threads,
    /// Processes that it had started and that had ended were not waited for.
    Children,
    /// A wrong exit status.
    ExitStatus,
    /// A missing, wrong or untrue announcement.
    Announcement,
    /// The driver in use is not the declared one.
    Driver,
    /// Standard output or standard error is not what the contract asks for.
    Output,
    /// It was not ready in the time that a start may take, so that nothing was learnt about the
    /// requirement. The verdict is `error`.
    Start,
    /// Not the server's fault: the judge itself could not go on. The verdict is `error`.
    Harness,
}

impl FailureKind {
    /// Whether bytes came that should not have, or came otherwise than they should.
    #[must_use]
    pub fn is_wrong_bytes(self) -> bool {
        matches!(
            self,
            Self::Duplicated
                | Self::Reordered
                | Self::Stale
                | Self::Foreign
                | Self::Extra
                | Self::Altered
        )
    }

    /// The word used on screen, in files and in waivers.
    #[must_use]
    pub fn word(self) -> &'static str {
        match self {
            Self::Lost => "lost",
            Self::Duplicated => "duplicated",
            Self::Reordered => "reordered",
            Self::Stale => "stale",
            Self::Foreign => "foreign",
            Self::Extra => "extra",
            Self::Altered => "altered",
            Self::Timeout => "timeout",
            Self::Crash => "crash",
            Self::Reset => "reset",
            Self::Closed => "closed",
            Self::Refused => "refused",
            Self::NotRefused => "not-refused",
            Self::Queue => "queue",
            Self::Slow => "slow",
            Self::Cpu => "cpu",
            Self::Memory => "memory",
            Self::Unbounded => "unbounded",
            Self::Descriptors => "descriptors",
            Self::Threads => "threads",
            Self::Children => "children",
            Self::ExitStatus => "exit-status",
            Self::Announcement => "announcement",
            Self::Driver => "driver",
            Self::Output => "output",
            Self::Start => "start",
            Self::Harness => "harness",
        }
    }
}

impl fmt::Display for FailureKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.word())
    }
}

/// The nearest that a cell came to one of its limits: `observed / limit` is below 1 when it passed.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Margin {
    /// What was compared, with its unit.
    pub what: Outside,
    /// The observed quantity.
    pub observed: f64,
    /// The limit in the same unit.
    pub limit: f64,
}

impl Margin {
    /// Observed over limit.
    #[must_use]
    pub fn ratio(&self) -> f64 {
        self.observed / self.limit
    }
}

/// A waiver of the registry, beside the verdict that it does not change.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct WaiverNote {
    /// Why no code of the backend can meet the requirement.
    pub reason: Outside,
    /// Where that is reported, `repo#n`.
    pub upstream: Outside,
    /// Whether the cell failed as the waiver says.
    pub state: WaiverState,
}

/// Whether a waiver still describes what happens.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum WaiverState {
    /// The cell failed with the waived kind of failure.
    Applies,
    /// The cell passed: the waiver must go.
    Stale,
    /// The cell failed in another way, which the waiver does not cover.
    OtherFailure,
}

impl Cell {
    /// `suite/case`.
    #[must_use]
    pub fn id(&self) -> Outside {
        outside!("{}/{}", self.suite, self.case)
    }

    /// `row::suite/case`.
    #[must_use]
    pub fn name(&self) -> Outside {
        outside!("{}::{}", self.row, self.id())
    }

    /// Whether the registry excuses the failure of this cell.
    #[must_use]
    pub fn is_waived(&self) -> bool {
        self.waiver.as_ref().is_some_and(|waiver| waiver.state == WaiverState::Applies)
    }

    /// Whether the registry excuses a cell that needs no excuse.
    #[must_use]
    pub fn has_stale_waiver(&self) -> bool {
        self.waiver.as_ref().is_some_and(|waiver| waiver.state == WaiverState::Stale)
    }

    /// The word for the matrix: the verdict, or `waived` for a failure that is.
    #[must_use]
    pub fn word(&self) -> &'static str {
        if self.is_waived() {
            "waived"
        } else if self.has_stale_waiver() {
            "stale waiver"
        } else {
            self.verdict.word()
        }
    }
}

impl Document for Run {
    const KIND: Kind = Kind::Run;
    const VERSION: u32 = FORMAT_VERSION;

    fn conclusions(&self, gate: &Gate) -> Conclusions {
        gate.conclusions(self)
    }
}

impl Pages for Run {
    const FORMATS: &'static [Format] = &[
        Format::Text,
        Format::Markdown,
        Format::Json,
        Format::Csv,
        Format::Junit,
        Format::Margins,
    ];
    type Question = Gate;

    fn parts(&self, gate: &Gate, medium: Medium) -> Vec<Part> {
        parts::parts(self, gate, medium)
    }

    fn data(&self) -> impl Serialize {
        self
    }

    fn records(&self) -> Vec<Record> {
        records::records(self)
    }

    fn suites(&self, gate: &Gate) -> TestSuites {
        suites::suites(self, gate)
    }

    fn margins(&self) -> Vec<Part> {
        parts::margins(self)
    }
}

impl Run {
    /// The cell of a row and a case, if it is part of the run.
    #[must_use]
    pub fn cell(&self, row: &Outside, suite: &Outside, case: &Outside) -> Option<&Cell> {
        self.cells.iter().find(|c| c.row == *row && c.suite == *suite && c.case == *case)
    }

    /// `(suite, case)` of every case of the run, in catalogue order, each once.
    #[must_use]
    pub fn cases(&self) -> Vec<(&Outside, &Outside)> {
        let mut cases: Vec<(&Outside, &Outside)> = Vec::new();
        for cell in &self.cells {
            if !cases.contains(&(&cell.suite, &cell.case)) {
                cases.push((&cell.suite, &cell.case));
            }
        }
        cases
    }

    /// The rows in the order of columns: grouped by model, the registry's order within a group.
    #[must_use]
    pub fn columns(&self) -> Vec<&RunRow> {
        let mut rows: Vec<&RunRow> = self.rows.iter().collect();
        rows.sort_by_key(|row| row.model);
        rows
    }
}
