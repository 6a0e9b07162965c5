//! Traces one server, from its start to the last request. Between two requests the server is at
//! rest, and the length of strace's file at that moment is the boundary.

use std::fs;
use std::path::{Path, PathBuf};
use std::thread;
use std::time::{Duration, Instant};

use harness::announcement::{Announcement, Ready};
use harness::deadline::{Cut, Deadline};
use harness::host_factor::MAX_HOST_FACTOR;
use harness::launcher::{
    Launch, Launcher, Origin, Program, START_TIMEOUT, Server, ServerExit, Start,
};
use harness::process::{Process, Signal};
use harness::scratch::Scratch;
use report::trace::Request;
use report::{Failure, FailureKind, Outside};

use super::ladder::{Mark, requests};
use super::lines::first_thread;
use super::{rings, strace};
use crate::echo::EchoClient;
use crate::error::Error;

/// Messages on each connection before the first traced request, because the first ones grow buffers
/// and lists.
const WARM_UP_MESSAGES: u32 = 3;
/// A server is at rest when all its threads sleep, and strace writes nothing, for this long.
/// Runtimes sleep for up to 10 ms and then continue (async-io waits this long for another thread to
/// poll).
const QUIET_TIME: Duration = Duration::from_millis(50);
/// How often the server is checked for rest.
const CHECK_INTERVAL: Duration = Duration::from_millis(5);
/// How long a server may take to come to rest.
const REST_LIMIT: Duration = Duration::from_secs(5);
/// How long an echo may take.
const ANSWER_LIMIT: Duration = Duration::from_secs(5);
/// How long a whole session may take.
const SESSION_LIMIT: Duration = Duration::from_secs(40);
/// How many lines of a server's standard error go with a failure.
const TAIL_LINES: usize = 10;
/// Exit status of a program that refuses its command line.
const USAGE_STATUS: i32 = 2;

/// What every server is asked to do.
#[derive(Clone, Copy, Debug)]
pub(super) struct TracePlan {
    pub(super) requests: u32,
    pub(super) connections: u32,
    pub(super) message_bytes: usize,
}

/// The result for a row.
pub(super) enum SessionOutcome {
    /// The server has answered every request.
    Traced(Ready, Vec<Request>),
    /// The server says that it cannot run here.
    Unavailable(Outside),
    /// The server refuses these arguments. The lines are the end of its standard error.
    Refused(Vec<Outside>),
}

/// Starts a row's server, sends it the requests, and returns what it did.
pub(super) fn trace(
    tracer: &Path,
    row: &str,
    server: Program,
    plan: TracePlan,
) -> Result<SessionOutcome, Error> {
    let wrong = |failure, stderr| Error::Traced { row: row.into(), failure, stderr };
    let scratch = Scratch::new().map_err(|e| {
        let expected = "a folder for strace's output";
        wrong(Failure::new(FailureKind::Harness, expected, e.to_string()), Vec::new())
    })?;
    let output = scratch.path().join("strace");
    let launcher = Launcher::new(Origin::Contract(strace::wrap(tracer, server, &output)));
    trace_server(&launcher, output, plan).map_err(|failure| {
        let stderr = launcher.stderr_tail(TAIL_LINES);
        strace::denial(&stderr).unwrap_or_else(|| wrong(failure, stderr))
    })
}

fn trace_server(
    launcher: &Launcher,
    output: PathBuf,
    plan: TracePlan,
) -> Result<SessionOutcome, Failure> {
    let server = match launcher.launch(&Start::default(), || Deadline::after(START_TIMEOUT))? {
        Launch::Declined(Announcement::Unavailable(reason) | Announcement::Unsupported(reason)) => {
            return Ok(SessionOutcome::Unavailable(reason));
        }
        Launch::Ended(attempt) if attempt.exit == ServerExit::Code(USAGE_STATUS) => {
            return Ok(SessionOutcome::Refused(attempt.stderr));
        }
        launch @ (Launch::Ready(_)
        | Launch::Ended(_)
        | Launch::Declined(Announcement::Ready(_))) => launch.expect_ready()?,
    };
    let ends = Instant::now() + scaled(SESSION_LIMIT);
    let session = TraceSession { server: &server, ends, output };
    let found = session.requests(plan);
    let requests = server.expect_running(found, scaled_deadline)?;
    Ok(SessionOutcome::Traced(server.ready()?.clone(), requests))
}

/// No time is judged here, so all deadlines are those of the busiest host.
fn scaled_deadline(limit: Duration) -> Deadline {
    Deadline::after(scaled(limit))
}

fn scaled(limit: Duration) -> Duration {
    limit.mul_f64(MAX_HOST_FACTOR)
}

