//! The loop of one thread: its ring, listeners, datagram sockets, and the connections it accepted.

use std::collections::VecDeque;
use std::io::{self, Write as _};
use std::mem;
use std::os::fd::{AsFd as _, OwnedFd};
use std::os::unix::net::UnixStream;
use std::rc::Rc;
use std::thread;
use std::time::{Duration, Instant};

use common::{Accepting, Context, Jobs, Recovery, Transport, Work};
use rustix::io::ioctl_fionbio;
use rustix::net;
use slab::Slab;

use crate::buffers::Buffer;
use crate::connection::{Connection, Next};
use crate::datagrams::Datagrams;
use crate::ring::{Bytes, Completion, Effect, Key, Ring, Shots};

/// The token of the receive that wakes the loop. The tokens of the listeners come next, then those
/// of the datagram sockets, then those of the connections.
const WAKER: u64 = 0;
const FIRST_LISTENER: u64 = 1;

/// A socket to serve.
pub(crate) struct Socket {
    pub(crate) descriptor: OwnedFd,
    pub(crate) transport: Transport,
    /// The CPU time that each message costs before it is echoed.
    pub(crate) work: Option<Work>,
}

pub(crate) struct Server {
    ring: Ring,
    shots: Shots,
    /// A byte that arrives here wakes the loop.
    woken: Rc<OwnedFd>,
    jobs: Jobs<JobOwner>,
    listeners: Vec<Listening>,
    first_datagrams: u64,
    datagrams: Vec<Datagrams>,
    first_connection: u64,
    connections: Slab<Entry>,
    accept_count: u64,
    /// The receives that `--cancel` will cancel, with their deadlines, the earliest first.
    read_deadlines: VecDeque<(Instant, usize, Key)>,
    context: Context,
}

struct Entry {
    connection: Connection,
    /// Distinguishes this connection from earlier ones in the same slot of `connections`.
    number: u64,
    /// Its receive that is in the queue of read deadlines.
    queued_receive: Option<Key>,
}

/// The connection for which another thread spends CPU time.
#[derive(Clone, Copy)]
struct JobOwner {
    key: usize,
    number: u64,
}

struct Listening {
    socket: Rc<OwnedFd>,
    transport: Transport,
    work: Option<Work>,
    accepting: Option<Key>,
    /// When the accept is cancelled, or submitted again after an error.
    wake_at: Option<Instant>,
}

impl Server {
    /// A loop for the calling thread, and the socket that wakes it.
    pub(crate) fn new(
        ring: Ring,
        shots: Shots,
        sockets: Vec<Socket>,
        context: Context,
    ) -> io::Result<(Self, UnixStream)> {
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
            .map(|(token, socket)| Datagrams::new(token, socket.descriptor, socket.transport));
        let mut server = Self {
            ring,
            shots,
            woken: Rc::new(woken.into()),
            jobs: Jobs::new(move || wake(&job_done)),
            listeners: listening.into_iter().map(Listening::new).collect::<io::Result<_>>()?,
            first_datagrams,
            datagrams: datagrams.collect(),
            first_connection,
            connections: Slab::new(),
            accept_count: 0,
            read_deadlines: VecDeque::new(),
            context,
        };
        server.await_waker(Buffer::new(64));
        for index in 0..server.listeners.len() {
            server.accept(index);
        }
        for datagrams in &mut server.datagrams {
            datagrams.receive(&mut server.ring, &server.context);
        }
        // Submit the accepts before the server announces that it is ready.
        server.ring.submit()?;
        Ok((server, waker))
    }

    /// Serves until the process ends; drops `accepting` when it has accepted its last client.
    pub(crate) fn run(mut self, accepting: Accepting) -> ! {
        let mut accepting = Some(accepting);
        let mut completions = Vec::new();
        loop {
            let now = Instant::now();
            let time = self.next_timer().map(|moment| moment.saturating_duration_since(now));
            let waited = self.ring.wait(time, &mut completions);
            for completion in completions.drain(..) {
                self.dispatch(completion);
            }
            if let Err(error) = waited {
                self.context.fail("io_uring_enter", &error);
                self.drain_without_ring(accepting)
            }
            self.finish_jobs();
            self.run_timers();
            if accepting.is_some() && self.context.stopping() && self.close_sockets() {
                accepting = None;
                for key in 0..self.connections.capacity() {
                    self.drive(key, Connection::stop);
                }
            }
        }
    }

