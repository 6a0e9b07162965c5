//! The process between the harness and a server: this same program, started again with
//! [`SUPERVISE`] as its first argument. It is the parent of the server's process group, holds a
//! socket to the harness, and kills the group when that socket closes, so a killed harness leaves
//! nothing behind. On Linux it also kills servers that forked into sessions of their own. It has
//! its own process group, so it outlives the signals that a terminal, timeout(1) or a cancelled job
//! sends to the harness's group. If the supervisor itself is killed, Linux kills the server.

use std::ffi::OsString;
use std::io::{self, BufRead, BufReader, Write};
use std::net::TcpStream;
use std::path::PathBuf;
use std::process::{Child, Command, ExitStatus};
#[cfg(unix)]
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;

#[cfg(unix)]
use crate::at_limit::{ACCEPT_AT_LIMIT, accept_at_limit};
use crate::restrict::Restrictions;

/// First argument of a program that shall supervise a server.
pub const SUPERVISE: &str = "supervise";
/// First argument of a program that shall restrict itself and become another.
pub const RESTRICT: &str = "restrict";
/// First argument of a program that shall only try to start a thread.
pub(crate) const START_THREAD: &str = "start-thread";
/// Its exit status when it was refused.
pub(crate) const THREAD_REFUSED: i32 = 11;
/// Option of [`RESTRICT`], before all others: the process to end with.
const PARENT: &str = "--parent";

/// Does what the arguments ask for if they ask for one of these, which then ends this process.
/// To be called first in the `main` of every program that starts servers. One that is not asked
/// gets as many descriptors as it may have, which a client of 1000 connections needs.
pub fn run_if_asked() {
    let mut arguments = std::env::args_os().skip(1);
    let first = arguments.next().unwrap_or_default();
    let rest: Vec<OsString> = arguments.collect();
    let done = match first.to_str() {
        Some(SUPERVISE) => supervise(rest),
        Some(RESTRICT) => restrict(rest),
        Some(START_THREAD) => start_thread(),
        #[cfg(unix)]
        Some(ACCEPT_AT_LIMIT) => accept_at_limit(),
        Some(_) | None => return raise_descriptor_limit(),
    };
    let status = match done {
        Ok(()) => 0,
        Err(e) => {
            eprintln!("{}: {e}", first.display());
            1
        }
    };
    std::process::exit(status);
}

#[cfg(unix)]
fn raise_descriptor_limit() {
    use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
    let limit = getrlimit(Resource::Nofile);
    // macOS refuses more than OPEN_MAX, whatever its hard limit says (setrlimit(2)).
    let most = if cfg!(target_os = "macos") { Some(10_240) } else { limit.maximum };
    let wanted = limit.maximum.map_or(most, |hard| most.map(|most| most.min(hard)));
    // What stays too low makes the cases that need more fail with a reason.
    let _ = setrlimit(Resource::Nofile, Rlimit { current: wanted, maximum: limit.maximum });
}

#[cfg(not(unix))]
fn raise_descriptor_limit() {}

/// `restrict [--parent PID] [RESTRICTIONS] -- PROGRAM ARGUMENTS`: restricts this process, then
/// becomes PROGRAM, which is killed as soon as its parent, the process PID, has ended.
fn restrict(arguments: Vec<OsString>) -> io::Result<()> {
    let (own, command) = split(arguments)?;
    let own = own.into_iter().map(|a| a.into_string().unwrap_or_default()).collect::<Vec<_>>();
    let (parent, restrictions) = match own.as_slice() {
        [option, parent, rest @ ..] if option == PARENT => (Some(parent), rest),
        all => (None, all),
    };
    let restrictions = Restrictions::from_args(restrictions)
        .map_err(|e| io::Error::new(io::ErrorKind::InvalidInput, e))?;
    restrictions.apply()?;
    // Last: the kernel forgets it when the process becomes another user's (prctl(2)).
    if let Some(parent) = parent {
        end_with(parent)?;
    }
    become_program(&command)
}

/// `start-thread`: ends with [`THREAD_REFUSED`] if it cannot.
fn start_thread() -> io::Result<()> {
    match thread::Builder::new().spawn(|| {}) {
        Ok(_) => Ok(()),
        Err(e) if e.kind() == io::ErrorKind::WouldBlock => std::process::exit(THREAD_REFUSED),
        Err(e) => Err(e),
    }
}

/// Asks the kernel to kill this process, and what it executes, when its parent ends
/// (`PR_SET_PDEATHSIG` of prctl(2)).
#[cfg(target_os = "linux")]
fn end_with(parent: &str) -> io::Result<()> {
    use rustix::process::{Signal, getppid, set_parent_process_death_signal};
    set_parent_process_death_signal(Some(Signal::KILL))?;
    // It may have ended before that.
    let is_alive = getppid().is_some_and(|now| now.as_raw_nonzero().to_string() == parent);
    if is_alive { Ok(()) } else { Err(io::Error::other("its supervisor has ended")) }
}

