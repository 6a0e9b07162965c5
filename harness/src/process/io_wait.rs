//! Whether the kernel counts threads of an idle process as waiting for I/O. The kernel counts per
//! host, not per process, so the judge compares the count with that while the process is stopped.

use std::thread;
use std::time::Duration;

use report::Failure;

use super::{Process, Signal, system, unknown};
use crate::deadline::Deadline;

/// Others may begin or end a long wait while one round is looked at, but hardly in most.
const ROUNDS: usize = 9;
/// Who waits for a disk now does so no longer after some looks, even on a busy host.
const LOOKS: u32 = 6;

impl Process {
    /// How many threads it adds to those that the kernel counts as waiting for I/O all the time:
    /// looked at for `time` while it is left alone and as long while it is stopped, nine times.
    /// Each time that it is to sleep or to stop gets a `deadline` of its own.
    ///
    /// # Errors
    /// `harness` when the system does not tell, `timeout` when it does not sleep or stop.
    pub fn waiting_for_io(
        &self,
        time: Duration,
        deadline: impl Fn() -> Deadline,
    ) -> Result<u64, Failure> {
        let mut rounds = Vec::new();
        for _ in 0..ROUNDS {
            // A thread that was stopped waits again only once it has had its turn.
            self.wait_asleep(deadline())?;
            let idle = least_waiting(time)?;
            self.stop(deadline())?;
            let stopped = least_waiting(time);
            self.signal(Signal::Continue)?;
            rounds.push(idle.saturating_sub(stopped?));
        }
        rounds.sort_unstable();
        Ok(rounds[ROUNDS / 2])
    }
}

/// The fewest threads that were seen waiting within `time`.
fn least_waiting(time: Duration) -> Result<u64, Failure> {
    let look = || system::waiting_for_io().map_err(|e| unknown("what waits for I/O", &e));
    let mut least = look()?;
    for _ in 0..LOOKS {
        thread::sleep(time / LOOKS);
        least = least.min(look()?);
    }
    Ok(least)
}
