//! One loop: a ring, the listeners, the connections that were accepted here, and sockets of
//! datagrams.

use std::{
    collections::VecDeque,
    io::{self, Write as _},
    mem,
    os::{
        fd::{AsFd as _, OwnedFd},
        unix::net::UnixStream,
    },
    rc::Rc,
    sync::mpsc::Sender,
    time::Instant,
};

use common::{AcceptError, BACKLOG, Context, Jobs, Transport, Work, classify};
use rustix::{io::ioctl_fionbio, net};
use slab::Slab;

use crate::{
    buffers::Buffer,
    connection::{Connection, Next},
    datagrams::Datagrams,
    ring::{Bytes, Completion, Effect, Key, Ring},
};

/// Owner of the receive that ends the loop's wait. The listeners' numbers come next, then those of
/// the sockets of datagrams, then the connections'.
const WAKER: u64 = 0;
const FIRST_LISTENER: u64 = 1;

/// A socket to serve.
pub(crate) struct Socket {
    pub(crate) descriptor: OwnedFd,
    pub(crate) transport: Transport,
    /// What each message costs before it is echoed.
    pub(crate) work: Option<Work>,
}

pub(crate) struct Server {
    ring: Ring,
    /// Accepts and receives go on after they have completed.
    many: bool,
    /// What arrives here ends the wait.
    woken: Rc<OwnedFd>,
    jobs: Jobs<JobOf>,
    listeners: Vec<Listening>,
    first_datagrams: u64,
    datagrams: Vec<Datagrams>,
    first_connection: u64,
    connections: Slab<Entry>,
    accepted: u64,
    /// The receives that `--cancel` ends, the oldest first: all wait for the same time.
    limited: VecDeque<(Instant, usize, Key)>,
    context: Context,
}

struct Entry {
    connection: Connection,
    /// Tells it from others that have had its key.
    number: u64,
    /// The receive of it that stands in the queue of those that are limited.
    limited: Option<Key>,
}

/// Whose work another thread does.
#[derive(Clone, Copy)]
struct JobOf {
    key: usize,
    number: u64,
}

struct Listening {
    socket: Rc<OwnedFd>,
    transport: Transport,
    work: Option<Work>,
    accepting: Option<Key>,
    /// When the accept is cancelled, or begun again after an error.
    at: Option<Instant>,
}

impl Server {
    /// A loop for the calling thread, and what ends its wait.
    pub(crate) fn new(
        ring: Ring,
        many: bool,
        sockets: Vec<Socket>,
        context: Context,
    ) -> io::Result<(Server, UnixStream)> {
        let (waker, woken) = UnixStream::pair()?;
        waker.set_nonblocking(true)?;
        let job_done = waker.try_clone()?;
        let (listening, others): (Vec<_>, Vec<_>) =
            sockets.into_iter().partition(|socket| match socket.transport {
                Transport::Tcp | Transport::Unix => true,
                Transport::Udp | Transport::Unixgram => false,
            });
        let first_datagrams = FIRST_LISTENER + listening.len() as u64;
        let first_connection = first_datagrams + others.len() as u64;
        let datagrams = (first_datagrams..)
            .zip(others)
            .map(|(owner, socket)| Datagrams::new(owner, socket.descriptor, socket.transport));
        let mut server = Server {
            ring,
            many,
            woken: Rc::new(woken.into()),
            jobs: Jobs::new(move || wake(&job_done)),
            listeners: listening.into_iter().map(Listening::new).collect::<io::Result<_>>()?,
            first_datagrams,
            datagrams: datagrams.collect(),
            first_connection,
            connections: Slab::new(),
            accepted: 0,
            limited: VecDeque::new(),
            context,
        };
        server.await_waker(Buffer::new(64));
        for index in 0..server.listeners.len() {
            server.accept(index);
        }
        for datagrams in &mut server.datagrams {
            datagrams.receive(&mut server.ring, &server.context);
        }
        // Now they are under way, and a client that comes is accepted.
        server.ring.submit()?;
        Ok((server, waker))
    }

