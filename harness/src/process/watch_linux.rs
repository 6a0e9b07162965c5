//! Tracing system calls with ptrace(2). The tracer is one thread; when it ends, the kernel detaches
//! everything that it traced.

use std::collections::BTreeMap;
use std::fs;
use std::io;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::Sender;
use std::thread;
use std::time::{Duration, Instant};

use nix::errno::Errno;
use nix::libc;
use nix::sys::ptrace::{self, Options};
use nix::sys::signal::Signal;
use nix::sys::wait::{WaitPidFlag, WaitStatus, waitpid};
use nix::unistd::{Pid, gettid};

use super::epolls;
use super::links::{Target, target};
use super::readings::Watched;
use super::sleepers::{Call, RING_THREAD};

/// How long all threads of a server may take until they are watched.
const PATIENCE: Duration = Duration::from_secs(5);
/// How long it sleeps when nothing has stopped: threads that it watches wait for it.
const PAUSE: Duration = Duration::from_micros(50);

/// Watches all threads of these processes, and what they start, until it is to `stop`. That it has
/// begun is `begun`, or why it cannot.
pub(super) fn watch(
    pids: &[u32],
    socket: u64,
    begun: &Sender<io::Result<()>>,
    stop: &AtomicBool,
) -> io::Result<Watched> {
    let mut watch = Watch { socket, threads: BTreeMap::new(), watched: Watched::default() };
    let attached = watch.attach(pids).and_then(|()| watch.stop_each());
    let is_begun = attached.is_ok();
    // Whoever waits for it may have given up.
    let _ = begun.send(attached);
    while is_begun && !stop.load(Ordering::Relaxed) {
        if !watch.step()? {
            thread::sleep(PAUSE);
        }
    }
    Ok(watch.watched)
}

struct Watch {
    socket: u64,
    threads: BTreeMap<Pid, Thread>,
    watched: Watched,
}

/// Where a watched thread is.
enum Thread {
    /// It has not stopped yet.
    Attached,
    /// In its own code.
    Outside,
    /// In a system call.
    Inside(Entry),
}

/// A system call, and its arguments.
#[derive(Clone, Copy)]
struct Entry {
    number: libc::c_long,
    arguments: [u64; 4],
}

impl Watch {
    fn attach(&mut self, pids: &[u32]) -> io::Result<()> {
        let options = Options::PTRACE_O_TRACESYSGOOD
            | Options::PTRACE_O_TRACECLONE
            | Options::PTRACE_O_TRACEFORK
            | Options::PTRACE_O_TRACEVFORK;
        // A thread that was there at the first look may start one that is there at the second.
        for _ in 0..2 {
            for pid in pids {
                for entry in fs::read_dir(format!("/proc/{pid}/task"))? {
                    let entry = entry?;
                    let name = entry.file_name();
                    let Some(number) = name.to_str().and_then(|name| name.parse().ok()) else {
                        continue;
                    };
                    let thread = Pid::from_raw(number);
                    let Ok(comm) = fs::read_to_string(entry.path().join("comm")) else { continue };
                    if comm.starts_with(RING_THREAD) || self.threads.contains_key(&thread) {
                        continue;
                    }
                    match ptrace::seize(thread, options).and_then(|()| ptrace::interrupt(thread)) {
                        Ok(()) => _ = self.threads.insert(thread, Thread::Attached),
                        Err(Errno::ESRCH) => {}
                        // It is watched already, as one that another has just started.
                        Err(_) if self.is_own(thread) => {}
                        Err(error) => return Err(error.into()),
                    }
                }
            }
        }
        Ok(())
    }

    fn is_own(&self, thread: Pid) -> bool {
        let status = fs::read_to_string(format!("/proc/{thread}/status")).unwrap_or_default();
        let tracer = status.lines().find_map(|line| line.strip_prefix("TracerPid:"));
        tracer.and_then(|number| number.trim().parse().ok()) == Some(gettid().as_raw())
            && !self.threads.is_empty()
    }

    /// Waits until each thread has stopped once: before that it is not watched.
    fn stop_each(&mut self) -> io::Result<()> {
        let start = Instant::now();
        while self.threads.values().any(|thread| matches!(thread, Thread::Attached)) {
            if start.elapsed() > PATIENCE {
                return Err(io::Error::other("a thread of the server does not stop"));
            }
            if !self.step()? {
                thread::sleep(PAUSE);
            }
        }
        Ok(())
    }

