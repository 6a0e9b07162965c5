//! How many servers of this program start at once. Six virtual machines that start together on two
//! processors each take many times as long as one alone, and that is the harness's doing.

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
    begun: Instant,
}

impl Turn {
    /// Waits for a place: there is one for each processor.
    pub(super) fn wait() -> Self {
        let places = thread::available_parallelism().map_or(1, usize::from);
        let mut starting = STARTING.lock().unwrap_or_else(PoisonError::into_inner);
        loop {
            starting.retain(|begun| begun.elapsed() < LONG);
            let Some(oldest) = starting.iter().min().filter(|_| starting.len() >= places) else {
                let begun = Instant::now();
                starting.push(begun);
                return Self { begun };
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
        if let Some(own) = starting.iter().position(|begun| *begun == self.begun) {
            starting.swap_remove(own);
        }
        ENDED.notify_one();
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicUsize, Ordering};

    use super::*;

    #[test]
    fn no_more_start_at_once_than_there_are_processors() {
        let places = thread::available_parallelism().map_or(1, usize::from);
        let (now, most) = (AtomicUsize::new(0), AtomicUsize::new(0));
        thread::scope(|scope| {
            for _ in 0..4 * places {
                scope.spawn(|| {
                    let turn = Turn::wait();
                    most.fetch_max(now.fetch_add(1, Ordering::SeqCst) + 1, Ordering::SeqCst);
                    thread::yield_now();
                    now.fetch_sub(1, Ordering::SeqCst);
                    drop(turn);
                });
            }
        });
        assert!((1..=places).contains(&most.into_inner()));
    }
}
