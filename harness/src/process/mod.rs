//! Measures a server's process from outside: through procfs on Linux, and partly through libproc on
//! macOS. If a system does not report something, the cases that need it are unavailable, which the
//! plan knows before any server starts.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use report::{Failure, FailureKind, Transport};
use socket2::Socket;

use crate::affinity::Cpus;

mod calls;
mod cpu_time;
mod demand;
mod exposure;
mod io_wait;
mod readings;
mod signals;
mod snapshot;
mod submissions;
mod syscall_trace;

cfg_if::cfg_if! {
    if #[cfg(target_os = "linux")] {
        mod epolls;
        mod fdinfo;
        mod links;
        mod linux;
        mod snapshot_linux;
        mod thread_states;
        mod sockets;
        mod tracepoint;
        mod syscall_trace_linux;
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
    Cpu, ListeningSocket, RingCounters, RingId, SOCKETS, SOCKETS_OF_RINGS, Snapshot, Switches,
    Threads, TracedCalls,
};
pub use signals::Signal;
pub use submissions::Submissions;

/// The process below `supervisor` that listens on `port`; `None` if another program listens there.
/// Where the system does not report it, this is `started`.
///
/// # Errors
/// The system refuses to report it.
pub(crate) fn listener_owner(
    started: u32,
    supervisor: u32,
    transport: Transport,
    port: u16,
) -> std::io::Result<Option<u32>> {
    system::listener_owner(started, supervisor, transport, port)
}

/// The counters of each ring of one process.
///
/// # Errors
/// The system refuses to report them.
pub fn rings(pid: u32) -> std::io::Result<BTreeMap<RingId, RingCounters>> {
    system::rings(pid)
}

/// How often to read a state that is waited for.
const POLL_INTERVAL: Duration = Duration::from_millis(5);

/// A server's process and all that it has started. Each reading is the sum over all of them.
#[derive(Clone, Debug)]
pub struct Process {
    /// The process that listens. It gets the signals that end a server.
    pid: u32,
    /// Every process below this one belongs to the server.
    supervisor: u32,
}

impl Process {
    #[must_use]
    pub fn new(pid: u32, supervisor: u32) -> Self {
        Self { pid, supervisor }
    }

    /// The ids of all processes of the server, the listening one first.
    fn family(&self) -> Result<Vec<u32>, Failure> {
        let mut family = vec![self.pid];
        let below =
            system::descendants(self.supervisor).map_err(|e| unknown("its processes", &e))?;
        family.extend(below.into_iter().filter(|pid| *pid != self.pid));
        Ok(family)
    }

    /// Calls `look` for each process of the server, and leaves out those that have ended.
    fn read_each<T>(
        &self,
        what: &str,
        look: impl Fn(u32) -> std::io::Result<T>,
    ) -> Result<Vec<T>, Failure> {
        let mut seen = Vec::new();
        let mut refusal = None;
        for pid in self.family()? {
            match look(pid) {
                Ok(one) => seen.push(one),
                Err(e) if self.has_process(pid)? => return Err(unknown(what, &e)),
                // This process has ended, and uses nothing.
                Err(e) => refusal = Some(e),
            }
        }
        match refusal {
            Some(e) if seen.is_empty() => Err(unknown(what, &e)),
            Some(_) | None => Ok(seen),
        }
    }

    /// Whether this process of the server still runs.
    fn has_process(&self, pid: u32) -> Result<bool, Failure> {
        let below =
            system::descendants(self.supervisor).map_err(|e| unknown("its processes", &e))?;
        Ok(below.contains(&pid))
    }

    /// Whether this system reports another process's resources. It is for cases that can also be
    /// judged without them.
    pub const IS_SUPPORTED: bool = cfg!(any(target_os = "linux", target_os = "macos"));

    /// The number of the server's processes.
    ///
    /// # Errors
    /// `harness` if the system does not report it.
    pub fn count(&self) -> Result<usize, Failure> {
        Ok(self.family()?.len())
    }

