//! The judge's descriptors, shared by the cells that run in parallel. A few cases need thousands
//! each, and some systems allow a process only ten thousand.

use std::sync::{Condvar, Mutex, PoisonError};

/// A limit on the descriptors in use at the same time.
#[derive(Debug, Default)]
pub(crate) struct Budget {
    used: Mutex<u64>,
    release: Condvar,
}

/// Descriptors that one cell has reserved. Dropping it releases them.
#[derive(Debug)]
pub(crate) struct Share<'a> {
    budget: &'a Budget,
    count: u64,
}

impl Budget {
    pub(crate) fn global() -> &'static Self {
        static BUDGET: Budget = Budget { used: Mutex::new(0), release: Condvar::new() };
        &BUDGET
    }

    /// Waits until `count` descriptors fit below `most`. A `count` above `most` waits until no
    /// other descriptor is reserved.
    pub(crate) fn reserve(&self, count: u64, most: u64) -> Share<'_> {
        let used = self.used.lock().unwrap_or_else(PoisonError::into_inner);
        let is_too_much = |used: &mut u64| *used > 0 && *used + count > most;
        let waited = self.release.wait_while(used, is_too_much);
        *waited.unwrap_or_else(PoisonError::into_inner) += count;
        Share { budget: self, count }
    }
}

impl Drop for Share<'_> {
    fn drop(&mut self) {
        *self.budget.used.lock().unwrap_or_else(PoisonError::into_inner) -= self.count;
        self.budget.release.notify_all();
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
        let first = budget.reserve(60, 100);
        drop(budget.reserve(40, 100));
        thread::scope(|scope| {
            scope.spawn(|| {
                let _second = budget.reserve(50, 100);
                let _ = tell.send("second");
            });
            let early = told.recv_timeout(Duration::from_millis(50));
            assert_eq!(early, Err(RecvTimeoutError::Timeout));
            drop(first);
            assert_eq!(told.recv(), Ok("second"));
        });
        drop(budget.reserve(500, 100));
        assert_eq!(*budget.used.lock().unwrap(), 0);
    }
}