    /// Drains without the ring, which has failed. Sends FIN to every client, and drops a connection
    /// once the client's FIN or a reset has arrived. A socket with an operation in flight stays
    /// open until the process ends. Bytes that the ring had not sent are lost.
    fn drain_without_ring(mut self, accepting: Option<Accepting>) -> ! {
        const PAUSE: Duration = Duration::from_millis(5);

        self.datagrams.clear();
        // During this pause, the other workers accept the queued clients.
        thread::sleep(PAUSE);
        let listeners = self.listeners.iter().map(|listening| Rc::clone(&listening.socket));
        let listeners: Vec<_> = listeners.collect();
        self.take_queues();
        for listener in listeners {
            // The accept in flight keeps it open. Fails if another worker has shut it down.
            let _ = net::shutdown(&listener, net::Shutdown::Both);
        }
        drop(accepting);
        for (_, Entry { connection, .. }) in &mut self.connections {
            connection.send_fin();
        }
        loop {
            self.connections.retain(|_, entry| !entry.connection.has_client_ended());
            thread::sleep(PAUSE);
        }
    }

    fn dispatch(&mut self, Completion { token, effect, more }: Completion) {
        match effect {
            Effect::Accepted(result) => {
                self.handle_accept((token - FIRST_LISTENER) as usize, result, more);
            }
            Effect::Received(_, Some(Bytes::Owned(buffer))) if token == WAKER => {
                self.await_waker(buffer);
            }
            Effect::Received(result, bytes) => {
                self.drive((token - self.first_connection) as usize, |connection, ring| {
                    connection.handle_recv(ring, result, bytes, more)
                });
            }
            Effect::Sent(result, bytes) => {
                self.drive((token - self.first_connection) as usize, |connection, ring| {
                    connection.handle_send(ring, result, bytes)
                });
            }
            Effect::DatagramReceived(result, datagram) => {
                self.drive_datagrams(token, |datagrams, ring, context| {
                    datagrams.handle_recv(ring, context, result, datagram);
                });
            }
            Effect::DatagramSent(result, datagram) => {
                self.drive_datagrams(token, |datagrams, ring, context| {
                    datagrams.handle_send(ring, context, result, datagram);
                });
            }
        }
    }

    /// Calls `act` on the datagram socket that a token names.
    fn drive_datagrams(
        &mut self,
        token: u64,
        act: impl FnOnce(&mut Datagrams, &mut Ring, &Context),
    ) {
        if let Some(datagrams) = self.datagrams.get_mut((token - self.first_datagrams) as usize) {
            act(datagrams, &mut self.ring, &self.context);
        }
    }

    fn await_waker(&mut self, buffer: Buffer) {
        self.ring.recv(&self.woken, buffer, true, WAKER);
    }

    /// Calls `act` on a connection, and does what it asks for next.
    fn drive(&mut self, key: usize, act: impl FnOnce(&mut Connection, &mut Ring) -> Next) {
        let Some(entry) = self.connections.get_mut(key) else { return };
        let mut next = act(&mut entry.connection, &mut self.ring);
        if let Next::Work(time) = next {
            let job = JobOwner { key, number: entry.number };
            next = match self.jobs.start(job, time) {
                Ok(()) => Next::Wait,
                Err(error) => entry.connection.abandon(error),
            };
        }
        if let Some(limit) = self.context.cancel_limits().read
            && let Some(receive) = entry.connection.receiving()
            && entry.queued_receive != Some(receive)
        {
            entry.queued_receive = Some(receive);
            self.read_deadlines.push_back((Instant::now() + limit, key, receive));
        }
        if let Next::Over = next {
            self.connections.remove(key).connection.close(&mut self.ring);
        }
    }

    /// Tells connections that another thread has spent the CPU time of their message.
    fn finish_jobs(&mut self) {
        let done: Vec<JobOwner> = self.jobs.done().collect();
        for JobOwner { key, number } in done {
            if self.connections.get(key).is_some_and(|entry| entry.number == number) {
                self.drive(key, Connection::finish_work);
            }
        }
    }

    /// The earliest time at which something is due without a completion.
    fn next_timer(&self) -> Option<Instant> {
        let accepts = self.listeners.iter().filter_map(|listening| listening.wake_at);
        let receives = self.datagrams.iter().filter_map(|datagrams| datagrams.wake_at);
        accepts.chain(receives).chain(self.read_deadlines.front().map(|(moment, ..)| *moment)).min()
    }

    /// Does what is due.
    fn run_timers(&mut self) {
        let Some(moment) = self.next_timer() else { return };
        let now = Instant::now();
        if now < moment {
            return;
        }
        for index in 0..self.listeners.len() {
            if self.listeners[index].wake_at.is_some_and(|moment| moment <= now) {
                self.listeners[index].wake_at = None;
                match self.listeners[index].accepting {
                    Some(key) => self.ring.cancel(key),
                    None => self.accept(index),
                }
            }
        }
        for datagrams in &mut self.datagrams {
            if datagrams.wake_at.is_some_and(|moment| moment <= now) {
                datagrams.receive(&mut self.ring, &self.context);
            }
        }
        while let Some((moment, key, receive)) = self.read_deadlines.front().copied()
            && moment <= now
        {
            self.read_deadlines.pop_front();
            let entry = self.connections.get(key);
            if entry.is_some_and(|entry| entry.connection.receiving() == Some(receive)) {
                self.ring.cancel(receive);
            }
        }
    }
}