    /// The descriptors of the process that has the most: the limit holds for each process.
    ///
    /// # Errors
    /// See [`Process::descriptors`].
    pub fn most_descriptors(&self) -> Result<usize, Failure> {
        let of_each = self.read_each("its descriptors", system::descriptors)?;
        Ok(of_each.into_iter().max().unwrap_or(0))
    }

    /// The number of sockets that do not belong to clients, which use the transport `clients`. Zero
    /// if the system does not report them.
    ///
    /// # Errors
    /// `harness` if the system refuses to report them.
    pub fn own_sockets(&self, clients: Transport) -> Result<usize, Failure> {
        let look = |pid| system::own_sockets(pid, clients);
        Ok(self.read_each("its sockets", look)?.into_iter().sum())
    }

    /// Open descriptors, and sockets that only the file table of a ring holds.
    ///
    /// # Errors
    /// `harness` if the system does not report them.
    pub fn descriptors(&self) -> Result<usize, Failure> {
        Ok(self.read_each("its descriptors", system::descriptors)?.into_iter().sum())
    }

    /// The number of open descriptors of each kind: sockets, pipes, files, or the kernel's name of
    /// an anonymous inode. Empty if the system does not report them.
    ///
    /// # Errors
    /// `harness` if the system refuses to report them.
    pub fn descriptor_kinds(&self) -> Result<BTreeMap<String, usize>, Failure> {
        let mut all = BTreeMap::new();
        for of_one in self.read_each("the kinds of its descriptors", system::descriptor_kinds)? {
            for (kind, count) in of_one {
                *all.entry(kind).or_default() += count;
            }
        }
        Ok(all)
    }

    /// CPU time used so far.
    ///
    /// # Errors
    /// `harness` if the system does not report it.
    pub fn cpu(&self) -> Result<Cpu, Failure> {
        let of_each = self.read_each("its CPU time", system::cpu)?;
        let sum = |part: fn(&Cpu) -> Duration| of_each.iter().map(part).sum();
        Ok(Cpu { user: sum(|cpu| cpu.user), system: sum(|cpu| cpu.system) })
    }

    /// The number of threads.
    ///
    /// # Errors
    /// `harness` if the system does not report it.
    pub fn threads(&self) -> Result<Threads, Failure> {
        let of_each = self.read_each("its threads", system::threads)?;
        let sum = |part: fn(&Threads) -> usize| of_each.iter().map(part).sum();
        Ok(Threads {
            all: sum(|threads| threads.all),
            ring_threads: sum(|threads| threads.ring_threads),
        })
    }

    /// The number of children that have ended and that the server has not waited for.
    ///
    /// # Errors
    /// `harness` if the system does not report it.
    pub fn unreaped_children(&self) -> Result<usize, Failure> {
        system::count_unreaped(&self.family()?)
            .map_err(|e| unknown("its children that have ended", &e))
    }

    /// The processors that any thread of the server may run on. They show whether all threads stay
    /// where the judge put the server: the server may move its threads, and the kernel may move
    /// those that it runs for a ring.
    ///
    /// # Errors
    /// `harness` if the system does not report them.
    pub fn cpus(&self) -> Result<Option<Cpus>, Failure> {
        let of_each = self.read_each("its processors", system::cpus)?;
        Ok(Cpus::new(of_each.into_iter().flatten()))
    }

    /// Context switches of all threads so far.
    ///
    /// # Errors
    /// `harness` if the system does not report them.
    pub fn switches(&self) -> Result<Switches, Failure> {
        let of_each = self.read_each("its context switches", system::switches)?;
        let sum = |part: fn(&Switches) -> u64| of_each.iter().map(part).sum();
        Ok(Switches { voluntary: sum(|s| s.voluntary), involuntary: sum(|s| s.involuntary) })
    }

