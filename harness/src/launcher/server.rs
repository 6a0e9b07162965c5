//! A running server as the harness sees it: its process, its output, and how it ended.

use std::fmt;
use std::io::{BufRead, BufReader, Write};
use std::net::{SocketAddr, TcpStream};
use std::process::{Child, ChildStdin};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;
use std::time::Duration;

use report::{Failure, FailureKind, Transport};
use report::{Outside, outside};

use super::output::{CapturedOutput, Monitor};
use crate::announcement::Ready;
use crate::deadline::Deadline;
use crate::place::{Endpoint, Place};
use crate::process::{Process, Signal};

/// How long a killed server may take to end. If it takes longer, the kernel holds it.
const KILL_LIMIT: Duration = Duration::from_secs(10);

/// How long after a failure the news of a server's death may arrive, if that death caused the
/// failure.
const EXIT_NEWS_LIMIT: Duration = Duration::from_millis(500);
/// How long the news may take if the server has written to standard error: resolving the symbols of
/// a backtrace, or writing a heap dump, takes time.
const LONG_EXIT_NEWS_LIMIT: Duration = Duration::from_secs(5);

/// How a process ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ServerExit {
    /// It exited with this status.
    Code(i32),
    /// The signal with this number ended it.
    Signal(i32),
}

/// Formats the end of a sentence: "ended with status 1", or "was ended by SIGPIPE (signal 13)".
impl fmt::Display for ServerExit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Code(status) => write!(f, "ended with status {status}"),
            Self::Signal(signal) => match signal_name(*signal) {
                Some(name) => write!(f, "was ended by {name} (signal {signal})"),
                None => write!(f, "was ended by signal {signal}"),
            },
        }
    }
}

/// The name of a signal that ends a process, if the signal has the same number on all systems
/// (signal(7), signal(3)).
fn signal_name(signal: i32) -> Option<&'static str> {
    Some(match signal {
        1 => "SIGHUP",
        2 => "SIGINT",
        3 => "SIGQUIT",
        4 => "SIGILL",
        6 => "SIGABRT",
        8 => "SIGFPE",
        9 => "SIGKILL",
        11 => "SIGSEGV",
        13 => "SIGPIPE",
        14 => "SIGALRM",
        15 => "SIGTERM",
        _ => return None,
    })
}

/// A server that is ready. Dropping it kills it and everything it started.
#[derive(Debug)]
pub struct Server {
    pub(super) ready: Option<Ready>,
    /// The process that holds the listener: the one that was started, or a descendant of it.
    pub(super) pid: u32,
    /// The addresses of its TCP listeners.
    pub(super) addresses: Vec<SocketAddr>,
    /// Where it was told to listen, if it announces nothing.
    pub(super) given_endpoint: Option<Endpoint>,
    /// How many bytes it had written to standard error when it became ready.
    pub(super) stderr_when_ready: u64,
    pub(super) process: Supervised,
}

/// A server's process under its supervisor, ready or not.
#[derive(Debug)]
pub(super) struct Supervised {
    pub(super) pid: u32,
    pub(super) control: TcpStream,
    pub(super) life: Life,
    pub(super) stdin: Mutex<Option<ChildStdin>>,
    pub(super) stdout: Arc<Monitor<CapturedOutput>>,
    pub(super) stderr: Arc<Monitor<CapturedOutput>>,
    pub(super) supervisor: Supervisor,
}

/// A supervisor's process. Dropping it kills and reaps it.
#[derive(Debug)]
pub(super) struct Supervisor(pub(super) Child);

