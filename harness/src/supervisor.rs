//! The process between the harness and a server: this same program, started again with
//! [`SUPERVISE`] as its first argument. It is the parent of the server's process group and holds a
//! socket to the harness. When that socket closes, it kills the group, so a killed harness leaves
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
use crate::accept_trial::{ACCEPT_AT_LIMIT, accept_at_limit};
use crate::restrict::Restrictions;

/// The first argument that makes this program supervise a server.
pub const SUPERVISE: &str = "supervise";
/// The first argument that makes this program restrict itself and execute another program.
pub const RESTRICT: &str = "restrict";
/// The first argument that makes this program try to start a thread.
pub(crate) const START_THREAD: &str = "start-thread";
/// Exit status of [`START_THREAD`] if the system refused the thread.
pub(crate) const THREAD_REFUSED: i32 = 11;
/// Option of [`RESTRICT`], before all others: the id of the parent. The kernel kills the program
/// when that process ends.
const PARENT: &str = "--parent";

/// Runs the mode that the first argument names, such as [`SUPERVISE`] or [`RESTRICT`], and then
/// ends this process. Without such an argument it raises the limit on descriptors as far as the
/// system allows, because a client with 1000 connections needs that. Every program that starts
/// servers must call this first in `main`.
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
    // macOS refuses more than OPEN_MAX, whatever the hard limit is (setrlimit(2)).
    let most = if cfg!(target_os = "macos") { Some(10_240) } else { limit.maximum };
    let wanted = limit.maximum.map_or(most, |hard| most.map(|most| most.min(hard)));
    // If the limit stays too low, the cases that need more fail with a reason.
    let _ = setrlimit(Resource::Nofile, Rlimit { current: wanted, maximum: limit.maximum });
}

#[cfg(not(unix))]
fn raise_descriptor_limit() {}

/// `restrict [--parent PID] [RESTRICTIONS] -- PROGRAM ARGUMENTS`: restricts this process, then
/// executes PROGRAM. With `--parent`, the kernel kills PROGRAM when its parent, the process PID,
/// ends.
fn restrict(arguments: Vec<OsString>) -> io::Result<()> {
    let (own, command) = split_command(arguments)?;
    let own = own.into_iter().map(|a| a.into_string().unwrap_or_default()).collect::<Vec<_>>();
    let (parent, restrictions) = match own.as_slice() {
        [option, parent, rest @ ..] if option == PARENT => (Some(parent), rest),
        all => (None, all),
    };
    let restrictions = Restrictions::from_args(restrictions)
        .map_err(|e| io::Error::new(io::ErrorKind::InvalidInput, e))?;
    restrictions.apply()?;
    // Last, because the kernel forgets it when the process changes its user (prctl(2)).
    if let Some(parent) = parent {
        die_with_parent(parent)?;
    }
    become_program(&command)
}

/// `start-thread`: exits with [`THREAD_REFUSED`] if the system refuses the thread.
fn start_thread() -> io::Result<()> {
    match thread::Builder::new().spawn(|| {}) {
        Ok(_) => Ok(()),
        Err(e) if e.kind() == io::ErrorKind::WouldBlock => std::process::exit(THREAD_REFUSED),
        Err(e) => Err(e),
    }
}

/// Asks the kernel to kill this process, and the program it executes, when its parent ends
/// (`PR_SET_PDEATHSIG` of prctl(2)).
#[cfg(target_os = "linux")]
fn die_with_parent(parent: &str) -> io::Result<()> {
    use rustix::process::{Signal, getppid, set_parent_process_death_signal};
    set_parent_process_death_signal(Some(Signal::KILL))?;
    // The parent may have ended before the request.
    let is_alive = getppid().is_some_and(|now| now.as_raw_nonzero().to_string() == parent);
    if is_alive { Ok(()) } else { Err(io::Error::other("its supervisor has ended")) }
}

