//! Time in a cell: deadlines that restart with progress, limits scaled by the host factor and put
//! off by held-back time, and how near the cell came to a limit.

use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Mutex, OnceLock, PoisonError};
use std::time::{Duration, Instant};

use harness::deadline::{Cut, Deadline, MOST_TIMES};
use harness::held_back::{CountedThread, Meter, Turns};
use harness::process::Process;
use harness::wait::{Interest, wait};
use report::{Failure, FailureKind, Margin};
use socket2::Socket;

/// Without progress for this long, scaled by the host factor, a cell times out.
pub const PROGRESS_LIMIT: Duration = Duration::from_secs(5);
/// So many bytes are progress, and the last one of a message; one now and then is not.
pub const PROGRESS_BYTES: usize = 64;

/// So long all waits of a cell together may be, scaled by the host factor, and so much longer for
/// each message, each [`PROGRESS_BYTES`] of it, and each FIN. A server that echoes 100 bytes in a
/// second always makes progress, and would take as long as its cells are.
const PATIENCE: Duration = Duration::from_secs(6);
/// Far more than an echo takes.
const FOR_MESSAGE: Duration = Duration::from_millis(10);
/// 128 KB/s.
const FOR_BYTES: Duration = Duration::from_micros(500);
/// A server may well close later than it echoes.
const FOR_END: Duration = Duration::from_millis(250);

/// Shorter times are taken as they are: to look up what was held back in one costs more than it
/// could change.
const LEAST_LOOKED_AT: Duration = Duration::from_millis(50);

/// The clock of one cell.
#[derive(Debug)]
pub struct CellClock {
    factor: f64,
    cell_limit: Duration,
    cell_ends: Mutex<Instant>,
    nearest: Mutex<Option<Margin>>,
    /// What the judge has waited for the server so far.
    waited: Mutex<Waited>,
    started: Instant,
    /// When its first server was ready.
    ready: OnceLock<Instant>,
    /// When its first measurement of growth began.
    grows: OnceLock<Instant>,
    meter: Meter,
    /// One more than the highest number of a connection that has got a byte.
    served: AtomicU32,
    /// How many have ended since.
    left: AtomicU32,
}

#[derive(Clone, Copy, Debug, Default)]
struct Waited {
    time: Duration,
    /// How much of that was in waits too short to be looked at.
    short: Duration,
    /// How much held-back time was taken off the others.
    taken_off: Duration,
    /// What it may have waited, beyond [`PATIENCE`].
    allowed: Duration,
    /// The held-back time of the short waits, and when that was last looked up.
    short_held_back: (Duration, Option<Instant>),
}

impl Waited {
    /// Counts a wait that took `elapsed`, and `time` without held-back time.
    fn add(&mut self, elapsed: Duration, time: Duration) {
        self.time += time;
        if elapsed < LEAST_LOOKED_AT {
            self.short += time;
        } else {
            self.taken_off += elapsed.saturating_sub(time);
        }
    }

    /// The part of the cell's held-back time that lies in short waits, at most.
    fn of_short(&self, held_back: Duration) -> Duration {
        held_back.saturating_sub(self.taken_off).min(self.short)
    }
}

impl CellClock {
    /// A clock that starts now, of a cell that takes `cell_limit` at most on an idle host. `factor`
    /// (1..=4) is how much slower this one is.
    #[must_use]
    pub fn start(factor: f64, cell_limit: Duration) -> Self {
        let cell_limit = cell_limit.mul_f64(factor);
        let cell_ends = Instant::now() + cell_limit;
        Self {
            factor,
            cell_limit,
            cell_ends: Mutex::new(cell_ends),
            nearest: Mutex::default(),
            waited: Mutex::default(),
            started: Instant::now(),
            ready: OnceLock::new(),
            grows: OnceLock::new(),
            meter: Meter::start(),
            served: AtomicU32::new(0),
            left: AtomicU32::new(0),
        }
    }

    /// A connection has got its first byte: it is accepted, and so are those before it.
    pub fn note_served(&self, number: u32) {
        let count = number.saturating_add(1);
        if self.served.fetch_max(count, Ordering::Relaxed) < count {
            self.left.store(0, Ordering::Relaxed);
        }
    }

    /// A connection has ended, which the server has to notice and clean up after.
    pub fn note_left(&self) {
        self.left.fetch_add(1, Ordering::Relaxed);
    }

