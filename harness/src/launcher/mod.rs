//! Starts servers. Every server is started here, below a supervisor.

mod command_launch;
mod command_line;
mod output;
mod program;
mod server;
mod start;
mod turn;

use std::ffi::{OsStr, OsString};
use std::io::{BufRead, BufReader, ErrorKind, Read};
use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, OnceLock, PoisonError};
use std::time::{Duration, Instant};

use report::{Failure, FailureKind, Outside, Transport, outside};

pub use command_line::CommandLine;
pub use output::{CapturedOutput, Monitor};
pub use server::{Server, ServerExit};
pub use start::{Origin, Program, Start};

use crate::announcement::{Announcement, Ready};
use crate::deadline::Deadline;
use crate::place::{Endpoint, Place};
use crate::restrict::Restrictions;
use crate::scratch::Scratch;
use crate::supervisor::{SUPERVISE, spawn, this_program, token_line};
use server::{Life, Supervised, Supervisor};
use start::command;
use turn::Turn;

/// `EX_UNAVAILABLE` of sysexits.h. With a reason on standard output, it means that the server
/// declines to serve.
pub const EXIT_UNAVAILABLE: i32 = 69;
/// How long a server may take to become ready, unless the user sets another limit. It is long
/// enough for a virtual machine on a busy host.
pub const START_TIMEOUT: Duration = Duration::from_secs(30);
/// The `--drain` of started servers, unless a start asks for another value.
pub const DRAIN_TIME: Duration = Duration::from_secs(1);

/// The outcome of a start.
#[derive(Debug)]
pub enum Launch {
    Ready(Box<Server>),
    /// The server said on standard output why it does not serve, and exited with status 69.
    Declined(Announcement),
    /// The server ended in another way.
    Ended(Attempt),
}

/// A server that ended by itself, and what it wrote.
#[derive(Clone, Debug)]
pub struct Attempt {
    /// Whether it was seen to listen. It may have ended because of its first client.
    pub has_listened: bool,
    pub exit: ServerExit,
    pub stdout: Outside,
    /// The last lines of its standard error.
    pub stderr: Vec<Outside>,
}

/// Starts the servers of one row.
#[derive(Debug)]
pub struct Launcher {
    origin: Origin,
    /// CPU time of the servers that have ended.
    ended_cpu_ms: Arc<AtomicU64>,
    last_stderr: Mutex<Option<Arc<Monitor<CapturedOutput>>>>,
    /// The folder for Unix sockets, once it is needed.
    scratch: OnceLock<Scratch>,
    turn_wait_ns: AtomicU64,
    /// Whether the servers that became ready have ended.
    lives: Mutex<Vec<Life>>,
}

impl Launch {
    fn from_announcement(
        process: Supervised,
        pid: u32,
        addresses: Vec<SocketAddr>,
        ready: Ready,
    ) -> Self {
        let stderr_when_ready = process.stderr.lock().total_bytes();
        let (ready, given_endpoint) = (Some(ready), None);
        Self::Ready(Box::new(Server {
            ready,
            pid,
            addresses,
            given_endpoint,
            stderr_when_ready,
            process,
        }))
    }

    fn from_endpoint(process: Supervised, pid: u32, endpoint: Endpoint) -> Self {
        let stderr_when_ready = process.stderr.lock().total_bytes();
        let addresses = match (endpoint.transport, &endpoint.place) {
            (Transport::Tcp, Place::Ip(address)) => vec![*address],
            (_, _) => Vec::new(),
        };
        let (ready, given_endpoint) = (None, Some(endpoint));
        Self::Ready(Box::new(Server {
            ready,
            pid,
            addresses,
            given_endpoint,
            stderr_when_ready,
            process,
        }))
    }

