//! Signals to a server's processes, and waiting for the states that they cause.

use std::thread;

use report::{Failure, FailureKind};

use super::readings::Rest;
use super::{LOOK_EVERY, Process, system};
use crate::deadline::Deadline;

/// A signal that the judge sends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Signal {
    /// `SIGTERM`.
    Terminate,
    /// `SIGINT`.
    Interrupt,
    /// `SIGSTOP`.
    Stop,
    /// `SIGCONT`.
    Continue,
    /// `SIGKILL`.
    Kill,
}

impl Process {
    /// Sends it a signal: to all of its processes where it suspends or resumes them, else to the
    /// one that listens.
    ///
    /// # Errors
    /// `harness` when that fails.
    pub fn signal(&self, signal: Signal) -> Result<(), Failure> {
        send_signal(self.pid, signal).map_err(|e| {
            Failure::new(FailureKind::Harness, format!("to send {signal:?}"), e.to_string())
        })?;
        if matches!(signal, Signal::Stop | Signal::Continue) {
            for pid in self.family()?.into_iter().skip(1) {
                // Fails only when it has ended.
                let _ = send_signal(pid, signal);
            }
        }
        Ok(())
    }

    /// Waits until all of its threads sleep: it has done what there was to do.
    ///
    /// # Errors
    /// `timeout`, or `harness` when the system does not tell.
    pub fn wait_asleep(&self, deadline: Deadline) -> Result<(), Failure> {
        self.wait_for(Rest::Asleep, "a server that sleeps", deadline)
    }

    /// Stops it (`SIGSTOP`) and waits until none of its threads runs.
    ///
    /// # Errors
    /// As [`Process::wait_asleep`].
    pub fn stop(&self, deadline: Deadline) -> Result<(), Failure> {
        self.signal(Signal::Stop)?;
        self.wait_for(Rest::Stopped, "a stopped server", deadline)
    }

    /// Waits until none of its threads runs, for this reason.
    fn wait_for(&self, rest: Rest, what: &str, deadline: Deadline) -> Result<(), Failure> {
        while self.in_each("its threads", |pid| system::rests(pid, rest))?.contains(&false) {
            if rest == Rest::Stopped {
                // One that was started meanwhile has not been asked to.
                self.signal(Signal::Stop)?;
            }
            if deadline.is_over() {
                return Err(deadline.failure(what));
            }
            thread::sleep(LOOK_EVERY);
        }
        Ok(())
    }
}

#[cfg(unix)]
fn send_signal(pid: u32, signal: Signal) -> std::io::Result<()> {
    use rustix::process::{Pid, Signal as Number, kill_process};
    let number = match signal {
        Signal::Terminate => Number::TERM,
        Signal::Interrupt => Number::INT,
        Signal::Stop => Number::STOP,
        Signal::Continue => Number::CONT,
        Signal::Kill => Number::KILL,
    };
    let pid = i32::try_from(pid).ok().and_then(Pid::from_raw);
    let pid = pid.ok_or_else(|| std::io::Error::other("no process id"))?;
    Ok(kill_process(pid, number)?)
}

#[cfg(not(unix))]
fn send_signal(_: u32, _: Signal) -> std::io::Result<()> {
    Err(std::io::ErrorKind::Unsupported.into())
}
