//! One server below strace, from its start to the last request. Between two requests the server is
//! at rest, and what strace has written by then is the boundary.

use std::fs;
use std::path::{Path, PathBuf};
use std::thread;
use std::time::{Duration, Instant};

use harness::announcement::{Announcement, Ready};
use harness::deadline::{Cut, Deadline};
use harness::host_factor::HIGHEST;
use harness::launcher::{Ended, Launch, Launcher, Origin, Program, START_TIMEOUT, Server, Start};
use harness::process::{Process, Signal};
use harness::scratch::Scratch;
use report::trace::Request;
use report::{Failure, FailureKind, Outside};

use super::ladder::{Mark, requests};
use super::lines::first_thread;
use super::{rings, strace};
use crate::echo::EchoClient;
use crate::error::Error;

/// Messages on each connection before anything is told: the first ones grow buffers and lists.
const WARM_UP: u32 = 3;
/// How long all threads sleep, and strace writes nothing, in a server at rest. Runtimes sleep for
/// up to 10 ms and then go on (async-io waits so for another thread to poll).
const QUIET: Duration = Duration::from_millis(50);
/// How often that is looked at.
const LOOK_EVERY: Duration = Duration::from_millis(5);
/// How long coming to rest may take.
const REST_LIMIT: Duration = Duration::from_secs(5);
/// How long an echo may take.
const ANSWER_LIMIT: Duration = Duration::from_secs(5);
/// How long a whole session may take.
const SESSION_LIMIT: Duration = Duration::from_secs(40);
/// Lines of a server's standard error that go with a failure.
const TAIL_LINES: usize = 10;
/// What a program exits with that refuses its command line.
const USAGE: i32 = 2;

/// What is asked of every server.
#[derive(Clone, Copy, Debug)]
pub(super) struct TracePlan {
    pub(super) requests: u32,
    pub(super) connections: u32,
    pub(super) message_bytes: usize,
}

/// What came of a row.
pub(super) enum Answer {
    /// It served every request.
    Traced(Ready, Vec<Request>),
    /// It cannot run here, it says.
    Unavailable(Outside),
    /// It does not take these arguments, and says why.
    Refused(Vec<Outside>),
}

/// Starts a row's server, sends it the requests and says what it did.
pub(super) fn trace(
    tracer: &Path,
    row: &str,
    server: Program,
    plan: TracePlan,
) -> Result<Answer, Error> {
    let wrong = |failure, stderr| Error::Traced { row: row.into(), failure, stderr };
    let scratch = Scratch::new().map_err(|e| {
        let expected = "a folder for strace's output";
        wrong(Failure::new(FailureKind::Harness, expected, e.to_string()), Vec::new())
    })?;
    let output = scratch.path().join("strace");
    let launcher = Launcher::new(Origin::Contract(strace::around(tracer, server, &output)));
    follow(&launcher, output, plan).map_err(|failure| {
        let stderr = launcher.stderr_tail(TAIL_LINES);
        strace::denial(&stderr).unwrap_or_else(|| wrong(failure, stderr))
    })
}

fn follow(launcher: &Launcher, output: PathBuf, plan: TracePlan) -> Result<Answer, Failure> {
    let server = match launcher.launch(&Start::default(), || Deadline::after(START_TIMEOUT))? {
        Launch::Declined(Announcement::Unavailable(reason) | Announcement::Unsupported(reason)) => {
            return Ok(Answer::Unavailable(reason));
        }
        Launch::Ended(attempt) if attempt.ended == Ended::Code(USAGE) => {
            return Ok(Answer::Refused(attempt.stderr));
        }
        launch @ (Launch::Ready(_)
        | Launch::Ended(_)
        | Launch::Declined(Announcement::Ready(_))) => launch.expect_ready()?,
    };
    let ends = Instant::now() + scaled(SESSION_LIMIT);
    let session = TraceSession { server: &server, ends, output };
    let found = session.requests(plan);
    let requests = server.survives(found, patient)?;
    Ok(Answer::Traced(server.ready()?.clone(), requests))
}

/// Nothing is judged by its time, so all deadlines are those of the busiest host.
fn patient(limit: Duration) -> Deadline {
    Deadline::after(scaled(limit))
}

fn scaled(limit: Duration) -> Duration {
    limit.mul_f64(HIGHEST)
}

