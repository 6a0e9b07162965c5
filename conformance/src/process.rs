//! A server's process, measured from outside. Linux tells through procfs; elsewhere the cases that
//! need it are unavailable, known from [`crate::case::Need`] while listing.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::thread;
use std::time::{Duration, Instant};

use report::{Failure, FailureKind};
use socket2::Socket;

use crate::case::failure;
use crate::clock::Clock;
use crate::peer::Peer;

cfg_if::cfg_if! {
    if #[cfg(target_os = "linux")] {
        mod linux;
        use linux as system;
    } else {
        mod elsewhere;
        use elsewhere as system;
    }
}

/// The process at or below `root` that listens on a TCP port on which somebody does; none if that
/// is a stranger. Where the system does not tell, `root` is believed to be the one.
///
/// # Errors
/// When the system refuses to tell.
pub(crate) fn listener_owner(root: u32, port: u16) -> std::io::Result<Option<u32>> {
    system::listener_owner(root, port)
}

/// How often a state of a process is looked at while a deadline runs.
const LOOK_EVERY: Duration = Duration::from_millis(5);

/// A server's process.
#[derive(Clone, Debug)]
pub struct Process {
    pid: u32,
    clock: Arc<Clock>,
}

/// The rings that a process holds.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Rings {
    /// How many.
    pub count: usize,
    /// Completions that the kernel has posted to them, in all.
    pub completions: u64,
}

/// What a process has had of the processors up to a moment, and what it was held off from.
#[derive(Clone, Debug)]
pub struct Demand {
    at: Instant,
    threads: BTreeMap<u32, Turns>,
}