#[cfg(not(target_os = "linux"))]
fn end_with(_: &str) -> io::Result<()> {
    Err(io::ErrorKind::Unsupported.into())
}

#[cfg(unix)]
fn become_program(command: &[OsString]) -> io::Result<()> {
    use std::os::unix::process::CommandExt as _;
    let refused = Command::new(&command[0]).args(&command[1..]).exec();
    Err(io::Error::new(refused.kind(), format!("{}: {refused}", command[0].display())))
}

#[cfg(not(unix))]
fn become_program(command: &[OsString]) -> io::Result<()> {
    let status = Command::new(&command[0]).args(&command[1..]).status()?;
    std::process::exit(status.code().unwrap_or(1));
}

/// `supervise ADDRESS TOKEN [RESTRICTIONS] -- PROGRAM ARGUMENTS`: runs PROGRAM with this process's
/// standard streams, says on the socket when it starts and how it ends, and kills it when asked to.
fn supervise(arguments: Vec<OsString>) -> io::Result<()> {
    let (own, command) = split(arguments)?;
    let [address, token, restrictions @ ..] = own.as_slice() else {
        return Err(io::Error::new(io::ErrorKind::InvalidInput, "expected ADDRESS TOKEN"));
    };
    // SIGINT, SIGTERM and SIGHUP end the harness, and its end is what counts here. The server does
    // not inherit that: execve(2) resets signals that are handled, and leaves those ignored.
    ctrlc::set_handler(|| {}).map_err(io::Error::other)?;
    let mut control = TcpStream::connect(address.to_string_lossy().as_ref())?;
    // At once: whoever sends anything else is a stranger.
    control.write_all(token_line(&token.to_string_lossy()).as_bytes())?;
    adopt_orphans()?;
    let mut server = below(restrictions, &command)?;
    #[cfg(unix)]
    {
        use std::os::unix::process::CommandExt as _;
        server.process_group(0);
    }
    let child = match spawn(&mut server) {
        Ok(child) => child,
        Err(e) => {
            writeln!(control, "failed {}: {e}", command[0].display())?;
            return Ok(());
        }
    };
    writeln!(control, "started {}", child.id())?;
    let status = watch(child, &control)?;
    // The harness may be gone, and then nobody wants to know.
    let _ = writeln!(control, "exited {} cpu_ms {}", exit_words(status), children_cpu_ms());
    Ok(())
}

/// What a supervisor says first.
pub(crate) fn token_line(token: &str) -> String {
    format!("token {token}\n")
}

/// How often the start of one program is asked for.
const ATTEMPTS: u32 = 5;
/// `ERROR_INTERNAL_ERROR`, which wine gives for a process that ended before its first instruction
/// (its `NtCreateUserProcess`). A few of a thousand do on a busy host.
const NEVER_BEGAN: i32 = 1359;

/// Starts a program. A start of which wine says that nothing of the program ran is asked for again.
///
/// # Errors
/// As [`Command::spawn`].
pub(crate) fn spawn(command: &mut Command) -> io::Result<Child> {
    let never_began =
        |error: &io::Error| cfg!(windows) && error.raw_os_error() == Some(NEVER_BEGAN);
    for _ in 1..ATTEMPTS {
        match command.spawn() {
            Err(error) if never_began(&error) => {}
            result => return result,
        }
    }
    command.spawn()
}

/// This program, to be started again. Linux has a name for it that holds when the file is replaced
/// by a build in the middle of a run (proc_pid_exe(5)).
pub(crate) fn own_program() -> io::Result<PathBuf> {
    if cfg!(target_os = "linux") {
        return Ok(PathBuf::from("/proc/self/exe"));
    }
    std::env::current_exe()
}

/// The command of a server that ends with this process, as far as the system has that.
fn below(restrictions: &[OsString], command: &[OsString]) -> io::Result<Command> {
    if restrictions.is_empty() && !cfg!(target_os = "linux") {
        let mut server = Command::new(&command[0]);
        server.args(&command[1..]);
        return Ok(server);
    }
    let mut server = Command::new(own_program()?);
    server.arg(RESTRICT);
    if cfg!(target_os = "linux") {
        server.arg(PARENT).arg(std::process::id().to_string());
    }
    server.args(restrictions).arg("--").args(command);
    Ok(server)
}

/// CPU time of the server and all it waited for, 0 where the system does not tell.
fn children_cpu_ms() -> u64 {
    #[cfg(target_os = "linux")]
    {
        let stat = procfs::process::Process::myself().and_then(|own| own.stat());
        let ticks = stat.map(|stat| stat.cutime + stat.cstime).unwrap_or(0);
        u64::try_from(ticks).unwrap_or(0) * 1000 / procfs::ticks_per_second()
    }
    #[cfg(not(target_os = "linux"))]
    0
}

