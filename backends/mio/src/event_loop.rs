//! One loop: the poller, the listeners, the connections that were accepted here, and sockets of
//! datagrams.

use std::{
    collections::VecDeque,
    io, mem,
    sync::{Arc, mpsc::Sender},
    time::{Duration, Instant},
};

use common::{AcceptError, Context, Jobs, Work};
use mio::{Events, Interest, Poll, Token, Waker};
use slab::Slab;

use crate::{
    connection::{Connection, Pause},
    datagrams::Datagrams,
    stream::{Listener, Stream},
};

/// Events that one call to the poller brings at most.
const EVENTS: usize = 1024;
/// Clients accepted in a row, after which connections get a turn.
const ACCEPTS: usize = 64;
/// The tokens of connections are their keys, and below all others.
const LISTENERS: usize = usize::MAX / 4;
const DATAGRAMS: usize = usize::MAX / 2;
const WAKER: Token = Token(usize::MAX);

pub(crate) struct EventLoop {
    poll: Poll,
    waker: Arc<Waker>,
    jobs: Jobs<Owner>,
    listeners: Vec<Listening>,
    /// When the listeners are tried again after an error, also without an event.
    paused_until: Option<Instant>,
    datagrams: Vec<Datagrams>,
    connections: Slab<Connection>,
    /// Those that may get further without an event. A connection stands there once.
    queue: VecDeque<usize>,
    accepted: u64,
    /// One for all: what a socket does not take at once is copied out of it.
    buffer: Box<[u8]>,
    context: Context,
}

/// A connection, and what tells it from others that have had its key.
#[derive(Clone, Copy)]
struct Owner {
    key: usize,
    number: u64,
}

struct Listening {
    listener: Listener,
    work: Option<Work>,
    /// There may be clients in its queue.
    ready: bool,
}

impl EventLoop {
    pub(crate) fn new(context: Context) -> io::Result<EventLoop> {
        let poll = Poll::new()?;
        let waker = Arc::new(Waker::new(poll.registry(), WAKER)?);
        let woken = Arc::clone(&waker);
        let jobs = Jobs::new(move || {
            // It fails only without memory for an event.
            let _ = woken.wake();
        });
        Ok(EventLoop {
            poll,
            jobs,
            waker,
            listeners: Vec::new(),
            paused_until: None,
            datagrams: Vec::new(),
            connections: Slab::new(),
            queue: VecDeque::new(),
            accepted: 0,
            buffer: vec![0; context.buffer_bytes()].into(),
            context,
        })
    }

    /// What ends its wait.
    pub(crate) fn waker(&self) -> Arc<Waker> {
        Arc::clone(&self.waker)
    }

    pub(crate) fn listen(&mut self, mut listener: Listener, work: Option<Work>) -> io::Result<()> {
        listener.register(self.poll.registry(), Token(LISTENERS + self.listeners.len()))?;
        self.listeners.push(Listening { listener, work, ready: true });
        Ok(())
    }

    pub(crate) fn receive(&mut self, mut datagrams: Datagrams) -> io::Result<()> {
        datagrams.register(self.poll.registry(), Token(DATAGRAMS + self.datagrams.len()))?;
        self.datagrams.push(datagrams);
        Ok(())
    }

    /// Serves until the process ends; drops `stopped` when it has accepted its last client.
    pub(crate) fn run(mut self, stopped: Sender<()>) -> io::Result<()> {
        let mut stopped = Some(stopped);
        let mut events = Events::with_capacity(EVENTS);
        loop {
            match self.poll.poll(&mut events, self.timeout()) {
                Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
                polled => polled?,
            }
            // All events before anything is closed: none is taken for one of a later connection
            // with the same key.
            for event in &events {
                match event.token() {
                    WAKER => {}
                    Token(token @ DATAGRAMS..) => {
                        if let Some(datagrams) = self.datagrams.get_mut(token - DATAGRAMS) {
                            datagrams.ready = true;
                        }
                    }
                    Token(token @ LISTENERS..) => {
                        if let Some(listening) = self.listeners.get_mut(token - LISTENERS) {
                            listening.ready = true;
                        }
                    }
                    Token(key) => {
                        if let Some(connection) = self.connections.get_mut(key) {
                            connection.note(event);
                            enqueue(&mut self.queue, key, connection);
                        }
                    }
                }
            }
            self.take_done();
            self.turns();
            for datagrams in &mut self.datagrams {
                datagrams.turn(&self.context);
            }
            if stopped.is_some() {
                self.accept()?;
                if self.context.stopping() {
                    self.stop();
                    stopped = None;
                }
            }
        }
    }
}

