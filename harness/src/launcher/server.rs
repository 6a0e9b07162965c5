//! A running server, as its parent sees it: its process, what it writes, how it ends.

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

use super::output::{Captured, Watched};
use crate::announcement::Ready;
use crate::deadline::Deadline;
use crate::place::{Endpoint, Place};
use crate::process::{Process, Signal};

/// How long the end of a killed server may take; more means that the kernel holds it.
const KILL_LIMIT: Duration = Duration::from_secs(10);

/// How long the news of a server's death may take after the failure that it caused.
const OBITUARY: Duration = Duration::from_millis(500);
/// The same for a server that has written to standard error: symbols for a backtrace, or a heap
/// dump, take their time.
const LONG_OBITUARY: Duration = Duration::from_secs(5);

/// How a process ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ended {
    /// By itself, with an exit status.
    Code(i32),
    /// By a signal.
    Signal(i32),
}

/// The end of a sentence: "ended with status 1", or "was ended by SIGPIPE (signal 13)".
impl fmt::Display for Ended {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Code(status) => write!(f, "ended with status {status}"),
            Self::Signal(signal) => match name(*signal) {
                Some(name) => write!(f, "was ended by {name} (signal {signal})"),
                None => write!(f, "was ended by signal {signal}"),
            },
        }
    }
}

/// The name of a signal that ends a process, of those that have one number on all systems
/// (signal(7), signal(3)).
fn name(signal: i32) -> Option<&'static str> {
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

/// A server that has announced itself. Dropping it kills it and whatever it started.
#[derive(Debug)]
pub struct Server {
    pub(super) ready: Option<Ready>,
    /// The process that holds its listener: the one that was started, or one below it.
    pub(super) pid: u32,
    /// Where it listens for TCP connections.
    pub(super) addresses: Vec<SocketAddr>,
    /// Where it was told to listen, if it announces nothing.
    pub(super) told: Option<Endpoint>,
    /// Bytes that it had written to standard error when it was ready.
    pub(super) stderr_when_ready: u64,
    pub(super) process: Supervised,
}

/// A server's process under its supervisor, announced or not.
#[derive(Debug)]
pub(super) struct Supervised {
    pub(super) pid: u32,
    pub(super) control: TcpStream,
    pub(super) life: Life,
    pub(super) stdin: Mutex<Option<ChildStdin>>,
    pub(super) stdout: Arc<Watched<Captured>>,
    pub(super) stderr: Arc<Watched<Captured>>,
    pub(super) supervisor: Supervisor,
}

/// A supervisor's process. Dropping it kills it, and leaves no zombie.
#[derive(Debug)]
pub(super) struct Supervisor(pub(super) Child);

impl Drop for Supervisor {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// Whether a server has ended, and whether it was asked to. Clones share it.
#[derive(Clone, Debug, Default)]
pub(super) struct Life {
    pub(super) state: Arc<Watched<Option<Ended>>>,
    is_asked: Arc<AtomicBool>,
}

impl Life {
    /// How it ended, if nobody asked for that.
    pub(super) fn unasked_end(&self) -> Option<Ended> {
        /// `SIGINT`, `SIGKILL` and `SIGTERM`, which the harness sends.
        const SENT: [i32; 3] = [2, 9, 15];
        let is_asked = self.is_asked.load(Ordering::Relaxed);
        let is_unasked = |ended: &Ended| match ended {
            Ended::Code(_) => !is_asked,
            Ended::Signal(signal) => !SENT.contains(signal),
        };
        self.state.lock().filter(is_unasked)
    }
}

impl Server {
    /// Its announcement.
    ///
    /// # Errors
    /// `harness` for a server that was not started to announce itself.
    pub fn ready(&self) -> Result<&Ready, Failure> {
        let missing = || Failure::new(FailureKind::Harness, "an announced server", "another");
        self.ready.as_ref().ok_or_else(missing)
    }

    /// Its first TCP listener.
    ///
    /// # Errors
    /// `announcement` when it announced none.
    pub fn address(&self) -> Result<SocketAddr, Failure> {
        let missing = || Failure::new(FailureKind::Announcement, "a TCP address", "none");
        self.addresses.first().copied().ok_or_else(missing)
    }

