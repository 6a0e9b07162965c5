//! Which trials come first: those of cells that need the host for themselves.

use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};

use harness::schedule::Company;

/// The trials of exclusive cells that are running. While there are any, the others wait here, and
/// not in the schedule: there one of them would come in between two exclusive cells, and the
/// second would have to wait until it has left.
#[derive(Default)]
pub(crate) struct Precedence {
    exclusive: Mutex<usize>,
    none_left: Condvar,
}

impl Precedence {
    /// Lets a trial begin once it may; it has ended when what is returned is dropped.
    pub(crate) fn enter(&self, company: Company) -> Turn<'_> {
        let mut exclusive = self.count();
        match company {
            Company::Exclusive => *exclusive += 1,
            Company::Shared => {
                let wait = self.none_left.wait_while(exclusive, |exclusive| *exclusive > 0);
                drop(wait.unwrap_or_else(PoisonError::into_inner));
            }
        }
        Turn { precedence: self, company }
    }

    fn count(&self) -> MutexGuard<'_, usize> {
        self.exclusive.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A trial that is running.
pub(crate) struct Turn<'a> {
    precedence: &'a Precedence,
    company: Company,
}

impl Drop for Turn<'_> {
    fn drop(&mut self) {
        if self.company == Company::Exclusive {
            *self.precedence.count() -= 1;
            self.precedence.none_left.notify_all();
        }
    }
}