#[cfg(not(target_os = "linux"))]
fn die_with_parent(_: &str) -> io::Result<()> {
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
/// standard streams, reports its start and its end on the socket, and kills it on request.
fn supervise(arguments: Vec<OsString>) -> io::Result<()> {
    let (own, command) = split_command(arguments)?;
    let [address, token, restrictions @ ..] = own.as_slice() else {
        return Err(io::Error::new(io::ErrorKind::InvalidInput, "expected ADDRESS TOKEN"));
    };
    #[cfg(unix)]
    close_inherited_descriptors()?;
    // SIGINT, SIGTERM and SIGHUP end the harness, and the supervisor ends when the harness does.
    // The server does not inherit this handler: execve(2) resets handled signals. Ignored signals
    // stay ignored.
    ctrlc::set_handler(|| {}).map_err(io::Error::other)?;
    let mut control = TcpStream::connect(address.to_string_lossy().as_ref())?;
    // Sent at once: the harness closes connections that begin with anything else.
    control.write_all(token_line(&token.to_string_lossy()).as_bytes())?;
    adopt_orphans()?;
    let mut server = server_command(restrictions, &command)?;
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
    let status = wait_for_end(child, &control)?;
    // If the harness is gone, nobody reads this.
    let _ = writeln!(control, "exited {} cpu_ms {}", describe_exit(status), children_cpu_ms());
    Ok(())
}

/// Closes all descriptors but the standard streams. On macOS, a socket is first opened, and marked
/// close-on-exec only after that. A supervisor that is started in between inherits a client's
/// socket. If it passed the socket on to its server, the client could not end its connection.
#[cfg(unix)]
fn close_inherited_descriptors() -> io::Result<()> {
    const LAST_STREAM: i32 = 2;
    let folder = if cfg!(target_os = "linux") { "/proc/self/fd" } else { "/dev/fd" };
    let names = std::fs::read_dir(folder)?.map(|entry| entry.map(|entry| entry.file_name()));
    let names = names.collect::<io::Result<Vec<_>>>()?;
    let numbers = names.iter().filter_map(|name| name.to_str()?.parse().ok());
    for descriptor in numbers.filter(|number: &i32| *number > LAST_STREAM) {
        // Fails for the descriptor that has listed the folder, which is closed already.
        let _ = nix::unistd::close(descriptor);
    }
    Ok(())
}

/// The first line that a supervisor sends.
pub(crate) fn token_line(token: &str) -> String {
    format!("token {token}\n")
}

/// How many times to try to start a program.
const ATTEMPTS: u32 = 5;
/// `ERROR_INTERNAL_ERROR`, which wine's `NtCreateUserProcess` returns for a process that ended
/// before its first instruction. On a busy host, a few of a thousand do.
const ERROR_INTERNAL_ERROR: i32 = 1359;

/// Starts a program. If wine reports that nothing of the program ran, starts it again.
///
/// # Errors
/// See [`Command::spawn`].
pub(crate) fn spawn(command: &mut Command) -> io::Result<Child> {
    let never_began =
        |error: &io::Error| cfg!(windows) && error.raw_os_error() == Some(ERROR_INTERNAL_ERROR);
    for _ in 1..ATTEMPTS {
        match command.spawn() {
            Err(error) if never_began(&error) => {}
            result => return result,
        }
    }
    command.spawn()
}

/// The path of this program, to start it again. `/proc/self/exe` stays valid if a build replaces
/// the file during a run (proc_pid_exe(5)).
pub(crate) fn this_program() -> io::Result<PathBuf> {
    if cfg!(target_os = "linux") {
        return Ok(PathBuf::from("/proc/self/exe"));
    }
    std::env::current_exe()
}

/// The command of a server that ends when this process ends, if the system supports that.
fn server_command(restrictions: &[OsString], command: &[OsString]) -> io::Result<Command> {
    if restrictions.is_empty() && !cfg!(target_os = "linux") {
        let mut server = Command::new(&command[0]);
        server.args(&command[1..]);
        return Ok(server);
    }
    let mut server = Command::new(this_program()?);
    server.arg(RESTRICT);
    if cfg!(target_os = "linux") {
        server.arg(PARENT).arg(std::process::id().to_string());
    }
    server.args(restrictions).arg("--").args(command);
    Ok(server)
}

/// CPU time of the server and of all processes it waited for; 0 on systems other than Linux.
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

fn split_command(arguments: Vec<OsString>) -> io::Result<(Vec<OsString>, Vec<OsString>)> {
    let invalid = || io::Error::new(io::ErrorKind::InvalidInput, "expected -- PROGRAM");
    let dashes = arguments.iter().position(|a| a == "--").ok_or_else(invalid)?;
    let command = arguments[dashes + 1..].to_vec();
    if command.is_empty() {
        return Err(invalid());
    }
    Ok((arguments[..dashes].to_vec(), command))
}

/// Waits for the server's end. A thread kills the server's whole group when the harness asks for it
/// or is gone.
#[cfg(unix)]
fn wait_for_end(mut child: Child, control: &TcpStream) -> io::Result<ExitStatus> {
    use rustix::io::Errno;
    use rustix::process::{Pid, Signal, WaitId, WaitIdOptions, kill_process_group, waitid};
    let group = i32::try_from(child.id()).ok().and_then(Pid::from_raw);
    let leader = Arc::new(Mutex::new(group));
    let orders = BufReader::new(control.try_clone()?);
    let to_kill = Arc::clone(&leader);
    thread::spawn(move || {
        await_kill_order(orders);
        if let Some(group) = *to_kill.lock().unwrap_or_else(PoisonError::into_inner) {
            // Fails only if no process of the group is left.
            let _ = kill_process_group(group, Signal::KILL);
        }
    });
    if let Some(group) = group {
        // The server is not reaped yet, so no other process can have its id.
        let ended = WaitIdOptions::EXITED | WaitIdOptions::NOWAIT;
        while let Err(Errno::INTR) = waitid(WaitId::Pid(group), ended) {}
        let mut leader = leader.lock().unwrap_or_else(PoisonError::into_inner);
        *leader = None;
        // The processes that the server started and left behind.
        let _ = kill_process_group(group, Signal::KILL);
    }
    let status = child.wait()?;
    kill_orphans();
    Ok(status)
}

/// Makes this process adopt each descendant of the server whose parent ends, in any session or
/// group (`PR_SET_CHILD_SUBREAPER` of prctl(2)).
#[cfg(target_os = "linux")]
fn adopt_orphans() -> io::Result<()> {
    Ok(rustix::process::set_child_subreaper(Some(rustix::process::getpid()))?)
}

#[cfg(not(target_os = "linux"))]
fn adopt_orphans() -> io::Result<()> {
    Ok(())
}

/// Kills all children, and the children that they leave behind, until there are none.
#[cfg(target_os = "linux")]
fn kill_orphans() {
    use rustix::process::{Pid, Signal, WaitOptions, getpid, kill_process, wait};
    let own = getpid().as_raw_nonzero().get();
    // wait(2) fails with ECHILD once there are no children.
    while let Ok(ended) = wait(WaitOptions::NOHANG) {
        if ended.is_some() {
            continue;
        }
        let all = procfs::process::all_processes().into_iter().flatten().flatten();
        let stats = all.filter_map(|process| process.stat().ok());
        for orphan in stats.filter(|stat| stat.ppid == own) {
            if let Some(orphan) = Pid::from_raw(orphan.pid) {
                // Fails only if the process has ended.
                let _ = kill_process(orphan, Signal::KILL);
            }
        }
        // Reaps one of them. Its children become children of this process, and come next.
        let _ = wait(WaitOptions::empty());
    }
}

#[cfg(all(unix, not(target_os = "linux")))]
fn kill_orphans() {}

/// Waits for the server's end. Windows cannot kill a group of processes without job objects. A
/// server there also ends by itself when the harness's end of its standard input is gone.
#[cfg(not(unix))]
fn wait_for_end(mut child: Child, control: &TcpStream) -> io::Result<ExitStatus> {
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
        // std offers no way to wait for a process and an order at the same time.
        match ordered.recv_timeout(Duration::from_millis(10)) {
            Err(RecvTimeoutError::Timeout) => {}
            Ok(()) | Err(RecvTimeoutError::Disconnected) => {
                child.kill()?;
                return child.wait();
            }
        }
    }
}

/// Returns when the harness sends "kill" or closes its end of the socket.
fn await_kill_order(mut orders: BufReader<TcpStream>) {
    let mut line = String::new();
    while matches!(orders.read_line(&mut line), Ok(n) if n > 0) && line.trim() != "kill" {
        line.clear();
    }
}

#[cfg(unix)]
fn describe_exit(status: ExitStatus) -> String {
    use std::os::unix::process::ExitStatusExt as _;
    match (status.code(), status.signal()) {
        (Some(code), _) => format!("code {code}"),
        (None, signal) => format!("signal {}", signal.unwrap_or(0)),
    }
}

#[cfg(not(unix))]
fn describe_exit(status: ExitStatus) -> String {
    format!("code {}", status.code().unwrap_or(-1))
}