    /// Returns the server if it has become ready.
    ///
    /// # Errors
    /// `announcement` if the server declined; `crash` if it ended.
    pub fn expect_ready(self) -> Result<Server, Failure> {
        let expected = "a server that becomes ready";
        match self {
            Self::Ready(server) => Ok(*server),
            Self::Declined(announcement) => {
                Err(Failure::new(FailureKind::Announcement, expected, format!("{announcement:?}")))
            }
            Self::Ended(attempt) => {
                let actual = format!("it {} after writing {:?}", attempt.exit, attempt.stdout);
                Err(Failure::new(FailureKind::Crash, expected, actual))
            }
        }
    }
}

impl Launcher {
    #[must_use]
    pub fn new(origin: Origin) -> Self {
        Self {
            origin,
            ended_cpu_ms: Arc::default(),
            last_stderr: Mutex::new(None),
            scratch: OnceLock::new(),
            turn_wait_ns: AtomicU64::new(0),
            lives: Mutex::default(),
        }
    }

    /// CPU time of all servers of this launcher that have ended; 0 if the system does not report
    /// it.
    #[must_use]
    pub fn ended_cpu(&self) -> Duration {
        Duration::from_millis(self.ended_cpu_ms.load(Ordering::Relaxed))
    }

    /// How long starts have waited because too many other servers were starting.
    #[must_use]
    pub fn turn_wait_time(&self) -> Duration {
        Duration::from_nanos(self.turn_wait_ns.load(Ordering::Relaxed))
    }

    /// The address of a server that already runs, if the row has such a server.
    #[must_use]
    pub fn endpoint(&self) -> Option<&Endpoint> {
        match &self.origin {
            Origin::Address(endpoint) => Some(endpoint),
            Origin::Contract(_) | Origin::Command(_) => None,
        }
    }

    /// Waits for its turn, and starts a server that must end by itself before the deadline, such as
    /// one with bad arguments. `deadline` is called after the wait for the turn. A server that
    /// becomes ready is killed.
    ///
    /// # Errors
    /// `not-refused` if the server becomes ready; `timeout` if it neither becomes ready nor ends.
    pub fn attempt(
        &self,
        start: &Start,
        deadline: impl FnOnce() -> Deadline,
    ) -> Result<Attempt, Failure> {
        let Origin::Contract(program) = &self.origin else {
            return Err(Failure::new(FailureKind::Harness, "a program of the contract", "another"));
        };
        let _turn = self.turn();
        let deadline = deadline();
        let process = self.spawn(command(program, start), &start.restrictions)?;
        let Some(ended) = process.life.state.wait(deadline, |ended| *ended) else {
            let stdout = process.stdout.lock().text();
            return Err(if stdout.is_empty() {
                deadline.failure("the server to end")
            } else {
                Failure::new(FailureKind::NotRefused, "the server to end", format!("{stdout:?}"))
            });
        };
        Ok(process.attempt(ended))
    }

    /// Waits for its turn, starts a server, and waits until it is ready or has ended. `deadline` is
    /// called after the wait for the turn.
    ///
    /// # Errors
    /// `announcement` if the first line is not an announcement; `timeout` if there is no line.
    pub fn launch(
        &self,
        start: &Start,
        deadline: impl FnOnce() -> Deadline,
    ) -> Result<Launch, Failure> {
        let _turn = self.turn();
        let deadline = deadline();
        let launch = match &self.origin {
            Origin::Contract(program) => self.launch_program(program, start, deadline),
            Origin::Command(line) => self.launch_command(line, start, deadline),
            Origin::Address(_) => {
                Err(Failure::new(FailureKind::Harness, "a server to start", "an address only"))
            }
        }?;
        if let Launch::Ready(server) = &launch {
            let mut lives = self.lives.lock().unwrap_or_else(PoisonError::into_inner);
            lives.push(server.process.life.clone());
        }
        Ok(launch)
    }

    /// How a server of this launcher crashed or exited after it had become ready, although nobody
    /// asked it to.
    #[must_use]
    pub fn unasked_exit(&self) -> Option<ServerExit> {
        let lives = self.lives.lock().unwrap_or_else(PoisonError::into_inner);
        lives.iter().find_map(Life::unasked_exit)
    }

