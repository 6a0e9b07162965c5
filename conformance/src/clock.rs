//! Time in a cell: deadlines that restart on progress, limits that grow with the host factor and
//! with held-back time, and how close the cell came to a limit.

use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Mutex, OnceLock, PoisonError};
use std::time::{Duration, Instant};

use harness::deadline::{Cut, Deadline, MAX_EXTENSION_FACTOR};
use harness::held_back_time::{CountedThread, Meter, ProcessorTime};
use harness::process::Process;
use harness::wait::{Interest, wait};
use report::{Failure, FailureKind, Margin};
use socket2::Socket;

/// A cell times out after this time without progress, scaled by the host factor.
pub const PROGRESS_LIMIT: Duration = Duration::from_secs(5);
/// Progress is this many bytes, or the end of a message. A trickle is not progress.
pub const PROGRESS_BYTES: usize = 64;

/// All waits of a cell together may take this long, scaled by the host factor. They may take longer
/// by an allowance for each message, for every [`PROGRESS_BYTES`] bytes and for each FIN. Without
/// this limit, a server that echoes 100 bytes per second would always make progress and would take
/// as long as the cell may.
const PATIENCE: Duration = Duration::from_secs(6);
/// Far more than an echo takes.
const MESSAGE_ALLOWANCE: Duration = Duration::from_millis(10);
/// 128 KB/s.
const BYTES_ALLOWANCE: Duration = Duration::from_micros(500);
/// A server may close more slowly than it echoes.
const FIN_ALLOWANCE: Duration = Duration::from_millis(250);

/// No known server takes longer to accept a client, or to clean up after one.
const TIME_PER_CLIENT: Duration = Duration::from_millis(5);
/// How much longer a server may still clean up once it has accepted a new client.
const MAX_CLEANUP_BESIDE_ACCEPT: Duration = Duration::from_secs(1);

/// The share of held-back time is taken of at least this time. Held-back time comes from counters
/// with ticks of up to 10 ms, so a value below one tick says nothing.
const MIN_SHARE_TIME: Duration = Duration::from_millis(200);

/// The judge subtracts no held-back time from a wait shorter than this: to read the counters would
/// cost more time than the correction.
const MIN_CORRECTED_TIME: Duration = Duration::from_millis(50);

#[derive(Debug)]
pub struct CellClock {
    factor: f64,
    /// Whether held-back time is subtracted from waits and measured times.
    is_corrected: bool,
    cell_limit: Duration,
    cell_ends: Mutex<Instant>,
    nearest_margin: Mutex<Option<Margin>>,
    /// How long the judge has waited for the server so far.
    waited: Mutex<WaitTotals>,
    started: Instant,
    /// When the cell's first server was ready.
    ready: OnceLock<Instant>,
    /// When the cell first measured growth.
    growth_start: OnceLock<Instant>,
    meter: Meter,
    /// One more than the highest number of a connection that has received a byte.
    accepted_count: AtomicU32,
    /// By when the server has had time to clean up after the connections that have ended, on this
    /// host.
    cleaned_up: Mutex<Instant>,
}

#[derive(Clone, Copy, Debug, Default)]
struct WaitTotals {
    time: Duration,
    /// The part of `time` that lies in waits shorter than [`MIN_CORRECTED_TIME`].
    short: Duration,
    /// The held-back time that was subtracted from the longer waits.
    taken_off: Duration,
    /// How long it may have waited, in addition to [`PATIENCE`].
    allowed: Duration,
    /// The held-back time of the short waits, and when it was last read.
    short_held_back: (Duration, Option<Instant>),
}

impl WaitTotals {
    /// Counts a wait that took `elapsed`, and `time` without held-back time.
    fn add(&mut self, elapsed: Duration, time: Duration) {
        self.time += time;
        if elapsed < MIN_CORRECTED_TIME {
            self.short += time;
        } else {
            self.taken_off += elapsed.saturating_sub(time);
        }
    }

    /// An upper bound for the held-back time in short waits.
    fn of_short(&self, held_back: Duration) -> Duration {
        held_back.saturating_sub(self.taken_off).min(self.short)
    }
}

