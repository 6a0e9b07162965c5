//! `Run`: everything that one check found, as a result file stores it.

use std::fmt;

use serde::{Deserialize, Serialize};

pub mod certificate;
pub mod details;
pub mod difference;
mod gate;
pub mod letters;
pub mod parts;
mod records;
mod screen;
mod suites;
// The tests use `crate::example`, which needs statistics.
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
use crate::part::{Colour, Medium, Part};
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
    /// Where it ran: a runner label, else the OS.
    pub label: Outside,
    /// Seconds since 1970-01-01 UTC when the first cell started.
    pub started_unix: u64,
    /// Wall time of the whole check, in seconds.
    pub seconds: f64,
    /// The seed from which the seed of every cell derives.
    pub seed: Seed,
    /// Whether a server could have known the seed.
    pub seed_source: SeedSource,
    /// `quick`, `default` or `full`.
    pub profile: Outside,
    pub host: Host,
    /// How many cells were to be judged. A run that was cut off has fewer, and says nothing about
    /// the others.
    pub planned: usize,
    /// The rows, in the registry's order.
    pub rows: Vec<RunRow>,
    /// The cells, grouped by row, in the catalogue's order.
    pub cells: Vec<Cell>,
}

/// A row of a run: what its server announced, and what the judge saw from outside.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct RunRow {
    /// `NAME[-FLAVOR][-DRIVER]`.
    pub name: Outside,
    pub model: Model,
    /// The driver that the registry names for this OS; `-` if the row does not exist there.
    pub driver: Outside,
    pub flavor: Outside,
    /// Threads that do I/O.
    pub workers: u32,
    /// Runtime and version as announced; absent if no server of the row was started.
    pub runtime: Option<Outside>,
    pub attestation: Attestation,
    pub grade: Grade,
    /// What the cells of this row add up to.
    pub certificate: Certificate,
}

/// What the judge could see of the driver from outside the server's process.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "state", rename_all = "kebab-case")]
pub enum Attestation {
    /// What the process holds and does agrees with the row's driver.
    Attested {
        /// What was seen.
        seen: Outside,
    },
    /// The server announced its driver, and the judge could not see it.
    Announced {
        /// Why the judge could not see it.
        reason: Outside,
    },
    /// There was nothing to attest (no server was started, or it declares no driver), or a cell saw
    /// another driver.
    NotAttested {
        /// Why the driver was not attested.
        reason: Outside,
    },
}

/// One case on one row.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Cell {
    pub row: Outside,
    pub suite: Outside,
    pub case: Outside,
    /// How binding the requirement is for a server of this grade.
    pub level: Level,
    /// The question of the certificate that the case answers.
    pub question: Question,
    /// The sentence that the case tests.
    pub requirement: Outside,
    pub verdict: Verdict,
    /// Present for every verdict that comes from a failure.
    pub failure: Option<Failure>,
    /// Why it is unavailable, unsupported or an error, and what would help, if known.
    pub reason: Option<Outside>,
    /// What was recorded. Two models differ where their observations differ.
    pub observation: Option<Outside>,
    /// How near the cell came to its nearest limit of time or cost; absent if it has no limit.
    pub margin: Option<Margin>,
    /// The seed that repeats the cell.
    pub seed: Seed,
    /// Wall time in seconds, without waiting for other cells.
    pub seconds: f64,
    /// CPU time of the judge and the server together; `None` on systems other than Linux, where the
    /// judge does not read the CPU time of a server that has ended.
    pub cpu_seconds: Option<f64>,
    /// Whether it ran alone on the host.
    pub exclusive: bool,
    /// For a cell that judges latency, the share of its time in which other processes held back
    /// judge or server. Above 0.05 the judge judges the cell again, and in the end makes it an
    /// `error`, unless the case can pass on a busy host.
    pub held_back: Option<f64>,
    /// The last lines of the server's standard error, for a cell that is not green.
    pub stderr_tail: Vec<Outside>,
    /// What to change in the server, if the failure has a well-known cause.
    pub likely_fix: Option<Outside>,
    /// The command that repeats this cell.
    pub repeat: Outside,
    /// The registry's waiver for this cell, if it has one.
    pub waiver: Option<WaiverNote>,
    /// Whether another failure kept the case from asking its own question.
    pub is_unasked: bool,
    /// `suite/case` of the cell of this row that has the same cause and shows it best. The judge
    /// judged both cells a second time, and both failed in the same way.
    pub follows_from: Option<Outside>,
}

/// A requirement that was not met: what should have been seen, and what was seen.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Failure {
    pub kind: FailureKind,
    pub expected: Outside,
    pub actual: Outside,
    /// Position of the first wrong byte in a connection's stream, counted from 0.
    pub at: Option<u64>,
}

impl Failure {
    #[must_use]
    pub fn new(
        kind: FailureKind,
        expected: impl Into<Outside>,
        actual: impl Into<Outside>,
    ) -> Self {
        Self { kind, expected: expected.into(), actual: actual.into(), at: None }
    }

    /// Adds the position of the wrong byte in a connection's stream.
    #[must_use]
    pub fn with_position(mut self, position: u64) -> Self {
        self.at = Some(position);
        self
    }
}

