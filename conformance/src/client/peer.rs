//! What a wire case gets: the address to connect to, the case's size, random sources, and the
//! cell's clock.

use std::net::SocketAddr;
use std::sync::{Arc, OnceLock};
use std::thread;
use std::time::Duration;

use harness::accept_queue::{AcceptQueue, accept_queue};
use harness::attest::{Exchange, Exchanged};
use harness::place::Place;
use report::{Failure, FailureKind, Transport, outside};

use crate::client::connection::{Connection, Pending, Setup};
use crate::client::payload::Payload;
use crate::clock::CellClock;
use crate::context::Context;

/// How soon a new client must be served while nothing else is asked of the server.
pub const PROBE_LIMIT: Duration = Duration::from_secs(1);
/// The purpose of the random source for pieces, which no case uses for something else.
const PIECES: u64 = u64::MAX;

/// Length of the messages that attestation asks for.
const MESSAGE_BYTES: u64 = 16;

/// A listening server, as a client sees it.
#[derive(Clone, Debug)]
pub struct Peer {
    place: Place,
    context: Arc<Context>,
    has_short_queue: OnceLock<bool>,
}

impl Peer {
    /// A server that listens on `address`.
    #[must_use]
    pub fn new(address: SocketAddr, context: Arc<Context>) -> Self {
        Self::at(Place::Ip(address), context)
    }

    /// What its connections come over.
    #[must_use]
    pub fn transport(&self) -> Transport {
        match self.place {
            Place::Ip(_) => Transport::Tcp,
            Place::Path(_) => Transport::Unix,
        }
    }