struct TraceSession<'a> {
    server: &'a Server,
    /// Deadline for all echoes of the session.
    ends: Instant,
    /// The file that strace writes.
    output: PathBuf,
}

/// Keeps strace stopped until it is dropped.
struct Hold(Process);

impl Drop for Hold {
    fn drop(&mut self) {
        // Fails only if strace has ended, which the echoes then show.
        let _ = self.0.signal(Signal::Continue);
    }
}

impl TraceSession<'_> {
    fn requests(&self, plan: TracePlan) -> Result<Vec<Request>, Failure> {
        let mut connections = (0..plan.connections)
            .map(|number| self.connect(number))
            .collect::<Result<Vec<_>, _>>()?;
        let mut marks = Vec::new();
        for number in 0..WARM_UP_MESSAGES + plan.requests {
            if number >= WARM_UP_MESSAGES {
                marks.push(self.wait_for_rest()?);
            }
            self.exchange(&mut connections, plan.message_bytes)?;
        }
        marks.push(self.wait_for_rest()?);
        let output = self.read_output()?;
        Ok(requests(&output, &marks))
    }

    fn connect(&self, number: u32) -> Result<EchoClient, Failure> {
        EchoClient::connect(self.server.address()?, number, self.answer_deadline())
    }

    /// The deadline for the next echo.
    fn answer_deadline(&self) -> Deadline {
        let words = |limit: Duration| format!("the {} s of the trace were over", limit.as_secs());
        let limit = scaled(SESSION_LIMIT);
        scaled_deadline(ANSWER_LIMIT).limited_to(self.ends, Cut { limit, words })
    }

    /// Exchanges one message on each connection. It sends all of them before it waits for an echo.
    fn exchange(&self, connections: &mut [EchoClient], bytes: usize) -> Result<(), Failure> {
        let hold = if connections.len() > 1 { Some(self.hold_server()?) } else { None };
        for connection in connections.iter_mut() {
            connection.send(bytes, self.answer_deadline())?;
        }
        drop(hold);
        connections
            .iter_mut()
            .try_for_each(|connection| connection.receive(bytes, self.answer_deadline()))
    }

    /// Holds the server while messages are sent, by stopping strace: a thread that wakes up leaves
    /// its call, and then has to wait for strace. So each request finds all of its messages, and
    /// their batching does not depend on how fast they are sent, which strace would distort.
    fn hold_server(&self) -> Result<Hold, Failure> {
        // The process that the launcher started is strace, and the server has no child processes,
        // so only strace is stopped.
        let tracer = Process::new(self.server.pid(), self.server_pid()?);
        let hold = Hold(tracer);
        hold.0.stop(scaled_deadline(REST_LIMIT))?;
        Ok(hold)
    }

    fn server_pid(&self) -> Result<u32, Failure> {
        first_thread(&self.read_output()?).ok_or_else(|| {
            Failure::new(FailureKind::Harness, "strace to write the server's first call", "nothing")
        })
    }

    /// Waits until the server is at rest: all threads sleep, and strace has nothing more to write.
    /// Both must hold at once, because one thread may wake another that was checked before.
    fn wait_for_rest(&self) -> Result<Mark, Failure> {
        let process = self.server.process();
        let deadline = scaled_deadline(REST_LIMIT);
        let mut at = self.output_bytes()?;
        let mut since = Instant::now();
        while since.elapsed() < QUIET_TIME {
            if deadline.is_over() {
                return Err(deadline.failure("a server at rest between two requests"));
            }
            let asleep = process.wait_asleep(deadline);
            let now = self.output_bytes()?;
            match asleep {
                Ok(()) if now == at => thread::sleep(CHECK_INTERVAL),
                // A thread may end after it was listed and before it is checked.
                Err(e) if e.kind != FailureKind::Harness => return Err(e),
                Ok(()) | Err(_) => (at, since) = (now, Instant::now()),
            }
        }
        Ok(Mark { at, rings: rings::read(self.server_pid()?) })
    }

    fn output_bytes(&self) -> Result<usize, Failure> {
        let length = fs::metadata(&self.output).map_err(|e| self.unreadable(&e))?.len();
        Ok(usize::try_from(length).unwrap_or(usize::MAX))
    }

    fn read_output(&self) -> Result<Vec<u8>, Failure> {
        fs::read(&self.output).map_err(|e| self.unreadable(&e))
    }

    fn unreadable(&self, error: &std::io::Error) -> Failure {
        let expected = format!("to read {}", self.output.display());
        Failure::new(FailureKind::Harness, expected, error.to_string())
    }
}
