//! What a lifecycle case gets: it starts and stops servers of one row within the limits of the
//! cell, and connects to them as a client.

use std::io;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};

use harness::deadline::Deadline;
use harness::launcher::{Attempt, Launch, Launcher, Server, ServerExit, Start};
use harness::place::{Endpoint, Place};
use harness::ports::free_address;
use harness::row::{Row, StartPatience};
use report::{Failure, FailureKind, Outside, Transport};

use crate::client::datagrams::Datagrams;
use crate::client::peer::Peer;
use crate::clock::CellClock;
use crate::context::Context;

#[derive(Debug)]
pub struct Lifecycle {
    launcher: Launcher,
    context: Arc<Context>,
    start_timeout: Duration,
    /// The transport of the first listener.
    transport: Transport,
    /// Shared by all cells of the row.
    patience: StartPatience,
}

/// Measures time without the time in which servers wait for their turn to start.
#[derive(Debug)]
pub struct Stopwatch<'a> {
    launcher: &'a Launcher,
    started: Instant,
    waited: Duration,
}

impl Stopwatch<'_> {
    #[must_use]
    pub fn elapsed(&self) -> Duration {
        let waited = self.launcher.turn_wait_time().saturating_sub(self.waited);
        self.started.elapsed().saturating_sub(waited)
    }
}

impl Lifecycle {
    /// Each server may take `start_timeout` to become ready.
    #[must_use]
    pub fn new(row: &Row, context: Arc<Context>, start_timeout: Duration) -> Self {
        let patience = row.patience.clone();
        let (launcher, transport) = (Launcher::new(row.origin.clone()), row.transport());
        Self { launcher, context, start_timeout, transport, patience }
    }

    /// The size of the case in this profile.
    #[must_use]
    pub fn size(&self) -> u64 {
        self.context.size
    }

    #[must_use]
    pub fn clock(&self) -> &CellClock {
        &self.context.clock
    }

    /// A random source that depends only on the seed and `purpose`.
    #[must_use]
    pub fn random(&self, purpose: u64) -> fastrand::Rng {
        self.context.random(purpose)
    }

    #[must_use]
    pub fn context(&self) -> &Arc<Context> {
        &self.context
    }

    /// The endpoint of a server that already listens; `None` if the judge starts the server.
    #[must_use]
    pub fn endpoint(&self) -> Option<&Endpoint> {
        self.launcher.endpoint()
    }

    /// CPU time of all servers of the cell that have ended, if the system tells.
    #[must_use]
    pub fn ended_cpu(&self) -> Duration {
        self.launcher.ended_cpu()
    }

    /// See [`Launcher::unasked_exit`].
    #[must_use]
    pub fn unasked_exit(&self) -> Option<ServerExit> {
        self.launcher.unasked_exit()
    }

    /// The end of the standard error of the server that was started last.
    #[must_use]
    pub fn stderr_tail(&self, lines: usize) -> Vec<Outside> {
        self.launcher.stderr_tail(lines)
    }

    /// See [`Launcher::folder`].
    ///
    /// # Errors
    /// `harness` when the host has no room for temporary files.
    pub fn folder(&self) -> Result<&Path, Failure> {
        self.launcher.folder()
    }

    /// See [`Launcher::start_with_listener`].
    ///
    /// # Errors
    /// Those of [`Launcher::folder`].
    pub fn start_with_listener(&self, transport: Transport) -> Result<Start, Failure> {
        self.launcher.start_with_listener(transport)
    }

    /// See [`Launcher::start_to_probe_listener`].
    ///
    /// # Errors
    /// Those of [`Launcher::folder`].
    pub fn start_to_probe_listener(&self, transport: Transport) -> Result<Start, Failure> {
        self.launcher.start_to_probe_listener(transport)
    }

    /// See [`Launcher::listener_path`].
    ///
    /// # Errors
    /// Those of [`Launcher::folder`].
    pub fn listener_path(&self, transport: Transport) -> Result<PathBuf, Failure> {
        self.launcher.listener_path(transport)
    }

    /// Starts a server that must become ready.
    ///
    /// # Errors
    /// `announcement`, `crash` or `start`.
    pub fn start(&self) -> Result<Server, Failure> {
        self.start_with(&Start::default())
    }

    /// Like [`Lifecycle::start`], with options.
    ///
    /// # Errors
    /// `announcement`, `crash` or `start`.
    pub fn start_with(&self, start: &Start) -> Result<Server, Failure> {
        self.launch(start)?.expect_ready()
    }