struct TraceSession<'a> {
    server: &'a Server,
    /// The end of all its echoes.
    ends: Instant,
    /// What strace writes.
    output: PathBuf,
}

/// strace, stopped until this is dropped.
struct Hold(Process);

impl Drop for Hold {
    fn drop(&mut self) {
        // Fails only when it has ended, which the echoes then show.
        let _ = self.0.signal(Signal::Continue);
    }
}

impl TraceSession<'_> {
    fn requests(&self, plan: TracePlan) -> Result<Vec<Request>, Failure> {
        let mut connections = (0..plan.connections)
            .map(|number| self.connect(number))
            .collect::<Result<Vec<_>, _>>()?;
        let mut marks = Vec::new();
        for number in 0..WARM_UP + plan.requests {
            if number >= WARM_UP {
                marks.push(self.rest()?);
            }
            self.exchange(&mut connections, plan.message_bytes)?;
        }
        marks.push(self.rest()?);
        let output = self.written()?;
        Ok(requests(&output, &marks))
    }

    fn connect(&self, number: u32) -> Result<EchoClient, Failure> {
        EchoClient::connect(self.server.address()?, number, self.answer())
    }

    /// By when the next echo must have come.
    fn answer(&self) -> Deadline {
        let words = |limit: Duration| format!("the {} s of the trace were over", limit.as_secs());
        let limit = scaled(SESSION_LIMIT);
        patient(ANSWER_LIMIT).cut_at(self.ends, Cut { limit, words })
    }

    /// One message on each connection and its echo: all are sent before the first is waited for.
    fn exchange(&self, connections: &mut [EchoClient], bytes: usize) -> Result<(), Failure> {
        let hold = if connections.len() > 1 { Some(self.hold()?) } else { None };
        for connection in connections.iter_mut() {
            connection.send(bytes, self.answer())?;
        }
        drop(hold);
        connections.iter_mut().try_for_each(|connection| connection.receive(bytes, self.answer()))
    }

    /// Holds the server while messages are sent, by stopping strace: a thread that is woken comes
    /// out of its call and waits for strace there. So each request finds all of its messages, and
    /// how they are batched does not depend on how fast they are sent, which strace would distort.
    fn hold(&self) -> Result<Hold, Failure> {
        // What was started is strace, and nothing runs below the server.
        let tracer = Process::new(self.server.pid(), self.server_pid()?);
        let hold = Hold(tracer);
        hold.0.stop(patient(REST_LIMIT))?;
        Ok(hold)
    }

    fn server_pid(&self) -> Result<u32, Failure> {
        first_thread(&self.written()?).ok_or_else(|| {
            Failure::new(FailureKind::Harness, "strace to write the server's first call", "nothing")
        })
    }

    /// Waits until the server is at rest: all threads sleep, and strace has nothing more to write.
    /// Both at once, as one thread may wake another that was looked at before.
    fn rest(&self) -> Result<Mark, Failure> {
        let process = self.server.process();
        let deadline = patient(REST_LIMIT);
        let mut at = self.written_bytes()?;
        let mut since = Instant::now();
        while since.elapsed() < QUIET {
            if deadline.is_over() {
                return Err(deadline.failure("a server at rest between two requests"));
            }
            let asleep = process.wait_asleep(deadline);
            let now = self.written_bytes()?;
            match asleep {
                Ok(()) if now == at => thread::sleep(LOOK_EVERY),
                // A thread may end between the listing and the look.
                Err(e) if e.kind != FailureKind::Harness => return Err(e),
                Ok(()) | Err(_) => (at, since) = (now, Instant::now()),
            }
        }
        Ok(Mark { at, rings: rings::read(self.server_pid()?) })
    }

    fn written_bytes(&self) -> Result<usize, Failure> {
        let length = fs::metadata(&self.output).map_err(|e| self.unreadable(&e))?.len();
        Ok(usize::try_from(length).unwrap_or(usize::MAX))
    }

    fn written(&self) -> Result<Vec<u8>, Failure> {
        fs::read(&self.output).map_err(|e| self.unreadable(&e))
    }

    fn unreadable(&self, error: &std::io::Error) -> Failure {
        let expected = format!("to read {}", self.output.display());
        Failure::new(FailureKind::Harness, expected, error.to_string())
    }
}
