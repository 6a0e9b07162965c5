//! What a wire case gets: an address to connect to, its size and seed, and the cell's clock.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};
use std::time::Duration;

use report::{Failure, FailureKind};

use crate::case::Profile;
use crate::clock::Clock;
use crate::connection::{Connection, Pending, Setup};
use crate::transport::Place;

/// How soon a new client must be served while nothing else is asked of the server.
pub const PROBE_LIMIT: Duration = Duration::from_secs(1);

/// What is the same for everything in one cell.
#[derive(Debug)]
pub struct Context {
    /// The size of the case's table row for the profile.
    pub size: u64,
    /// The cell's seed.
    pub seed: u64,
    /// The profile.
    pub profile: Profile,
    /// The cell's clock.
    pub clock: Arc<Clock>,
    connections: Arc<AtomicU32>,
    server_cpu_ms: AtomicU64,
}

/// A listening server, as a client sees it.
#[derive(Clone, Debug)]
pub struct Peer {
    place: Place,
    context: Arc<Context>,
}

impl Context {
    /// A cell that starts now.
    #[must_use]
    pub fn new(size: u64, seed: u64, profile: Profile, clock: Clock) -> Self {
        Self {
            size,
            seed,
            profile,
            clock: Arc::new(clock),
            connections: Arc::default(),
            server_cpu_ms: AtomicU64::new(0),
        }
    }

    /// A part of this cell, as small as in `quick`. It goes on counting this cell's connections, so
    /// that bytes of one part that turn up in another are known as foreign.
    #[must_use]
    pub fn quick_part(&self, size: u64) -> Self {
        Self {
            size,
            seed: self.seed,
            profile: Profile::Quick,
            clock: Arc::clone(&self.clock),
            connections: Arc::clone(&self.connections),
            server_cpu_ms: AtomicU64::new(0),
        }
    }

    /// A number for the next connection, or client, of this cell.
    #[must_use]
    pub fn next_number(&self) -> u32 {
        self.connections.fetch_add(1, Ordering::Relaxed)
    }

    /// Adds what an ended server has used.
    pub fn add_server_cpu(&self, used: Duration) {
        let ms = u64::try_from(used.as_millis()).unwrap_or(u64::MAX);
        self.server_cpu_ms.fetch_add(ms, Ordering::Relaxed);
    }

    /// CPU time of all servers of the cell that have ended, where the system tells.
    #[must_use]
    pub fn server_cpu(&self) -> Duration {
        Duration::from_millis(self.server_cpu_ms.load(Ordering::Relaxed))
    }

    /// A random source that depends on nothing but the seed and `purpose`.
    #[must_use]
    pub fn random(&self, purpose: u64) -> fastrand::Rng {
        fastrand::Rng::with_seed(self.seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) ^ purpose)
    }
}

impl Peer {
    /// A server that listens on `address`.
    #[must_use]
    pub fn new(address: SocketAddr, context: Arc<Context>) -> Self {
        Self::at(Place::Ip(address), context)
    }

    /// A server that listens at `place`.
    #[must_use]
    pub fn at(place: Place, context: Arc<Context>) -> Self {
        Self { place, context }
    }

    /// The IP address on which the server listens.
    ///
    /// # Errors
    /// `harness` when it is at a Unix path.
    pub fn address(&self) -> Result<SocketAddr, Failure> {
        match &self.place {
            Place::Ip(address) => Ok(*address),
            Place::Path(_) => Err(Failure::new(FailureKind::Harness, "an IP address", "a path")),
        }
    }

    /// The case's size in this profile.
    #[must_use]
    pub fn size(&self) -> u64 {
        self.context.size
    }

    /// The cell's seed.
    #[must_use]
    pub fn seed(&self) -> u64 {
        self.context.seed
    }

    /// The cell's clock.
    #[must_use]
    pub fn clock(&self) -> &Clock {
        &self.context.clock
    }

    /// A random source that depends on nothing but the seed and `purpose`.
    #[must_use]
    pub fn random(&self, purpose: u64) -> fastrand::Rng {
        self.context.random(purpose)
    }

    /// Connects.
    ///
    /// # Errors
    /// `refused` or `timeout`.
    pub fn connect(&self) -> Result<Connection, Failure> {
        self.connect_with(Setup::default())
    }

    /// Connects with options on the judge's end.
    ///
    /// # Errors
    /// `refused` or `timeout`.
    pub fn connect_with(&self, setup: Setup) -> Result<Connection, Failure> {
        self.start_with(setup)?.finish(self.clock().progress())
    }

    /// Connects from this address; none if somebody else is using that.
    ///
    /// # Errors
    /// As [`Peer::connect`].
    pub fn connect_from(&self, from: SocketAddr) -> Result<Option<Connection>, Failure> {
        let (number, clock) = self.next();
        let pending = Pending::start_from(from, &self.place, number, self.seed(), clock)?;
        pending.map(|pending| pending.finish(self.clock().progress())).transpose()
    }

    /// Asks for a connection and does not wait for it.
    ///
    /// # Errors
    /// `refused`.
    pub fn start(&self) -> Result<Pending, Failure> {
        self.start_with(Setup::default())
    }

    fn start_with(&self, setup: Setup) -> Result<Pending, Failure> {
        let (number, clock) = self.next();
        Pending::start(&self.place, setup, number, self.context.seed, clock)
    }

    /// What the next connection gets.
    fn next(&self) -> (u32, Arc<Clock>) {
        (self.context.next_number(), Arc::clone(&self.context.clock))
    }

    /// Connects `count` times, all asked for before the first is waited for.
    ///
    /// # Errors
    /// `refused` or `timeout`.
    pub fn connect_many(&self, count: u64) -> Result<Vec<Connection>, Failure> {
        let pending: Vec<Pending> = (0..count).map(|_| self.start()).collect::<Result<_, _>>()?;
        pending.into_iter().map(|pending| pending.finish(self.clock().progress())).collect()
    }

    /// The server still serves: a new client gets 1 KiB echoed within a second.
    ///
    /// # Errors
    /// `refused`, `timeout` or a payload failure.
    pub fn serves(&self) -> Result<(), Failure> {
        let mut probe = self.connect()?;
        probe.send(1024)?;
        probe.receive_in("a new client's echo", 1024, PROBE_LIMIT)?;
        // Leaves nothing in TIME_WAIT: cases make thousands of connections.
        probe.reset();
        Ok(())
    }
}