    /// Whether a line of the kernel's log contains the id or the name of one of the server's
    /// threads.
    ///
    /// # Errors
    /// `harness` if the system does not report the threads.
    pub fn is_named_in(&self, line: &str) -> Result<bool, Failure> {
        let own = self.read_each("its threads", system::thread_names)?.concat();
        let has_number = |number: u32| {
            let mut numbers = line.split(|c: char| !c.is_ascii_digit()).flat_map(str::parse);
            numbers.any(|other: u32| other == number)
        };
        Ok(own.iter().any(|(number, name)| has_number(*number) || line.contains(name.as_str())))
    }

    /// Resident memory in bytes.
    ///
    /// # Errors
    /// `harness` if the system does not report it.
    pub fn resident_bytes(&self) -> Result<u64, Failure> {
        Ok(self.read_each("its resident memory", system::resident_bytes)?.into_iter().sum())
    }

    /// Writable memory in bytes, whether or not it was used: what the server has asked the system
    /// for. `None` if the system does not report it.
    ///
    /// # Errors
    /// `harness` if the system refuses to report it.
    pub fn reserved_bytes(&self) -> Result<Option<u64>, Failure> {
        let of_each = self.read_each("its memory", system::reserved_bytes)?;
        Ok(of_each.into_iter().sum())
    }

    /// Duplicates the server's end of the connection between its `port` and `judge_port`, so that
    /// the judge sees what is left in it. The connection ends only when both have closed it.
    ///
    /// # Errors
    /// `harness` if the system does not allow that, or the server has no descriptor of the
    /// connection.
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

    /// Returns a function that reads how long the server has run, and how long each of its threads
    /// was ready to run but not running. The function returns `None` once the server has ended. If
    /// a reading fails, it returns the previous one. It finds new processes within 0.5 s; on Linux,
    /// it finds a child of a process's first thread at the next call, if the kernel lists children.
    /// On Linux, the CPU time includes that of ended processes for which their parent has waited.
    pub fn into_processor_time_reader(
        self,
    ) -> impl FnMut() -> Option<(Duration, BTreeMap<u32, Duration>)> + Send {
        const POLL_INTERVAL: Duration = Duration::from_millis(500);
        let mut family: (Vec<u32>, Option<Instant>) = (Vec::new(), None);
        let mut last = (Duration::ZERO, BTreeMap::new());
        move || {
            if family.1.is_none_or(|found| found.elapsed() >= POLL_INTERVAL) {
                family = (self.family().unwrap_or_else(|_| vec![self.pid]), Some(Instant::now()));
            }
            let mut looked_at = 0;
            while let Some(&pid) = family.0.get(looked_at) {
                let children = system::children_of_first_thread(pid);
                let new = children.into_iter().filter(|pid| !family.0.contains(pid));
                let new: Vec<u32> = new.collect();
                family.0.extend(new);
                looked_at += 1;
            }
            let mut ran = Duration::ZERO;
            let mut waited = BTreeMap::new();
            for pid in &family.0 {
                let time = system::cpu_time_with_children(*pid);
                let (Ok(demand), Ok(time)) = (system::demand(*pid), time) else { continue };
                // Includes threads that have ended.
                ran += time;
                waited.extend(
                    demand.threads.into_iter().map(|(thread, turns)| (thread, turns.waited)),
                );
            }
            if !waited.is_empty() {
                last = (ran, waited);
            } else if !self.has_process(self.pid).unwrap_or(true) {
                return None;
            }
            Some(last.clone())
        }
    }

    /// The server's use of the processors so far.
    ///
    /// # Errors
    /// `harness` if the system does not report it.
    pub fn demand(&self) -> Result<Demand, Failure> {
        let of_each = self.read_each("its demand for processors", system::demand)?;
        let total_ran = system::descendants_cpu_time(self.supervisor);
        let total_ran = total_ran.map_err(|e| unknown("its demand for processors", &e))?;
        Ok(Demand { total_ran, ..Demand::combine(of_each) })
    }
}

fn unknown(what: &str, error: &std::io::Error) -> Failure {
    Failure::new(FailureKind::Harness, what, error.to_string())
}
