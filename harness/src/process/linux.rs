//! Reads another process's resources from procfs (proc(5)).

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::io;
use std::time::{Duration, Instant};

use nix::time::ClockId;
use procfs::process::{FDTarget, Process, Stat};
use procfs::{CurrentSI, FromRead as _, KernelStats};
use report::Transport;
use rustix::process::{Pid, PidfdFlags, PidfdGetfdFlags, pidfd_getfd, pidfd_open};
use socket2::Socket;

use super::demand::{Demand, ThreadTurns};
use super::fdinfo;
use super::links::{self, Target};
use super::readings::{Cpu, CpuTime, Rest, SOCKETS, SOCKETS_OF_RINGS, Switches, Threads};
use super::sockets::tcp_listeners;
use super::thread_states::RING_THREAD;
use crate::affinity;

pub(super) use super::fdinfo::rings;
pub(super) use super::snapshot_linux::snapshot;
pub(super) use super::sockets::{inheritable_descriptors, listening_sockets, own_sockets};
pub(super) use super::syscall_trace_linux::trace_calls;
pub(super) use super::tracepoint::ThreadCounters;

pub(super) fn descriptors(pid: u32) -> io::Result<usize> {
    let targets = links::targets(pid)?;
    Ok(targets.len() + count_sockets_of_rings(pid, &targets)?)
}

/// How many sockets a process holds only in the file tables of its rings, without a descriptor. A
/// ring that has no descriptor itself shows no table.
fn count_sockets_of_rings(pid: u32, targets: &BTreeMap<u32, Target>) -> io::Result<usize> {
    if !targets.values().any(|target| *target == Target::Ring) {
        return Ok(0);
    }
    let rings = fdinfo::read_rings(pid)?;
    let held: BTreeSet<u64> = rings.into_values().flat_map(|ring| ring.sockets).collect();
    let has_number = |inode: &u64| targets.values().any(|it| *it == Target::Socket(*inode));
    Ok(held.iter().filter(|inode| !has_number(inode)).count())
}

pub(super) fn descriptor_kinds(pid: u32) -> io::Result<BTreeMap<String, usize>> {
    let mut kinds = BTreeMap::new();
    for descriptor in process(pid)?.fd().map_err(io::Error::other)?.flatten() {
        let kind = match descriptor.target {
            FDTarget::Socket(_) => SOCKETS.to_owned(),
            FDTarget::Pipe(_) => "ends of pipes".to_owned(),
            FDTarget::AnonInode(name) => name,
            FDTarget::Path(_)
            | FDTarget::Net(_)
            | FDTarget::MemFD(_)
            | FDTarget::Other(..)
            | FDTarget::Unknown(..) => "files".to_owned(),
        };
        *kinds.entry(kind).or_default() += 1;
    }
    let held = count_sockets_of_rings(pid, &links::targets(pid)?)?;
    if held > 0 {
        kinds.insert(SOCKETS_OF_RINGS.to_owned(), held);
    }
    Ok(kinds)
}

pub(super) fn cpu(pid: u32) -> io::Result<Cpu> {
    let stat = process(pid)?.stat().map_err(io::Error::other)?;
    Ok(Cpu { user: ticks_to_time(stat.utime), system: ticks_to_time(stat.stime) })
}

/// The CPU time of a process, and of those that it has waited for.
pub(super) fn cpu_time_with_children(pid: u32) -> io::Result<Duration> {
    let stat = process(pid)?.stat().map_err(io::Error::other)?;
    Ok(ticks_to_time(stat.utime + stat.stime + ticks_of_children(&stat)))
}

fn ticks_of_children(stat: &Stat) -> u64 {
    u64::try_from(stat.cutime.saturating_add(stat.cstime)).unwrap_or_default()
}

fn ticks_to_time(ticks: u64) -> Duration {
    Duration::from_secs_f64(ticks as f64 / procfs::ticks_per_second() as f64)
}

/// The children that the first thread of a process has started; none if the kernel does not list
/// them (proc_tid_children(5)).
pub(super) fn children_of_first_thread(pid: u32) -> Vec<u32> {
    let listed = fs::read_to_string(format!("/proc/{pid}/task/{pid}/children")).unwrap_or_default();
    listed.split_whitespace().filter_map(|child| child.parse().ok()).collect()
}

/// Reads the clock of the process, which advances while its threads run. `stat` has the same time
/// in ticks, divided by what the threads did at each tick (`cputime_adjust` in the kernel's
/// sched/cputime.c). `schedstat` stands still during a turn and ends with its thread.
pub(super) fn cpu_time(pid: u32) -> io::Result<CpuTime> {
    let number = i32::try_from(pid).map_err(io::Error::other)?;
    let clock = ClockId::pid_cpu_clock_id(nix::unistd::Pid::from_raw(number))?;
    Ok(CpuTime { total: clock.now()?.into(), split: cpu(pid)? })
}

