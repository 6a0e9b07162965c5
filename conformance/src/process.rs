//! A server's process, measured from outside: Linux tells through procfs, macOS some of it through
//! libproc. What a system does not tell makes the cases that need it unavailable, known from
//! [`crate::case::Need`] while listing.

use std::sync::Arc;
use std::thread;
use std::time::{Duration, Instant};

use report::{Failure, FailureKind};
use socket2::Socket;

use crate::case::failure;
use crate::clock::Clock;
use crate::peer::Peer;

mod demand;
mod io_wait;

cfg_if::cfg_if! {
    if #[cfg(target_os = "linux")] {
        mod linux;
        use linux as system;
    } else if #[cfg(target_os = "macos")] {
        mod macos;
        mod untold;
        use macos as system;
    } else {
        mod elsewhere;
        mod untold;
        use elsewhere as system;
    }
}

pub use demand::Demand;

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

/// CPU time, by who ran.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Cpu {
    /// The process's own code.
    pub user: Duration,
    /// The kernel on its behalf.
    pub system: Duration,
}

/// Why no thread of a process runs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Rest {
    /// They wait for something.
    Asleep,
    /// The process is suspended.
    Stopped,
}

/// How many threads a process has.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Threads {
    /// All of them.
    pub all: usize,
    /// Those that the kernel has put there for a ring: `io_uring`'s workers and pollers.
    pub of_rings: usize,
}

/// How often the threads of a process have given a processor away.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Switches {
    /// To wait for something. macOS does not tell the two apart, and all of them count here.
    pub voluntary: u64,
    /// Because others wanted it.
    pub involuntary: u64,
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
    pub const IS_TOLD: bool = cfg!(any(target_os = "linux", target_os = "macos"));

    /// Open descriptors.
    ///
    /// # Errors
    /// `harness` when the system does not tell.
    pub fn descriptors(&self) -> Result<usize, Failure> {
        system::descriptors(self.pid).map_err(|e| unknown("its descriptors", &e))
    }

    /// CPU time used so far.
    ///
    /// # Errors
    /// `harness` when the system does not tell.
    pub fn cpu(&self) -> Result<Cpu, Failure> {
        system::cpu(self.pid).map_err(|e| unknown("its CPU time", &e))
    }

    /// Its threads.
    ///
    /// # Errors
    /// `harness` when the system does not tell.
    pub fn threads(&self) -> Result<Threads, Failure> {
        system::threads(self.pid).map_err(|e| unknown("its threads", &e))
    }

    /// How often its threads have given a processor away so far.
    ///
    /// # Errors
    /// `harness` when the system does not tell.
    pub fn switches(&self) -> Result<Switches, Failure> {
        system::switches(self.pid).map_err(|e| unknown("its context switches", &e))
    }

    /// Whether `line` of the kernel's log has the number or the name of one of its threads.
    ///
    /// # Errors
    /// `harness` when the system does not tell.
    pub fn is_named_in(&self, line: &str) -> Result<bool, Failure> {
        let own = system::thread_names(self.pid).map_err(|e| unknown("its threads", &e))?;
        let has_number = |number: u32| {
            let mut numbers = line.split(|c: char| !c.is_ascii_digit()).flat_map(str::parse);
            numbers.any(|other: u32| other == number)
        };
        Ok(own.iter().any(|(number, name)| has_number(*number) || line.contains(name.as_str())))
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
        self.expect_rest(Rest::Asleep, "a server that sleeps")
    }

    /// Stops it (`SIGSTOP`) and waits until none of its threads runs.
    ///
    /// # Errors
    /// As [`Process::expect_asleep`].
    pub fn stop(&self) -> Result<(), Failure> {
        self.signal(Signal::Stop)?;
        self.expect_rest(Rest::Stopped, "a stopped server")
    }

    /// Waits until none of its threads runs, for this reason.
    fn expect_rest(&self, rest: Rest, what: &str) -> Result<(), Failure> {
        let deadline = self.clock.progress();
        while !system::rests(self.pid, rest).map_err(|e| unknown("its threads", &e))? {
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
