//! Reads the numbers that libproc reports about another process of the same user. What the process
//! holds can hardly be read without `unsafe`.

use std::collections::BTreeMap;
use std::io;
use std::process::Command;
use std::sync::OnceLock;
use std::time::{Duration, Instant};

use errno::{Errno, set_errno};
use libproc::bsd_info::BSDInfo;
use libproc::file_info::{ListFDs, ProcFDInfo, ProcFDType, pidfdinfo};
use libproc::net_info::SocketFDInfo;
use libproc::proc_pid::{listpidinfo, pidinfo};
use libproc::processes::{ProcFilter, pids_by_type};
use libproc::task_info::TaskInfo;

use super::demand::{Demand, ThreadTurns};
use super::readings::{Cpu, CpuTime, Rest, Switches, Threads};

pub(super) use super::linux_stubs::{
    ThreadCounters, children_of_first_thread, count_io_waiters, count_unreaped, cpus,
    descriptor_kinds, duplicate_end, listener_owner, listening_sockets, own_sockets,
    reserved_bytes, rings, snapshot, thread_names, trace_calls,
};

pub(super) fn descendants(root: u32) -> io::Result<Vec<u32>> {
    let mut found = children(root)?;
    let mut looked_at = 0;
    while let Some(&parent) = found.get(looked_at) {
        found.extend(children(parent)?);
        looked_at += 1;
    }
    Ok(found)
}

/// libproc 0.15 takes an empty list for a failure if errno is set, and the system call does not
/// reset it. This thread's last call on a non-blocking socket has often set it.
fn children(parent: u32) -> io::Result<Vec<u32>> {
    set_errno(Errno(0));
    pids_by_type(ProcFilter::ByParentProcess { ppid: parent })
}

pub(super) fn descriptors(pid: u32) -> io::Result<usize> {
    let pid = i32::try_from(pid).map_err(io::Error::other)?;
    Ok(files(pid)?.len())
}

fn files(pid: i32) -> io::Result<Vec<ProcFDInfo>> {
    let table = pidinfo::<BSDInfo>(pid, 0).map_err(io::Error::other)?.pbi_nfiles;
    // Room for more: a list that fills its buffer may be incomplete.
    let mut room = table as usize + 16;
    loop {
        let open = listpidinfo::<ListFDs>(pid, room).map_err(io::Error::other)?;
        if open.len() < room {
            return Ok(open);
        }
        room *= 2;
    }
}

pub(super) fn inheritable_descriptors(pid: u32) -> io::Result<Vec<(i32, String)>> {
    /// `PROC_FP_CLEXEC` in sys/proc_info.h.
    const CLOSE_ON_EXEC: u32 = 2;
    /// Standard input, output and error are meant to be inherited.
    const STREAMS: i32 = 3;
    let pid = i32::try_from(pid).map_err(io::Error::other)?;
    let is_socket = |file: &ProcFDInfo| file.proc_fdtype == ProcFDType::Socket as u32;
    let mut found = Vec::new();
    for file in files(pid)?.into_iter().filter(is_socket).filter(|file| file.proc_fd >= STREAMS) {
        // The descriptor may be closed before it is read.
        if let Ok(socket) = pidfdinfo::<SocketFDInfo>(pid, file.proc_fd)
            && socket.pfi.fi_status & CLOSE_ON_EXEC == 0
        {
            found.push((file.proc_fd, "socket".to_owned()));
        }
    }
    Ok(found)
}

pub(super) fn cpu(pid: u32) -> io::Result<Cpu> {
    let task = task(pid)?;
    Ok(Cpu { user: time(task.pti_total_user)?, system: time(task.pti_total_system)? })
}

/// macOS does not report the children that have ended.
pub(super) fn cpu_time_with_children(pid: u32) -> io::Result<Duration> {
    let own = cpu(pid)?;
    Ok(own.user + own.system)
}

/// A task's times include threads that have ended, and are exact for user and system time.
pub(super) fn cpu_time(pid: u32) -> io::Result<CpuTime> {
    let split = cpu(pid)?;
    Ok(CpuTime { total: split.user + split.system, split })
}

