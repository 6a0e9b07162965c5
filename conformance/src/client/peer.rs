//! What a wire case gets: a server to connect to, the size of the case, random sources, and the
//! clock of the cell.

use std::net::SocketAddr;
use std::sync::{Arc, OnceLock};
use std::thread;
use std::time::Duration;

use harness::accept_queue::{AcceptQueue, accept_queue};
use harness::attest::{EchoedConnection, Exchange};
use harness::place::Place;
use report::{Failure, FailureKind, Transport, outside};

use crate::client::connection::{Connection, PendingConnection, Setup};
use crate::client::payload::Payload;
use crate::clock::CellClock;
use crate::context::Context;

/// How soon a new client must be served while the server has nothing else to do.
pub const PROBE_LIMIT: Duration = Duration::from_secs(1);
/// The purpose of the random source for the sizes of pieces. No case uses it for anything else.
const PIECES_PURPOSE: u64 = u64::MAX;

/// The length of the messages that attestation asks for.
const MESSAGE_BYTES: u64 = 16;

/// A listening server, from a client's point of view.
#[derive(Clone, Debug)]
pub struct Peer {
    place: Place,
    context: Arc<Context>,
    has_short_queue: OnceLock<bool>,
}

impl Peer {
    #[must_use]
    pub fn new(address: SocketAddr, context: Arc<Context>) -> Self {
        Self::from_place(Place::Ip(address), context)
    }

    #[must_use]
    pub fn transport(&self) -> Transport {
        match self.place {
            Place::Ip(_) => Transport::Tcp,
            Place::Path(_) => Transport::Unix,
        }
    }

    #[must_use]
    pub fn from_place(place: Place, context: Arc<Context>) -> Self {
        Self { place, context, has_short_queue: OnceLock::new() }
    }

    /// The IP address of the listener.
    ///
    /// # Errors
    /// `harness` when the server listens on a Unix path.
    pub fn address(&self) -> Result<SocketAddr, Failure> {
        match &self.place {
            Place::Ip(address) => Ok(*address),
            Place::Path(_) => Err(Failure::new(FailureKind::Harness, "an IP address", "a path")),
        }
    }

    /// The size of the case in this profile.
    #[must_use]
    pub fn size(&self) -> u64 {
        self.context.size
    }