    /// Takes what one thread has stopped for, and lets it go on; false when none has.
    fn step(&mut self) -> io::Result<bool> {
        let flags = WaitPidFlag::WNOHANG | WaitPidFlag::__WALL | WaitPidFlag::__WNOTHREAD;
        let (thread, signal) = match waitpid(Pid::from_raw(-1), Some(flags)) {
            Ok(WaitStatus::StillAlive) | Err(Errno::ECHILD) => return Ok(false),
            Ok(WaitStatus::Exited(thread, _) | WaitStatus::Signaled(thread, ..)) => {
                self.threads.remove(&thread);
                return Ok(true);
            }
            Ok(WaitStatus::PtraceSyscall(thread)) => {
                self.crossed(thread)?;
                (thread, None)
            }
            Ok(WaitStatus::PtraceEvent(thread, ..)) => (thread, None),
            Ok(WaitStatus::Stopped(thread, signal)) => (thread, Some(signal)),
            Ok(WaitStatus::Continued(_)) => return Ok(true),
            Err(error) => return Err(error.into()),
        };
        self.go_on(thread, signal)?;
        Ok(true)
    }

    fn go_on(&mut self, thread: Pid, signal: Option<Signal>) -> io::Result<()> {
        let state = self.threads.entry(thread).or_insert(Thread::Outside);
        if matches!(state, Thread::Attached) {
            *state = Thread::Outside;
        }
        match ptrace::syscall(thread, signal) {
            // It was killed meanwhile.
            Ok(()) | Err(Errno::ESRCH) => Ok(()),
            Err(error) => Err(error.into()),
        }
    }

    /// A thread begins a system call, or ends it.
    fn crossed(&mut self, thread: Pid) -> io::Result<()> {
        let (entry, result) = match registers(thread) {
            Ok(registers) => registers,
            Err(error) if error.raw_os_error() == Some(libc::ESRCH) => return Ok(()),
            Err(error) => return Err(error),
        };
        let state = self.threads.insert(thread, Thread::Outside);
        if let Some(Thread::Inside(entry)) = state {
            self.ended(thread, entry, result);
        } else {
            self.threads.insert(thread, Thread::Inside(entry));
            self.began(thread, entry);
        }
        Ok(())
    }

    fn began(&mut self, thread: Pid, entry: Entry) {
        match Call::of(entry.number) {
            Some(Call::Epoll) => {
                let waits = epolls::waits_for(number(thread), entry.descriptor(), self.socket);
                self.watched.epoll_waits += u64::from(waits.unwrap_or(false));
            }
            Some(Call::Ring) => self.watched.ring_calls += 1,
            Some(Call::Read | Call::Poll | Call::Select) | None => {}
        }
    }

    fn ended(&mut self, thread: Pid, entry: Entry, result: i64) {
        if Call::of(entry.number) != Some(Call::Read) || entry.peeks() {
            return;
        }
        let Some(bytes) = u64::try_from(result).ok().filter(|bytes| *bytes > 0) else { return };
        let path = format!("/proc/{thread}/fd/{}", entry.descriptor());
        if target(path) == Target::Socket(self.socket) {
            // It says how many messages it took, not how long they were.
            let bytes = if entry.number == libc::SYS_recvmmsg { u64::MAX } else { bytes };
            self.watched.bytes_read = self.watched.bytes_read.saturating_add(bytes);
        }
    }
}

impl Entry {
    /// Its first argument. A descriptor is an int, whatever the upper half of its register has.
    fn descriptor(&self) -> u32 {
        self.arguments[0] as u32
    }

    /// Whether it leaves what it reads where it is.
    fn peeks(&self) -> bool {
        let flags = match self.number {
            libc::SYS_recvfrom | libc::SYS_recvmmsg => self.arguments[3],
            libc::SYS_recvmsg => self.arguments[2],
            _ => 0,
        };
        flags & u64::from(libc::MSG_PEEK.unsigned_abs()) != 0
    }
}

fn number(thread: Pid) -> u32 {
    thread.as_raw().unsigned_abs()
}

/// The system call that a stopped thread begins, or the result of the one that it ends.
#[cfg(all(target_env = "gnu", target_arch = "x86_64"))]
fn registers(thread: Pid) -> io::Result<(Entry, i64)> {
    /// The code segment of a 64-bit program.
    const LONG: u64 = 0x33;

    let registers = ptrace::getregs(thread)?;
    if registers.cs != LONG {
        return Err(io::Error::other("the server is a 32-bit program"));
    }
    let arguments = [registers.rdi, registers.rsi, registers.rdx, registers.r10];
    let entry = Entry { number: registers.orig_rax.cast_signed(), arguments };
    Ok((entry, registers.rax.cast_signed()))
}

#[cfg(all(target_env = "gnu", target_arch = "aarch64"))]
fn registers(thread: Pid) -> io::Result<(Entry, i64)> {
    let registers = ptrace::getregs(thread)?.regs;
    let arguments = [registers[0], registers[1], registers[2], registers[3]];
    Ok((Entry { number: registers[8].cast_signed(), arguments }, registers[0].cast_signed()))
}

#[cfg(not(all(target_env = "gnu", any(target_arch = "x86_64", target_arch = "aarch64"))))]
fn registers(_: Pid) -> io::Result<(Entry, i64)> {
    Err(io::Error::other("registers of this architecture are not read"))
}