/// The classes of faults. The first seven are about payload; the judge tells them apart by its
/// stamps.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum FailureKind {
    /// Bytes that the client sent never came back.
    Lost,
    /// The run of bytes just before came a second time.
    Duplicated,
    /// Bytes came before others that were sent earlier.
    Reordered,
    /// Old bytes of the connection came instead of new ones, or behind them.
    Stale,
    /// Bytes of another connection came.
    Foreign,
    /// Bytes came that nobody had sent.
    Extra,
    /// A byte came back changed, and its neighbours are in the right place.
    Altered,
    /// The server made no progress before the deadline.
    Timeout,
    /// The server's process ended.
    Crash,
    /// The server sent a reset (RST) where none is due.
    Reset,
    /// The connection ended too early.
    Closed,
    /// A connection was refused that should have been taken.
    Refused,
    /// Something was accepted that should have been refused.
    NotRefused,
    /// The listener's accept queue is too short for the clients that came at once.
    Queue,
    /// A limit of latency or throughput was exceeded.
    Slow,
    /// The server used CPU time where it should have waited.
    Cpu,
    /// Resident memory grew beyond the limit.
    Memory,
    /// The server took bytes without a bound from a peer that does not read.
    Unbounded,
    /// Too many descriptors stayed open.
    Descriptors,
    /// The server had more threads than the limit.
    Threads,
    /// The server did not wait for child processes that had ended (zombies).
    Children,
    /// The server ended with a wrong exit status.
    ExitStatus,
    /// The announcement is missing, wrong or untrue.
    Announcement,
    /// The driver in use is not the declared one.
    Driver,
    /// Standard output or standard error is not what the contract asks for.
    Output,
    /// The server was not ready in the time that a start may take, so the requirement was not
    /// tested. The verdict is `error`.
    Start,
    /// The judge itself could not continue, through no fault of the server. The verdict is `error`.
    Harness,
}

impl FailureKind {
    /// Whether bytes came that were not due, in the wrong order, or altered. Lost bytes are not
    /// wrong bytes.
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

/// How near a cell came to its nearest limit. It passed if `observed / limit` is below 1.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Margin {
    /// What was compared, with its unit.
    pub what: Outside,
    pub observed: f64,
    /// In the unit of `observed`.
    pub limit: f64,
}

impl Margin {
    #[must_use]
    pub fn ratio(&self) -> f64 {
        self.observed / self.limit
    }
}

/// A waiver of the registry. It changes no verdict.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct WaiverNote {
    /// Why no code of the backend can meet the requirement.
    pub reason: Outside,
    /// Where it was reported, as `repo#n`.
    pub upstream: Outside,
    pub state: WaiverState,
}

/// Whether a waiver still describes what happens.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum WaiverState {
    /// The cell failed with the waived kind of failure.
    Applies,
    /// The cell passed, so the waiver must go.
    Stale,
    /// The cell failed in another way, which the waiver does not cover.
    OtherFailure,
}

impl Cell {
    /// As `suite/case`.
    #[must_use]
    pub fn id(&self) -> Outside {
        outside!("{}/{}", self.suite, self.case)
    }

    /// As `row::suite/case`.
    #[must_use]
    pub fn name(&self) -> Outside {
        outside!("{}::{}", self.row, self.id())
    }

    /// Whether a waiver excuses the failure of this cell.
    #[must_use]
    pub fn is_waived(&self) -> bool {
        self.waiver.as_ref().is_some_and(|waiver| waiver.state == WaiverState::Applies)
    }

    /// Whether the cell has a waiver although it passed.
    #[must_use]
    pub fn has_stale_waiver(&self) -> bool {
        self.waiver.as_ref().is_some_and(|waiver| waiver.state == WaiverState::Stale)
    }

    /// The colour of its word on a terminal.
    #[must_use]
    pub fn colour(&self) -> Colour {
        match self.verdict {
            _ if self.is_waived() => Colour::Doubtful,
            _ if self.has_stale_waiver() => Colour::Bad,
            Verdict::Pass | Verdict::Info => Colour::Good,
            Verdict::Fail | Verdict::Crash | Verdict::Timeout => Colour::Bad,
            Verdict::Miss | Verdict::Error => Colour::Doubtful,
            Verdict::Unsupported | Verdict::Unavailable => Colour::Faint,
        }
    }

    /// The word for the matrix: `waived`, `stale waiver` or the verdict.
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
        match medium {
            Medium::Terminal => screen::screen(self, gate),
            Medium::Page => parts::overview(std::slice::from_ref(self), gate, &[]),
        }
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
    /// How many planned cells were not judged.
    #[must_use]
    pub fn missing_cells(&self) -> usize {
        self.planned.saturating_sub(self.cells.len())
    }

    /// `None` if the cell is not part of the run.
    #[must_use]
    pub fn cell(&self, row: &Outside, suite: &Outside, case: &Outside) -> Option<&Cell> {
        self.cells.iter().find(|c| c.row == *row && c.suite == *suite && c.case == *case)
    }

    /// `(suite, case)` of every case of the run, once, in catalogue order.
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

    /// The rows in the order of columns: grouped by model, and within a group in the registry's
    /// order.
    #[must_use]
    pub fn columns(&self) -> Vec<&RunRow> {
        let mut rows: Vec<&RunRow> = self.rows.iter().collect();
        rows.sort_by_key(|row| row.model);
        rows
    }
}