pub(super) fn demand(pid: u32) -> io::Result<Demand> {
    let cpu = cpu(pid)?;
    // macOS does not report how long the threads waited for a processor.
    let turns = ThreadTurns { ran: cpu.user + cpu.system, waited: Duration::ZERO };
    let threads = BTreeMap::from([(pid, turns)]);
    Ok(Demand { at: Instant::now(), threads, total_ran: Duration::ZERO })
}

/// The times of tasks include ended threads already. Ended processes are not counted.
pub(super) fn descendants_cpu_time(_: u32) -> io::Result<Duration> {
    Ok(Duration::ZERO)
}

pub(super) fn resident_bytes(pid: u32) -> io::Result<u64> {
    Ok(task(pid)?.pti_resident_size)
}

pub(super) fn threads(pid: u32) -> io::Result<Threads> {
    let all = usize::try_from(task(pid)?.pti_threadnum).map_err(io::Error::other)?;
    Ok(Threads { all, ring_threads: 0 })
}

pub(super) fn switches(pid: u32) -> io::Result<Switches> {
    let all = u64::try_from(task(pid)?.pti_csw).map_err(io::Error::other)?;
    Ok(Switches { voluntary: all, involuntary: 0 })
}

pub(super) fn is_at_rest(pid: u32, rest: Rest) -> io::Result<bool> {
    /// `SSTOP` in sys/proc.h: all threads of the process are suspended.
    const SUSPENDED: u32 = 4;
    match rest {
        Rest::Asleep => Ok(task(pid)?.pti_numrunning == 0),
        Rest::Stopped => {
            let pid = i32::try_from(pid).map_err(io::Error::other)?;
            let process = pidinfo::<BSDInfo>(pid, 0).map_err(io::Error::other)?;
            Ok(process.pbi_status == SUSPENDED)
        }
    }
}

fn task(pid: u32) -> io::Result<TaskInfo> {
    let pid = i32::try_from(pid).map_err(io::Error::other)?;
    pidinfo::<TaskInfo>(pid, 0).map_err(io::Error::other)
}

/// Converts ticks of the timebase, in which libproc counts: 24 MHz on Apple's processors, and 1 GHz
/// on Intel's.
fn time(ticks: u64) -> io::Result<Duration> {
    static TICKS_PER_SECOND: OnceLock<Option<u64>> = OnceLock::new();
    let frequency = TICKS_PER_SECOND.get_or_init(|| {
        let printed = Command::new("sysctl").args(["-n", "hw.tbfrequency"]).output().ok()?.stdout;
        String::from_utf8(printed).ok()?.trim().parse().ok().filter(|frequency| *frequency > 0)
    });
    let frequency = frequency.ok_or_else(|| io::Error::other("no sysctl hw.tbfrequency"))?;
    Ok(Duration::from_secs_f64(ticks as f64 / frequency as f64))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A call on a non-blocking socket leaves an errno that libproc must not take for its own.
    #[test]
    fn a_process_without_children_has_none_whatever_failed_before() {
        let socket = std::net::UdpSocket::bind("127.0.0.1:0").unwrap();
        socket.set_nonblocking(true).unwrap();
        assert!(socket.recv(&mut [0]).is_err());
        let mut child = Command::new("sleep").arg("10").spawn().unwrap();
        assert!(socket.recv(&mut [0]).is_err());
        let found = descendants(child.id());
        child.kill().unwrap();
        child.wait().unwrap();
        assert!(found.unwrap().is_empty());
    }

    #[test]
    fn a_process_sees_its_own_numbers() {
        let (pid, start) = (std::process::id(), Instant::now());
        let before = cpu(pid).unwrap();
        while start.elapsed() < Duration::from_millis(50) {
            std::hint::spin_loop();
        }
        let (now, elapsed) = (cpu(pid).unwrap(), start.elapsed());
        let used = (now.user + now.system).saturating_sub(before.user + before.system);
        // Other tests run at the same time.
        assert!(used > elapsed / 10, "{used:?} of {elapsed:?}");
        assert!(resident_bytes(pid).unwrap() > 1 << 20);
        assert!(threads(pid).unwrap().all >= 1);
        let open = descriptors(pid).unwrap();
        assert!(open >= 3, "{open} descriptors");
    }
}
