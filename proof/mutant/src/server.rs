//! The loop: one thread, one poller, and a turn for each connection with an event or a due timer.

use std::collections::{BTreeSet, VecDeque};
use std::io::{self, ErrorKind};
use std::time::{Duration, Instant};

use mio::net::{TcpListener, TcpStream, UdpSocket};
#[cfg(unix)]
use mio::net::{UnixDatagram, UnixListener};
use mio::{Events, Poll, Token, Waker};

use crate::capability::{Attempts, Moment, Work};
use crate::connection::{Connection, Over, Phase};
use crate::datagrams::{Datagrams, Socket};
use crate::faults::Faults;
use crate::hooks::{Admission, AfterAcceptError, Hooks};
use crate::listener::{Bound, Listener, is_of_one_connection};
use crate::log;
use crate::options::{Endpoint, Options};
use crate::stop::Stop;
use crate::turn::Step;

const WAKER: Token = Token(usize::MAX);
/// Tokens below this one are slots of connections. Listeners have the tokens from here on.
const FIRST_LISTENER: usize = usize::MAX - 1024;
/// Datagram sockets have the tokens from here on.
const FIRST_DATAGRAMS: usize = usize::MAX - 512;
const EVENTS: usize = 1024;
/// Connections accepted per listener and pass, so that the open ones get their turn.
const ACCEPTS_PER_PASS: usize = 64;
/// Connections taken from an accept queue at a stop: more than the queue can hold.
const ACCEPTS_AT_STOP: usize = 8192;
/// The pause after `accept` has failed, for example for lack of descriptors.
const BACK_OFF: Duration = Duration::from_millis(100);

pub(crate) struct Server {
    poll: Poll,
    /// A spare descriptor, for [`crate::hooks::AfterAcceptError::TurnAway`].
    spare: Option<Poll>,
    listeners: Vec<Listening>,
    datagrams: Vec<Datagrams>,
    slots: Vec<Option<Connection>>,
    free: Vec<usize>,
    /// Slots of the connections that wait for a turn.
    queue: VecDeque<usize>,
    timers: BTreeSet<(Instant, usize)>,
    accept_at: AcceptAt,
    /// The accepts, which `--cancel` may limit.
    accepts: Attempts,
    read_limit: Option<Duration>,
    accepted: u64,
    /// The value of `accepted` when the loop first noticed the request to stop.
    accepted_at_request: Option<u64>,
    hooks: Box<dyn Hooks>,
    scratch: Vec<u8>,
    drain: Duration,
    faults: Faults,
}

struct Listening {
    listener: Listener,
    /// Whether clients may wait. The poller is edge-triggered, so this stays set until an `accept`
    /// would block.
    ready: bool,
    work: Option<Work>,
}

/// When to try the listeners again.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum AcceptAt {
    Event,
    NextPass,
    Moment(Instant),
}

impl Server {
    /// Creates a server that does not listen yet. Fails if the kernel provides no poller.
    pub(crate) fn new(options: &Options, listeners: &[Bound]) -> io::Result<Self> {
        let hooks = options.faults().hooks();
        Ok(Self {
            poll: Poll::new()?,
            spare: Poll::new().ok(),
            listeners: Vec::with_capacity(listeners.len()),
            datagrams: Vec::new(),
            slots: Vec::new(),
            free: Vec::new(),
            queue: VecDeque::new(),
            timers: BTreeSet::new(),
            accept_at: AcceptAt::Event,
            accepts: Attempts::within(options.accept_limit()),
            read_limit: options.read_limit(),
            accepted: 0,
            accepted_at_request: None,
            scratch: vec![0; hooks.buffer_bytes(options.buffer as usize)],
            hooks,
            drain: options.faults().process().drain(options.drain.into()),
            faults: options.faults(),
        })
    }

    /// A waker with which another thread wakes the loop.
    pub(crate) fn waker(&self) -> io::Result<Waker> {
        Waker::new(self.poll.registry(), WAKER)
    }

    /// Takes over the bound sockets.
    pub(crate) fn listen(&mut self, listeners: Vec<Bound>) -> io::Result<()> {
        for Bound { socket, endpoint, work } in listeners {
            match endpoint {
                Endpoint::Tcp(_) | Endpoint::Cpu(_) => {
                    self.connects(Listener::Tcp(TcpListener::from_std(socket.into())), work)?;
                }
                Endpoint::Udp(_) => {
                    self.receives(Socket::Udp(UdpSocket::from_std(socket.into())))?;
                }
                #[cfg(unix)]
                Endpoint::Unix(_) => {
                    self.connects(Listener::Unix(UnixListener::from_std(socket.into())), work)?;
                }
                #[cfg(unix)]
                Endpoint::Unixgram(_) => {
                    self.receives(Socket::Unix(UnixDatagram::from_std(socket.into())))?;
                }
                #[cfg(not(unix))]
                Endpoint::Unix(_) | Endpoint::Unixgram(_) => {}
                Endpoint::NotOffered(_) => {}
            }
        }
        Ok(())
    }