impl EventLoop {
    /// How long the poller may wait.
    fn timeout(&self) -> Option<Duration> {
        if !self.queue.is_empty() {
            return Some(Duration::ZERO);
        }
        let may_accept = self.listeners.iter().any(|listening| listening.ready);
        let accepts = match self.paused_until {
            Some(moment) => Some(moment.saturating_duration_since(Instant::now())),
            None => may_accept.then_some(Duration::ZERO),
        };
        self.datagrams.iter().filter_map(Datagrams::patience).chain(accepts).min()
    }

    /// Connections whose messages have been worked for can answer.
    fn take_done(&mut self) {
        let stopping = self.context.stopping();
        for Owner { key, number } in self.jobs.done() {
            if let Some(connection) = self.connections.get_mut(key)
                && connection.number == number
            {
                connection.worked(stopping);
                enqueue(&mut self.queue, key, connection);
            }
        }
    }

    /// Gives each connection in the queue a turn; those that have not finished queue again.
    fn turns(&mut self) {
        for _ in 0..self.queue.len() {
            let Some(key) = self.queue.pop_front() else { break };
            let Some(connection) = self.connections.get_mut(key) else { continue };
            connection.queued = false;
            let owner = Owner { key, number: connection.number };
            let result = connection.advance(&mut self.buffer).and_then(|pause| {
                if let Pause::Work(time) = pause {
                    self.jobs.start(owner, time)?;
                }
                Ok(pause)
            });
            match result {
                Ok(Pause::Blocked | Pause::Work(_)) => {}
                Ok(Pause::Turn) => enqueue(&mut self.queue, key, connection),
                Ok(Pause::Ended) => self.connections.remove(key).counted.ended(Ok(())),
                Err(error) => self.connections.remove(key).counted.ended(Err(error)),
            }
        }
    }

    fn accept(&mut self) -> io::Result<()> {
        if let Some(moment) = self.paused_until {
            if Instant::now() < moment {
                return Ok(());
            }
            self.paused_until = None;
        }
        for index in 0..self.listeners.len() {
            for _ in 0..ACCEPTS {
                if !self.listeners[index].ready {
                    break;
                }
                match self.listeners[index].listener.accept() {
                    Ok(stream) => self.serve(stream, self.listeners[index].work),
                    Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                        self.listeners[index].ready = false;
                    }
                    Err(error) => match self.context.accept_error(&error) {
                        AcceptError::Retry => {}
                        // The listener stays ready: no event would say so again.
                        AcceptError::BackOff(pause) => {
                            self.paused_until = Some(Instant::now() + pause);
                            return Ok(());
                        }
                        AcceptError::Fatal => return Err(error),
                    },
                }
            }
        }
        Ok(())
    }

    fn serve(&mut self, stream: Stream, work: Option<Work>) {
        self.accepted += 1;
        let counted = self.context.connection();
        let entry = self.connections.vacant_entry();
        let key = entry.key();
        let connection = entry.insert(Connection::new(stream, counted, self.accepted, work));
        // Both, once and for all: an edge that nobody waits for costs less than a system call to
        // say so.
        let both = Interest::READABLE | Interest::WRITABLE;
        let registered = connection.stream.register(self.poll.registry(), Token(key), both);
        if let Err(error) = registered {
            self.connections.remove(key).counted.ended(Err(error));
        }
    }

    /// Takes what is in the accept queues, which closing the listeners would reset, and closes
    /// them; each connection echoes what has arrived, and sends FIN. Datagrams find nobody.
    fn stop(&mut self) {
        self.datagrams.clear();
        for Listening { listener, work, .. } in mem::take(&mut self.listeners) {
            for _ in 0..=common::BACKLOG {
                match listener.accept() {
                    Ok(stream) => self.serve(stream, work),
                    Err(error) if common::classify(&error) == AcceptError::Retry => {}
                    Err(_) => break,
                }
            }
        }
        for (key, connection) in &mut self.connections {
            connection.stop();
            enqueue(&mut self.queue, key, connection);
        }
    }
}

/// Lets a connection have a turn, once.
fn enqueue(queue: &mut VecDeque<usize>, key: usize, connection: &mut Connection) {
    if !mem::replace(&mut connection.queued, true) {
        queue.push_back(key);
    }
}