impl CellClock {
    /// Starts the clock of a cell that may take `cell_limit` on an idle host. `factor`, from 1 to
    /// 4, is how many times slower this host is.
    #[must_use]
    pub fn start(factor: f64, cell_limit: Duration) -> Self {
        Self::new(factor, true, cell_limit)
    }

    /// Starts a clock that neither scales limits nor subtracts held-back time, for a case that
    /// [passes on a busy host](crate::case::Case::passes_on_busy_host).
    #[must_use]
    pub fn start_uncorrected(cell_limit: Duration) -> Self {
        Self::new(1.0, false, cell_limit)
    }

    fn new(factor: f64, is_corrected: bool, cell_limit: Duration) -> Self {
        let cell_limit = cell_limit.mul_f64(factor);
        let cell_ends = Instant::now() + cell_limit;
        Self {
            factor,
            is_corrected,
            cell_limit,
            cell_ends: Mutex::new(cell_ends),
            nearest_margin: Mutex::default(),
            waited: Mutex::default(),
            started: Instant::now(),
            ready: OnceLock::new(),
            growth_start: OnceLock::new(),
            meter: Meter::start(),
            accepted_count: AtomicU32::new(0),
            cleaned_up: Mutex::new(Instant::now()),
        }
    }

    /// Notes that a connection has received its first byte: the server has accepted it and all
    /// earlier ones. A server with one loop has by then also noticed most connections that ended
    /// earlier. A server with many threads may still clean up after them.
    pub fn note_accepted(&self, number: u32) {
        let count = number.saturating_add(1);
        if self.accepted_count.fetch_max(count, Ordering::Relaxed) < count {
            let latest = Instant::now() + self.scale(MAX_CLEANUP_BESIDE_ACCEPT);
            let mut cleaned_up = self.cleaned_up.lock().unwrap_or_else(PoisonError::into_inner);
            *cleaned_up = (*cleaned_up).min(latest);
        }
    }

    /// Notes that a connection has ended. The server must notice that and clean up.
    pub fn note_ended(&self) {
        let mut cleaned_up = self.cleaned_up.lock().unwrap_or_else(PoisonError::into_inner);
        *cleaned_up = (*cleaned_up).max(Instant::now()) + self.scale(TIME_PER_CLIENT);
    }

    /// How much longer the server may need, on an idle host, to accept `waiting` clients, and to
    /// clean up after those that have ended.
    #[must_use]
    pub fn work_left(&self, waiting: u32) -> Duration {
        let cleaned_up = *self.cleaned_up.lock().unwrap_or_else(PoisonError::into_inner);
        let cleanup = cleaned_up.saturating_duration_since(Instant::now()).div_f64(self.factor);
        TIME_PER_CLIENT * waiting + cleanup
    }

    /// How many numbered connections the server is known to have accepted.
    #[must_use]
    pub fn accepted_count(&self) -> u32 {
        self.accepted_count.load(Ordering::Relaxed)
    }

    #[must_use]
    pub fn started(&self) -> Instant {
        self.started
    }

    /// When the cell first judged how much a server grows. The first call returns now.
    #[must_use]
    pub fn growth_start(&self) -> Instant {
        *self.growth_start.get_or_init(Instant::now)
    }

    /// Call this when a server is ready. From then on, limits do not count time in which other
    /// processes hold the server back.
    pub fn watch_server(&self, server: Process) {
        let mut turns = server.into_processor_time_reader();
        self.meter.watch(move || turns().map(|(ran, waited)| ProcessorTime { ran, waited }));
        // Set after the first sample, because that one includes the waits of the server's start.
        self.ready.get_or_init(Instant::now);
    }

    /// Counts this thread as one of the judge's, so that its CPU time does not look like that of
    /// another process.
    #[must_use]
    pub fn count_this_thread(&self) -> CountedThread {
        self.meter.id().count_this_thread()
    }

