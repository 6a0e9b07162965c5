//! What a lifecycle case gets: it starts and stops servers of one row by the cell's clock, and sees
//! them as their clients do.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};

use harness::deadline::{Cut, Deadline};
use harness::launcher::{Attempt, Launch, Launcher, Server, Start};
use harness::place::Place;
use harness::row::{LateStarts, Row};
use report::{Failure, FailureKind, Outside, Transport};

use crate::client::datagrams::Datagrams;
use crate::client::peer::Peer;
use crate::clock::{CellClock, PROGRESS_LIMIT};
use crate::context::Context;

/// Starts servers of one row in one cell.
#[derive(Debug)]
pub struct Lifecycle {
    launcher: Launcher,
    context: Arc<Context>,
    start_timeout: Duration,
    /// Those of the row, in whatever cell.
    late_starts: LateStarts,
}

/// The time that passes while none of the servers waits for its turn to start.
#[derive(Debug)]
pub struct Stopwatch<'a> {
    launcher: &'a Launcher,
    begun: Instant,
    waited: Duration,
}

impl Stopwatch<'_> {
    /// How long that is by now.
    #[must_use]
    pub fn elapsed(&self) -> Duration {
        let waited = self.launcher.waited_for_turns().saturating_sub(self.waited);
        self.begun.elapsed().saturating_sub(waited)
    }
}

/// So many late starts one after the other, and the row is not waited for any more: if all of its
/// cells did that, a check would take an hour.
const LATE_STARTS: u32 = 3;
/// The time for a start after that.
const IMPATIENT: Duration = Duration::from_secs(1);

impl Lifecycle {
    /// The servers of one row in one cell, each of which may take so long to become ready.
    #[must_use]
    pub fn new(row: &Row, context: Arc<Context>, start_timeout: Duration) -> Self {
        let late_starts = row.late_starts.clone();
        Self { launcher: Launcher::new(row.origin.clone()), context, start_timeout, late_starts }
    }

    /// The case's size in this profile.
    #[must_use]
    pub fn size(&self) -> u64 {
        self.context.size
    }

    /// The cell's clock.
    #[must_use]
    pub fn clock(&self) -> &CellClock {
        &self.context.clock
    }

    /// A random source that depends on nothing but the seed and `purpose`.
    #[must_use]
    pub fn random(&self, purpose: u64) -> fastrand::Rng {
        self.context.random(purpose)
    }

    /// What the cell's cases share.
    #[must_use]
    pub fn context(&self) -> &Arc<Context> {
        &self.context
    }

    /// Where the server is that listens already, if it is one.
    #[must_use]
    pub fn address(&self) -> Option<SocketAddr> {
        self.launcher.address()
    }

    /// CPU time of all servers of the cell that have ended, where the system tells.
    #[must_use]
    pub fn ended_cpu(&self) -> Duration {
        self.launcher.ended_cpu()
    }

    /// The last lines of the last started server's standard error.
    #[must_use]
    pub fn stderr_tail(&self, lines: usize) -> Vec<Outside> {
        self.launcher.stderr_tail(lines)
    }

    /// As [`Launcher::folder`].
    ///
    /// # Errors
    /// `harness` when there is no room for temporary files.
    pub fn folder(&self) -> Result<&Path, Failure> {
        self.launcher.folder()
    }

    /// As [`Launcher::over`].
    ///
    /// # Errors
    /// As [`Launcher::folder`].
    pub fn over(&self, transport: Transport) -> Result<Start, Failure> {
        self.launcher.over(transport)
    }

    /// As [`Launcher::asking_for`].
    ///
    /// # Errors
    /// As [`Launcher::folder`].
    pub fn asking_for(&self, transport: Transport) -> Result<Start, Failure> {
        self.launcher.asking_for(transport)
    }

    /// As [`Launcher::path`].
    ///
    /// # Errors
    /// As [`Launcher::folder`].
    pub fn path(&self, transport: Transport) -> Result<PathBuf, Failure> {
        self.launcher.path(transport)
    }

    /// Starts a server that must become ready.
    ///
    /// # Errors
    /// `announcement`, `crash` or `timeout`.
    pub fn start(&self) -> Result<Server, Failure> {
        self.start_with(&Start::default())
    }

