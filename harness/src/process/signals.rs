//! Sends signals to a server's processes, and waits for the states that they cause.

use std::thread;

use report::{Failure, FailureKind};

use super::readings::Rest;
use super::{POLL_INTERVAL, Process, system};
use crate::deadline::Deadline;

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
    /// Sends a signal: to all processes if it stops or continues them, otherwise to the one that
    /// listens.
    ///
    /// # Errors
    /// `harness` if that fails.
    pub fn signal(&self, signal: Signal) -> Result<(), Failure> {
        send_signal(self.pid, signal).map_err(|e| {
            Failure::new(FailureKind::Harness, format!("to send {signal:?}"), e.to_string())
        })?;
        if matches!(signal, Signal::Stop | Signal::Continue) {
            for pid in self.family()?.into_iter().skip(1) {
                // Fails only if the process has ended.
                let _ = send_signal(pid, signal);
            }
        }
        Ok(())
    }

    /// Waits until all threads sleep, which means that the server has nothing left to do.
    ///
    /// # Errors
    /// `timeout`; or `harness` if the system does not report the threads.
    pub fn wait_asleep(&self, deadline: Deadline) -> Result<(), Failure> {
        self.wait_for(Rest::Asleep, "a server that sleeps", deadline)
    }

    /// Sends `SIGSTOP`, and waits until no thread runs.
    ///
    /// # Errors
    /// See [`Process::wait_asleep`].
    pub fn stop(&self, deadline: Deadline) -> Result<(), Failure> {
        self.signal(Signal::Stop)?;
        self.wait_for(Rest::Stopped, "a stopped server", deadline)
    }

    /// Waits until every thread is in the state that `rest` describes.
    fn wait_for(&self, rest: Rest, what: &str, deadline: Deadline) -> Result<(), Failure> {
        while self.read_each("its threads", |pid| system::is_at_rest(pid, rest))?.contains(&false) {
            if rest == Rest::Stopped {
                // A process that was started meanwhile has not got the signal.
                self.signal(Signal::Stop)?;
            }
            if deadline.is_over() {
                return Err(deadline.failure(what));
            }
            thread::sleep(POLL_INTERVAL);
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