    fn connects(&mut self, mut listener: Listener, work: Option<Work>) -> io::Result<()> {
        let token = Token(FIRST_LISTENER + self.listeners.len());
        listener.register(self.poll.registry(), token)?;
        self.listeners.push(Listening { listener, ready: true, work });
        Ok(())
    }

    fn receives(&mut self, socket: Socket) -> io::Result<()> {
        let hooks = self.faults.datagram_hooks();
        let mut datagrams = Datagrams::new(socket, hooks);
        let token = Token(FIRST_DATAGRAMS + self.datagrams.len());
        datagrams.register(self.poll.registry(), token)?;
        self.datagrams.push(datagrams);
        Ok(())
    }

    /// Serves until the server is asked to stop, then drains. Returns how many connections were
    /// cut.
    pub(crate) fn run(mut self, stop: &Stop) -> io::Result<usize> {
        let mut events = Events::with_capacity(EVENTS);
        while !(stop.is_requested() && self.heeds_stop()) {
            self.pass(&mut events, None)?;
        }
        self.take_queue();
        // What the clients in the accept queues have sent has already arrived. This pass reads it.
        self.pass(&mut events, Some(Instant::now()))?;
        self.begin_stop();
        let drained = Instant::now() + self.drain;
        while self.open() > 0
            && (Instant::now() < drained
                || !self.hooks.ends_connections()
                || self.hooks.outlasts_drain(&self.slots))
        {
            self.pass(&mut events, Some(drained))?;
        }
        Ok(self.open())
    }

    fn pass(&mut self, events: &mut Events, until: Option<Instant>) -> io::Result<()> {
        let timeout = self.timeout(until);
        let timeout = self.hooks.sleep(timeout, &self.slots);
        let waited = Instant::now();
        match self.poll.poll(events, timeout) {
            Err(error)
                if error.kind() == ErrorKind::Interrupted && self.hooks.survives_interrupts() =>
            {
                return Ok(());
            }
            polled => polled?,
        }
        if !events.is_empty() {
            self.hooks.woke(waited.elapsed());
        }
        self.take(events);
        self.turns();
        self.datagrams.iter_mut().for_each(Datagrams::turn);
        self.accept(ACCEPTS_PER_PASS);
        Ok(())
    }

    fn timeout(&mut self, until: Option<Instant>) -> Option<Duration> {
        if !self.queue.is_empty() || self.datagrams.iter().any(|socket| socket.ready) {
            return Some(Duration::ZERO);
        }
        let release = self.datagrams.iter().filter_map(Datagrams::wake_at).min();
        let accept = match self.accept_at {
            AcceptAt::Event => None,
            AcceptAt::NextPass => return Some(Duration::ZERO),
            AcceptAt::Moment(moment) => Some(moment),
        };
        let timer = self.timers.first().map(|(moment, _)| *moment);
        let cancel = self.accepts.cancelled_at();
        let next = [accept, timer, cancel, until, release].into_iter().flatten().min()?;
        Some(next.saturating_duration_since(Instant::now()))
    }

    /// Notes every event before any connection is closed. Otherwise an event could reach the next
    /// connection in a slot.
    fn take(&mut self, events: &Events) {
        for event in events {
            match event.token() {
                WAKER => {}
                Token(slot) if slot < FIRST_LISTENER => {
                    if let Some(Some(connection)) = self.slots.get_mut(slot) {
                        connection.note(event);
                        self.enqueue(slot);
                    }
                }
                Token(socket) if socket >= FIRST_DATAGRAMS => {
                    if let Some(datagrams) = self.datagrams.get_mut(socket - FIRST_DATAGRAMS) {
                        datagrams.ready = true;
                    }
                }
                Token(listener) => {
                    if let Some(listening) = self.listeners.get_mut(listener - FIRST_LISTENER) {
                        listening.ready = true;
                    }
                }
            }
        }
        let now = Instant::now();
        while let Some((moment, slot)) = self.timers.first().copied()
            && moment <= now
        {
            self.timers.pop_first();
            self.enqueue(slot);
        }
    }

    fn enqueue(&mut self, slot: usize) {
        if let Some(Some(connection)) = self.slots.get_mut(slot)
            && !connection.queued
        {
            connection.queued = true;
            self.queue.push_back(slot);
        }
    }

    fn open(&self) -> usize {
        self.slots.len() - self.free.len()
    }
}

/// Accepting.
impl Server {
    fn accept(&mut self, limit: usize) {
        if let AcceptAt::Moment(moment) = self.accept_at
            && Instant::now() < moment
        {
            return;
        }
        self.accept_at = AcceptAt::Event;
        if self.accepts.cancel_if_over() {
            self.listeners.iter_mut().for_each(|listening| listening.ready = true);
        }
        for index in 0..self.listeners.len() {
            self.accept_from(index, limit);
        }
    }

