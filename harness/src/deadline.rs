//! A moment by which something must have happened, and the failure of a wait that reaches it.
//! Held-back time extends a deadline to at most four times its length.

use std::time::{Duration, Instant};

use report::{Failure, FailureKind};

use crate::held_back_time::MeterId;

/// Held-back time extends a deadline to at most this multiple of its length. The host factor has
/// the same maximum.
pub const MAX_EXTENSION_FACTOR: u32 = 4;

#[derive(Clone, Copy, Debug)]
pub struct Deadline {
    at: Instant,
    started: Instant,
    /// Bytes that have moved since `started`. They are too few to count as progress.
    bytes_moved: usize,
    cut: Option<Cut>,
    /// Measures the held-back time, which extends the deadline.
    meter: Option<MeterId>,
    /// Held-back time extends the deadline no further than this.
    latest: Option<Instant>,
}

/// Why a deadline is earlier than its own length says.
#[derive(Clone, Copy, Debug)]
pub struct Cut {
    /// The limit that runs out first.
    pub limit: Duration,
    /// What the failure says about `limit`.
    pub words: fn(limit: Duration) -> String,
}

impl Deadline {
    /// A deadline `limit` from now.
    #[must_use]
    pub fn after(limit: Duration) -> Self {
        let started = Instant::now();
        Self { at: started + limit, started, bytes_moved: 0, cut: None, meter: None, latest: None }
    }

    /// Extends the deadline by the time that `meter` finds held back.
    #[must_use]
    pub fn extended_by(self, meter: MeterId) -> Self {
        Self { meter: Some(meter), ..self }
    }

    /// Moves the deadline to `at` if that is earlier, and records why.
    #[must_use]
    pub fn limited_to(self, at: Instant, cut: Cut) -> Self {
        if at < self.at { Self { at, cut: Some(cut), ..self } } else { self }
    }

    /// Limits the extension by held-back time to `latest`.
    #[must_use]
    pub fn extended_at_most_to(self, latest: Instant) -> Self {
        Self { latest: Some(latest), ..self }
    }

    #[must_use]
    pub fn started(&self) -> Instant {
        self.started
    }

    /// The time left; zero once the deadline has passed. Held-back time is added only after the
    /// original time has run out.
    #[must_use]
    pub fn left(&self) -> Duration {
        let left = self.at.saturating_duration_since(Instant::now());
        let Some(meter) = self.meter.filter(|_| left.is_zero()) else { return left };
        // Bounded, so that a server that hangs is found even on a busy host.
        let most = (self.at - self.started) * (MAX_EXTENSION_FACTOR - 1);
        let at = self.at + meter.held_back_since(self.started).min(most);
        let at = self.latest.map_or(at, |latest| at.min(latest.max(self.at)));
        at.saturating_duration_since(Instant::now())
    }

    #[must_use]
    pub fn is_over(&self) -> bool {
        self.left().is_zero()
    }

    #[must_use]
    pub fn elapsed(&self) -> Duration {
        self.started.elapsed()
    }

    /// Counts bytes that have moved. Returns their total since the deadline began to run.
    pub fn add_bytes(&mut self, bytes: usize) -> usize {
        self.bytes_moved += bytes;
        self.bytes_moved
    }

    /// The failure of a wait for `what` that reached this deadline. It is a `harness` failure if
    /// the deadline could not be extended any further.
    #[must_use]
    pub fn failure(&self, what: &str) -> Failure {
        if self.latest.is_some_and(|latest| latest <= Instant::now()) {
            let actual = format!(
                "the host busy: held back until the cell was {MAX_EXTENSION_FACTOR} times as long \
                 as it may be"
            );
            return Failure::new(FailureKind::Harness, what, actual);
        }
        let actual = match (self.cut, self.bytes_moved, self.elapsed().as_secs_f64()) {
            (Some(cut), ..) => (cut.words)(cut.limit),
            (None, 0, seconds) => format!("nothing within {seconds:.1} s"),
            (None, few, seconds) => format!("only {few} bytes within {seconds:.1} s"),
        };
        Failure::new(FailureKind::Timeout, what, actual)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_deadline_that_could_be_put_off_further_convicts() {
        let over = Deadline::after(Duration::ZERO);
        assert_eq!(over.failure("a byte").kind, FailureKind::Timeout);
        let later = over.extended_at_most_to(Instant::now() + Duration::from_secs(60));
        assert_eq!(later.failure("a byte").kind, FailureKind::Timeout);
        assert_eq!(
            over.extended_at_most_to(Instant::now()).failure("a byte").kind,
            FailureKind::Harness
        );
    }
}