impl Drop for Supervisor {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// Whether a server has ended, and whether the harness asked it to. Clones share this.
#[derive(Clone, Debug, Default)]
pub(super) struct Life {
    pub(super) state: Arc<Monitor<Option<ServerExit>>>,
    is_asked: Arc<AtomicBool>,
}

impl Life {
    /// How the server ended, if nobody asked it to.
    pub(super) fn unasked_exit(&self) -> Option<ServerExit> {
        /// `SIGINT`, `SIGKILL` and `SIGTERM`, which the harness sends.
        const SENT: [i32; 3] = [2, 9, 15];
        let is_asked = self.is_asked.load(Ordering::Relaxed);
        let is_unasked = |ended: &ServerExit| match ended {
            ServerExit::Code(_) => !is_asked,
            ServerExit::Signal(signal) => !SENT.contains(signal),
        };
        self.state.lock().filter(is_unasked)
    }
}

impl Server {
    /// The server's announcement.
    ///
    /// # Errors
    /// `harness` if the server does not know the contract, and so announces nothing.
    pub fn ready(&self) -> Result<&Ready, Failure> {
        let missing = || Failure::new(FailureKind::Harness, "an announced server", "another");
        self.ready.as_ref().ok_or_else(missing)
    }

    /// The address of the server's first TCP listener.
    ///
    /// # Errors
    /// `announcement` if there is none.
    pub fn address(&self) -> Result<SocketAddr, Failure> {
        let missing = || Failure::new(FailureKind::Announcement, "a TCP address", "none");
        self.addresses.first().copied().ok_or_else(missing)
    }

    /// The place of the server's first listener for `transport`, as it was announced, or as the
    /// server was told.
    ///
    /// # Errors
    /// `announcement` if there is none.
    pub fn place(&self, transport: Transport) -> Result<Place, Failure> {
        if let Some(given) =
            self.given_endpoint.as_ref().filter(|given| given.transport == transport)
        {
            return Ok(given.place.clone());
        }
        let ready = self.ready()?;
        let kind = transport.kind();
        match transport {
            Transport::Tcp | Transport::Udp => {
                let addresses = ready.addresses(kind)?;
                let first = addresses.first().map(|address| Place::Ip(*address));
                first.ok_or_else(|| ready.wrong_listeners(format!("a {kind} address")))
            }
            Transport::Unix | Transport::Unixgram => ready
                .paths(kind)
                .next()
                .map(Place::Path)
                .ok_or_else(|| ready.wrong_listeners(format!("a {kind} path"))),
        }
    }

    /// The id of the process that listens.
    #[must_use]
    pub fn pid(&self) -> u32 {
        self.pid
    }

    /// The server's process, and all that it has started.
    #[must_use]
    pub fn process(&self) -> Process {
        Process::new(self.pid, self.process.supervisor.0.id())
    }

    /// Asks the server to stop: with `SIGTERM` on Unix, and elsewhere by closing its standard
    /// input.
    ///
    /// # Errors
    /// See [`Server::stop_with_signal`].
    pub fn ask_to_stop(&self) -> Result<(), Failure> {
        if cfg!(unix) {
            return self.stop_with_signal(Signal::Terminate);
        }
        self.close_stdin();
        Ok(())
    }

    /// Asks the server to stop with a signal.
    ///
    /// # Errors
    /// `closed` if it has ended before; `harness` if the signal cannot be sent.
    pub fn stop_with_signal(&self, signal: Signal) -> Result<(), Failure> {
        let sent = self.process().signal(signal);
        if sent.is_ok() {
            self.process.life.is_asked.store(true, Ordering::Relaxed);
        }
        sent.map_err(|failure| {
            // The signal may have failed because the process has ended.
            match self.process.life.state.wait(Deadline::after(EXIT_NEWS_LIMIT), |ended| *ended) {
                Some(ended) => Failure::new(
                    FailureKind::Closed,
                    format!("a server that runs until {signal:?}"),
                    format!("it {ended}"),
                ),
                None => failure,
            }
        })
    }

    #[must_use]
    pub fn exit(&self) -> Option<ServerExit> {
        *self.process.life.state.lock()
    }

    /// Waits until the server has ended.
    ///
    /// # Errors
    /// `timeout`, with `what`.
    pub fn wait(&self, deadline: Deadline, what: &str) -> Result<ServerExit, Failure> {
        self.process.life.state.wait(deadline, |ended| *ended).ok_or_else(|| deadline.failure(what))
    }