    /// The share of the time since the first server was ready in which judge or server were held
    /// back; 0 to 1. Divides by at least 200 ms.
    #[must_use]
    pub fn held_back_share(&self) -> f64 {
        let ready = *self.ready.get().unwrap_or(&self.started);
        let held_back = self.meter.id().held_back_since(ready);
        held_back.as_secs_f64() / ready.elapsed().max(MIN_SHARE_TIME).as_secs_f64()
    }

    /// How long judge or server have been held back since `moment`; zero for an uncorrected clock.
    #[must_use]
    pub fn held_back_since(&self, moment: Instant) -> Duration {
        if self.is_corrected { self.meter.id().held_back_since(moment) } else { Duration::ZERO }
    }

    #[must_use]
    pub fn cell_end(&self) -> Deadline {
        self.cut_at_cell_end(Deadline::after(self.cell_limit))
    }

    /// Cuts a deadline to the end of the cell if the cell ends earlier.
    fn cut_at_cell_end(&self, deadline: Deadline) -> Deadline {
        let words =
            |limit: Duration| format!("the {} s of the cell ended before that", limit.as_secs());
        let mut ends = *self.cell_ends.lock().unwrap_or_else(PoisonError::into_inner);
        let most = self.cell_limit * (MAX_EXTENSION_FACTOR - 1);
        let latest = ends + most;
        if deadline.left() > ends.saturating_duration_since(Instant::now()) {
            ends += self.held_back_since(self.started).min(most);
        }
        let cut = deadline.limited_to(ends, Cut { limit: self.cell_limit, words });
        if !self.is_corrected {
            return cut;
        }
        cut.extended_by(self.meter.id()).extended_at_most_to(latest)
    }

    /// Lets the cell end later by `time`, which does not count against it. Deadlines that already
    /// run do not change.
    pub fn extend_cell(&self, time: Duration) {
        *self.cell_ends.lock().unwrap_or_else(PoisonError::into_inner) += time;
    }

    /// The deadline for the next progress, such as the first bytes of a message.
    #[must_use]
    pub fn progress_deadline(&self) -> Deadline {
        self.progress_for(MESSAGE_ALLOWANCE)
    }

    /// The deadline for the end of a connection.
    #[must_use]
    pub fn end_deadline(&self) -> Deadline {
        self.progress_for(FIN_ALLOWANCE)
    }

    fn progress_for(&self, allowed: Duration) -> Deadline {
        let deadline = self.deadline_after(PROGRESS_LIMIT);
        let mut waited = self.waited.lock().unwrap_or_else(PoisonError::into_inner);
        waited.allowed += allowed;
        let patience = self.scale(PATIENCE + waited.allowed);
        // Reads the counters only once more than half of the patience is used up. Until then, the
        // end of the patience is rarely near.
        if waited.time > patience / 2 {
            self.look_at_short_waits(&mut waited);
        }
        let time = waited.time.saturating_sub(waited.short_held_back.0);
        let ends = deadline.started() + patience.saturating_sub(time);
        let words =
            |time: Duration| format!("its answers have taken {:.1} s together", time.as_secs_f64());
        deadline.limited_to(ends, Cut { limit: patience, words })
    }

    /// Notes that bytes have moved. Every [`PROGRESS_BYTES`] of them restart the deadline.
    pub fn extend_on_progress(&self, deadline: &mut Deadline, bytes: usize) {
        if deadline.add_bytes(bytes) >= PROGRESS_BYTES {
            *deadline = self.progress_for(BYTES_ALLOWANCE);
        }
    }