    /// Starts a server on a port that can be used again after the server has stopped. No client of
    /// another cell gets the port in between.
    ///
    /// # Errors
    /// Those of [`Lifecycle::start_with`], and `harness` when no port is free.
    pub fn start_on_reusable_port(&self) -> Result<Server, Failure> {
        let address = free_address(Transport::Tcp).map_err(|e| no_port_failure(&e))?;
        self.start_with(&Start::listening_on(address))
    }

    /// Starts a server and waits until it is ready or has ended. The time of the start is not
    /// judged and does not count against the cell's limit.
    ///
    /// # Errors
    /// `start` when the server neither becomes ready nor ends in time, else those of
    /// [`Launcher::launch`].
    pub fn launch(&self, start: &Start) -> Result<Launch, Failure> {
        self.launch_judged(start).map_err(|mut failure| {
            if failure.kind == FailureKind::Timeout {
                failure.kind = FailureKind::Start;
            }
            failure
        })
    }

    /// Like [`Lifecycle::launch`], for a case that judges whether the server becomes ready.
    ///
    /// # Errors
    /// `timeout` when the server neither becomes ready nor ends in time, else those of
    /// [`Launcher::launch`].
    pub fn launch_judged(&self, start: &Start) -> Result<Launch, Failure> {
        let launch = self.start_uncounted(|deadline| self.launcher.launch(start, deadline))?;
        if let Launch::Ready(server) = &launch {
            self.clock().watch_server(server.process());
        }
        Ok(launch)
    }

    /// Lets `act` start a server. The time of the start does not count against the cell's limit.
    fn start_uncounted<T>(&self, act: impl FnOnce(&dyn Fn() -> Deadline) -> T) -> T {
        let started = Instant::now();
        let stopwatch = self.stopwatch();
        let result = act(&|| Deadline::after(self.patience.next_limit(self.start_timeout)));
        self.patience.spend(stopwatch.elapsed());
        self.clock().extend_cell(started.elapsed());
        result
    }

    /// Starts to measure time, without the time in which servers wait for their turn to start.
    #[must_use]
    pub fn stopwatch(&self) -> Stopwatch<'_> {
        let waited = self.launcher.turn_wait_time();
        Stopwatch { launcher: &self.launcher, started: Instant::now(), waited }
    }

    /// Starts a server that must end by itself, within the time that a start may take.
    ///
    /// # Errors
    /// Those of [`Launcher::attempt`].
    pub fn attempt(&self, start: &Start) -> Result<Attempt, Failure> {
        self.start_uncounted(|deadline| self.launcher.attempt(start, deadline))
    }

    /// A client of the server's first TCP listener, or of its Unix path if the row is served over
    /// one.
    ///
    /// # Errors
    /// `announcement` when the server announced no such listener.
    pub fn peer(&self, server: &Server) -> Result<Peer, Failure> {
        match self.transport {
            Transport::Unix => self.peer_with_transport(self.transport, server),
            Transport::Tcp | Transport::Udp | Transport::Unixgram => {
                Ok(self.peer_at_address(server.address()?))
            }
        }
    }

    #[must_use]
    pub fn peer_at_address(&self, address: SocketAddr) -> Peer {
        self.peer_at_place(Place::Ip(address))
    }

    #[must_use]
    pub fn peer_at_place(&self, place: Place) -> Peer {
        Peer::from_place(place, Arc::clone(&self.context))
    }

    /// A client that connects to the server's listener of this kind.
    ///
    /// # Errors
    /// Those of [`Server::place`].
    pub fn peer_with_transport(
        &self,
        transport: Transport,
        server: &Server,
    ) -> Result<Peer, Failure> {
        match transport {
            Transport::Tcp => self.peer(server),
            Transport::Udp | Transport::Unix | Transport::Unixgram => {
                Ok(Peer::from_place(server.place(transport)?, Arc::clone(&self.context)))
            }
        }
    }

    /// A client that sends datagrams to the server's socket of this kind.
    ///
    /// # Errors
    /// Those of [`Server::place`].
    pub fn datagrams(&self, transport: Transport, server: &Server) -> Result<Datagrams, Failure> {
        self.datagrams_at_place(server.place(transport)?)
    }

    /// A client that sends datagrams to `place`.
    ///
    /// # Errors
    /// `harness` when the host has no folder for the paths of clients.
    pub fn datagrams_at_place(&self, place: Place) -> Result<Datagrams, Failure> {
        let folder = match place {
            Place::Path(_) => self.folder()?.to_owned(),
            Place::Ip(_) => PathBuf::new(),
        };
        Ok(Datagrams::new(place, folder, Arc::clone(&self.context)))
    }
}

/// The failure of a host that has no free port for a server.
#[must_use]
pub fn no_port_failure(error: &io::Error) -> Failure {
    Failure::new(FailureKind::Harness, "a port for a server", error.to_string())
}
