//! Limits how many servers this program starts at once. Six virtual machines that start together on
//! two processors each take many times as long as one alone, and that delay would be the harness's
//! fault.

use std::sync::{Condvar, Mutex, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

/// Much longer than a start takes that runs alone. A start that takes longer no longer delays
/// others.
const START_LIMIT: Duration = Duration::from_secs(2);

/// When each server that is starting got its turn.
static STARTING: Mutex<Vec<Instant>> = Mutex::new(Vec::new());
static START_ENDED: Condvar = Condvar::new();

/// A place among the servers that are starting. It is given back when dropped, and lost after
/// [`START_LIMIT`].
pub(super) struct Turn {
    started: Instant,
}

impl Turn {
    /// Waits for a place. There is one place per processor.
    pub(super) fn wait() -> Self {
        let places = thread::available_parallelism().map_or(1, usize::from);
        let mut starting = STARTING.lock().unwrap_or_else(PoisonError::into_inner);
        loop {
            starting.retain(|started| started.elapsed() < START_LIMIT);
            let Some(oldest) = starting.iter().min().filter(|_| starting.len() >= places) else {
                let started = Instant::now();
                starting.push(started);
                return Self { started };
            };
            let left = START_LIMIT.saturating_sub(oldest.elapsed());
            let waited = START_ENDED.wait_timeout(starting, left);
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
        START_ENDED.notify_one();
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
        // The test needs the places to stay taken for this long.
        thread::sleep(PAUSE);
        drop(turns);
        assert!(waiting.join().expect("it gets a turn") >= PAUSE);
    }
}