    /// Waits until a socket is ready, at most until the deadline. Held-back time puts the deadline
    /// off. Returns whether the socket is ready.
    ///
    /// # Errors
    /// `harness` when poll(2) itself fails.
    pub fn wait_for(
        &self,
        socket: &Socket,
        interest: Interest,
        deadline: Deadline,
    ) -> Result<bool, Failure> {
        self.count_wait(|| {
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

    /// Updates the held-back time of short waits. A server that needs many round trips causes
    /// thousands of short waits. Short waits get the part of the cell's held-back time that was not
    /// already subtracted from long waits.
    fn look_at_short_waits(&self, waited: &mut WaitTotals) {
        if waited.short_held_back.1.is_some_and(|looked| looked.elapsed() < MIN_CORRECTED_TIME) {
            return;
        }
        let of_short = waited.of_short(self.held_back_since(self.started));
        waited.short_held_back = (of_short, Some(Instant::now()));
    }

    /// Counts the time of `wait` as time that the judge waits for the server.
    pub fn count_wait<T>(&self, wait: impl FnOnce() -> T) -> T {
        let started = Instant::now();
        let result = wait();
        let (elapsed, time) = (started.elapsed(), self.elapsed_without_held_back(started));
        self.waited.lock().unwrap_or_else(PoisonError::into_inner).add(elapsed, time);
        result
    }

    /// How long ago `moment` was, not counting the time in which judge or server were held back.
    #[must_use]
    pub fn elapsed_without_held_back(&self, moment: Instant) -> Duration {
        let elapsed = moment.elapsed();
        if elapsed < MIN_CORRECTED_TIME {
            return elapsed;
        }
        elapsed.saturating_sub(self.held_back_since(moment))
    }

    /// A deadline `limit` from now, where `limit` is scaled by the host factor.
    #[must_use]
    pub fn deadline_after(&self, limit: Duration) -> Deadline {
        self.cut_at_cell_end(Deadline::after(self.scale(limit)))
    }

    /// A duration, scaled by the host factor.
    #[must_use]
    pub fn scale(&self, limit: Duration) -> Duration {
        limit.mul_f64(self.factor)
    }

    /// Judges `took`, the duration of `what`, which must have ended just now. Subtracts held-back
    /// time, scales `limit` by the host factor, and records how near the duration came to it.
    ///
    /// # Errors
    /// [`FailureKind::Slow`] above the limit.
    pub fn judge_time(&self, what: &str, took: Duration, limit: Duration) -> Result<(), Failure> {
        let limit = self.scale(limit);
        let began = Instant::now().checked_sub(took).unwrap_or(self.started);
        let held_back = if took > limit { self.held_back_since(began) } else { Duration::ZERO };
        // Subtract no more held-back time than a deadline of `limit` could be extended by.
        let took = took.saturating_sub(held_back.min(limit * (MAX_EXTENSION_FACTOR - 1)));
        self.judge(
            FailureKind::Slow,
            &format!("{what}, ms"),
            took.as_secs_f64() * 1e3,
            limit.as_secs_f64() * 1e3,
        )
    }

    /// Like [`CellClock::judge_time`], for rounds that have ended. Their times must be
    /// [`CellClock::elapsed_without_held_back`] already.
    ///
    /// # Errors
    /// [`FailureKind::Slow`] above the limit.
    pub fn judge_rounds(&self, what: &str, took: Duration, limit: Duration) -> Result<(), Failure> {
        let limit = self.scale(limit).as_secs_f64() * 1e3;
        self.judge(FailureKind::Slow, &format!("{what}, ms"), took.as_secs_f64() * 1e3, limit)
    }

    /// Records how close `observed` came to `limit`. Fails with `kind` if `observed` is above it.
    ///
    /// # Errors
    /// A failure of `kind` above the limit.
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
        let mut nearest = self.nearest_margin.lock().unwrap_or_else(PoisonError::into_inner);
        if nearest.as_ref().is_none_or(|known| known.ratio() < margin.ratio()) {
            *nearest = Some(margin);
        }
        Ok(())
    }

    /// The closest that the cell has come to one of its limits so far.
    #[must_use]
    pub fn margin(&self) -> Option<Margin> {
        self.nearest_margin.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn held_back_time_of_short_waits_is_what_was_not_taken_off_long_ones() {
        let ms = Duration::from_millis;
        let mut waited = WaitTotals::default();
        (0..100).for_each(|_| waited.add(ms(20), ms(20)));
        waited.add(ms(500), ms(100));
        assert_eq!(waited.time, ms(2100));
        assert_eq!(waited.of_short(ms(1500)), ms(1100));
        assert_eq!(waited.of_short(ms(300)), ms(0));
        assert_eq!(waited.of_short(ms(9000)), ms(2000));
    }
}
