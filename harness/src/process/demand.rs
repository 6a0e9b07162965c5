//! How much processor time a process has had, and which share of one core that is.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

/// What a process has had of the processors up to a moment, and what it was held off from.
#[derive(Clone, Debug)]
pub struct Demand {
    pub(super) at: Instant,
    pub(super) threads: BTreeMap<u32, Turns>,
    /// What all its threads and processes have run, with those that have ended.
    pub(super) in_all: Duration,
}

/// One thread's time on a processor, and its time ready and waiting for one.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Turns {
    pub(super) ran: Duration,
    pub(super) held: Duration,
}

/// The system counts what has ended in ticks, of user and of system time.
const COUNTED: Duration = Duration::from_millis(20);
/// A thread that was held off for longer than all but this part of the time tells too little: of
/// the moment that is left, one turn would be all.
const LEAST_PART: u32 = 8;

impl Demand {
    /// The same of several processes.
    pub(super) fn of_all(each: Vec<Self>) -> Self {
        let at = each.iter().map(|one| one.at).max().unwrap_or_else(Instant::now);
        let threads = each.into_iter().flat_map(|one| one.threads).collect();
        Self { at, threads, in_all: Duration::ZERO }
    }

    /// The sum of all threads' shares of the time in which each could run, or what they and those
    /// that have ended ran, whichever is more.
    #[must_use]
    pub fn share_since(&self, before: &Self) -> f64 {
        let elapsed = self.at.saturating_duration_since(before.at);
        let share = |(thread, now): (&u32, &Turns)| {
            let then = before.threads.get(thread).copied().unwrap_or_default();
            let ran = now.ran.saturating_sub(then.ran);
            let could_run = elapsed.saturating_sub(now.held.saturating_sub(then.held));
            let could_run = could_run.max(ran).max(elapsed / LEAST_PART);
            if ran.is_zero() { 0.0 } else { ran.as_secs_f64() / could_run.as_secs_f64() }
        };
        let of_threads: f64 = self.threads.iter().map(share).sum();
        let in_all = self.in_all.saturating_sub(before.in_all + COUNTED);
        of_threads.max(in_all.as_secs_f64() / elapsed.as_secs_f64().max(1e-3))
    }

    /// What the busiest thread has of the time on processors of all; none if there was none.
    #[must_use]
    pub fn busiest_share_since(&self, before: &Self) -> Option<f64> {
        let all = self.ran_since(before);
        let ran = self.threads.iter().map(|(thread, now)| {
            now.ran.saturating_sub(before.threads.get(thread).map_or(Duration::ZERO, |t| t.ran))
        });
        let busiest = ran.max().filter(|_| !all.is_zero())?;
        Some(busiest.as_secs_f64() / all.as_secs_f64())
    }

    /// The time on processors of all threads that still run.
    #[must_use]
    pub fn ran_since(&self, before: &Self) -> Duration {
        let ran = |(thread, now): (&u32, &Turns)| {
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
                .map(|(thread, &(ran, held))| {
                    let [ran, held] = [ran, held].map(Duration::from_millis);
                    (thread, Turns { ran, held })
                })
                .collect(),
            in_all: Duration::ZERO,
        };
        let (before, now) =
            (demand(1, &[(500, 200), (100, 50)]), demand(2, &[(700, 1000), (110, 50)]));
        let share = now.share_since(&before);
        assert!((share - (0.2 / 0.2 + 0.01)).abs() < 1e-9, "{share}");
        assert_eq!(now.ran_since(&before), Duration::from_millis(210));
        let busiest = now.busiest_share_since(&before).unwrap();
        assert!((busiest - 200.0 / 210.0).abs() < 1e-9, "{busiest}");
        assert_eq!(before.busiest_share_since(&before), None);
        // One turn of a millisecond that had to wait for a second is no spinning.
        let share = demand(2, &[(1, 999)]).share_since(&demand(1, &[(0, 0)]));
        assert!((share - 0.008).abs() < 1e-9, "{share}");
    }

    #[test]
    fn what_has_ended_counts() {
        let start = Instant::now();
        let demand = |seconds, in_all| Demand {
            at: start + Duration::from_secs(seconds),
            threads: BTreeMap::new(),
            in_all: Duration::from_millis(in_all),
        };
        let share = demand(3, 820).share_since(&demand(1, 300));
        assert!((share - 0.25).abs() < 1e-9, "{share}");
        assert!(demand(3, 320).share_since(&demand(1, 300)) < 1e-9, "a tick of each kind");
    }
}