pub(super) fn demand(pid: u32) -> io::Result<Demand> {
    let mut demand =
        Demand { at: Instant::now(), threads: BTreeMap::new(), total_ran: Duration::ZERO };
    for task in process(pid)?.tasks().map_err(io::Error::other)?.flatten() {
        // A thread may end before it is read.
        if let Ok(stat) = task.schedstat() {
            let ran = Duration::from_nanos(stat.sum_exec_runtime);
            let waited = Duration::from_nanos(stat.run_delay);
            demand.threads.insert(task.tid.unsigned_abs(), ThreadTurns { ran, waited });
        }
    }
    if demand.threads.is_empty() {
        // A kernel without CONFIG_SCHED_INFO does not report waits.
        let Cpu { user, system } = cpu(pid)?;
        demand.threads.insert(pid, ThreadTurns { ran: user + system, waited: Duration::ZERO });
    }
    Ok(demand)
}

pub(super) fn resident_bytes(pid: u32) -> io::Result<u64> {
    let process = process(pid)?;
    // `stat` may lack what each processor has not added up yet, some hundred KiB per processor. For
    // `smaps_rollup` the kernel counts the pages.
    if let Ok(rollup) = process.smaps_rollup() {
        let maps = rollup.memory_map_rollup;
        if let Some(bytes) = maps.iter().find_map(|map| map.extension.map.get("Rss")) {
            return Ok(*bytes);
        }
    }
    let stat = process.stat().map_err(io::Error::other)?;
    Ok(stat.rss * procfs::page_size())
}

pub(super) fn reserved_bytes(pid: u32) -> io::Result<Option<u64>> {
    let status = process(pid)?.status().map_err(io::Error::other)?;
    Ok(status.vmdata.map(|kib| kib * 1024))
}

pub(super) fn threads(pid: u32) -> io::Result<Threads> {
    let mut threads = Threads::default();
    for task in process(pid)?.tasks().map_err(io::Error::other)?.flatten() {
        // A thread may end before it is read.
        if let Ok(stat) = task.stat() {
            threads.all += 1;
            threads.ring_threads += usize::from(stat.comm.starts_with(RING_THREAD));
        }
    }
    Ok(threads)
}

pub(super) fn thread_names(pid: u32) -> io::Result<Vec<(u32, String)>> {
    let tasks = process(pid)?.tasks().map_err(io::Error::other)?;
    let stats = tasks.flatten().flat_map(|task| task.stat());
    Ok(stats.map(|stat| (stat.pid.unsigned_abs(), stat.comm)).collect())
}

pub(super) fn cpus(pid: u32) -> io::Result<BTreeSet<usize>> {
    let mut all = BTreeSet::new();
    for task in process(pid)?.tasks().map_err(io::Error::other)?.flatten() {
        // A thread may end before it is read.
        if let Ok(cpus) = affinity::thread_cpus(Pid::from_raw(task.tid)) {
            all.extend(cpus.numbers());
        }
    }
    Ok(all)
}

pub(super) fn switches(pid: u32) -> io::Result<Switches> {
    let mut switches = Switches::default();
    for task in process(pid)?.tasks().map_err(io::Error::other)?.flatten() {
        if let Ok(status) = task.status() {
            switches.voluntary += status.voluntary_ctxt_switches.unwrap_or(0);
            switches.involuntary += status.nonvoluntary_ctxt_switches.unwrap_or(0);
        }
    }
    Ok(switches)
}

pub(super) fn count_io_waiters() -> io::Result<u64> {
    let waiting = KernelStats::current().map_err(io::Error::other)?.procs_blocked;
    waiting.map(u64::from).ok_or_else(|| io::Error::other("/proc/stat has no procs_blocked"))
}

pub(super) fn duplicate_end(pid: u32, port: u16, judge_port: u16) -> io::Result<Socket> {
    let number = i32::try_from(pid).ok().and_then(Pid::from_raw);
    let number = number.ok_or_else(|| io::Error::other("no process id"))?;
    let handle = pidfd_open(number, PidfdFlags::empty())?;
    for descriptor in process(pid)?.fd().map_err(io::Error::other)?.flatten() {
        if !matches!(descriptor.target, FDTarget::Socket(_)) {
            continue;
        }
        let socket = pidfd_getfd(&handle, descriptor.fd, PidfdGetfdFlags::empty())?;
        let socket = Socket::from(socket);
        let port_of = |address: io::Result<socket2::SockAddr>| {
            address.ok().and_then(|address| address.as_socket()).map(|address| address.port())
        };
        if port_of(socket.local_addr()) == Some(port)
            && port_of(socket.peer_addr()) == Some(judge_port)
        {
            return Ok(socket);
        }
    }
    Err(io::Error::other("no descriptor of the connection"))
}