    /// How many connections have ended since a new one was known to be accepted.
    #[must_use]
    pub fn left(&self) -> u32 {
        self.left.load(Ordering::Relaxed)
    }

    /// How many connections are known to be accepted, of those that have a number.
    #[must_use]
    pub fn served(&self) -> u32 {
        self.served.load(Ordering::Relaxed)
    }

    /// When the cell began.
    #[must_use]
    pub fn started(&self) -> Instant {
        self.started
    }

    /// When the cell first judged how much a server grows, which is now if it never did.
    #[must_use]
    pub fn growth_began(&self) -> Instant {
        *self.grows.get_or_init(Instant::now)
    }

    /// Takes off limits of time what this server, which is ready, is held back from now on.
    pub fn watch(&self, server: Process) {
        self.ready.get_or_init(Instant::now);
        let mut turns = server.turns();
        self.meter.watch(move || turns().map(|(ran, held)| Turns { ran, held }));
    }

    /// Counts this thread as one of the judge's, so that its time is not held back by others.
    #[must_use]
    pub fn count_this_thread(&self) -> CountedThread {
        self.meter.id().count_this_thread()
    }

    /// Which part of the cell's time, since its first server was ready, judge and server were held
    /// back.
    #[must_use]
    pub fn held_back_share(&self) -> f64 {
        let ready = *self.ready.get().unwrap_or(&self.started);
        self.held_back_since(ready).as_secs_f64() / ready.elapsed().as_secs_f64().max(1e-3)
    }

    /// How long since a moment judge and server were held back.
    #[must_use]
    pub fn held_back_since(&self, moment: Instant) -> Duration {
        self.meter.id().held_back_since(moment)
    }

    /// The end of the cell.
    #[must_use]
    pub fn cell_end(&self) -> Deadline {
        self.cut_by_cell(Deadline::after(self.cell_limit))
    }

    /// A deadline that is not later than the end of the cell.
    fn cut_by_cell(&self, deadline: Deadline) -> Deadline {
        let words =
            |limit: Duration| format!("the {} s of the cell ended before that", limit.as_secs());
        let mut ends = *self.cell_ends.lock().unwrap_or_else(PoisonError::into_inner);
        let most = self.cell_limit * (MOST_TIMES - 1);
        let latest = ends + most;
        if deadline.left() > ends.saturating_duration_since(Instant::now()) {
            ends += self.held_back_since(self.started).min(most);
        }
        let cut = deadline.cut_at(ends, Cut { limit: self.cell_limit, words });
        cut.by(self.meter.id()).until(latest)
    }

    /// Lets the cell end later, by time that is none of its own. Deadlines that run already do not
    /// see it.
    pub fn put_off_end(&self, time: Duration) {
        *self.cell_ends.lock().unwrap_or_else(PoisonError::into_inner) += time;
    }

    /// The deadline for the next piece of progress: the first bytes of a message, for example.
    #[must_use]
    pub fn progress(&self) -> Deadline {
        self.progress_for(FOR_MESSAGE)
    }

    /// The deadline for the end of a connection.
    #[must_use]
    pub fn progress_to_end(&self) -> Deadline {
        self.progress_for(FOR_END)
    }

    fn progress_for(&self, allowed: Duration) -> Deadline {
        let deadline = self.within(PROGRESS_LIMIT);
        let mut waited = self.waited.lock().unwrap_or_else(PoisonError::into_inner);
        waited.allowed += allowed;
        let patience = self.scaled(PATIENCE + waited.allowed);
        // Before that, held-back time of short waits makes no difference.
        if waited.time > patience / 2 {
            self.look_at_short_waits(&mut waited);
        }
        let time = waited.time.saturating_sub(waited.short_held_back.0);
        let ends = deadline.started() + patience.saturating_sub(time);
        let words =
            |time: Duration| format!("its answers have taken {:.1} s together", time.as_secs_f64());
        deadline.cut_at(ends, Cut { limit: patience, words })
    }

    /// Bytes have moved. After every [`PROGRESS_BYTES`] of them the time for progress starts again.
    pub fn put_off(&self, deadline: &mut Deadline, bytes: usize) {
        if deadline.count(bytes) >= PROGRESS_BYTES {
            *deadline = self.progress_for(FOR_BYTES);
        }
    }