    /// As [`Lifecycle::start`], with options.
    ///
    /// # Errors
    /// `announcement`, `crash` or `timeout`.
    pub fn start_with(&self, start: &Start) -> Result<Server, Failure> {
        self.launch(start)?.expect_ready()
    }

    /// Starts a server and waits until it is ready or has ended. That takes nothing of the time
    /// that the cell has: how soon a server is ready is no case's question.
    ///
    /// # Errors
    /// `start` when it does neither in its time, else as [`Launcher::launch`].
    pub fn launch(&self, start: &Start) -> Result<Launch, Failure> {
        let begun = Instant::now();
        let launch = self.launcher.launch(start, || self.start_deadline());
        self.clock().put_off_end(begun.elapsed());
        match launch {
            Err(failure) if failure.kind == FailureKind::Timeout => {
                self.late_starts.add();
                Err(Failure { kind: FailureKind::Start, ..failure })
            }
            other => {
                self.late_starts.reset();
                other
            }
        }
    }

    fn start_deadline(&self) -> Deadline {
        let deadline = Deadline::after(self.start_timeout);
        if self.late_starts.count() < LATE_STARTS {
            return deadline;
        }
        let words = |limit: Duration| {
            format!("nothing within {} s, after {LATE_STARTS} starts in vain", limit.as_secs())
        };
        deadline.cut_at(deadline.started() + IMPATIENT, Cut { limit: IMPATIENT, words })
    }

    /// As [`Lifecycle::launch`], where what is asked is whether it becomes ready at all.
    ///
    /// # Errors
    /// `timeout` when it neither becomes ready nor ends, else as [`Launcher::launch`].
    pub fn launch_or_end(&self, start: &Start) -> Result<Launch, Failure> {
        let begun = Instant::now();
        self.launcher.launch(start, || {
            self.clock().put_off_end(begun.elapsed());
            self.clock().progress()
        })
    }

    /// Measures from now on what starts take, without the time that they wait for their turn.
    #[must_use]
    pub fn stopwatch(&self) -> Stopwatch<'_> {
        let waited = self.launcher.waited_for_turns();
        Stopwatch { launcher: &self.launcher, begun: Instant::now(), waited }
    }

    /// Starts a server that is to end by itself within [`PROGRESS_LIMIT`].
    ///
    /// # Errors
    /// As [`Launcher::attempt`].
    pub fn attempt(&self, start: &Start) -> Result<Attempt, Failure> {
        let deadline = self.clock().within(PROGRESS_LIMIT);
        let attempt = self.launcher.attempt(start, deadline)?;
        self.clock().judge_time("the refused server's end", deadline.elapsed(), PROGRESS_LIMIT)?;
        Ok(attempt)
    }

    /// A started server as a client sees it: its first TCP listener.
    ///
    /// # Errors
    /// `announcement` when it announced none.
    pub fn peer(&self, server: &Server) -> Result<Peer, Failure> {
        Ok(self.peer_at(server.address()?))
    }

    /// A server at this address as a client sees it.
    #[must_use]
    pub fn peer_at(&self, address: SocketAddr) -> Peer {
        Peer::new(address, Arc::clone(&self.context))
    }

    /// A started server as a client sees it that connects to a listener of this kind.
    ///
    /// # Errors
    /// As [`Server::place`].
    pub fn peer_over(&self, transport: Transport, server: &Server) -> Result<Peer, Failure> {
        match transport {
            Transport::Tcp => self.peer(server),
            Transport::Udp | Transport::Unix | Transport::Unixgram => {
                Ok(Peer::at(server.place(transport)?, Arc::clone(&self.context)))
            }
        }
    }

    /// A started server as a client sees it that sends datagrams to a listener of this kind.
    ///
    /// # Errors
    /// As [`Server::place`].
    pub fn datagrams(&self, transport: Transport, server: &Server) -> Result<Datagrams, Failure> {
        let place = server.place(transport)?;
        let folder = match place {
            Place::Path(_) => self.folder()?.to_owned(),
            Place::Ip(_) => PathBuf::new(),
        };
        Ok(Datagrams::new(place, folder, Arc::clone(&self.context)))
    }
}
