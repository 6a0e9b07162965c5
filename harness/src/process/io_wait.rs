//! Whether the kernel counts threads of an idle process as waiting for I/O. The kernel counts per
//! host, not per process, so the judge compares the count with the count while the process is
//! stopped.

use std::thread;
use std::time::Duration;

use report::Failure;

use super::{Process, Signal, system, unknown};
use crate::deadline::Deadline;

/// Another process may begin or end a long wait during a round, but hardly during most rounds.
const ROUNDS: usize = 9;
/// How many times to read the count after the first time. A process that waits for a disk is done
/// before the last time, even on a busy host.
const LOOKS: u32 = 6;

impl Process {
    /// How many threads of the server the kernel always counts as waiting for I/O. Each of nine
    /// rounds reads the count for `time` while the server is left alone, and for `time` while it is
    /// stopped. The result is the median difference. Each wait until the server sleeps or stops
    /// gets its own `deadline`.
    ///
    /// # Errors
    /// `harness` if the system does not report it; `timeout` if the server does not sleep or stop.
    pub fn count_io_waiters(
        &self,
        time: Duration,
        deadline: impl Fn() -> Deadline,
    ) -> Result<u64, Failure> {
        let mut rounds = Vec::new();
        for _ in 0..ROUNDS {
            // A thread that was stopped waits again only after it has run.
            self.wait_asleep(deadline())?;
            let idle = least_io_waiters(time)?;
            self.stop(deadline())?;
            let stopped = least_io_waiters(time);
            self.signal(Signal::Continue)?;
            rounds.push(idle.saturating_sub(stopped?));
        }
        rounds.sort_unstable();
        Ok(rounds[ROUNDS / 2])
    }
}

/// The smallest count seen within `time`.
fn least_io_waiters(time: Duration) -> Result<u64, Failure> {
    let look = || system::count_io_waiters().map_err(|e| unknown("what waits for I/O", &e));
    let mut least = look()?;
    for _ in 0..LOOKS {
        thread::sleep(time / LOOKS);
        least = least.min(look()?);
    }
    Ok(least)
}
