//! A server's process, measured from outside: through procfs on Linux, and partly through libproc
//! on macOS. If a system does not show something, the cases that need it are unavailable, which the
//! plan knows before any server starts.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use report::{Failure, FailureKind, Transport};
use socket2::Socket;

use crate::affinity::Cpus;

mod calls;
mod cpu_time;
mod demand;
mod holdings;
mod io_wait;
mod readings;
mod sight;
mod signals;
mod submissions;
mod watch;

cfg_if::cfg_if! {
    if #[cfg(target_os = "linux")] {
        mod epolls;
        mod fdinfo;
        mod links;
        mod linux;
        mod sight_linux;
        mod sleepers;
        mod sockets;
        mod tracepoint;
        mod watch_linux;
        use linux as system;
    } else if #[cfg(target_os = "macos")] {
        mod macos;
        mod linux_stubs;
        use macos as system;
    } else {
        mod stubs;
        mod linux_stubs;
        use stubs as system;
    }
}

pub use calls::{CallCounter, Calls};
pub use cpu_time::{CpuTimes, CpuUse};
pub use demand::Demand;
pub use readings::{
    Cpu, RingCounters, RingId, SOCKETS, SOCKETS_OF_RINGS, Sight, Switches, Threads, Waiting,
    Watched,
};
pub use signals::Signal;
pub use submissions::Submissions;

/// The process below `supervisor` that listens on a port on which somebody does; none if that is a
/// stranger. Where the system does not tell, `started` is believed to be the one.
///
/// # Errors
/// When the system refuses to tell.
pub(crate) fn listener_owner(
    started: u32,
    supervisor: u32,
    transport: Transport,
    port: u16,
) -> std::io::Result<Option<u32>> {
    system::listener_owner(started, supervisor, transport, port)
}

/// The rings of one process, and what each has had so far.
///
/// # Errors
/// When the system refuses to tell.
pub fn rings(pid: u32) -> std::io::Result<BTreeMap<RingId, RingCounters>> {
    system::rings(pid)
}

/// How often a state of a process is looked at while a deadline runs.
const LOOK_EVERY: Duration = Duration::from_millis(5);

/// A server's process, with all that it has started: what is told of it is the sum.
#[derive(Clone, Debug)]
pub struct Process {
    /// The one that listens, and gets the signals that end a server.
    pid: u32,
    /// Whatever runs below this one is the server.
    supervisor: u32,
}

impl Process {
    /// The process of this id, and all that run below the one of `supervisor`.
    #[must_use]
    pub fn new(pid: u32, supervisor: u32) -> Self {
        Self { pid, supervisor }
    }

    /// The ids of all its processes.
    fn family(&self) -> Result<Vec<u32>, Failure> {
        let mut family = vec![self.pid];
        let below = system::below(self.supervisor).map_err(|e| unknown("its processes", &e))?;
        family.extend(below.into_iter().filter(|pid| *pid != self.pid));
        Ok(family)
    }

    /// What `look` sees in each of its processes.
    fn in_each<T>(
        &self,
        what: &str,
        look: impl Fn(u32) -> std::io::Result<T>,
    ) -> Result<Vec<T>, Failure> {
        let mut seen = Vec::new();
        let mut refusal = None;
        for pid in self.family()? {
            match look(pid) {
                Ok(one) => seen.push(one),
                Err(e) if self.has(pid)? => return Err(unknown(what, &e)),
                // It has ended since, and uses nothing.
                Err(e) => refusal = Some(e),
            }
        }
        match refusal {
            Some(e) if seen.is_empty() => Err(unknown(what, &e)),
            Some(_) | None => Ok(seen),
        }
    }

    /// Whether one of its processes still runs.
    fn has(&self, pid: u32) -> Result<bool, Failure> {
        let below = system::below(self.supervisor).map_err(|e| unknown("its processes", &e))?;
        Ok(below.contains(&pid))
    }

    /// Whether this system tells about another process's resources, for a case that is worth
    /// judging without them too.
    pub const IS_TOLD: bool = cfg!(any(target_os = "linux", target_os = "macos"));

    /// How many processes it is.
    ///
    /// # Errors
    /// `harness` when the system does not tell.
    pub fn count(&self) -> Result<usize, Failure> {
        Ok(self.family()?.len())
    }

    /// Those of the process that has most of them: a limit is that of each.
    ///
    /// # Errors
    /// As [`Process::descriptors`].
    pub fn most_descriptors(&self) -> Result<usize, Failure> {
        let of_each = self.in_each("its descriptors", system::descriptors)?;
        Ok(of_each.into_iter().max().unwrap_or(0))
    }

    /// Sockets that are its own and not those of clients, who come over this transport. None are
    /// known where the system does not tell.
    ///
    /// # Errors
    /// `harness` when the system refuses to tell.
    pub fn own_sockets(&self, clients: Transport) -> Result<usize, Failure> {
        let look = |pid| system::own_sockets(pid, clients);
        Ok(self.in_each("its sockets", look)?.into_iter().sum())
    }

    /// Open descriptors, and sockets that only the file table of a ring holds.
    ///
    /// # Errors
    /// `harness` when the system does not tell.
    pub fn descriptors(&self) -> Result<usize, Failure> {
        Ok(self.in_each("its descriptors", system::descriptors)?.into_iter().sum())
    }

    /// How many open descriptors of each kind: sockets, pipes, files, or what the kernel calls
    /// those without a name in a file system. Empty where the system does not tell.
    ///
    /// # Errors
    /// `harness` when the system refuses to tell.
    pub fn descriptor_kinds(&self) -> Result<BTreeMap<String, usize>, Failure> {
        let mut all = BTreeMap::new();
        for of_one in self.in_each("the kinds of its descriptors", system::descriptor_kinds)? {
            for (kind, count) in of_one {
                *all.entry(kind).or_default() += count;
            }
        }
        Ok(all)
    }