    fn launch_program(
        &self,
        program: &Program,
        start: &Start,
        deadline: Deadline,
    ) -> Result<Launch, Failure> {
        let process = self.spawn(command(program, start), &start.restrictions)?;
        let line = process.stdout.wait(deadline, |out| {
            out.first_line().map(Some).or_else(|| out.is_closed().then_some(None))
        });
        let Some(line) = line else { return Err(deadline.failure("the server's announcement")) };
        let Some(line) = line else {
            let ended = process.life.state.wait(deadline, |ended| *ended);
            return match ended {
                Some(ended) => Ok(Launch::Ended(process.attempt(ended))),
                None => Err(Failure::new(
                    FailureKind::Announcement,
                    "an announcement",
                    "standard output closed without one",
                )),
            };
        };
        let announcement = Announcement::parse(&line)?;
        let Announcement::Ready(ready) = announcement else {
            return process.expect_declined(announcement, deadline);
        };
        ready.expect_listeners(&start.listen)?;
        let addresses = ready.tcp_addresses()?;
        let pid = process.pid;
        Ok(Launch::from_announcement(process, pid, addresses, ready))
    }

    fn turn(&self) -> Turn {
        let asked = Instant::now();
        let turn = Turn::wait();
        let nanoseconds = u64::try_from(asked.elapsed().as_nanos()).unwrap_or(u64::MAX);
        self.turn_wait_ns.fetch_add(nanoseconds, Ordering::Relaxed);
        turn
    }

    /// The last lines of standard error of the server that was started last.
    #[must_use]
    pub fn stderr_tail(&self, lines: usize) -> Vec<Outside> {
        let last = self.last_stderr.lock().unwrap_or_else(PoisonError::into_inner);
        last.as_ref().map(|stderr| stderr.lock().last_lines(lines)).unwrap_or_default()
    }

    /// A folder for the Unix sockets of this launcher alone.
    ///
    /// # Errors
    /// `harness` if the folder cannot be created.
    pub fn folder(&self) -> Result<&Path, Failure> {
        if let Some(scratch) = self.scratch.get() {
            return Ok(scratch.path());
        }
        let made = Scratch::new().map_err(|e| {
            Failure::new(FailureKind::Harness, "to make a folder for Unix paths", e.to_string())
        })?;
        Ok(self.scratch.get_or_init(|| made).path())
    }

    /// A start with a TCP listener and, if `transport` is not TCP, a listener for it.
    ///
    /// # Errors
    /// See [`Launcher::folder`].
    pub fn start_with_listener(&self, transport: Transport) -> Result<Start, Failure> {
        self.start_with_listener_at(transport, transport.kind())
    }

    /// Like [`Launcher::start_with_listener`], but with another Unix path. It is for finding out
    /// whether a server offers this kind of listener: a path that the server leaves behind is in
    /// nobody's way.
    ///
    /// # Errors
    /// See [`Launcher::folder`].
    pub fn start_to_probe_listener(&self, transport: Transport) -> Result<Start, Failure> {
        self.start_with_listener_at(transport, "asked")
    }

    fn start_with_listener_at(&self, transport: Transport, name: &str) -> Result<Start, Failure> {
        let mut start = Start::default();
        match transport {
            Transport::Tcp => {}
            Transport::Udp => start.listen.push("udp:127.0.0.1:0".to_owned()),
            Transport::Unix | Transport::Unixgram => {
                let path = self.folder()?.join(name);
                start.listen.push(format!("{}:{}", transport.kind(), path.display()));
            }
        }
        Ok(start)
    }

    /// The Unix path at which a server started with [`Launcher::start_with_listener`] listens.
    ///
    /// # Errors
    /// See [`Launcher::folder`].
    pub fn listener_path(&self, transport: Transport) -> Result<PathBuf, Failure> {
        Ok(self.folder()?.join(transport.kind()))
    }