    /// Where it announced its first listener of this kind, or was told to have it.
    ///
    /// # Errors
    /// `announcement` when there is none.
    pub fn place(&self, transport: Transport) -> Result<Place, Failure> {
        if let Some(told) = self.told.as_ref().filter(|told| told.transport == transport) {
            return Ok(told.place.clone());
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

    /// Its process, with all that it has started.
    #[must_use]
    pub fn process(&self) -> Process {
        Process::new(self.pid, self.process.supervisor.0.id())
    }

    /// Asks it to stop: with `SIGTERM` where there are signals, elsewhere by the end of its
    /// standard input.
    ///
    /// # Errors
    /// As [`Server::stop_by`].
    pub fn ask_to_stop(&self) -> Result<(), Failure> {
        if cfg!(unix) {
            return self.stop_by(Signal::Terminate);
        }
        self.close_stdin();
        Ok(())
    }

    /// Asks it to stop by a signal.
    ///
    /// # Errors
    /// `closed` when it has ended before, `harness` when the signal cannot be sent.
    pub fn stop_by(&self, signal: Signal) -> Result<(), Failure> {
        let sent = self.process().signal(signal);
        if sent.is_ok() {
            self.process.life.is_asked.store(true, Ordering::Relaxed);
        }
        sent.map_err(|failure| {
            // Without a process there is nobody to send it to.
            match self.process.life.state.wait(Deadline::after(OBITUARY), |ended| *ended) {
                Some(ended) => Failure::new(
                    FailureKind::Closed,
                    format!("a server that runs until {signal:?}"),
                    format!("it {ended}"),
                ),
                None => failure,
            }
        })
    }

    /// How it ended, if it has.
    #[must_use]
    pub fn ended(&self) -> Option<Ended> {
        *self.process.life.state.lock()
    }

    /// Waits for its end.
    ///
    /// # Errors
    /// `timeout` with `what`.
    pub fn wait(&self, deadline: Deadline, what: &str) -> Result<Ended, Failure> {
        self.process.life.state.wait(deadline, |ended| *ended).ok_or_else(|| deadline.failure(what))
    }

    /// How it ended, if it has, once a caller has found what it found: a failure may be how a death
    /// looks from the wire, and the news of the death may still be on its way. `deadline` makes one
    /// from how long that takes on an idle host.
    pub fn end_behind<T>(
        &self,
        found: &Result<T, Failure>,
        deadline: impl FnOnce(Duration) -> Deadline,
    ) -> Option<Ended> {
        if found.is_ok() {
            return self.ended();
        }
        let has_written = self.stderr().lock().total() > self.stderr_when_ready;
        let limit = if has_written { LONG_OBITUARY } else { OBITUARY };
        self.process.life.state.wait(deadline(limit), |ended| *ended)
    }

    /// What was found by a caller that wants this server to go on: if it has died, that is what is
    /// wrong, however it looked from the wire. `deadline` is that of [`Server::end_behind`].
    ///
    /// # Errors
    /// `crash` when it has ended, else what was found.
    pub fn survives<T>(
        &self,
        found: Result<T, Failure>,
        deadline: impl FnOnce(Duration) -> Deadline,
    ) -> Result<T, Failure> {
        let Some(ended) = self.end_behind(&found, deadline) else { return found };
        let seen = match found {
            Ok(_) => Outside::default(),
            Err(e) => outside!("; its client saw {}: {}", e.kind, e.actual),
        };
        let ended = outside!("{}{}", format!("it {ended}"), seen);
        Err(Failure::new(FailureKind::Crash, "a server that keeps running", ended))
    }

    /// Closes its standard input, which is the portable stop signal.
    pub fn close_stdin(&self) {
        self.process.life.is_asked.store(true, Ordering::Relaxed);
        drop(self.process.stdin.lock().unwrap_or_else(PoisonError::into_inner).take());
    }

    /// Kills it and its group, and waits for its end.
    ///
    /// # Errors
    /// `harness` when it does not end even so.
    pub fn kill(&self) -> Result<(), Failure> {
        self.process.kill()
    }

    /// Everything it has written to standard output so far.
    #[must_use]
    pub fn stdout(&self) -> &Watched<Captured> {
        &self.process.stdout
    }

    /// Everything it has written to standard error so far.
    #[must_use]
    pub fn stderr(&self) -> &Watched<Captured> {
        &self.process.stderr
    }
}

impl Supervised {
    pub(super) fn kill(&self) -> Result<(), Failure> {
        if !cfg!(unix) && self.life.state.lock().is_none() {
            // A killed process has a status like any other there.
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
        // An error here means that the supervisor ends by itself when the control socket closes.
        let _ = self.kill();
    }
}

/// Follows what the supervisor says: how the server ended, or that the supervisor is gone.
pub(super) fn follow(
    mut lines: BufReader<TcpStream>,
    state: Arc<Watched<Option<Ended>>>,
    ended_cpu_ms: Arc<AtomicU64>,
) {
    thread::spawn(move || {
        let mut line = String::new();
        while matches!(lines.read_line(&mut line), Ok(n) if n > 0) {
            let words: Vec<&str> = line.split_whitespace().collect();
            if let ["exited", how, number, "cpu_ms", cpu_ms] = words.as_slice() {
                ended_cpu_ms.fetch_add(cpu_ms.parse().unwrap_or(0), Ordering::Relaxed);
                let number = number.parse().unwrap_or(-1);
                let ended =
                    if *how == "code" { Ended::Code(number) } else { Ended::Signal(number) };
                state.update(|state| *state = Some(ended));
                return;
            }
            line.clear();
        }
        // Nobody kills a supervisor but this harness, and it does so after the server's end.
        state.update(|state| *state = state.or(Some(Ended::Signal(9))));
    });
}
