//! What procfs tells about another process (proc(5)).

use std::collections::BTreeMap;
use std::fs;
use std::io;
use std::thread;
use std::time::{Duration, Instant};

use procfs::net::TcpState;
use procfs::process::{FDTarget, Process, Stat};
use rustix::process::{Pid, PidfdFlags, PidfdGetfdFlags, pidfd_getfd, pidfd_open};
use socket2::Socket;

use super::{Demand, Rings, Turns};

pub(super) fn descriptors(pid: u32) -> io::Result<usize> {
    Ok(fs::read_dir(format!("/proc/{pid}/fd"))?.count())
}

pub(super) fn cpu(pid: u32) -> io::Result<Duration> {
    let stat = process(pid)?.stat().map_err(io::Error::other)?;
    let ticks = stat.utime + stat.stime;
    Ok(Duration::from_secs_f64(ticks as f64 / procfs::ticks_per_second() as f64))
}

pub(super) fn demand(pid: u32) -> io::Result<Demand> {
    let mut demand = Demand { at: Instant::now(), threads: BTreeMap::new() };
    for task in process(pid)?.tasks().map_err(io::Error::other)?.flatten() {
        // A thread may end between the listing and the look.
        if let Ok(stat) = task.schedstat() {
            let ran = Duration::from_nanos(stat.sum_exec_runtime);
            let held = Duration::from_nanos(stat.run_delay);
            demand.threads.insert(task.tid.unsigned_abs(), Turns { ran, held });
        }
    }
    if demand.threads.is_empty() {
        // A kernel without CONFIG_SCHED_INFO tells only what they had.
        demand.threads.insert(pid, Turns { ran: cpu(pid)?, held: Duration::ZERO });
    }
    Ok(demand)
}

pub(super) fn resident_bytes(pid: u32) -> io::Result<u64> {
    let stat = process(pid)?.stat().map_err(io::Error::other)?;
    Ok(stat.rss * procfs::page_size())
}

pub(super) fn rings(pid: u32) -> io::Result<Rings> {
    let mut rings = Rings::default();
    for number in holding(pid, "anon_inode:[io_uring]")? {
        rings.count += 1;
        rings.completions += completions(&format!("/proc/{pid}/fdinfo/{number}"))?;
    }
    Ok(rings)
}

/// How many completions a ring has had. While the kernel works on the ring it tells nothing of it
/// (`mutex_trylock` in io_uring/fdinfo.c), so it is asked again.
fn completions(fdinfo: &str) -> io::Result<u64> {
    const PATIENCE: Duration = Duration::from_secs(5);
    let start = Instant::now();
    loop {
        let text = fs::read_to_string(fdinfo)?;
        let tail = text.lines().find_map(|line| line.strip_prefix("CqTail:"));
        match tail.and_then(|tail| tail.trim().parse().ok()) {
            Some(tail) => return Ok(tail),
            None if start.elapsed() < PATIENCE => thread::sleep(Duration::from_millis(1)),
            None => return Err(io::Error::other("fdinfo without CqTail")),
        }
    }
}

pub(super) fn has_epoll(pid: u32) -> io::Result<bool> {
    Ok(!holding(pid, "anon_inode:[eventpoll]")?.is_empty())
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

pub(super) fn listener_owner(root: u32, port: u16) -> io::Result<Option<u32>> {
    let table = [procfs::net::tcp(), procfs::net::tcp6()];
    let sockets: Vec<u64> = table
        .into_iter()
        .flatten()
        .flatten()
        .filter(|entry| entry.state == TcpState::Listen && entry.local_address.port() == port)
        .map(|entry| entry.inode)
        .collect();
    if sockets.is_empty() {
        return Ok(None);
    }
    // The youngest: below a shell or a package manager, the server itself comes last.
    let mut family = family(root)?;
    family.sort_by_key(|stat| std::cmp::Reverse(stat.starttime));
    let holds = |stat: &Stat| {
        let descriptors = Process::new(stat.pid).and_then(|process| process.fd());
        descriptors.into_iter().flatten().flatten().any(|descriptor| {
            matches!(descriptor.target, FDTarget::Socket(inode) if sockets.contains(&inode))
        })
    };
    Ok(family.iter().find(|stat| holds(stat)).map(|stat| stat.pid.unsigned_abs()))
}

/// A process, what it has started, and so on, as far as they still run; also those of its group
/// whose parents are gone.
fn family(root: u32) -> io::Result<Vec<Stat>> {
    let root = i32::try_from(root).map_err(io::Error::other)?;
    let all = procfs::process::all_processes().map_err(io::Error::other)?;
    let mut rest: Vec<Stat> = all.flatten().filter_map(|process| process.stat().ok()).collect();
    let mut members: Vec<Stat> = Vec::new();
    loop {
        let is_member = |stat: &Stat| {
            stat.pid == root
                || stat.pgrp == root
                || members.iter().any(|member| member.pid == stat.ppid)
        };
        let (found, others): (Vec<Stat>, Vec<Stat>) = rest.into_iter().partition(is_member);
        if found.is_empty() {
            return Ok(members);
        }
        members.extend(found);
        rest = others;
    }
}

pub(super) fn are_threads(pid: u32, state: char) -> io::Result<bool> {
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

/// The descriptors of a process that are links to `target`.
fn holding(pid: u32, target: &str) -> io::Result<Vec<String>> {
    let mut numbers = Vec::new();
    for entry in fs::read_dir(format!("/proc/{pid}/fd"))? {
        let entry = entry?;
        // A descriptor may be closed between the listing and the look.
        let is_target = fs::read_link(entry.path()).is_ok_and(|link| link.as_os_str() == target);
        if is_target {
            numbers.push(entry.file_name().to_string_lossy().into_owned());
        }
    }
    Ok(numbers)
}