pub(super) fn listener_owner(
    _: u32,
    supervisor: u32,
    transport: Transport,
    port: u16,
) -> io::Result<Option<u32>> {
    let sockets: Vec<u64> = match transport {
        Transport::Udp => {
            let table = [procfs::net::udp(), procfs::net::udp6()];
            let entries = table.into_iter().flatten().flatten();
            let bound = entries.filter(|entry| entry.local_address.port() == port);
            bound.map(|entry| entry.inode).collect()
        }
        Transport::Tcp | Transport::Unix | Transport::Unixgram => {
            let all = tcp_listeners().into_iter();
            all.filter(|(at, _)| at.port() == port).map(|(_, inode)| inode).collect()
        }
    };
    if sockets.is_empty() {
        return Ok(None);
    }
    // The server is the oldest process that has the listener. Processes that it forks for clients
    // have it too, and end with their client. At equal age, parents come before their children.
    let mut family = descendant_stats(supervisor)?;
    family.sort_by_key(|stat| stat.starttime);
    let holds = |stat: &Stat| {
        let descriptors = Process::new(stat.pid).and_then(|process| process.fd());
        descriptors.into_iter().flatten().flatten().any(|descriptor| {
            matches!(descriptor.target, FDTarget::Socket(inode) if sockets.contains(&inode))
        })
    };
    Ok(family.iter().find(|stat| holds(stat)).map(|stat| stat.pid.unsigned_abs()))
}

/// How long all processes below `root` have run, with their threads and their children that have
/// ended.
pub(super) fn descendants_cpu_time(root: u32) -> io::Result<Duration> {
    let number = i32::try_from(root).map_err(io::Error::other)?;
    let own = process(root)?.stat().map_err(io::Error::other)?;
    let all = select_descendants(number, all_stats()?);
    let used = |stat: &Stat| stat.utime + stat.stime + ticks_of_children(stat);
    Ok(ticks_to_time(all.iter().map(used).sum::<u64>() + ticks_of_children(&own)))
}

/// The running descendants of a process. The supervisor adopts processes whose parents are gone, so
/// they are below the supervisor as well.
pub(super) fn descendants(root: u32) -> io::Result<Vec<u32>> {
    Ok(descendant_stats(root)?.into_iter().map(|stat| stat.pid.unsigned_abs()).collect())
}

/// How many children of these processes have ended and were not waited for.
pub(super) fn count_unreaped(parents: &[u32]) -> io::Result<usize> {
    let is_child = |stat: &Stat| stat.state == 'Z' && parents.contains(&stat.ppid.unsigned_abs());
    Ok(all_stats()?.iter().filter(|stat| is_child(stat)).count())
}

/// The `stat` of every process on this host.
fn all_stats() -> io::Result<Vec<Stat>> {
    let mut stats = Vec::new();
    for entry in fs::read_dir("/proc")? {
        let entry = entry?;
        if !entry.file_name().as_encoded_bytes().iter().all(u8::is_ascii_digit) {
            continue;
        }
        // A process may end before it is read.
        stats.extend(Stat::from_file(entry.path().join("stat")).ok());
    }
    Ok(stats)
}

fn descendant_stats(root: u32) -> io::Result<Vec<Stat>> {
    let root = i32::try_from(root).map_err(io::Error::other)?;
    let mut rest = all_stats()?;
    // Processes that have ended and are not waited for do not run.
    rest.retain(|stat| !matches!(stat.state, 'Z' | 'X'));
    Ok(select_descendants(root, rest))
}

/// The descendants of `root` among these processes.
fn select_descendants(root: i32, mut rest: Vec<Stat>) -> Vec<Stat> {
    let mut members: Vec<Stat> = Vec::new();
    loop {
        let is_member =
            |stat: &Stat| stat.ppid == root || members.iter().any(|member| member.pid == stat.ppid);
        let (found, others): (Vec<Stat>, Vec<Stat>) = rest.into_iter().partition(is_member);
        if found.is_empty() {
            return members;
        }
        members.extend(found);
        rest = others;
    }
}

pub(super) fn is_at_rest(pid: u32, rest: Rest) -> io::Result<bool> {
    let state = match rest {
        Rest::Asleep => 'S',
        Rest::Stopped => 'T',
    };
    for task in process(pid)?.tasks().map_err(io::Error::other)? {
        let stat = task.and_then(|task| task.stat()).map_err(io::Error::other)?;
        if stat.state != state {
            return Ok(false);
        }
    }
    Ok(true)
}

fn process(pid: u32) -> io::Result<Process> {
    let pid = i32::try_from(pid).map_err(io::Error::other)?;
    Process::new(pid).map_err(io::Error::other)
}
