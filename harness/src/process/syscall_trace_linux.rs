//! Traces system calls with ptrace(2). One thread is the tracer; when it ends, the kernel detaches
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
use super::readings::TracedCalls;
use super::thread_states::{Call, RING_THREAD};

/// How long it may take until all threads of a server are traced.
const PATIENCE: Duration = Duration::from_secs(5);
/// How long the tracer sleeps if no thread has stopped. It is short, because traced threads wait
/// for the tracer.
const PAUSE: Duration = Duration::from_micros(50);

/// Traces all threads of these processes, and what they start, until `stop` is set. Sends to
/// `begun` that tracing has begun, or why it cannot.
pub(super) fn trace_calls(
    pids: &[u32],
    socket: u64,
    begun: &Sender<io::Result<()>>,
    stop: &AtomicBool,
) -> io::Result<TracedCalls> {
    let mut tracer = Tracer { socket, threads: BTreeMap::new(), calls: TracedCalls::default() };
    let attached = tracer.attach(pids).and_then(|()| tracer.wait_for_stops());
    let is_begun = attached.is_ok();
    // The receiver may have given up.
    let _ = begun.send(attached);
    while is_begun && !stop.load(Ordering::Relaxed) {
        if !tracer.handle_next_stop()? {
            thread::sleep(PAUSE);
        }
    }
    Ok(tracer.calls)
}

struct Tracer {
    socket: u64,
    threads: BTreeMap<Pid, Thread>,
    calls: TracedCalls,
}

/// Where a traced thread is.
enum Thread {
    /// It has not stopped yet.
    Attached,
    /// It runs its own code.
    Outside,
    /// It is in a system call.
    Inside(Entry),
}

/// A system call and its arguments.
#[derive(Clone, Copy)]
struct Entry {
    number: libc::c_long,
    arguments: [u64; 4],
}

impl Tracer {
    fn attach(&mut self, pids: &[u32]) -> io::Result<()> {
        let options = Options::PTRACE_O_TRACESYSGOOD
            | Options::PTRACE_O_TRACECLONE
            | Options::PTRACE_O_TRACEFORK
            | Options::PTRACE_O_TRACEVFORK;
        // Looks twice, because a thread found by the first look may have started another one before
        // it was traced.
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
                        // It is traced already, because a traced thread has just started it.
                        Err(_) if self.is_traced_here(thread) => {}
                        Err(error) => return Err(error.into()),
                    }
                }
            }
        }
        Ok(())
    }

    fn is_traced_here(&self, thread: Pid) -> bool {
        let status = fs::read_to_string(format!("/proc/{thread}/status")).unwrap_or_default();
        let tracer = status.lines().find_map(|line| line.strip_prefix("TracerPid:"));
        tracer.and_then(|number| number.trim().parse().ok()) == Some(gettid().as_raw())
            && !self.threads.is_empty()
    }

    /// Waits until each thread has stopped once; before that it is not traced.
    fn wait_for_stops(&mut self) -> io::Result<()> {
        let start = Instant::now();
        while self.threads.values().any(|thread| matches!(thread, Thread::Attached)) {
            if start.elapsed() > PATIENCE {
                return Err(io::Error::other("a thread of the server does not stop"));
            }
            if !self.handle_next_stop()? {
                thread::sleep(PAUSE);
            }
        }
        Ok(())
    }

    /// Handles one thread that has stopped, and lets it continue. Returns false if none has
    /// stopped.
    fn handle_next_stop(&mut self) -> io::Result<bool> {
        let flags = WaitPidFlag::WNOHANG | WaitPidFlag::__WALL | WaitPidFlag::__WNOTHREAD;
        let (thread, signal) = match waitpid(Pid::from_raw(-1), Some(flags)) {
            Ok(WaitStatus::StillAlive) | Err(Errno::ECHILD) => return Ok(false),
            Ok(WaitStatus::Exited(thread, _) | WaitStatus::Signaled(thread, ..)) => {
                self.threads.remove(&thread);
                return Ok(true);
            }
            Ok(WaitStatus::PtraceSyscall(thread)) => {
                self.handle_syscall_stop(thread)?;
                (thread, None)
            }
            Ok(WaitStatus::PtraceEvent(thread, ..)) => (thread, None),
            Ok(WaitStatus::Stopped(thread, signal)) => (thread, Some(signal)),
            Ok(WaitStatus::Continued(_)) => return Ok(true),
            Err(error) => return Err(error.into()),
        };
        self.resume(thread, signal)?;
        Ok(true)
    }

    fn resume(&mut self, thread: Pid, signal: Option<Signal>) -> io::Result<()> {
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

    /// Handles a thread that enters or leaves a system call.
    fn handle_syscall_stop(&mut self, thread: Pid) -> io::Result<()> {
        let (entry, result) = match registers(thread) {
            Ok(registers) => registers,
            Err(error) if error.raw_os_error() == Some(libc::ESRCH) => return Ok(()),
            Err(error) => return Err(error),
        };
        let state = self.threads.insert(thread, Thread::Outside);
        if let Some(Thread::Inside(entry)) = state {
            self.on_exit(thread, entry, result);
        } else {
            self.threads.insert(thread, Thread::Inside(entry));
            self.on_entry(thread, entry);
        }
        Ok(())
    }

    fn on_entry(&mut self, thread: Pid, entry: Entry) {
        match Call::from_number(entry.number) {
            Some(Call::Epoll) => {
                let waits = epolls::waits_for(number(thread), entry.descriptor(), self.socket);
                self.calls.epoll_waits += u64::from(waits.unwrap_or(false));
            }
            Some(Call::Ring) => self.calls.ring_calls += 1,
            Some(Call::Read | Call::Poll | Call::Select) | None => {}
        }
    }

    fn on_exit(&mut self, thread: Pid, entry: Entry, result: i64) {
        if Call::from_number(entry.number) != Some(Call::Read) || entry.is_peek() {
            return;
        }
        let Some(bytes) = u64::try_from(result).ok().filter(|bytes| *bytes > 0) else { return };
        let path = format!("/proc/{thread}/fd/{}", entry.descriptor());
        if target(path) == Target::Socket(self.socket) {
            // recvmmsg(2) returns how many messages it received, not how many bytes.
            let bytes = if entry.number == libc::SYS_recvmmsg { u64::MAX } else { bytes };
            self.calls.bytes_read = self.calls.bytes_read.saturating_add(bytes);
        }
    }
}

impl Entry {
    /// The first argument. A descriptor is an int, whatever the upper half of its register
    /// contains.
    fn descriptor(&self) -> u32 {
        self.arguments[0] as u32
    }

    /// Whether the call leaves what it reads in the socket.
    fn is_peek(&self) -> bool {
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

/// The system call that a stopped thread enters, or the result of the one that it leaves.
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
