//! Time in a cell: deadlines that count from the last progress, limits scaled by the host's load,
//! and how near the cell came to one.

use std::sync::Mutex;
use std::time::{Duration, Instant};

use report::{Failure, FailureKind, Margin};

/// Without progress for this long, scaled by the host factor, a cell times out.
pub const PROGRESS_LIMIT: Duration = Duration::from_secs(5);
/// So many bytes are progress, and the last one of a message; one now and then is not.
pub const PROGRESS_BYTES: usize = 64;

/// The clock of one cell.
#[derive(Debug)]
pub struct Clock {
    factor: f64,
    cell_limit: Duration,
    cell_ends: Instant,
    nearest: Mutex<Option<Margin>>,
}

/// A moment by which something must have happened.
#[derive(Clone, Copy, Debug)]
pub struct Deadline {
    at: Instant,
    started: Instant,
    /// Bytes that have moved since, too few to put it off.
    moved: usize,
    /// The limit of the cell itself, if that is over before `started` and the limit would be.
    cell_limit: Option<Duration>,
}

impl Clock {
    /// A clock that starts now, of a cell that takes `cell_limit` at most on an idle host. `factor`
    /// (1..=4) is how much slower this one is.
    #[must_use]
    pub fn start(factor: f64, cell_limit: Duration) -> Self {
        let cell_limit = cell_limit.mul_f64(factor);
        let cell_ends = Instant::now() + cell_limit;
        Self { factor, cell_limit, cell_ends, nearest: Mutex::new(None) }
    }

    /// The end of the cell.
    #[must_use]
    pub fn cell_end(&self) -> Deadline {
        Deadline {
            at: self.cell_ends,
            started: Instant::now(),
            moved: 0,
            cell_limit: Some(self.cell_limit),
        }
    }

    /// The deadline for the next piece of progress.
    #[must_use]
    pub fn progress(&self) -> Deadline {
        self.within(PROGRESS_LIMIT)
    }

    /// A deadline `limit` from now, scaled by the host factor.
    #[must_use]
    pub fn within(&self, limit: Duration) -> Deadline {
        let started = Instant::now();
        let at = started + self.scaled(limit);
        let cell_limit = (at > self.cell_ends).then_some(self.cell_limit);
        Deadline { at: at.min(self.cell_ends), started, moved: 0, cell_limit }
    }

    /// A limit of time, scaled by the host factor.
    #[must_use]
    pub fn scaled(&self, limit: Duration) -> Duration {
        limit.mul_f64(self.factor)
    }

    /// Records how long `what` took and fails if that is over `limit`, which is scaled here.
    ///
    /// # Errors
    /// [`FailureKind::Slow`] over the limit.
    pub fn judge_time(&self, what: &str, took: Duration, limit: Duration) -> Result<(), Failure> {
        let limit = self.scaled(limit);
        self.judge(
            FailureKind::Slow,
            &format!("{what}, ms"),
            took.as_secs_f64() * 1e3,
            limit.as_secs_f64() * 1e3,
        )
    }

    /// Records how near `observed` came to `limit` and fails with `kind` if it is over.
    ///
    /// # Errors
    /// A failure of `kind` over the limit.
    pub fn judge(
        &self,
        kind: FailureKind,
        what: &str,
        observed: f64,
        limit: f64,
    ) -> Result<(), Failure> {
        let margin = Margin { what: what.to_owned(), observed, limit };
        if observed > limit {
            let expected = format!("{what}: at most {limit:.2}");
            return Err(Failure { kind, expected, actual: format!("{observed:.2}") });
        }
        let mut nearest = self.nearest.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        if nearest.as_ref().is_none_or(|known| known.ratio() < margin.ratio()) {
            *nearest = Some(margin);
        }
        Ok(())
    }

    /// The nearest that the cell came to one of its limits so far.
    #[must_use]
    pub fn margin(&self) -> Option<Margin> {
        self.nearest.lock().unwrap_or_else(std::sync::PoisonError::into_inner).clone()
    }
}

impl Deadline {
    /// Bytes have moved: with [`PROGRESS_BYTES`] of them the time for progress begins anew.
    pub fn put_off(&mut self, bytes: usize, clock: &Clock) {
        self.moved += bytes;
        if self.moved >= PROGRESS_BYTES {
            *self = clock.progress();
        }
    }

    /// What is left, zero when it is over.
    #[must_use]
    pub fn left(&self) -> Duration {
        self.at.saturating_duration_since(Instant::now())
    }

    /// Whether it is over.
    #[must_use]
    pub fn is_over(&self) -> bool {
        self.left().is_zero()
    }

    /// How long it has been running.
    #[must_use]
    pub fn elapsed(&self) -> Duration {
        self.started.elapsed()
    }

    /// The failure of a wait for `what` that this deadline ended.
    #[must_use]
    pub fn failure(&self, what: &str) -> Failure {
        Failure {
            kind: FailureKind::Timeout,
            expected: what.to_owned(),
            actual: match (self.cell_limit, self.moved, self.elapsed().as_secs_f64()) {
                (Some(limit), ..) => {
                    format!("the {} s of the cell were over first", limit.as_secs())
                }
                (None, 0, seconds) => format!("nothing within {seconds:.1} s"),
                (None, few, seconds) => format!("only {few} bytes within {seconds:.1} s"),
            },
        }
    }
}
