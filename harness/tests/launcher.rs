//! Tests the launcher with servers that leave something behind, and with the death of the harness
//! itself.

use std::ffi::OsString;
use std::io::{self, BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::path::PathBuf;
use std::process::{Command, ExitCode, Stdio};
use std::time::Duration;

use harness::affinity::{self, Cpus};
use harness::deadline::Deadline;
use harness::launcher::{Launcher, Origin, Program, START_TIMEOUT, Server, Start};
use harness::restrict::Restrictions;
use harness::{binaries, supervisor};
use libtest_mimic::{Arguments, Failed, Trial};
use report::sockets::{AcceptAtLimit, ProbeResult};
use report::{Failure, FailureKind};

/// First argument of this program when it plays the harness that is killed.
const VICTIM: &str = "victim";

fn main() -> ExitCode {
    supervisor::run_if_asked();
    if std::env::args().nth(1).as_deref() == Some(VICTIM) {
        return victim();
    }
    let mut trials = vec![Trial::test("a-killed-harness-leaves-nothing-behind", no_orphan)];
    #[cfg(unix)]
    trials.push(Trial::test("a-server-inherits-no-descriptor-of-its-harness", no_descriptor));
    if cfg!(target_os = "linux") {
        trials.push(Trial::test("what-a-server-starts-ends-with-it", no_child));
        trials.push(Trial::test("a-pinned-server-stays-where-it-was-put", pinned));
        trials.push(Trial::test("linux-keeps-a-client-at-the-limit", at_limit));
    }
    libtest_mimic::run(&Arguments::from_args(), trials).exit_code()
}

/// Kills a harness whose server is running, with a signal that it cannot handle, and waits until
/// the server is gone.
fn no_orphan() -> Result<(), Failed> {
    let mut victim = Command::new(std::env::current_exe()?)
        .args([OsString::from(VICTIM), executable()?.into()])
        .stdout(Stdio::piped())
        .spawn()?;
    let stdout = victim.stdout.take().ok_or("no pipe")?;
    let mut line = String::new();
    BufReader::new(stdout).read_line(&mut line)?;
    let address: SocketAddr = line.trim().parse().map_err(|e| format!("{line:?}: {e}"))?;
    TcpStream::connect(address)?;
    victim.kill()?;
    victim.wait()?;
    let deadline = Deadline::after(Duration::from_secs(5));
    while TcpStream::connect(address).is_ok() {
        if deadline.is_over() {
            return Err("the server still listens".into());
        }
        std::thread::sleep(Duration::from_millis(10));
    }
    Ok(())
}

/// No server keeps a socket of its harness open, even if the socket is not close-on-exec. Another
/// trial may start a harness that inherits the socket, but kills it again.
#[cfg(unix)]
fn no_descriptor() -> Result<(), Failed> {
    use std::os::unix::net::UnixStream;
    let launcher = launcher_of(executable()?, &[]);
    let (mut own, left_open) = UnixStream::pair()?;
    rustix::io::fcntl_setfd(&left_open, rustix::io::FdFlags::empty())?;
    let server = start(&launcher, &Start::default()).map_err(|failure| format!("{failure:?}"))?;
    drop(left_open);
    own.set_read_timeout(Some(2 * START_TIMEOUT))?;
    let end = own.read(&mut [0]).map_err(|e| format!("a server holds the socket: {e}"))?;
    exchange(server.address().map_err(|failure| format!("{failure:?}"))?)?;
    if end == 0 { Ok(()) } else { Err("bytes that nobody sent".into()) }
}

/// The probe starts this program as a child process.
fn at_limit() -> Result<(), Failed> {
    let tried = harness::host::probe().sockets.accept_at_limit;
    if tried == ProbeResult::Seen(AcceptAtLimit::Waits) {
        Ok(())
    } else {
        Err(format!("{tried:?}").into())
    }
}

/// A child that a server started in its own process group is gone once the server is.
#[cfg(target_os = "linux")]
fn no_child() -> Result<(), Failed> {
    // The argument identifies the child, even if this test runs several times at once.
    let seconds = fastrand::u64(100_000..1_000_000).to_string();
    let arguments = ["--fault", "leaves-child", "--fault-at", &seconds];
    let launcher = launcher_of(executable()?, &arguments);
    let server = start(&launcher, &Start::default()).map_err(|failure| format!("{failure:?}"))?;
    // The server announces itself before it starts its child, and echoes only after that.
    exchange(server.address().map_err(|failure| format!("{failure:?}"))?)?;
    // The kernel lets the server continue before its child has its arguments (execve(2), vfork(2)).
    let deadline = Deadline::after(Duration::from_secs(5));
    while !is_child_alive(&seconds)? {
        if deadline.is_over() {
            return Err("there never was a child".into());
        }
        std::thread::sleep(Duration::from_millis(10));
    }
    drop(server);
    if is_child_alive(&seconds)? { Err("the child lives".into()) } else { Ok(()) }
}

#[cfg(target_os = "linux")]
fn is_child_alive(seconds: &str) -> Result<bool, Failed> {
    let mut all = procfs::process::all_processes()?.flatten();
    Ok(all.any(|process| process.cmdline().is_ok_and(|words| words == ["sleep", seconds])))
}

#[cfg(not(target_os = "linux"))]
fn no_child() -> Result<(), Failed> {
    Err("only Linux gives orphans to the harness".into())
}

/// The harness that is killed: it starts a server, says where, and waits.
fn victim() -> ExitCode {
    let Some(executable) = std::env::args_os().nth(2) else { return ExitCode::FAILURE };
    let launcher = launcher_of(executable.into(), &[]);
    let Ok(server) = start(&launcher, &Start::default()) else { return ExitCode::FAILURE };
    let Ok(address) = server.address() else { return ExitCode::FAILURE };
    println!("{address}");
    std::thread::sleep(Duration::from_secs(60));
    ExitCode::FAILURE
}

fn executable() -> Result<PathBuf, Failed> {
    Ok(binaries::locate_once("mutant")?)
}

fn launcher_of(executable: PathBuf, arguments: &[&str]) -> Launcher {
    let arguments = arguments.iter().map(OsString::from).collect();
    let program = Program { executable, arguments };
    Launcher::new(Origin::Contract(program))
}

fn start(launcher: &Launcher, start: &Start) -> Result<Server, Failure> {
    launcher.launch(start, || Deadline::after(START_TIMEOUT))?.expect_ready()
}

/// A server pinned to one processor stays there, and the CPU time that it uses is seen. It has no
/// ring.
fn pinned() -> Result<(), Failed> {
    let given = affinity::allowed_cpus()?;
    let one = Cpus::new(given.numbers().pop());
    let restrictions = Restrictions { cpus: one.clone(), ..Restrictions::default() };
    let launcher = launcher_of(executable()?, &[]);
    let server = start(&launcher, &Start { restrictions, ..Start::default() });
    let seen = server.and_then(|server| {
        let process = server.process();
        let (before, handed) = (process.cpu_times()?, process.submissions()?);
        exchange(server.address()?)
            .map_err(|e| Failure::new(FailureKind::Closed, "an echo", e.to_string()))?;
        let used = process.cpu_times()?.since(&before).total;
        Ok((process.cpus()?, used, process.submissions()?.since(&handed)))
    });
    let (cpus, used, submissions) = seen.map_err(|failure| format!("{failure:?}"))?;
    if cpus != one || used.is_zero() || submissions.is_some() {
        return Err(format!("{cpus:?} of {one:?}, used {used:?}, {submissions:?}").into());
    }
    if affinity::allowed_cpus()? != given {
        return Err("the harness was pinned along with its server".into());
    }
    Ok(())
}

/// Sends one message of 1 KiB and compares its echo.
fn exchange(address: SocketAddr) -> io::Result<()> {
    let mut stream = TcpStream::connect(address)?;
    stream.set_read_timeout(Some(Duration::from_secs(5)))?;
    let (sent, mut echo) = ([7; 1024], [0; 1024]);
    stream.write_all(&sent)?;
    stream.read_exact(&mut echo)?;
    if echo == sent { Ok(()) } else { Err(io::Error::other("other bytes")) }
}