    /// Serves until the process ends; drops `stopped` when it has accepted its last client.
    pub(crate) fn run(mut self, stopped: Sender<()>) -> io::Result<()> {
        let mut stopped = Some(stopped);
        let mut completions = Vec::new();
        loop {
            let now = Instant::now();
            let time = self.next_moment().map(|moment| moment.saturating_duration_since(now));
            self.ring.wait(time, &mut completions)?;
            for completion in completions.drain(..) {
                self.completed(completion)?;
            }
            self.take_done();
            self.at_moments();
            if stopped.is_some() && self.context.stopping() && self.close_sockets() {
                stopped = None;
                for key in 0..self.connections.capacity() {
                    self.with(key, Connection::stop);
                }
            }
        }
    }

    fn completed(&mut self, Completion { owner, effect, more }: Completion) -> io::Result<()> {
        match effect {
            Effect::Accepted(result) => {
                self.accepted((owner - FIRST_LISTENER) as usize, result, more)?;
            }
            Effect::Received(_, Some(Bytes::Owned(buffer))) if owner == WAKER => {
                self.await_waker(buffer);
            }
            Effect::Received(result, bytes) => {
                self.with((owner - self.first_connection) as usize, |connection, ring| {
                    connection.received(ring, result, bytes, more)
                });
            }
            Effect::Sent(result, bytes) => {
                self.with((owner - self.first_connection) as usize, |connection, ring| {
                    connection.sent(ring, result, bytes)
                });
            }
            Effect::Came(result, datagram) => {
                self.with_datagrams(owner, |datagrams, ring, context| {
                    datagrams.came(ring, context, result, datagram);
                });
            }
            Effect::Answered(result, datagram) => {
                self.with_datagrams(owner, |datagrams, ring, context| {
                    datagrams.answered(ring, context, result, datagram);
                });
            }
        }
        Ok(())
    }

    /// Lets a socket of datagrams do something.
    fn with_datagrams(
        &mut self,
        owner: u64,
        act: impl FnOnce(&mut Datagrams, &mut Ring, &Context),
    ) {
        if let Some(datagrams) = self.datagrams.get_mut((owner - self.first_datagrams) as usize) {
            act(datagrams, &mut self.ring, &self.context);
        }
    }

    fn await_waker(&mut self, buffer: Buffer) {
        self.ring.receive(&self.woken, buffer, true, WAKER);
    }

    /// Lets a connection do something, and does what comes of it.
    fn with(&mut self, key: usize, act: impl FnOnce(&mut Connection, &mut Ring) -> Next) {
        let Some(entry) = self.connections.get_mut(key) else { return };
        let mut next = act(&mut entry.connection, &mut self.ring);
        if let Next::Work(time) = next {
            let job = JobOf { key, number: entry.number };
            next = match self.jobs.start(job, time) {
                Ok(()) => Next::Wait,
                Err(error) => entry.connection.give_up(error),
            };
        }
        if let Some(limit) = self.context.cancel().read
            && let Some(receive) = entry.connection.receiving()
            && entry.limited != Some(receive)
        {
            entry.limited = Some(receive);
            self.limited.push_back((Instant::now() + limit, key, receive));
        }
        if let Next::Over = next {
            self.connections.remove(key).connection.over(&mut self.ring);
        }
    }

    /// Connections whose messages have been worked for can answer.
    fn take_done(&mut self) {
        let done: Vec<JobOf> = self.jobs.done().collect();
        for JobOf { key, number } in done {
            if self.connections.get(key).is_some_and(|entry| entry.number == number) {
                self.with(key, Connection::worked);
            }
        }
    }

    /// When something is to be done without a completion.
    fn next_moment(&self) -> Option<Instant> {
        let accepts = self.listeners.iter().filter_map(|listening| listening.at);
        let receives = self.datagrams.iter().filter_map(|datagrams| datagrams.at);
        accepts.chain(receives).chain(self.limited.front().map(|(moment, ..)| *moment)).min()
    }

    /// Does what is to be done by now.
    fn at_moments(&mut self) {
        let Some(moment) = self.next_moment() else { return };
        let now = Instant::now();
        if now < moment {
            return;
        }
        for index in 0..self.listeners.len() {
            if self.listeners[index].at.is_some_and(|moment| moment <= now) {
                self.listeners[index].at = None;
                match self.listeners[index].accepting {
                    Some(key) => self.ring.cancel(key),
                    None => self.accept(index),
                }
            }
        }
        for datagrams in &mut self.datagrams {
            if datagrams.at.is_some_and(|moment| moment <= now) {
                datagrams.receive(&mut self.ring, &self.context);
            }
        }
        while let Some((moment, key, receive)) = self.limited.front().copied()
            && moment <= now
        {
            self.limited.pop_front();
            let entry = self.connections.get(key);
            if entry.is_some_and(|entry| entry.connection.receiving() == Some(receive)) {
                self.ring.cancel(receive);
            }
        }
    }
}

