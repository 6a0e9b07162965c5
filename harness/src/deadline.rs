//! A moment by which something must have happened, and the failure of a wait that reached it.
//! Held-back time puts the moment off, to at most four times the deadline's length.

use std::time::{Duration, Instant};

use report::{Failure, FailureKind};

use crate::held_back::MeterId;

/// Held-back time stretches a deadline to at most this multiple of its length. The host factor has
/// the same maximum.
pub const MOST_TIMES: u32 = 4;

/// A moment by which something must have happened.
#[derive(Clone, Copy, Debug)]
pub struct Deadline {
    at: Instant,
    started: Instant,
    /// Bytes that have moved since, too few to put it off.
    moved: usize,
    cut: Option<Cut>,
    /// What was held back meanwhile does not count.
    meter: Option<MeterId>,
    /// Held-back time puts it off no further than this.
    latest: Option<Instant>,
}

/// Why a deadline is earlier than it would be by itself.
#[derive(Clone, Copy, Debug)]
pub struct Cut {
    /// The limit that is over first.
    pub limit: Duration,
    /// What a failure says of it.
    pub words: fn(limit: Duration) -> String,
}

impl Deadline {
    /// A deadline `limit` from now.
    #[must_use]
    pub fn after(limit: Duration) -> Self {
        let started = Instant::now();
        Self { at: started + limit, started, moved: 0, cut: None, meter: None, latest: None }
    }

    /// The same, put off by the time that `meter` finds held back.
    #[must_use]
    pub fn by(self, meter: MeterId) -> Self {
        Self { meter: Some(meter), ..self }
    }

    /// The same, or `at` where that is earlier, and why it is.
    #[must_use]
    pub fn cut_at(self, at: Instant, cut: Cut) -> Self {
        if at < self.at { Self { at, cut: Some(cut), ..self } } else { self }
    }

    /// The same, put off to `latest` at most.
    #[must_use]
    pub fn until(self, latest: Instant) -> Self {
        Self { latest: Some(latest), ..self }
    }

    /// When it began to run.
    #[must_use]
    pub fn started(&self) -> Instant {
        self.started
    }

    /// What is left, zero when it is over.
    #[must_use]
    pub fn left(&self) -> Duration {
        let left = self.at.saturating_duration_since(Instant::now());
        let Some(meter) = self.meter.filter(|_| left.is_zero()) else { return left };
        // Bounded, so that a server that hangs on a busy host is still found.
        let most = (self.at - self.started) * (MOST_TIMES - 1);
        let at = self.at + meter.held_back_since(self.started).min(most);
        let at = self.latest.map_or(at, |latest| at.min(latest.max(self.at)));
        at.saturating_duration_since(Instant::now())
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

    /// Counts bytes that have moved: how many in all since it began to run.
    pub fn count(&mut self, bytes: usize) -> usize {
        self.moved += bytes;
        self.moved
    }

    /// The failure of a wait for `what` that this deadline ended: the judge's own, if held-back
    /// time would have put it off further than it may.
    #[must_use]
    pub fn failure(&self, what: &str) -> Failure {
        if self.latest.is_some_and(|latest| latest <= Instant::now()) {
            let actual = format!(
                "the host busy: held back until the cell was {MOST_TIMES} times as long as it may be"
            );
            return Failure::new(FailureKind::Harness, what, actual);
        }
        let actual = match (self.cut, self.moved, self.elapsed().as_secs_f64()) {
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
        let later = over.until(Instant::now() + Duration::from_secs(60));
        assert_eq!(later.failure("a byte").kind, FailureKind::Timeout);
        assert_eq!(over.until(Instant::now()).failure("a byte").kind, FailureKind::Harness);
    }
}
