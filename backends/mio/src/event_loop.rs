//! The loop of one thread: its poller, listeners, datagram sockets, and the connections it
//! accepted.

use std::collections::VecDeque;
use std::io;
use std::mem;
use std::sync::Arc;
use std::thread;
use std::time::{Duration, Instant};

use common::{Accepting, Context, Jobs, Recovery, Work};
use mio::{Events, Interest, Poll, Token, Waker};
use slab::Slab;

use crate::connection::{Connection, Pause};
use crate::datagrams::Datagrams;
use crate::stream::{Listener, Stream};

/// The most events that one call to the poller returns.
const EVENTS: usize = 1024;
/// After this many accepts in a row, the connections get a turn.
const ACCEPTS: usize = 64;
/// The token of a connection is its key. All other tokens are larger.
const LISTENERS: usize = usize::MAX / 4;
const DATAGRAMS: usize = usize::MAX / 2;
const WAKER: Token = Token(usize::MAX);

pub(crate) struct EventLoop {
    poll: Poll,
    /// Whether the poller has failed. It is not asked again.
    is_deaf: bool,
    waker: Arc<Waker>,
    jobs: Jobs<Owner>,
    listeners: Vec<Listening>,
    /// When to accept again after an error, even without an event.
    paused_until: Option<Instant>,
    datagrams: Vec<Datagrams>,
    connections: Slab<Connection>,
    /// Connections that may make progress without an event, each at most once.
    queue: VecDeque<usize>,
    accepted: u64,
    /// One buffer for all connections: bytes that a socket does not take at once are copied out.
    buffer: Box<[u8]>,
    context: Context,
}

/// A connection's key, and the number that distinguishes it from others that had the key.
#[derive(Clone, Copy)]
struct Owner {
    key: usize,
    number: u64,
}

struct Listening {
    listener: Listener,
    work: Option<Work>,
    /// Whether there may be clients in its queue.
    ready: bool,
}

impl EventLoop {
    pub(crate) fn new(context: Context) -> io::Result<Self> {
        let poll = Poll::new()?;
        let waker = Arc::new(Waker::new(poll.registry(), WAKER)?);
        let woken = Arc::clone(&waker);
        let jobs = Jobs::new(move || {
            // Fails only if there is no memory for an event.
            let _ = woken.wake();
        });
        Ok(Self {
            poll,
            is_deaf: false,
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

    /// The waker that ends the loop's wait for events.
    pub(crate) fn waker(&self) -> Arc<Waker> {
        Arc::clone(&self.waker)
    }

    pub(crate) fn listen(&mut self, mut listener: Listener, work: Option<Work>) -> io::Result<()> {
        listener.register(self.poll.registry(), Token(LISTENERS + self.listeners.len()))?;
        self.listeners.push(Listening { listener, work, ready: false });
        Ok(())
    }

    pub(crate) fn receive(&mut self, mut datagrams: Datagrams) -> io::Result<()> {
        datagrams.register(self.poll.registry(), Token(DATAGRAMS + self.datagrams.len()))?;
        self.datagrams.push(datagrams);
        Ok(())
    }

    /// Serves until the process ends; drops `accepting` when it has accepted its last client.
    pub(crate) fn run(mut self, accepting: Accepting) -> ! {
        let mut accepting = Some(accepting);
        let mut events = Events::with_capacity(EVENTS);
        loop {
            if self.is_deaf {
                self.assume_events();
            } else {
                match self.poll.poll(&mut events, self.timeout()) {
                    Ok(()) => {}
                    Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
                    Err(error) => {
                        self.context.fail("wait for events", &error);
                        self.is_deaf = true;
                        events.clear();
                    }
                }
            }
            // All events are noted before any connection is closed, so that none is taken for one
            // of a later connection with the same key.
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
            self.finish_jobs();
            self.turns();
            for datagrams in &mut self.datagrams {
                datagrams.turn(&self.context);
            }
            if accepting.is_some() {
                if !self.is_deaf {
                    self.accept();
                }
                if self.context.stopping() {
                    self.stop();
                    accepting = None;
                }
            }
        }
    }
}

impl EventLoop {
    /// Acts as if the poller had reported every connection, after a pause. This is how a server
    /// whose poller has failed drains.
    fn assume_events(&mut self) {
        const PAUSE: Duration = Duration::from_millis(5);

        thread::sleep(PAUSE);
        for (key, connection) in &mut self.connections {
            connection.assume_ready();
            enqueue(&mut self.queue, key, connection);
        }
    }

    /// How long the poller may wait; `None` is without limit.
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

    /// Tells connections that another thread has spent the CPU time of their message.
    fn finish_jobs(&mut self) {
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

    /// Gives each connection in the queue a turn. Those that can make more progress queue again.
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

    fn accept(&mut self) {
        if let Some(moment) = self.paused_until {
            if Instant::now() < moment {
                return;
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
                    Err(error) => match self.context.after_accept_error(&error) {
                        Recovery::Retry => {}
                        // The listener stays ready, because no later event would report it.
                        Recovery::BackOff(pause) => {
                            self.paused_until = Some(Instant::now() + pause);
                            return;
                        }
                        Recovery::Fatal => return,
                    },
                }
            }
        }
    }

    fn serve(&mut self, stream: Stream, work: Option<Work>) {
        self.accepted += 1;
        let counted = self.context.count_connection();
        let entry = self.connections.vacant_entry();
        let key = entry.key();
        let connection = entry.insert(Connection::new(stream, counted, self.accepted, work));
        // Both interests, for good: an event that is not needed costs less than a system call that
        // changes the interests.
        let both = Interest::READABLE | Interest::WRITABLE;
        let registered = connection.stream.register(self.poll.registry(), Token(key), both);
        if let Err(error) = registered
            && !self.is_deaf
        {
            self.connections.remove(key).counted.ended(Err(error));
        }
    }

    /// Closes the datagram sockets and, once their accept queues are empty, the listeners: closing
    /// a listener resets the clients in its queue. Each connection echoes what has arrived and
    /// sends FIN.
    fn stop(&mut self) {
        self.datagrams.clear();
        for Listening { listener, work, .. } in mem::take(&mut self.listeners) {
            let context = self.context.clone();
            context.accept_queued(|| listener.accept()).for_each(|stream| self.serve(stream, work));
        }
        for (key, connection) in &mut self.connections {
            connection.stop();
            enqueue(&mut self.queue, key, connection);
        }
    }
}

/// Queues a connection, unless it is queued.
fn enqueue(queue: &mut VecDeque<usize>, key: usize, connection: &mut Connection) {
    if !mem::replace(&mut connection.queued, true) {
        queue.push_back(key);
    }
}