    /// Starts a program below a supervisor.
    fn spawn(
        &self,
        command: Vec<OsString>,
        restrictions: &Restrictions,
    ) -> Result<Supervised, Failure> {
        // Checked first, because below a supervisor this would look like a server that ends by
        // itself.
        program::expect_executable(&command[0])
            .map_err(|e| Failure::new(FailureKind::Harness, "to start a server", e.to_string()))?;
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).map_err(start_failure)?;
        let address = listener.local_addr().map_err(start_failure)?;
        let token = format!("{:016x}", fastrand::u64(..));
        let mut supervisor = Command::new(this_program().map_err(start_failure)?);
        supervisor
            .args([SUPERVISE, &address.to_string(), &token])
            .args(restrictions.to_args())
            .arg("--")
            .args(command)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped());
        for (variable, _) in std::env::vars_os().filter(|(variable, _)| is_of_harness(variable)) {
            supervisor.env_remove(variable);
        }
        #[cfg(unix)]
        {
            use std::os::unix::process::CommandExt as _;
            // Without this, signals from a terminal or timeout(1) to the harness's group would end
            // it, too.
            supervisor.process_group(0);
        }
        let mut supervisor = Supervisor(spawn(&mut supervisor).map_err(start_failure)?);
        let child = &mut supervisor.0;
        let streams = (child.stdin.take(), child.stdout.take(), child.stderr.take());
        let (stdin, Some(stdout), Some(stderr)) = streams else {
            return Err(Failure::new(FailureKind::Harness, "three pipes", "fewer"));
        };
        let stderr = CapturedOutput::from_pipe(stderr);
        let (control, pid) = accept_supervisor(&listener, &token).map_err(|e| {
            let said = Outside::join(&stderr.lock().last_lines(3), "; ");
            Failure::new(FailureKind::Harness, "to start a server", outside!("{} {}", e, said))
        })?;
        let life = Life::default();
        let reading = control.get_ref().try_clone().map_err(start_failure)?;
        server::follow_supervisor(control, life.state.clone(), Arc::clone(&self.ended_cpu_ms));
        *self.last_stderr.lock().unwrap_or_else(PoisonError::into_inner) =
            Some(Arc::clone(&stderr));
        Ok(Supervised {
            pid,
            control: reading,
            life,
            stdin: Mutex::new(stdin),
            stdout: CapturedOutput::from_pipe(stdout),
            stderr,
            supervisor,
        })
    }
}

fn start_failure(e: std::io::Error) -> Failure {
    Failure::new(FailureKind::Harness, "to start a server", e.to_string())
}

impl Supervised {
    fn attempt(&self, exit: ServerExit) -> Attempt {
        // Both pipes close when the last process that holds them ends, which is about to happen.
        let deadline = Deadline::after(Duration::from_secs(1));
        let stdout = self.stdout.wait(deadline, |out| out.is_closed().then(|| out.text()));
        self.stderr.wait(deadline, |out| out.is_closed().then_some(()));
        Attempt {
            has_listened: false,
            exit,
            stdout: stdout.unwrap_or_else(|| self.stdout.lock().text()),
            stderr: self.stderr.lock().last_lines(20),
        }
    }

    /// A reason on standard output must come with exit status 69.
    fn expect_declined(
        &self,
        announcement: Announcement,
        deadline: Deadline,
    ) -> Result<Launch, Failure> {
        let expected = format!("exit {EXIT_UNAVAILABLE} after {announcement:?}");
        match self.life.state.wait(deadline, |ended| *ended) {
            Some(ServerExit::Code(EXIT_UNAVAILABLE)) => Ok(Launch::Declined(announcement)),
            Some(ended) => {
                Err(Failure::new(FailureKind::ExitStatus, expected, format!("it {ended}")))
            }
            None => Err(deadline.failure(&expected)),
        }
    }
}