    /// A server that listens at `place`.
    #[must_use]
    pub fn at(place: Place, context: Arc<Context>) -> Self {
        Self { place, context, has_short_queue: OnceLock::new() }
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

    /// The seed of what is random in the cell and not payload, such as the sizes of pieces.
    #[must_use]
    pub fn seed(&self) -> u64 {
        self.random(PIECES).u64(..)
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
        let pending = Pending::start_from(from, &self.place, number, self.payload(number), clock)?;
        pending.map(|pending| pending.finish(self.clock().progress())).transpose()
    }

    /// Asks for a connection and does not wait for it.
    ///
    /// # Errors
    /// `refused`.
    pub fn start(&self) -> Result<Pending, Failure> {
        self.start_with(Setup::default())
    }

    /// Asks for a connection that is established when this returns, unless the server's queue was
    /// full: on some systems a reset of one that is not tells the server nothing.
    ///
    /// # Errors
    /// `refused`.
    pub fn start_established(&self) -> Result<Pending, Failure> {
        const SETTLED: Duration = Duration::from_millis(100);
        let pending = self.start()?;
        if self.context.sockets.established_at_once.seen() != Some(&true) {
            pending.settle(self.clock().within(SETTLED))?;
        }
        Ok(pending)
    }

    /// How many clients may wait for `accept` on this host, whatever the server asks for, of
    /// `wanted`.
    #[must_use]
    pub fn host_queue(&self, wanted: u64) -> u64 {
        let room = self.context.sockets.accept_queue.seen();
        room.map_or(wanted, |room| wanted.min(u64::from(*room).max(1)))
    }

    /// As [`Peer::start`]. Where the queue is short, those before it are let in first.
    fn start_with(&self, setup: Setup) -> Result<Pending, Failure> {
        /// More than a server has to accept at any time, unless a crowd comes.
        const SHORT: u32 = 64;
        let is_short = || self.accept_queue().is_some_and(|queue| queue.room < SHORT);
        if *self.has_short_queue.get_or_init(is_short) {
            self.await_room(1);
        }
        self.start_at_once(setup)
    }

    /// Where a full queue of a Unix path refuses, a refused client asks again for a while.
    fn start_at_once(&self, setup: Setup) -> Result<Pending, Failure> {
        const ASK_AGAIN: Duration = Duration::from_millis(1);
        const REFUSED_FOR_GOOD: Duration = Duration::from_millis(100);
        let (number, clock) = self.next();
        let deadline = self.clock().within(REFUSED_FOR_GOOD);
        loop {
            let payload = self.payload(number);
            match Pending::start(&self.place, setup, number, payload, Arc::clone(&clock)) {
                Err(failure) if self.may_be_full(&failure) && !deadline.is_over() => {
                    self.clock().waiting(|| thread::sleep(ASK_AGAIN));
                }
                started => return started,
            }
        }
    }

    /// Whether a refusal at a Unix path may mean that the queue is full.
    fn may_be_full(&self, failure: &Failure) -> bool {
        let said = self.context.sockets.full_unix.seen();
        matches!(self.place, Place::Path(_))
            && failure.kind == FailureKind::Refused
            && said.is_some_and(|said| said.is("ECONNREFUSED"))
    }

    fn payload(&self, number: u32) -> Payload {
        Payload::new(Arc::clone(&self.context.key), number)
    }

    /// What the next connection gets.
    fn next(&self) -> (u32, Arc<CellClock>) {
        (self.context.next_number(), Arc::clone(&self.context.clock))
    }

    /// Connects `count` times, a few at once: how many a server lets wait is asked elsewhere.
    ///
    /// # Errors
    /// As [`Peer::connect_burst`].
    pub fn connect_many(&self, count: u64) -> Result<Vec<Connection>, Failure> {
        const AT_ONCE: u64 = 4;
        let queue = self.accept_queue().filter(|queue| u64::from(queue.room) < count);
        let at_once = queue.map_or(AT_ONCE, |queue| u64::from(queue.room).clamp(1, AT_ONCE));
        let mut connections = Vec::new();
        while (connections.len() as u64) < count {
            let lot = at_once.min(count - connections.len() as u64);
            if queue.is_some() {
                self.await_room(lot);
            }
            connections.extend(self.connect_burst(lot)?);
        }
        Ok(connections)
    }

    /// Waits until so many clients find room in the queue: the system lets one that finds none try
    /// again after a second, as if the server were slow.
    fn await_room(&self, clients: u64) {
        const LOOK_EVERY: Duration = Duration::from_millis(1);
        let deadline = self.clock().progress();
        let is_full =
            |queue: AcceptQueue| u64::from(queue.waiting) + clients > u64::from(queue.room).max(1);
        self.clock().waiting(|| {
            while !deadline.is_over() && self.accept_queue().is_some_and(is_full) {
                thread::sleep(LOOK_EVERY);
            }
        });
    }

    /// Connects `count` times, all asked for before the first is waited for.
    ///
    /// # Errors
    /// `queue` where the listener has less room, `refused` or `timeout`.
    pub fn connect_burst(&self, count: u64) -> Result<Vec<Connection>, Failure> {
        let connect = || -> Result<Vec<Connection>, Failure> {
            let pending: Vec<Pending> = (0..count)
                .map(|_| self.start_at_once(Setup::default()))
                .collect::<Result<_, _>>()?;
            pending.into_iter().map(|pending| pending.finish(self.clock().progress())).collect()
        };
        connect().map_err(|failure| self.blame_queue(count, failure))
    }

    /// What kept clients that came all at once from being served, if it is the listener's queue.
    /// Linux drops what comes to a full one, or resets it later (tcp(7), `tcp_abort_on_overflow`,
    /// `tcp_syncookies`), so that it looks like anything.
    #[must_use]
    pub fn blame_queue(&self, clients: u64, failure: Failure) -> Failure {
        let is_of_queue = matches!(
            failure.kind,
            FailureKind::Timeout | FailureKind::Refused | FailureKind::Reset | FailureKind::Slow
        );
        match self.accept_queue() {
            // One more than that may wait (tcp_acceptq_full).
            Some(AcceptQueue { room, .. }) if is_of_queue && u64::from(room) + 1 < clients => {
                let expected = outside!("room for {} clients in the accept queue", clients);
                let actual = outside!("room for {}; a client saw {}", room, failure.actual);
                Failure::new(FailureKind::Queue, expected, actual)
            }
            Some(_) | None => failure,
        }
    }

    /// The listener's accept queue, where the system tells.
    #[must_use]
    pub fn accept_queue(&self) -> Option<AcceptQueue> {
        self.address().ok().and_then(accept_queue)
    }

    /// How many clients may wait for `accept`, where nobody asks whether many can. Of a Unix path
    /// nobody tells, and the shortest queue is for five (`listen(fd, 5)` of old textbooks).
    #[must_use]
    pub fn queue_room(&self) -> u64 {
        const SHORTEST: u64 = 5;
        match self.transport() {
            Transport::Tcp => self.accept_queue().map_or(u64::MAX, |queue| u64::from(queue.room)),
            Transport::Unix | Transport::Udp | Transport::Unixgram => SHORTEST,
        }
    }

    /// As [`Peer::connect_burst`], without waiting for room in the queue of a Unix path.
    ///
    /// # Errors
    /// `queue` when there is none, `refused` or `timeout`.
    pub fn connect_without_waiting(&self, count: u64) -> Result<Vec<Connection>, Failure> {
        let start = |_| {
            let (number, clock) = self.next();
            let payload = self.payload(number);
            let started = Pending::start_without_waiting(&self.place, number, payload, clock);
            started.map_err(|refused| match self.may_be_full(&refused) {
                true => Failure { kind: FailureKind::Queue, ..refused },
                false => refused,
            })
        };
        let pending: Vec<Pending> = (0..count).map(start).collect::<Result<_, _>>()?;
        pending.into_iter().map(|pending| pending.finish(self.clock().progress())).collect()
    }

    /// The server still serves: a new client gets 1 KiB echoed within a second of its turn. Before
    /// that come those who connected earlier, and those who have left.
    ///
    /// # Errors
    /// `refused`, `timeout` or a payload failure.
    pub fn serves(&self) -> Result<(), Failure> {
        /// Nobody has seen a server that takes longer to accept a client, or to clean up after one.
        const FOR_EACH: Duration = Duration::from_millis(5);
        let mut probe = self.connect()?;
        let work = FOR_EACH * self.context.owed().saturating_add(self.clock().left());
        probe.send(1024)?;
        probe.receive_in("a new client's echo", 1024, PROBE_LIMIT + work)?;
        // It leaves in order: what a server makes of resets is asked elsewhere.
        Ok(())
    }

    /// Lets `attest` exchange messages on one connection, which is made for the first of them.
    ///
    /// # Errors
    /// What `attest` fails with.
    pub fn exchanging<T>(
        &self,
        attest: impl FnOnce(Exchange<'_>) -> Result<T, Failure>,
    ) -> Result<T, Failure> {
        let mut connection = None;
        let attested = attest(&mut |messages| {
            let connection = match &mut connection {
                Some(connection) => connection,
                None => connection.insert(self.connect()?),
            };
            (0..messages).try_for_each(|_| connection.exchange(MESSAGE_BYTES))?;
            let client = connection.local_address()?;
            Ok(Exchanged { server: self.address()?, client, bytes: messages * MESSAGE_BYTES })
        });
        connection.into_iter().for_each(Connection::reset);
        attested
    }
}
