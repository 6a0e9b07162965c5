//! How much processor time a process used, and which share of one core that is.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

/// The processor time of a process so far, and how long its threads waited for a processor.
#[derive(Clone, Debug)]
pub struct Demand {
    pub(super) at: Instant,
    pub(super) threads: BTreeMap<u32, ThreadTurns>,
    /// How long all its threads and processes have run, including those that have ended.
    pub(super) total_ran: Duration,
}

/// How long a thread ran, and how long it was ready to run but not running.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct ThreadTurns {
    pub(super) ran: Duration,
    pub(super) waited: Duration,
}

/// How far `total_ran` may be off: one tick of user time and one of system time.
const TOTAL_RAN_PRECISION: Duration = Duration::from_millis(20);
/// At least 1/8 of the elapsed time counts as time in which a thread could run. With less, a single
/// turn would look like full use of a core.
const MIN_RUNNABLE_DIVISOR: u32 = 8;

impl Demand {
    /// The demand of several processes together, with `total_ran` left at zero.
    pub(super) fn combine(each: Vec<Self>) -> Self {
        let at = each.iter().map(|one| one.at).max().unwrap_or_else(Instant::now);
        let threads = each.into_iter().flat_map(|one| one.threads).collect();
        Self { at, threads, total_ran: Duration::ZERO }
    }

    /// The shares of all threads added up, where 1 is one core. A thread's share is how long it
    /// ran, divided by the time in which it could run. If all threads, including ended ones, ran
    /// for a larger share of the elapsed time, that share counts.
    #[must_use]
    pub fn share_since(&self, before: &Self) -> f64 {
        let elapsed = self.at.saturating_duration_since(before.at);
        let share = |(thread, now): (&u32, &ThreadTurns)| {
            let then = before.threads.get(thread).copied().unwrap_or_default();
            let ran = now.ran.saturating_sub(then.ran);
            let could_run = elapsed.saturating_sub(now.waited.saturating_sub(then.waited));
            let could_run = could_run.max(ran).max(elapsed / MIN_RUNNABLE_DIVISOR);
            if ran.is_zero() { 0.0 } else { ran.as_secs_f64() / could_run.as_secs_f64() }
        };
        let of_threads: f64 = self.threads.iter().map(share).sum();
        let total_ran = self.total_ran.saturating_sub(before.total_ran + TOTAL_RAN_PRECISION);
        of_threads.max(total_ran.as_secs_f64() / elapsed.as_secs_f64().max(1e-3))
    }

    /// The busiest thread's share of the time that all threads ran; `None` if none ran.
    #[must_use]
    pub fn busiest_share_since(&self, before: &Self) -> Option<f64> {
        let all = self.ran_since(before);
        let ran = self.threads.iter().map(|(thread, now)| {
            now.ran.saturating_sub(before.threads.get(thread).map_or(Duration::ZERO, |t| t.ran))
        });
        let busiest = ran.max().filter(|_| !all.is_zero())?;
        Some(busiest.as_secs_f64() / all.as_secs_f64())
    }

    /// How long all threads that still exist ran since `before`.
    #[must_use]
    pub fn ran_since(&self, before: &Self) -> Duration {
        let ran = |(thread, now): (&u32, &ThreadTurns)| {
            let then = before.threads.get(thread).copied().unwrap_or_default();
            now.ran.saturating_sub(then.ran)
        };
        self.threads.iter().map(ran).sum()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_share_is_of_the_time_in_which_a_thread_could_run() {
        let start = Instant::now();
        let demand = |seconds, turns: &[(u64, u64)]| Demand {
            at: start + Duration::from_secs(seconds),
            threads: (1..)
                .zip(turns)
                .map(|(thread, &(ran, waited))| {
                    let [ran, waited] = [ran, waited].map(Duration::from_millis);
                    (thread, ThreadTurns { ran, waited })
                })
                .collect(),
            total_ran: Duration::ZERO,
        };
        let (before, now) =
            (demand(1, &[(500, 200), (100, 50)]), demand(2, &[(700, 1000), (110, 50)]));
        let share = now.share_since(&before);
        assert!((share - (0.2 / 0.2 + 0.01)).abs() < 1e-9, "{share}");
        assert_eq!(now.ran_since(&before), Duration::from_millis(210));
        let busiest = now.busiest_share_since(&before).unwrap();
        assert!((busiest - 200.0 / 210.0).abs() < 1e-9, "{busiest}");
        assert_eq!(before.busiest_share_since(&before), None);
        // One turn of 1 ms that waited for 1 s is no busy loop.
        let share = demand(2, &[(1, 999)]).share_since(&demand(1, &[(0, 0)]));
        assert!((share - 0.008).abs() < 1e-9, "{share}");
    }

    #[test]
    fn what_has_ended_counts() {
        let start = Instant::now();
        let demand = |seconds, total_ran| Demand {
            at: start + Duration::from_secs(seconds),
            threads: BTreeMap::new(),
            total_ran: Duration::from_millis(total_ran),
        };
        let share = demand(3, 820).share_since(&demand(1, 300));
        assert!((share - 0.25).abs() < 1e-9, "{share}");
        assert!(demand(3, 320).share_since(&demand(1, 300)) < 1e-9, "a tick of each kind");
    }
}
