//! Lets the trials of exclusive cells run before all other trials.

use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};

use harness::schedule::Sharing;

/// Counts the running trials of exclusive cells. While there are any, the others wait here and not
/// in the schedule: there, one of them would start between two exclusive cells, and the second
/// would have to wait for it.
#[derive(Default)]
pub(crate) struct TurnOrder {
    exclusive: Mutex<usize>,
    none_left: Condvar,
}

impl TurnOrder {
    /// Waits until a trial may start. The trial has ended when the returned [`Turn`] is dropped.
    pub(crate) fn wait_turn(&self, sharing: Sharing) -> Turn<'_> {
        let mut exclusive = self.count();
        match sharing {
            Sharing::Exclusive => *exclusive += 1,
            Sharing::Shared => {
                let wait = self.none_left.wait_while(exclusive, |exclusive| *exclusive > 0);
                drop(wait.unwrap_or_else(PoisonError::into_inner));
            }
        }
        Turn { turn_order: self, sharing }
    }

    fn count(&self) -> MutexGuard<'_, usize> {
        self.exclusive.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A trial that is running.
pub(crate) struct Turn<'a> {
    turn_order: &'a TurnOrder,
    sharing: Sharing,
}

impl Drop for Turn<'_> {
    fn drop(&mut self) {
        if self.sharing == Sharing::Exclusive {
            *self.turn_order.count() -= 1;
            self.turn_order.none_left.notify_all();
        }
    }
}
