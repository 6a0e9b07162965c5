//! Descriptors of the judge, which cells side by side share: each of a few cases needs thousands,
//! and some systems give a process ten thousand.

use std::sync::{Condvar, Mutex, PoisonError};

/// A limit on the descriptors that are in use at once.
#[derive(Debug, Default)]
pub(crate) struct Budget {
    used: Mutex<u64>,
    given_back: Condvar,
}

/// Some of them, given back when dropped.
#[derive(Debug)]
pub(crate) struct Share<'a> {
    budget: &'a Budget,
    count: u64,
}

impl Budget {
    /// That of this process.
    pub(crate) fn of_this_process() -> &'static Self {
        static BUDGET: Budget = Budget { used: Mutex::new(0), given_back: Condvar::new() };
        &BUDGET
    }

    /// Waits for `count` descriptors of `most`. Who wants more than that gets all, alone.
    pub(crate) fn take(&self, count: u64, most: u64) -> Share<'_> {
        let used = self.used.lock().unwrap_or_else(PoisonError::into_inner);
        let is_too_much = |used: &mut u64| *used > 0 && *used + count > most;
        let waited = self.given_back.wait_while(used, is_too_much);
        *waited.unwrap_or_else(PoisonError::into_inner) += count;
        Share { budget: self, count }
    }
}

impl Drop for Share<'_> {
    fn drop(&mut self) {
        *self.budget.used.lock().unwrap_or_else(PoisonError::into_inner) -= self.count;
        self.budget.given_back.notify_all();
    }
}

#[cfg(test)]
mod tests {
    use std::sync::mpsc::{RecvTimeoutError, channel};
    use std::thread;
    use std::time::Duration;

    use super::*;

    #[test]
    fn what_is_too_much_together_comes_one_after_the_other() {
        let budget = Budget::default();
        let (tell, told) = channel();
        let first = budget.take(60, 100);
        drop(budget.take(40, 100));
        thread::scope(|scope| {
            scope.spawn(|| {
                let _second = budget.take(50, 100);
                let _ = tell.send("second");
            });
            let early = told.recv_timeout(Duration::from_millis(50));
            assert_eq!(early, Err(RecvTimeoutError::Timeout));
            drop(first);
            assert_eq!(told.recv(), Ok("second"));
        });
        drop(budget.take(500, 100));
        assert_eq!(*budget.used.lock().unwrap(), 0);
    }
}