fn split(arguments: Vec<OsString>) -> io::Result<(Vec<OsString>, Vec<OsString>)> {
    let invalid = || io::Error::new(io::ErrorKind::InvalidInput, "expected -- PROGRAM");
    let dashes = arguments.iter().position(|a| a == "--").ok_or_else(invalid)?;
    let command = arguments[dashes + 1..].to_vec();
    if command.is_empty() {
        return Err(invalid());
    }
    Ok((arguments[..dashes].to_vec(), command))
}

/// Waits for the server's end; a thread kills its whole group when the harness asks or is gone.
#[cfg(unix)]
fn watch(mut child: Child, control: &TcpStream) -> io::Result<ExitStatus> {
    use rustix::io::Errno;
    use rustix::process::{Pid, Signal, WaitId, WaitIdOptions, kill_process_group, waitid};
    let group = i32::try_from(child.id()).ok().and_then(Pid::from_raw);
    let leader = Arc::new(Mutex::new(group));
    let orders = BufReader::new(control.try_clone()?);
    let to_kill = Arc::clone(&leader);
    thread::spawn(move || {
        await_kill_order(orders);
        if let Some(group) = *to_kill.lock().unwrap_or_else(PoisonError::into_inner) {
            // Fails only when nobody is left.
            let _ = kill_process_group(group, Signal::KILL);
        }
    });
    if let Some(group) = group {
        // Not waited for yet: its number is nobody else's.
        let ended = WaitIdOptions::EXITED | WaitIdOptions::NOWAIT;
        while let Err(Errno::INTR) = waitid(WaitId::Pid(group), ended) {}
        let mut leader = leader.lock().unwrap_or_else(PoisonError::into_inner);
        *leader = None;
        // What the server itself started and left behind.
        let _ = kill_process_group(group, Signal::KILL);
    }
    let status = child.wait()?;
    kill_orphans();
    Ok(status)
}

/// What the server starts becomes this process's child when its parent ends, in whatever session
/// or group it is (`PR_SET_CHILD_SUBREAPER` of prctl(2)).
#[cfg(target_os = "linux")]
fn adopt_orphans() -> io::Result<()> {
    Ok(rustix::process::set_child_subreaper(Some(rustix::process::getpid()))?)
}

#[cfg(not(target_os = "linux"))]
fn adopt_orphans() -> io::Result<()> {
    Ok(())
}

/// Kills all children, and those that they leave behind, until there are none.
#[cfg(target_os = "linux")]
fn kill_orphans() {
    use rustix::process::{Pid, Signal, WaitOptions, getpid, kill_process, wait};
    let own = getpid().as_raw_nonzero().get();
    // Without children there is nothing to wait for (ECHILD).
    while let Ok(ended) = wait(WaitOptions::NOHANG) {
        if ended.is_some() {
            continue;
        }
        let all = procfs::process::all_processes().into_iter().flatten().flatten();
        let stats = all.filter_map(|process| process.stat().ok());
        for orphan in stats.filter(|stat| stat.ppid == own) {
            if let Some(orphan) = Pid::from_raw(orphan.pid) {
                // Fails only when it has ended.
                let _ = kill_process(orphan, Signal::KILL);
            }
        }
        // Those that live have children that come next.
        let _ = wait(WaitOptions::empty());
    }
}

#[cfg(all(unix, not(target_os = "linux")))]
fn kill_orphans() {}

/// Waits for the server's end. Windows has no groups to kill without job objects; a server there
/// also ends by itself when the harness's end of its standard input is gone.
#[cfg(not(unix))]
fn watch(mut child: Child, control: &TcpStream) -> io::Result<ExitStatus> {
    use std::sync::mpsc::{RecvTimeoutError, channel};
    use std::time::Duration;
    let (order, ordered) = channel();
    let orders = BufReader::new(control.try_clone()?);
    thread::spawn(move || {
        await_kill_order(orders);
        let _ = order.send(());
    });
    loop {
        if let Some(status) = child.try_wait()? {
            return Ok(status);
        }
        // Waiting for a process and an order at once takes system calls that std does not offer.
        match ordered.recv_timeout(Duration::from_millis(10)) {
            Err(RecvTimeoutError::Timeout) => {}
            Ok(()) | Err(RecvTimeoutError::Disconnected) => {
                child.kill()?;
                return child.wait();
            }
        }
    }
}

/// Returns when the harness says "kill" or its end of the socket is closed.
fn await_kill_order(mut orders: BufReader<TcpStream>) {
    let mut line = String::new();
    while matches!(orders.read_line(&mut line), Ok(n) if n > 0) && line.trim() != "kill" {
        line.clear();
    }
}

#[cfg(unix)]
fn exit_words(status: ExitStatus) -> String {
    use std::os::unix::process::ExitStatusExt as _;
    match (status.code(), status.signal()) {
        (Some(code), _) => format!("code {code}"),
        (None, signal) => format!("signal {}", signal.unwrap_or(0)),
    }
}

#[cfg(not(unix))]
fn exit_words(status: ExitStatus) -> String {
    format!("code {}", status.code().unwrap_or(-1))
}