    /// The seed of what is random but not payload, such as the sizes of pieces.
    #[must_use]
    pub fn seed(&self) -> u64 {
        self.random(PIECES_PURPOSE).u64(..)
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

    /// Connects with default socket options.
    ///
    /// # Errors
    /// `refused` or `timeout`.
    pub fn connect(&self) -> Result<Connection, Failure> {
        self.connect_with(Setup::default())
    }

    /// Connects, with socket options on the judge's end.
    ///
    /// # Errors
    /// `refused` or `timeout`.
    pub fn connect_with(&self, setup: Setup) -> Result<Connection, Failure> {
        self.start_with(setup)?.finish(self.clock().progress_deadline())
    }

    /// Connects from a given address. `None` if another socket uses that address.
    ///
    /// # Errors
    /// Those of [`Peer::connect`].
    pub fn connect_from(&self, from: SocketAddr) -> Result<Option<Connection>, Failure> {
        let (number, clock) = self.next_number_and_clock();
        let pending =
            PendingConnection::start_from(from, &self.place, number, self.payload(number), clock)?;
        pending.map(|pending| pending.finish(self.clock().progress_deadline())).transpose()
    }

    /// Starts to connect, without waiting until the connection is established.
    ///
    /// # Errors
    /// `refused`, and on a Unix path also `timeout`.
    pub fn start(&self) -> Result<PendingConnection, Failure> {
        self.start_with(Setup::default())
    }

    /// Starts a connection, which is established on return unless the server's queue was full. On
    /// some systems the server does not notice the reset of a connection that is not established.
    ///
    /// # Errors
    /// Those of [`Peer::start`].
    pub fn start_established(&self) -> Result<PendingConnection, Failure> {
        const SETTLE_TIME: Duration = Duration::from_millis(100);
        let pending = self.start()?;
        if self.context.sockets.established_at_once.seen() != Some(&true) {
            pending.wait_for_outcome(self.clock().deadline_after(SETTLE_TIME))?;
        }
        Ok(pending)
    }

    /// How many of `wanted` clients can wait for `accept` on this host, whatever backlog the server
    /// asks for.
    #[must_use]
    pub fn host_queue(&self, wanted: u64) -> u64 {
        let room = self.context.sockets.accept_queue.seen();
        room.map_or(wanted, |room| wanted.min(u64::from(*room).max(1)))
    }

    /// Like [`Peer::start`]. If the accept queue is short, first waits until it has room.
    fn start_with(&self, setup: Setup) -> Result<PendingConnection, Failure> {
        /// More clients than normally wait for `accept`, except in a burst.
        const SHORT_QUEUE: u32 = 64;
        let is_short = || self.accept_queue().is_some_and(|queue| queue.capacity < SHORT_QUEUE);
        if *self.has_short_queue.get_or_init(is_short) {
            self.await_room(1);
        }
        self.start_at_once(setup)
    }

    /// On some systems a Unix path with a full queue refuses clients. A refused client tries again
    /// for up to 100 ms.
    fn start_at_once(&self, setup: Setup) -> Result<PendingConnection, Failure> {
        const RETRY_INTERVAL: Duration = Duration::from_millis(1);
        const REFUSAL_LIMIT: Duration = Duration::from_millis(100);
        let (number, clock) = self.next_number_and_clock();
        let deadline = self.clock().deadline_after(REFUSAL_LIMIT);
        loop {
            let payload = self.payload(number);
            match PendingConnection::start(&self.place, setup, number, payload, Arc::clone(&clock))
            {
                Err(failure) if self.is_full_queue_refusal(&failure) && !deadline.is_over() => {
                    self.clock().count_wait(|| thread::sleep(RETRY_INTERVAL));
                }
                started => return started,
            }
        }
    }

    /// Whether a refusal by a Unix path may mean that the queue is full.
    fn is_full_queue_refusal(&self, failure: &Failure) -> bool {
        let said = self.context.sockets.full_unix.seen();
        matches!(self.place, Place::Path(_))
            && failure.kind == FailureKind::Refused
            && said.is_some_and(|said| said.equals("ECONNREFUSED"))
    }

    fn payload(&self, number: u32) -> Payload {
        Payload::new(Arc::clone(&self.context.key), number)
    }

    /// The number and the clock for the next connection.
    fn next_number_and_clock(&self) -> (u32, Arc<CellClock>) {
        (self.context.next_number(), Arc::clone(&self.context.clock))
    }

    /// Connects `count` times, a few at a time: other cases judge the length of the accept queue.
    ///
    /// # Errors
    /// Those of [`Peer::connect_burst`].
    pub fn connect_many(&self, count: u64) -> Result<Vec<Connection>, Failure> {
        const BATCH: u64 = 4;
        let queue = self.accept_queue().filter(|queue| u64::from(queue.capacity) < count);
        let at_once = queue.map_or(BATCH, |queue| u64::from(queue.capacity).clamp(1, BATCH));
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

    /// Waits until the accept queue has room for `clients`. If it had none, the system would retry
    /// the connection only after a second, and the server would look slow.
    fn await_room(&self, clients: u64) {
        const LOOK_INTERVAL: Duration = Duration::from_millis(1);
        let deadline = self.clock().progress_deadline();
        let is_full = |queue: AcceptQueue| {
            u64::from(queue.waiting) + clients > u64::from(queue.capacity).max(1)
        };
        self.clock().count_wait(|| {
            while !deadline.is_over() && self.accept_queue().is_some_and(is_full) {
                thread::sleep(LOOK_INTERVAL);
            }
        });
    }

    /// Connects `count` times. Starts all connections before it waits for the first.
    ///
    /// # Errors
    /// `queue` when the accept queue has less room, `refused` or `timeout`.
    pub fn connect_burst(&self, count: u64) -> Result<Vec<Connection>, Failure> {
        let connect = || -> Result<Vec<Connection>, Failure> {
            let pending: Vec<PendingConnection> = (0..count)
                .map(|_| self.start_at_once(Setup::default()))
                .collect::<Result<_, _>>()?;
            pending
                .into_iter()
                .map(|pending| pending.finish(self.clock().progress_deadline()))
                .collect()
        };
        connect().map_err(|failure| self.attribute_to_accept_queue(count, failure))
    }

    /// Replaces the failure of a burst of clients by `queue` if the listener's accept queue was too
    /// short for them. Linux drops or later resets connections that overflow the queue (tcp(7),
    /// `tcp_abort_on_overflow`, `tcp_syncookies`), so the failure can look like many others.
    #[must_use]
    pub fn attribute_to_accept_queue(&self, clients: u64, failure: Failure) -> Failure {
        let is_of_queue = matches!(
            failure.kind,
            FailureKind::Timeout | FailureKind::Refused | FailureKind::Reset | FailureKind::Slow
        );
        match self.accept_queue() {
            // Linux lets one more client wait than the backlog says (sk_acceptq_is_full).
            Some(AcceptQueue { capacity, .. })
                if is_of_queue && u64::from(capacity) + 1 < clients =>
            {
                let expected = outside!("room for {} clients in the accept queue", clients);
                let actual = outside!("room for {}; a client saw {}", capacity, failure.actual);
                Failure::new(FailureKind::Queue, expected, actual)
            }
            Some(_) | None => failure,
        }
    }

    /// The accept queue of the listener, if the system tells.
    #[must_use]
    pub fn accept_queue(&self) -> Option<AcceptQueue> {
        self.address().ok().and_then(accept_queue)
    }

    /// How many clients may wait for `accept`, for cases that do not judge the queue. No system
    /// tells it for a Unix path, so this assumes the shortest in use: five (`listen(fd, 5)` of old
    /// textbooks).
    #[must_use]
    pub fn queue_room(&self) -> u64 {
        const SHORTEST_QUEUE: u64 = 5;
        match self.transport() {
            Transport::Tcp => {
                self.accept_queue().map_or(u64::MAX, |queue| u64::from(queue.capacity))
            }
            Transport::Unix | Transport::Udp | Transport::Unixgram => SHORTEST_QUEUE,
        }
    }

    /// Like [`Peer::connect_burst`], but does not wait for room in the queue of a Unix path.
    ///
    /// # Errors
    /// `queue` when there is no room, `refused` or `timeout`.
    pub fn connect_without_waiting(&self, count: u64) -> Result<Vec<Connection>, Failure> {
        let start = |_| {
            let (number, clock) = self.next_number_and_clock();
            let payload = self.payload(number);
            let started =
                PendingConnection::start_without_waiting(&self.place, number, payload, clock);
            started.map_err(|refused| match self.is_full_queue_refusal(&refused) {
                true => Failure { kind: FailureKind::Queue, ..refused },
                false => refused,
            })
        };
        let pending: Vec<PendingConnection> = (0..count).map(start).collect::<Result<_, _>>()?;
        pending
            .into_iter()
            .map(|pending| pending.finish(self.clock().progress_deadline()))
            .collect()
    }

    /// Checks that the server still serves: a new client must get 1 KiB echoed within a second. The
    /// server gets extra time for each client that it may still have to accept or to clean up
    /// after.
    ///
    /// # Errors
    /// `refused`, `timeout`, `slow` or a payload failure.
    pub fn expect_service(&self) -> Result<(), Failure> {
        let mut probe = self.connect()?;
        let work = self.clock().work_left(self.context.unaccepted_clients());
        probe.send(1024)?;
        probe.receive_and_judge("a new client's echo", 1024, PROBE_LIMIT + work)?;
        // The client closes in order. Other cases judge how the server handles resets.
        Ok(())
    }

    /// Lets `attest` exchange messages on one connection, which is opened for the first message.
    ///
    /// # Errors
    /// The failure of `attest`.
    pub fn with_exchange<T>(
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
            Ok(EchoedConnection {
                server: self.address()?,
                client,
                bytes: messages * MESSAGE_BYTES,
            })
        });
        connection.into_iter().for_each(Connection::reset);
        attested
    }
}