    fn accept_from(&mut self, index: usize, limit: usize) {
        for _ in 0..limit {
            if !self.listeners[index].ready || !self.hooks.may_accept(self.open()) {
                return;
            }
            match self.listeners[index].listener.accept() {
                Ok((stream, over)) => self.admit(stream, over, self.listeners[index].work),
                Err(error) if error.kind() == ErrorKind::WouldBlock => {
                    self.listeners[index].ready = false;
                }
                Err(error) if is_of_one_connection(&error) => {}
                Err(error) => return self.accept_failed(index, &error),
            }
        }
        self.accept_at = AcceptAt::NextPass;
    }

    fn accept_failed(&mut self, index: usize, error: &io::Error) {
        match self.hooks.accept_failed(error) {
            AfterAcceptError::BackOff => {
                log::line(format_args!("accept failed, waiting a little: {error}"));
                self.accept_at = AcceptAt::Moment(Instant::now() + BACK_OFF);
            }
            AfterAcceptError::Retry => self.accept_at = AcceptAt::NextPass,
            AfterAcceptError::Park => self.listeners[index].ready = false,
            AfterAcceptError::TurnAway => {
                // libuv does the same: it closes a spare descriptor, accepts a client, and closes
                // the client.
                self.spare = None;
                let _ = self.listeners[index].listener.accept();
                self.spare = Poll::new().ok();
                self.accept_at = AcceptAt::NextPass;
            }
        }
    }

    fn admit(&mut self, mut stream: TcpStream, over: Over, work: Option<Work>) {
        self.accepted += 1;
        let admission = match self.accepts.complete() {
            Moment::Early => self.hooks.accepted(&mut stream, self.open()),
            Moment::Late => self.hooks.accepted_late(),
        };
        if admission == Admission::Close {
            return;
        }
        let slot = self.free.pop().unwrap_or(self.slots.len());
        let interest = self.hooks.interest();
        if admission == Admission::Serve
            && let Err(error) = self.poll.registry().register(&mut stream, Token(slot), interest)
        {
            log::line(format_args!("cannot watch a connection: {error}"));
            if slot < self.slots.len() {
                self.free.push(slot);
            }
            return;
        }
        let reads = Attempts::within(self.read_limit);
        let connection = Some(Connection { work, reads, ..Connection::new(slot, stream, over) });
        if slot == self.slots.len() {
            self.slots.push(connection);
        } else {
            self.slots[slot] = connection;
        }
    }
}

/// Serving.
impl Server {
    /// Gives one turn to each connection that is in the queue now.
    fn turns(&mut self) {
        for _ in 0..self.queue.len() {
            let beside = self.open().saturating_sub(1);
            let Some(slot) = self.queue.pop_front() else {
                return;
            };
            let Some(Some(connection)) = self.slots.get_mut(slot) else {
                continue;
            };
            connection.queued = false;
            connection.beside = beside;
            let step = connection.turn(&mut *self.hooks, &mut self.scratch);
            if let Some(moment) = connection.wake_at.take() {
                self.timers.insert((moment, slot));
            }
            match step {
                Step::Progress | Step::Again => self.enqueue(slot),
                Step::Wait => {}
                Step::Close(end) => {
                    if let Some(mut connection) = self.slots[slot].take() {
                        // Dropping the stream would be enough elsewhere. On Windows, only this call
                        // frees its part of the poller.
                        let _ = self.poll.registry().deregister(&mut connection.stream);
                        self.free.push(slot);
                        self.hooks.closed(&mut connection, end);
                        drop(self.hooks.freed(connection, end));
                    }
                }
            }
        }
    }
}

/// Stopping.
impl Server {
    /// Whether a requested stop begins now.
    fn heeds_stop(&mut self) -> bool {
        let before = *self.accepted_at_request.get_or_insert(self.accepted);
        self.hooks.heeds_stop(self.accepted - before, self.datagrams.len())
    }

    /// Accepts the clients in the accept queues.
    fn take_queue(&mut self) {
        for index in 0..self.listeners.len() {
            self.listeners[index].ready = true;
            self.accept_from(index, ACCEPTS_AT_STOP);
        }
    }

    /// Stops listening, and tells each connection to stop.
    fn begin_stop(&mut self) {
        self.hooks.stop_begins(&mut self.slots);
        self.accept_at = AcceptAt::Event;
        self.datagrams.clear();
        if self.hooks.stops_listening() {
            self.listeners.clear();
        }
        for slot in 0..self.slots.len() {
            if let Some(connection) = &mut self.slots[slot]
                && connection.phase == Phase::Open
                && self.hooks.ends_connections()
            {
                connection.phase = Phase::Stopping;
                self.hooks.stopping(connection);
                self.enqueue(slot);
            }
        }
    }
}
