//! What a lifecycle case gets: it starts and stops servers of one row within the cell's limits, and
//! sees them as their clients do.

use std::io;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};

use harness::deadline::Deadline;
use harness::launcher::{Attempt, Ended, Launch, Launcher, Server, Start};
use harness::place::{Endpoint, Place};
use harness::ports::free_address;
use harness::row::{Row, StartPatience};
use report::{Failure, FailureKind, Outside, Transport};

use crate::client::datagrams::Datagrams;
use crate::client::peer::Peer;
use crate::clock::CellClock;
use crate::context::Context;

/// Starts servers of one row in one cell.
#[derive(Debug)]
pub struct Lifecycle {
    launcher: Launcher,
    context: Arc<Context>,
    start_timeout: Duration,
    /// What clients of the first listener use.
    transport: Transport,
    /// That of the row, in whatever cell.
    patience: StartPatience,
}

/// The time that passes while none of the servers waits for its turn to start.
#[derive(Debug)]
pub struct Stopwatch<'a> {
    launcher: &'a Launcher,
    started: Instant,
    waited: Duration,
}

impl Stopwatch<'_> {
    /// How long that is by now.
    #[must_use]
    pub fn elapsed(&self) -> Duration {
        let waited = self.launcher.waited_for_turns().saturating_sub(self.waited);
        self.started.elapsed().saturating_sub(waited)
    }
}

impl Lifecycle {
    /// The servers of one row in one cell, each of which may take so long to become ready.
    #[must_use]
    pub fn new(row: &Row, context: Arc<Context>, start_timeout: Duration) -> Self {
        let patience = row.patience.clone();
        let (launcher, transport) = (Launcher::new(row.origin.clone()), row.transport());
        Self { launcher, context, start_timeout, transport, patience }
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
    pub fn endpoint(&self) -> Option<&Endpoint> {
        self.launcher.endpoint()
    }

    /// CPU time of all servers of the cell that have ended, where the system tells.
    #[must_use]
    pub fn ended_cpu(&self) -> Duration {
        self.launcher.ended_cpu()
    }

    /// As [`Launcher::unasked_end`].
    #[must_use]
    pub fn unasked_end(&self) -> Option<Ended> {
        self.launcher.unasked_end()
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

    /// Starts a server on a port that the next one can have after it: no client of another cell
    /// gets it while nobody listens there.
    ///
    /// # Errors
    /// As [`Lifecycle::start_with`], and `harness` when no port is free.
    pub fn start_to_restart(&self) -> Result<Server, Failure> {
        let address = free_address(Transport::Tcp).map_err(|e| no_port(&e))?;
        self.start_with(&Start::on(address))
    }

    /// Starts a server and waits until it is ready or has ended. That takes nothing of the time
    /// that the cell has: how soon a server is ready is no case's question.
    ///
    /// # Errors
    /// `start` when it does neither in its time, else as [`Launcher::launch`].
    pub fn launch(&self, start: &Start) -> Result<Launch, Failure> {
        self.launch_judged(start).map_err(|mut failure| {
            if failure.kind == FailureKind::Timeout {
                failure.kind = FailureKind::Start;
            }
            failure
        })
    }

    /// As [`Lifecycle::launch`], where the case judges whether the server becomes ready.
    ///
    /// # Errors
    /// `timeout` when it neither becomes ready nor ends, else as [`Launcher::launch`].
    pub fn launch_judged(&self, start: &Start) -> Result<Launch, Failure> {
        let launch = self.starting(|deadline| self.launcher.launch(start, deadline))?;
        if let Launch::Ready(server) = &launch {
            self.clock().watch(server.process());
        }
        Ok(launch)
    }

    /// Lets `act` start a server, in time of its own.
    fn starting<T>(&self, act: impl FnOnce(&dyn Fn() -> Deadline) -> T) -> T {
        let started = Instant::now();
        let stopwatch = self.stopwatch();
        let result = act(&|| Deadline::after(self.patience.next(self.start_timeout)));
        self.patience.spend(stopwatch.elapsed());
        self.clock().put_off_end(started.elapsed());
        result
    }

    /// Measures from now on what starts take, without the time that they wait for their turn.
    #[must_use]
    pub fn stopwatch(&self) -> Stopwatch<'_> {
        let waited = self.launcher.waited_for_turns();
        Stopwatch { launcher: &self.launcher, started: Instant::now(), waited }
    }

    /// Starts a server that is to end by itself, in the time that a start may take.
    ///
    /// # Errors
    /// As [`Launcher::attempt`].
    pub fn attempt(&self, start: &Start) -> Result<Attempt, Failure> {
        self.starting(|deadline| self.launcher.attempt(start, deadline))
    }

    /// A started server as a client sees it: its first TCP listener.
    ///
    /// # Errors
    /// `announcement` when it announced none.
    pub fn peer(&self, server: &Server) -> Result<Peer, Failure> {
        match self.transport {
            Transport::Unix => self.peer_over(self.transport, server),
            Transport::Tcp | Transport::Udp | Transport::Unixgram => {
                Ok(self.peer_at(server.address()?))
            }
        }
    }

    /// A server at this address as a client sees it.
    #[must_use]
    pub fn peer_at(&self, address: SocketAddr) -> Peer {
        self.peer_in(Place::Ip(address))
    }

    /// A server in this place as a client sees it.
    #[must_use]
    pub fn peer_in(&self, place: Place) -> Peer {
        Peer::at(place, Arc::clone(&self.context))
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
        self.datagrams_in(server.place(transport)?)
    }

    /// A server in this place as a client sees it that sends datagrams.
    ///
    /// # Errors
    /// `harness` when there is no room for the paths of clients.
    pub fn datagrams_in(&self, place: Place) -> Result<Datagrams, Failure> {
        let folder = match place {
            Place::Path(_) => self.folder()?.to_owned(),
            Place::Ip(_) => PathBuf::new(),
        };
        Ok(Datagrams::new(place, folder, Arc::clone(&self.context)))
    }
}

/// This host has no port for a server.
#[must_use]
pub fn no_port(error: &io::Error) -> Failure {
    Failure::new(FailureKind::Harness, "a port for a server", error.to_string())
}
