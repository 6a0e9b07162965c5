//! How many servers this program starts at once. Six virtual machines that start together on two
//! processors each take many times as long as one alone; this delay would be the harness's fault.

use std::sync::{Condvar, Mutex, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

/// Far longer than any start takes that is alone. One that takes longer holds nobody up any more.
const LONG: Duration = Duration::from_secs(2);

/// When each of those that start had its turn.
static STARTING: Mutex<Vec<Instant>> = Mutex::new(Vec::new());
static ENDED: Condvar = Condvar::new();

/// A place among the servers that start, given back when dropped, and lost after [`LONG`].
pub(super) struct Turn {
    started: Instant,
}

impl Turn {
    /// Waits for a place: there is one for each processor.
    pub(super) fn wait() -> Self {
        let places = thread::available_parallelism().map_or(1, usize::from);
        let mut starting = STARTING.lock().unwrap_or_else(PoisonError::into_inner);
        loop {
            starting.retain(|started| started.elapsed() < LONG);
            let Some(oldest) = starting.iter().min().filter(|_| starting.len() >= places) else {
                let started = Instant::now();
                starting.push(started);
                return Self { started };
            };
            let left = LONG.saturating_sub(oldest.elapsed());
            let waited = ENDED.wait_timeout(starting, left);
            starting = waited.unwrap_or_else(PoisonError::into_inner).0;
        }
    }
}

impl Drop for Turn {
    fn drop(&mut self) {
        let mut starting = STARTING.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(own) = starting.iter().position(|started| *started == self.started) {
            starting.swap_remove(own);
        }
        ENDED.notify_one();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_start_waits_while_there_is_one_for_each_processor() {
        const PAUSE: Duration = Duration::from_millis(50);
        let places = thread::available_parallelism().map_or(1, usize::from);
        let turns: Vec<Turn> = (0..places).map(|_| Turn::wait()).collect();
        let asked = Instant::now();
        let waiting = thread::spawn(move || {
            let turn = Turn::wait();
            drop(turn);
            asked.elapsed()
        });
        // That the places stay taken for so long is what is tested.
        thread::sleep(PAUSE);
        drop(turns);
        assert!(waiting.join().expect("it gets a turn") >= PAUSE);
    }
}