    /// Waits until a socket can do what is meant, at most until the deadline. What was held back
    /// meanwhile puts that off.
    ///
    /// # Errors
    /// `harness` when poll(2) itself fails.
    pub fn wait_for(
        &self,
        socket: &Socket,
        interest: Interest,
        deadline: Deadline,
    ) -> Result<bool, Failure> {
        self.waiting(|| {
            loop {
                if wait(socket, interest, deadline.left())? {
                    return Ok(true);
                }
                if deadline.is_over() {
                    return Ok(false);
                }
            }
        })
    }

    /// Short waits of a server that needs many turns add up. Of all held-back time of the cell, what
    /// was not taken off the long waits is theirs.
    fn look_at_short_waits(&self, waited: &mut Waited) {
        if waited.short_held_back.1.is_some_and(|looked| looked.elapsed() < LEAST_LOOKED_AT) {
            return;
        }
        let of_short = waited.of_short(self.held_back_since(self.started));
        waited.short_held_back = (of_short, Some(Instant::now()));
    }

    /// Lets `wait` wait for the server.
    pub fn waiting<T>(&self, wait: impl FnOnce() -> T) -> T {
        let started = Instant::now();
        let result = wait();
        let (elapsed, time) = (started.elapsed(), self.undisturbed(started));
        self.waited.lock().unwrap_or_else(PoisonError::into_inner).add(elapsed, time);
        result
    }

    /// How long ago a moment is, without the time that judge and server were held back since.
    #[must_use]
    pub fn undisturbed(&self, moment: Instant) -> Duration {
        let elapsed = moment.elapsed();
        if elapsed < LEAST_LOOKED_AT {
            return elapsed;
        }
        elapsed.saturating_sub(self.held_back_since(moment))
    }

    /// A deadline `limit` from now, scaled by the host factor.
    #[must_use]
    pub fn within(&self, limit: Duration) -> Deadline {
        self.cut_by_cell(Deadline::after(self.scaled(limit)))
    }

    /// A limit of time, scaled by the host factor.
    #[must_use]
    pub fn scaled(&self, limit: Duration) -> Duration {
        limit.mul_f64(self.factor)
    }

    /// Records how long `what` took until now, and fails if that is over `limit`, which is scaled
    /// here. What judge and server were held back in that time does not count.
    ///
    /// # Errors
    /// [`FailureKind::Slow`] over the limit.
    pub fn judge_time(&self, what: &str, took: Duration, limit: Duration) -> Result<(), Failure> {
        let limit = self.scaled(limit);
        let began = Instant::now().checked_sub(took).unwrap_or(self.started);
        let held_back = if took > limit { self.held_back_since(began) } else { Duration::ZERO };
        // As much as a deadline of this length would be put off.
        let took = took.saturating_sub(held_back.min(limit * (MOST_TIMES - 1)));
        self.judge(
            FailureKind::Slow,
            &format!("{what}, ms"),
            took.as_secs_f64() * 1e3,
            limit.as_secs_f64() * 1e3,
        )
    }

    /// As [`CellClock::judge_time`], of rounds that are over: their times are
    /// [`CellClock::undisturbed`] already.
    ///
    /// # Errors
    /// [`FailureKind::Slow`] over the limit.
    pub fn judge_rounds(&self, what: &str, took: Duration, limit: Duration) -> Result<(), Failure> {
        let limit = self.scaled(limit).as_secs_f64() * 1e3;
        self.judge(FailureKind::Slow, &format!("{what}, ms"), took.as_secs_f64() * 1e3, limit)
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
        let margin = Margin { what: what.to_owned().into(), observed, limit };
        if observed > limit {
            let expected = format!("{what}: at most {limit:.2}");
            return Err(Failure::new(kind, expected, format!("{observed:.2}")));
        }
        let mut nearest = self.nearest.lock().unwrap_or_else(PoisonError::into_inner);
        if nearest.as_ref().is_none_or(|known| known.ratio() < margin.ratio()) {
            *nearest = Some(margin);
        }
        Ok(())
    }

    /// The nearest that the cell came to one of its limits so far.
    #[must_use]
    pub fn margin(&self) -> Option<Margin> {
        self.nearest.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn held_back_time_of_short_waits_is_what_was_not_taken_off_long_ones() {
        let ms = Duration::from_millis;
        let mut waited = Waited::default();
        (0..100).for_each(|_| waited.add(ms(20), ms(20)));
        waited.add(ms(500), ms(100));
        assert_eq!(waited.time, ms(2100));
        assert_eq!(waited.of_short(ms(1500)), ms(1100));
        assert_eq!(waited.of_short(ms(300)), ms(0));
        assert_eq!(waited.of_short(ms(9000)), ms(2000));
    }
}