    /// CPU time used so far.
    ///
    /// # Errors
    /// `harness` when the system does not tell.
    pub fn cpu(&self) -> Result<Cpu, Failure> {
        let of_each = self.in_each("its CPU time", system::cpu)?;
        let sum = |part: fn(&Cpu) -> Duration| of_each.iter().map(part).sum();
        Ok(Cpu { user: sum(|cpu| cpu.user), system: sum(|cpu| cpu.system) })
    }

    /// Its threads.
    ///
    /// # Errors
    /// `harness` when the system does not tell.
    pub fn threads(&self) -> Result<Threads, Failure> {
        let of_each = self.in_each("its threads", system::threads)?;
        let sum = |part: fn(&Threads) -> usize| of_each.iter().map(part).sum();
        Ok(Threads { all: sum(|threads| threads.all), of_rings: sum(|threads| threads.of_rings) })
    }

    /// Processes that it has started, that have ended, and that it has not waited for.
    ///
    /// # Errors
    /// `harness` when the system does not tell.
    pub fn unwaited_children(&self) -> Result<usize, Failure> {
        system::unwaited(&self.family()?).map_err(|e| unknown("its children that have ended", &e))
    }

    /// The processors that any of its threads may run on, to see whether all of them stay where
    /// the server was put: it may move them, and so may the kernel those that it has for a ring.
    ///
    /// # Errors
    /// `harness` when the system does not tell.
    pub fn cpus(&self) -> Result<Option<Cpus>, Failure> {
        let of_each = self.in_each("its processors", system::cpus)?;
        Ok(Cpus::of(of_each.into_iter().flatten()))
    }

    /// How often its threads have given a processor away so far.
    ///
    /// # Errors
    /// `harness` when the system does not tell.
    pub fn switches(&self) -> Result<Switches, Failure> {
        let of_each = self.in_each("its context switches", system::switches)?;
        let sum = |part: fn(&Switches) -> u64| of_each.iter().map(part).sum();
        Ok(Switches { voluntary: sum(|s| s.voluntary), involuntary: sum(|s| s.involuntary) })
    }

    /// Whether `line` of the kernel's log has the number or the name of one of its threads.
    ///
    /// # Errors
    /// `harness` when the system does not tell.
    pub fn is_named_in(&self, line: &str) -> Result<bool, Failure> {
        let own = self.in_each("its threads", system::thread_names)?.concat();
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
        Ok(self.in_each("its resident memory", system::resident_bytes)?.into_iter().sum())
    }

    /// Memory that it may write to, in bytes, whether it has used it or not: that is what it has
    /// asked the system for.
    ///
    /// # Errors
    /// `harness` when the system does not tell.
    pub fn reserved_bytes(&self) -> Result<Option<u64>, Failure> {
        let of_each = self.in_each("its memory", system::reserved_bytes)?;
        Ok(of_each.into_iter().sum())
    }

    /// A duplicate of its end of the connection between its `port` and the judge's, through which
    /// the judge sees what is left in it. The connection ends only when both have closed it.
    ///
    /// # Errors
    /// `harness` when the system does not allow that, or it has no descriptor of the connection.
    pub fn duplicate_end(&self, port: u16, judge_port: u16) -> Result<Socket, Failure> {
        let mut found = Err(std::io::ErrorKind::NotFound.into());
        for pid in self.family()? {
            found = system::duplicate_end(pid, port, judge_port);
            if found.is_ok() {
                break;
            }
        }
        found.map_err(|e| unknown("its end of a connection", &e))
    }

    /// Tells, whenever it is called, how long it has run, and how long each of its threads was
    /// ready to run and did not, as far as the system does; nothing once it has ended. Processes
    /// that it starts are found within half a second. A look that fails says nothing.
    pub fn turns(self) -> impl FnMut() -> Option<(Duration, BTreeMap<u32, Duration>)> + Send {
        const LOOK_EVERY: Duration = Duration::from_millis(500);
        let mut family = (vec![self.pid], Instant::now());
        let mut last = (Duration::ZERO, BTreeMap::new());
        move || {
            if family.1.elapsed() >= LOOK_EVERY {
                family = (self.family().unwrap_or_else(|_| vec![self.pid]), Instant::now());
            }
            let mut ran = Duration::ZERO;
            let mut held = BTreeMap::new();
            for pid in &family.0 {
                let (Ok(demand), Ok(cpu)) = (system::demand(*pid), system::cpu(*pid)) else {
                    continue;
                };
                // With that of threads that have ended.
                ran += cpu.user + cpu.system;
                held.extend(demand.threads.into_iter().map(|(thread, turns)| (thread, turns.held)));
            }
            if !held.is_empty() {
                last = (ran, held);
            } else if !self.has(self.pid).unwrap_or(true) {
                return None;
            }
            Some(last.clone())
        }
    }

    /// What it has had of the processors so far.
    ///
    /// # Errors
    /// `harness` when the system does not tell.
    pub fn demand(&self) -> Result<Demand, Failure> {
        let of_each = self.in_each("its demand for processors", system::demand)?;
        let in_all = system::ran_below(self.supervisor);
        let in_all = in_all.map_err(|e| unknown("its demand for processors", &e))?;
        Ok(Demand { in_all, ..Demand::of_all(of_each) })
    }
}

fn unknown(what: &str, error: &std::io::Error) -> Failure {
    Failure::new(FailureKind::Harness, what, error.to_string())
}