impl Listening {
    fn new(Socket { descriptor, transport, work }: Socket) -> io::Result<Listening> {
        // With O_NONBLOCK the ring would not wait for a client either.
        ioctl_fionbio(&descriptor, false)?;
        Ok(Listening { socket: Rc::new(descriptor), transport, work, accepting: None, at: None })
    }
}

/// Accepting.
impl Server {
    fn accept(&mut self, index: usize) {
        let listening = &mut self.listeners[index];
        let owner = FIRST_LISTENER + index as u64;
        listening.accepting = Some(self.ring.accept(&listening.socket, self.many, owner));
        listening.at = self.context.cancel().accept.map(|limit| Instant::now() + limit);
    }

    fn accepted(
        &mut self,
        index: usize,
        result: io::Result<OwnedFd>,
        more: bool,
    ) -> io::Result<()> {
        if !more {
            self.listeners[index].accepting = None;
        }
        let stops = self.context.stopping();
        match result {
            Ok(socket) => {
                let Listening { transport, work, .. } = self.listeners[index];
                self.serve(socket, transport, work);
            }
            // ECANCELED is asked for here and by `--cancel` alone.
            Err(error) if stops || is_cancelled(&error) => {}
            Err(error) => match self.context.accept_error(&error) {
                AcceptError::Retry => {}
                AcceptError::BackOff(pause) => {
                    self.listeners[index].at = Some(Instant::now() + pause);
                    return Ok(());
                }
                AcceptError::Fatal => return Err(error),
            },
        }
        if !more && !stops {
            self.accept(index);
        }
        Ok(())
    }

    fn serve(&mut self, socket: OwnedFd, transport: Transport, work: Option<Work>) {
        if transport == Transport::Tcp {
            // It fails on a connection that is already reset; receiving will say so.
            let _ = net::sockopt::set_tcp_nodelay(&socket, true);
        }
        self.accepted += 1;
        let entry = self.connections.vacant_entry();
        let key = entry.key();
        let owner = self.first_connection + key as u64;
        let connection = Connection::new(
            owner,
            socket,
            self.context.connection(),
            work,
            self.many,
            self.context.buffer_bytes(),
        );
        entry.insert(Entry { connection, number: self.accepted, limited: None });
        self.with(key, Connection::start);
    }

    /// Whether nothing is under way on listeners and sockets of datagrams any more. Then what is in
    /// the accept queues has been taken, which closing the listeners would reset, and all are
    /// closed: a ring that the process leaves to the kernel holds what it uses for a while.
    fn close_sockets(&mut self) -> bool {
        let mut have_ended = true;
        for datagrams in &mut self.datagrams {
            have_ended &= datagrams.has_ended(&mut self.ring);
        }
        for listening in &mut self.listeners {
            listening.at = None;
            if let Some(key) = listening.accepting {
                self.ring.cancel(key);
            }
        }
        if !have_ended || self.listeners.iter().any(|listening| listening.accepting.is_some()) {
            return false;
        }
        self.datagrams.clear();
        for Listening { socket, transport, work, .. } in mem::take(&mut self.listeners) {
            // Nothing waits for a client here.
            let is_set = ioctl_fionbio(&socket, true);
            for _ in 0..=BACKLOG {
                let flags = net::SocketFlags::CLOEXEC;
                match is_set.and_then(|()| net::accept_with(socket.as_fd(), flags)) {
                    Ok(socket) => self.serve(socket, transport, work),
                    Err(error) if classify(&error.into()) == AcceptError::Retry => {}
                    Err(_) => break,
                }
            }
        }
        true
    }
}

fn is_cancelled(error: &io::Error) -> bool {
    rustix::io::Errno::from_io_error(error) == Some(rustix::io::Errno::CANCELED)
}

/// Ends the wait of the loop that has the other end.
pub(crate) fn wake(waker: &UnixStream) {
    // When it takes no more, enough has arrived.
    let _ = (&*waker).write(&[0]);
}
