//! What libproc shows of another process of the same user: numbers. macOS does not show what the
//! process holds without `unsafe`.

use std::collections::BTreeMap;
use std::io;
use std::process::Command;
use std::sync::OnceLock;
use std::time::{Duration, Instant};

use libproc::bsd_info::BSDInfo;
use libproc::file_info::{ListFDs, ProcFDInfo, ProcFDType, pidfdinfo};
use libproc::net_info::SocketFDInfo;
use libproc::proc_pid::{listpidinfo, pidinfo};
use libproc::processes::{ProcFilter, pids_by_type};
use libproc::task_info::TaskInfo;

use super::demand::{Demand, Turns};
use super::readings::{Cpu, CpuTime, Rest, Switches, Threads};

pub(super) use super::linux_stubs::{
    Attached, cpus, descriptor_kinds, duplicate_end, listener_owner, own_sockets, reserved_bytes,
    rings, sight, thread_names, unwaited, waiting_for_io, waiting_sockets, watch,
};

pub(super) fn below(root: u32) -> io::Result<Vec<u32>> {
    let mut found = pids_by_type(ProcFilter::ByParentProcess { ppid: root })?;
    let mut looked_at = 0;
    while let Some(&parent) = found.get(looked_at) {
        found.extend(pids_by_type(ProcFilter::ByParentProcess { ppid: parent })?);
        looked_at += 1;
    }
    Ok(found)
}

pub(super) fn descriptors(pid: u32) -> io::Result<usize> {
    let pid = i32::try_from(pid).map_err(io::Error::other)?;
    Ok(files(pid)?.len())
}

fn files(pid: i32) -> io::Result<Vec<ProcFDInfo>> {
    let table = pidinfo::<BSDInfo>(pid, 0).map_err(io::Error::other)?.pbi_nfiles;
    // Room for more: a list that fills it may have been cut.
    let mut room = table as usize + 16;
    loop {
        let open = listpidinfo::<ListFDs>(pid, room).map_err(io::Error::other)?;
        if open.len() < room {
            return Ok(open);
        }
        room *= 2;
    }
}

pub(super) fn inheritable(pid: u32) -> io::Result<Vec<(i32, String)>> {
    /// `PROC_FP_CLEXEC` in sys/proc_info.h.
    const CLOSE_ON_EXEC: u32 = 2;
    /// Standard input, output and error are there to be inherited.
    const STREAMS: i32 = 3;
    let pid = i32::try_from(pid).map_err(io::Error::other)?;
    let is_socket = |file: &ProcFDInfo| file.proc_fdtype == ProcFDType::Socket as u32;
    let mut found = Vec::new();
    for file in files(pid)?.into_iter().filter(is_socket).filter(|file| file.proc_fd >= STREAMS) {
        // It may be closed between the listing and the look.
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

/// The task's times hold those of threads that have ended, and are exact by who ran.
pub(super) fn cpu_time(pid: u32) -> io::Result<CpuTime> {
    let split = cpu(pid)?;
    Ok(CpuTime { total: split.user + split.system, split })
}

pub(super) fn demand(pid: u32) -> io::Result<Demand> {
    let cpu = cpu(pid)?;
    // For how long its threads were ready and had to wait is not told.
    let turns = Turns { ran: cpu.user + cpu.system, held: Duration::ZERO };
    let threads = BTreeMap::from([(pid, turns)]);
    Ok(Demand { at: Instant::now(), threads, in_all: Duration::ZERO })
}

/// What has ended is in the times of tasks already, but for that of processes.
pub(super) fn ran_below(_: u32) -> io::Result<Duration> {
    Ok(Duration::ZERO)
}

pub(super) fn resident_bytes(pid: u32) -> io::Result<u64> {
    Ok(task(pid)?.pti_resident_size)
}

pub(super) fn threads(pid: u32) -> io::Result<Threads> {
    let all = usize::try_from(task(pid)?.pti_threadnum).map_err(io::Error::other)?;
    Ok(Threads { all, of_rings: 0 })
}

pub(super) fn switches(pid: u32) -> io::Result<Switches> {
    let all = u64::try_from(task(pid)?.pti_csw).map_err(io::Error::other)?;
    Ok(Switches { voluntary: all, involuntary: 0 })
}

pub(super) fn rests(pid: u32, rest: Rest) -> io::Result<bool> {
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

/// A time that libproc counts in ticks of the timebase: 24 MHz on Apple's processors, 1 GHz on
/// Intel's.
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

    #[test]
    fn a_process_sees_its_own_numbers() {
        let (pid, start) = (std::process::id(), Instant::now());
        let before = cpu(pid).unwrap();
        while start.elapsed() < Duration::from_millis(50) {
            std::hint::spin_loop();
        }
        let (now, elapsed) = (cpu(pid).unwrap(), start.elapsed());
        let used = (now.user + now.system).saturating_sub(before.user + before.system);
        // Other tests run beside this one.
        assert!(used > elapsed / 10, "{used:?} of {elapsed:?}");
        assert!(resident_bytes(pid).unwrap() > 1 << 20);
        assert!(threads(pid).unwrap().all >= 1);
        let open = descriptors(pid).unwrap();
        assert!(open >= 3, "{open} descriptors");
    }
}