/// One thread's time on a processor, and its time ready and waiting for one.
#[derive(Clone, Copy, Debug, Default)]
struct Turns {
    ran: Duration,
    held: Duration,
}

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
    /// The process of this id.
    #[must_use]
    pub fn new(pid: u32, clock: Arc<Clock>) -> Self {
        Self { pid, clock }
    }

    /// Whether this system tells about another process's resources, for a case that is worth
    /// judging without them too.
    pub const IS_TOLD: bool = cfg!(target_os = "linux");

    /// Open descriptors.
    ///
    /// # Errors
    /// `harness` when the system does not tell.
    pub fn descriptors(&self) -> Result<usize, Failure> {
        system::descriptors(self.pid).map_err(|e| unknown("its descriptors", &e))
    }

    /// CPU time used so far, user and system.
    ///
    /// # Errors
    /// `harness` when the system does not tell.
    pub fn cpu(&self) -> Result<Duration, Failure> {
        system::cpu(self.pid).map_err(|e| unknown("its CPU time", &e))
    }

    /// Resident memory in bytes.
    ///
    /// # Errors
    /// `harness` when the system does not tell.
    pub fn resident_bytes(&self) -> Result<u64, Failure> {
        system::resident_bytes(self.pid).map_err(|e| unknown("its resident memory", &e))
    }

    /// Its `io_uring` instances.
    ///
    /// # Errors
    /// `harness` when the system does not tell.
    pub fn rings(&self) -> Result<Rings, Failure> {
        system::rings(self.pid).map_err(|e| unknown("its rings", &e))
    }

    /// Whether it holds an epoll instance.
    ///
    /// # Errors
    /// `harness` when the system does not tell.
    pub fn has_epoll(&self) -> Result<bool, Failure> {
        system::has_epoll(self.pid).map_err(|e| unknown("its epoll instances", &e))
    }

    /// Sends it a signal.
    ///
    /// # Errors
    /// `harness` when that fails.
    pub fn signal(&self, signal: Signal) -> Result<(), Failure> {
        send_signal(self.pid, signal).map_err(|e| {
            failure(FailureKind::Harness, format!("to send {signal:?}"), e.to_string())
        })
    }

    /// A duplicate of its end of the connection between its `port` and the judge's, through which
    /// the judge sees what is left in it. The connection ends only when both have closed it.
    ///
    /// # Errors
    /// `harness` when the system does not allow that, or it has no descriptor of the connection.
    pub fn duplicate_end(&self, port: u16, judge_port: u16) -> Result<Socket, Failure> {
        system::duplicate_end(self.pid, port, judge_port)
            .map_err(|e| unknown("its end of a connection", &e))
    }

    /// Waits until all of its threads sleep: it has done what there was to do.
    ///
    /// # Errors
    /// `timeout`, or `harness` when the system does not tell.
    pub fn expect_asleep(&self) -> Result<(), Failure> {
        self.expect_threads('S', "a server that sleeps")
    }

    /// Stops it (`SIGSTOP`) and waits until none of its threads runs.
    ///
    /// # Errors
    /// As [`Process::expect_asleep`].
    pub fn stop(&self) -> Result<(), Failure> {
        self.signal(Signal::Stop)?;
        self.expect_threads('T', "a stopped server")
    }

    /// Waits until all threads are in a state, by its letter in proc(5).
    fn expect_threads(&self, state: char, what: &str) -> Result<(), Failure> {
        let deadline = self.clock.progress();
        while !system::are_threads(self.pid, state).map_err(|e| unknown("its threads", &e))? {
            if deadline.is_over() {
                return Err(deadline.failure(what));
            }
            thread::sleep(LOOK_EVERY);
        }
        Ok(())
    }

    /// The number of descriptors at rest: after one served connection, and no longer changing.
    ///
    /// # Errors
    /// As [`Peer::serves`], `harness`, or `timeout` when the number keeps changing.
    pub fn descriptors_at_rest(&self, peer: &Peer) -> Result<usize, Failure> {
        peer.serves()?;
        let deadline = self.clock.progress();
        let mut last = self.descriptors()?;
        let mut since = Instant::now();
        while since.elapsed() < Duration::from_millis(50) {
            if deadline.is_over() {
                return Err(deadline.failure("a number of descriptors that stays the same"));
            }
            thread::sleep(LOOK_EVERY);
            let now = self.descriptors()?;
            if now != last {
                last = now;
                since = Instant::now();
            }
        }
        Ok(last)
    }

    /// Waits until it holds at most `base` descriptors, within `limit`.
    ///
    /// # Errors
    /// `descriptors` when it does not come down, `slow` is never given: the limit is the deadline.
    pub fn expect_descriptors(&self, base: usize, limit: Duration) -> Result<(), Failure> {
        let deadline = self.clock.within(limit);
        loop {
            let now = self.descriptors()?;
            if now <= base {
                return self.clock.judge_time(
                    "descriptors back at base",
                    deadline.elapsed(),
                    limit,
                );
            }
            if deadline.is_over() {
                let expected = format!("at most {base} descriptors after {limit:?}");
                return Err(failure(FailureKind::Descriptors, expected, format!("{now}")));
            }
            thread::sleep(LOOK_EVERY);
        }
    }

    /// What it has had of the processors so far.
    ///
    /// # Errors
    /// `harness` when the system does not tell.
    pub fn demand(&self) -> Result<Demand, Failure> {
        system::demand(self.pid).map_err(|e| unknown("its demand for processors", &e))
    }

    /// Judges the CPU time that it uses in `time`, as a share of one core.
    ///
    /// # Errors
    /// `cpu` above `limit`.
    pub fn expect_quiet(&self, time: Duration, limit: f64) -> Result<(), Failure> {
        let before = self.demand()?;
        thread::sleep(time);
        self.judge_demand(&before, limit)
    }

    /// Judges the CPU time used since `before`, as a share of one core: of the time in which it
    /// could have one, so that a server that spins is seen beside others that do.
    ///
    /// # Errors
    /// `cpu` above `limit`.
    pub fn judge_demand(&self, before: &Demand, limit: f64) -> Result<(), Failure> {
        let share = self.demand()?.share_since(before);
        self.clock.judge(FailureKind::Cpu, "share of one core", share, limit)
    }
}

impl Demand {
    /// The sum of all threads' shares of the time in which each could run.
    fn share_since(&self, before: &Self) -> f64 {
        let elapsed = self.at.saturating_duration_since(before.at);
        let share = |(thread, now): (&u32, &Turns)| {
            let then = before.threads.get(thread).copied().unwrap_or_default();
            let ran = now.ran.saturating_sub(then.ran);
            let could_run = elapsed.saturating_sub(now.held.saturating_sub(then.held)).max(ran);
            if ran.is_zero() { 0.0 } else { ran.as_secs_f64() / could_run.as_secs_f64() }
        };
        self.threads.iter().map(share).sum()
    }
}

fn unknown(what: &str, error: &std::io::Error) -> Failure {
    failure(FailureKind::Harness, what, error.to_string())
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_share_is_of_the_time_in_which_a_thread_could_run() {
        let start = Instant::now();
        let demand = |seconds, turns: &[(u64, u64)]| Demand {
            at: start + Duration::from_secs(seconds),
            threads: (1..)
                .zip(turns)
                .map(|(thread, &(ran, held))| {
                    let [ran, held] = [ran, held].map(Duration::from_millis);
                    (thread, Turns { ran, held })
                })
                .collect(),
        };
        let share =
            demand(2, &[(700, 1000), (110, 50)]).share_since(&demand(1, &[(500, 200), (100, 50)]));
        assert!((share - (0.2 / 0.2 + 0.01)).abs() < 1e-9, "{share}");
    }
}