/// Whether a variable is for the harness. A server must not know what it will be asked. It must
/// also not resolve the symbols of a backtrace each time one of its tasks panics.
fn is_of_harness(variable: &OsStr) -> bool {
    let variable = variable.to_string_lossy();
    variable.starts_with("CONFORMANCE_")
        || ["RUST_BACKTRACE", "RUST_LIB_BACKTRACE"].contains(&variable.as_ref())
}

/// Accepts the supervisor's connection and reads its first two lines: the token, and the id of the
/// server's process. Closes connections of other programs.
fn accept_supervisor(
    listener: &TcpListener,
    token: &str,
) -> Result<(BufReader<TcpStream>, u32), std::io::Error> {
    /// How long the supervisor may take to start on a busy host.
    const LIMIT: Duration = Duration::from_secs(20);
    let deadline = Deadline::after(LIMIT);
    loop {
        let (control, _) = accept_within(listener, deadline.left())?;
        control.set_nonblocking(false)?;
        let Some(mut lines) = expect_supervisor(control, token) else { continue };
        lines.get_ref().set_read_timeout(Some(LIMIT))?;
        let mut line = String::new();
        lines.read_line(&mut line)?;
        lines.get_ref().set_read_timeout(None)?;
        let pid = line.trim().strip_prefix("started ").and_then(|pid| pid.parse().ok());
        return pid.map(|pid| (lines, pid)).ok_or_else(|| std::io::Error::other(line));
    }
}

/// Returns the connection if its first line is the token, which a supervisor sends right after it
/// connects.
fn expect_supervisor(control: TcpStream, token: &str) -> Option<BufReader<TcpStream>> {
    /// More than a busy host needs. A stranger that sends nothing costs this much time.
    const LIMIT: Duration = Duration::from_secs(5);
    let expected = token_line(token);
    let deadline = Deadline::after(LIMIT);
    let mut received = vec![0; expected.len()];
    let mut length = 0;
    while length < received.len() {
        let left = Some(deadline.left()).filter(|left| !left.is_zero())?;
        control.set_read_timeout(Some(left)).ok()?;
        match (&control).read(&mut received[length..]) {
            Ok(0) => return None,
            Ok(some) => length += some,
            Err(e) if e.kind() == ErrorKind::Interrupted => {}
            Err(_) => return None,
        }
    }
    (received == expected.as_bytes()).then(|| BufReader::new(control))
}

fn accept_within(
    listener: &TcpListener,
    time: Duration,
) -> Result<(TcpStream, SocketAddr), std::io::Error> {
    let socket = socket2::Socket::from(listener.try_clone()?);
    match crate::wait::wait(&socket, crate::wait::Interest::Read, time) {
        Ok(true) => listener.accept(),
        Ok(false) => Err(std::io::Error::other("the supervisor did not start")),
        Err(failure) => Err(std::io::Error::other(failure.actual.on_terminal())),
    }
}

#[cfg(test)]
mod tests {
    use std::io::Write as _;

    use super::*;

    #[test]
    fn strangers_are_not_taken_for_the_supervisor() {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).expect("a port");
        let address = listener.local_addr().expect("its address");
        let client = |says: &str| {
            let mut client = TcpStream::connect(address).expect("it is listened to");
            client.write_all(says.as_bytes()).expect("it is sent");
            client
        };
        let strangers = ["", "GET / HTTP/1.1\r\nHost: localhost\r\n\r\n", "token 0\nstarted 1\n"];
        let _strangers = strangers.map(client);
        let _supervisor = client("token 12\nstarted 34\n");
        let (_, pid) = accept_supervisor(&listener, "12").expect("it comes last");
        assert_eq!(pid, 34);
    }

    #[test]
    fn a_server_sees_nothing_that_is_meant_for_the_harness() {
        let hidden = ["CONFORMANCE_SEED", "RUST_BACKTRACE", "PATH", "RUST_LOG"]
            .map(|variable| is_of_harness(OsStr::new(variable)));
        assert_eq!(hidden, [true, true, false, false]);
    }
}