impl Listening {
    fn new(Socket { descriptor, transport, work }: Socket) -> io::Result<Self> {
        // Makes the listener blocking. If another worker or process shuts a Unix listener down
        // (shutdown(2)), a single-shot accept then ends with EINVAL; on a non-blocking listener it
        // ends with EAGAIN, as if no client had come. A multishot accept on a Unix listener stays
        // in flight in either mode (finding linux-multishot-accept).
        ioctl_fionbio(&descriptor, false)?;
        Ok(Self { socket: Rc::new(descriptor), transport, work, accepting: None, wake_at: None })
    }
}

/// Accepting.
impl Server {
    fn accept(&mut self, index: usize) {
        let listening = &mut self.listeners[index];
        let token = FIRST_LISTENER + index as u64;
        listening.accepting = Some(self.ring.accept(&listening.socket, self.shots, token));
        listening.wake_at = self.context.cancel_limits().accept.map(|limit| Instant::now() + limit);
    }

    fn handle_accept(&mut self, index: usize, result: io::Result<OwnedFd>, more: bool) {
        if !more {
            self.listeners[index].accepting = None;
        }
        let stops = self.context.stopping();
        match result {
            Ok(socket) => {
                let Listening { transport, work, .. } = self.listeners[index];
                self.serve(socket, transport, work);
            }
            // Only the stop and `--cancel` cancel an accept.
            Err(error) if stops || is_cancelled(&error) => {}
            Err(error) => match self.context.after_accept_error(&error) {
                Recovery::Retry => {}
                Recovery::BackOff(pause) => {
                    self.listeners[index].wake_at = Some(Instant::now() + pause);
                    return;
                }
                Recovery::Fatal => return,
            },
        }
        if !more && !stops {
            self.accept(index);
        }
    }

    fn serve(&mut self, socket: OwnedFd, transport: Transport, work: Option<Work>) {
        if transport == Transport::Tcp {
            // On Linux this succeeds even on a reset connection; the receive reports the reset.
            let _ = net::sockopt::set_tcp_nodelay(&socket, true);
        }
        self.accept_count += 1;
        let entry = self.connections.vacant_entry();
        let key = entry.key();
        let token = self.first_connection + key as u64;
        let connection = Connection::new(
            token,
            socket,
            self.context.count_connection(),
            work,
            self.shots,
            self.context.buffer_bytes(),
        );
        entry.insert(Entry { connection, number: self.accept_count, queued_receive: None });
        self.drive(key, Connection::start);
    }

    /// Cancels the accepts and the receives of datagrams. Once these have ended, and the sends of
    /// datagrams too, takes the clients in the accept queues, closes all these sockets, and returns
    /// true; until then it returns false. A socket with an operation in flight would stay open for
    /// a while after the process has ended.
    fn close_sockets(&mut self) -> bool {
        let mut have_ended = true;
        for datagrams in &mut self.datagrams {
            have_ended &= datagrams.is_idle(&mut self.ring);
        }
        for listening in &mut self.listeners {
            listening.wake_at = None;
            if let Some(key) = listening.accepting {
                self.ring.cancel(key);
            }
        }
        if !have_ended || self.listeners.iter().any(|listening| listening.accepting.is_some()) {
            return false;
        }
        self.datagrams.clear();
        self.take_queues();
        true
    }

    /// Accepts the clients in the accept queues, and then closes the listeners. Closing a listener
    /// resets the clients that are still in its queue.
    fn take_queues(&mut self) {
        for Listening { socket, transport, work, .. } in mem::take(&mut self.listeners) {
            // These accepts must not wait.
            let is_set = ioctl_fionbio(&socket, true);
            let accept = || {
                is_set?;
                Ok(net::accept_with(socket.as_fd(), net::SocketFlags::CLOEXEC)?)
            };
            let context = self.context.clone();
            context.accept_queued(accept).for_each(|socket| self.serve(socket, transport, work));
        }
    }
}

fn is_cancelled(error: &io::Error) -> bool {
    rustix::io::Errno::from_io_error(error) == Some(rustix::io::Errno::CANCELED)
}

/// Wakes the loop that has the other end.
pub(crate) fn wake(waker: &UnixStream) {
    // If the socket is full, the loop has enough bytes to wake up.
    let _ = (&*waker).write(&[0]);
}