    /// How the server ended, if it has. If `found` is a failure, the server's death may be the
    /// cause, and the news of the death may still be on its way, so this waits for it. `deadline`
    /// makes a deadline from the time that the news takes on an idle host.
    pub fn exit_after<T>(
        &self,
        found: &Result<T, Failure>,
        deadline: impl FnOnce(Duration) -> Deadline,
    ) -> Option<ServerExit> {
        if found.is_ok() {
            return self.exit();
        }
        let has_written = self.stderr().lock().total_bytes() > self.stderr_when_ready;
        let limit = if has_written { LONG_EXIT_NEWS_LIMIT } else { EXIT_NEWS_LIMIT };
        self.process.life.state.wait(deadline(limit), |ended| *ended)
    }

    /// Returns `found` if the server is still running. If the server has died, that is the failure,
    /// whatever its client saw. `deadline` is that of [`Server::exit_after`].
    ///
    /// # Errors
    /// `crash` if the server has ended; otherwise the failure in `found`.
    pub fn expect_running<T>(
        &self,
        found: Result<T, Failure>,
        deadline: impl FnOnce(Duration) -> Deadline,
    ) -> Result<T, Failure> {
        let Some(ended) = self.exit_after(&found, deadline) else { return found };
        let seen = match found {
            Ok(_) => Outside::default(),
            Err(e) => outside!("; its client saw {}: {}", e.kind, e.actual),
        };
        let ended = outside!("{}{}", format!("it {ended}"), seen);
        Err(Failure::new(FailureKind::Crash, "a server that keeps running", ended))
    }

    /// Closes the server's standard input, which is the portable stop signal.
    pub fn close_stdin(&self) {
        self.process.life.is_asked.store(true, Ordering::Relaxed);
        drop(self.process.stdin.lock().unwrap_or_else(PoisonError::into_inner).take());
    }

    /// Kills the server and its process group, and waits until it has ended.
    ///
    /// # Errors
    /// `harness` if it does not end.
    pub fn kill(&self) -> Result<(), Failure> {
        self.process.kill()
    }

    #[must_use]
    pub fn stdout(&self) -> &Monitor<CapturedOutput> {
        &self.process.stdout
    }

    #[must_use]
    pub fn stderr(&self) -> &Monitor<CapturedOutput> {
        &self.process.stderr
    }
}

impl Supervised {
    pub(super) fn kill(&self) -> Result<(), Failure> {
        if !cfg!(unix) && self.life.state.lock().is_none() {
            // Outside Unix, a killed process has an exit status like any other.
            self.life.is_asked.store(true, Ordering::Relaxed);
        }
        // The supervisor may have ended already, together with the server.
        let _ = (&self.control).write_all(b"kill\n");
        let deadline = Deadline::after(KILL_LIMIT);
        self.life.state.wait(deadline, |ended| *ended).map(drop).ok_or_else(|| {
            Failure::new(FailureKind::Harness, "a killed server to end", "it runs on")
        })
    }
}

impl Drop for Supervised {
    fn drop(&mut self) {
        // After an error, the supervisor ends by itself when the control socket closes.
        let _ = self.kill();
    }
}

/// Reads what the supervisor reports: how the server ended. The end of the stream means that the
/// supervisor is gone.
pub(super) fn follow_supervisor(
    mut lines: BufReader<TcpStream>,
    state: Arc<Monitor<Option<ServerExit>>>,
    ended_cpu_ms: Arc<AtomicU64>,
) {
    thread::spawn(move || {
        let mut line = String::new();
        while matches!(lines.read_line(&mut line), Ok(n) if n > 0) {
            let words: Vec<&str> = line.split_whitespace().collect();
            if let ["exited", how, number, "cpu_ms", cpu_ms] = words.as_slice() {
                ended_cpu_ms.fetch_add(cpu_ms.parse().unwrap_or(0), Ordering::Relaxed);
                let number = number.parse().unwrap_or(-1);
                let ended = if *how == "code" {
                    ServerExit::Code(number)
                } else {
                    ServerExit::Signal(number)
                };
                state.update(|state| *state = Some(ended));
                return;
            }
            line.clear();
        }
        // The supervisor is gone without a report. Only the harness kills it, and only after the
        // server's end, so the server counts as killed.
        state.update(|state| *state = state.or(Some(ServerExit::Signal(9))));
    });
}
