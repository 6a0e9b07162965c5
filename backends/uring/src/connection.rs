//! A connection: its receive, its messages that wait to be sent, and what it submits next.
//!
//! At most one receive and one send are in flight, so bytes keep their order. Single-shot: one
//! buffer per connection, received into and then sent. Multishot: the kernel keeps filling provided
//! buffers while a send is in flight. Once 16 messages wait, the receive is cancelled.

use std::collections::VecDeque;
use std::io;
use std::mem;
use std::os::fd::OwnedFd;
use std::rc::Rc;
use std::time::Duration;

use common::{Connection as Counted, Work, burn};
use rustix::io::Errno;
use rustix::net;

use crate::buffers::Buffer;
use crate::ring::{Bytes, Key, Ring, Shots};

/// When this many messages wait to be sent, the connection cancels its receive. A wait for
/// completions can run task work twice, and each time the kernel can post 33 completions per socket
/// (Linux 6.18). The connection sees them only after the wait, so a client that does not read can
/// hold more provided buffers than this.
const MOST_WAITING: usize = 16;
/// Receiving starts again when at most this many messages wait to be sent.
const FEW_WAITING: usize = 4;

#[derive(Debug)]
pub(crate) struct Connection {
    /// The token by which its completions find it.
    token: u64,
    socket: Rc<OwnedFd>,
    counted: Counted,
    work: Option<Work>,
    shots: Shots,
    phase: Phase,
    receiving: Option<Key>,
    /// Too many messages wait, and the receive is being cancelled.
    is_cancelled: bool,
    /// No provided buffer was free: the next receive uses a buffer that the connection owns.
    found_pool_empty: bool,
    /// The client's FIN has come.
    ended: bool,
    /// The send in flight.
    sending: Option<Sending>,
    waiting: VecDeque<Message>,
    /// A buffer of the connection that nothing uses. While the pool is empty, a multishot
    /// connection can own several buffers; it keeps one.
    spare: Option<Buffer>,
    buffer_bytes: usize,
}

#[derive(Debug)]
enum Phase {
    Echoing,
    /// The server stops. Unless the cancelled receive returns bytes, the connection makes one more
    /// receive, which does not wait and takes at most one buffer of what has arrived.
    Stopping,
    /// Everything that was received is sent, then FIN.
    Answering,
    /// FIN is sent. What still arrives is dropped, until the client's FIN.
    Ending,
    /// The connection has failed. It is closed when nothing is in flight any more.
    Failed(io::Error),
}

/// Bytes to send.
#[derive(Debug)]
struct Message {
    bytes: Bytes,
    length: usize,
    /// On a `cpu` listener: another thread has not yet spent the CPU time that the message costs.
    in_work: bool,
}

/// The progress of a send: the socket has taken `sent` of `length` bytes.
#[derive(Clone, Copy, Debug)]
struct Sending {
    sent: usize,
    length: usize,
}

/// What the loop has to do for a connection.
#[derive(Debug)]
#[must_use]
pub(crate) enum Next {
    Wait,
    /// Have another thread compute for this long: a `cpu` listener accepted the connection.
    Work(Duration),
    /// Close it: nothing is in flight.
    Over,
}

impl Connection {
    pub(crate) fn new(
        token: u64,
        socket: OwnedFd,
        counted: Counted,
        work: Option<Work>,
        shots: Shots,
        buffer_bytes: usize,
    ) -> Self {
        Self {
            token,
            socket: Rc::new(socket),
            counted,
            work,
            // On a `cpu` listener, what one receive returns is one message, and it must be echoed
            // before the next receive. So multishot does not fit.
            shots: if work.is_some() { Shots::Single } else { shots },
            phase: Phase::Echoing,
            receiving: None,
            is_cancelled: false,
            found_pool_empty: false,
            ended: false,
            sending: None,
            // Room for one message. By default the first one would allocate room for four.
            waiting: VecDeque::with_capacity(1),
            spare: None,
            buffer_bytes,
        }
    }

    /// The receive in flight, if `--cancel` may cancel it.
    pub(crate) fn receiving(&self) -> Option<Key> {
        if matches!(self.phase, Phase::Echoing) { self.receiving } else { None }
    }

    /// Sends FIN without the ring.
    pub(crate) fn send_fin(&self) {
        // Fails if the connection is already closed.
        let _ = net::shutdown(&self.socket, net::Shutdown::Write);
    }

    /// Whether the client's FIN or a reset has arrived. Reads and drops what arrived before it,
    /// without the ring, up to a limit per call.
    pub(crate) fn has_client_ended(&self) -> bool {
        const READS: usize = 16;

        let mut buffer = [0; 4096];
        for _ in 0..READS {
            match net::recv(&self.socket, &mut buffer[..], net::RecvFlags::DONTWAIT) {
                Ok((0, _)) => return true,
                Ok(_) | Err(Errno::INTR) => {}
                Err(Errno::AGAIN) => return false,
                Err(_) => return true,
            }
        }
        false
    }

    /// Recycles the waiting buffers and decrements the number of open connections.
    pub(crate) fn close(self, ring: &mut Ring) {
        for message in self.waiting {
            if let Bytes::Pooled(lease) = message.bytes {
                ring.recycle(lease);
            }
        }
        self.counted.ended(match self.phase {
            Phase::Failed(error) => Err(error),
            Phase::Echoing | Phase::Stopping | Phase::Answering | Phase::Ending => Ok(()),
        });
    }

    /// Submits the first receive.
    pub(crate) fn start(&mut self, ring: &mut Ring) -> Next {
        self.advance(ring)
    }

    /// Fails the connection: no thread can be started for the CPU time of its message.
    pub(crate) fn abandon(&mut self, error: io::Error) -> Next {
        self.fail(error);
        self.close_or_wait()
    }

    /// The server stops.
    pub(crate) fn stop(&mut self, ring: &mut Ring) -> Next {
        if matches!(self.phase, Phase::Echoing) {
            self.phase = Phase::Stopping;
            if let Some(key) = self.receiving {
                ring.cancel(key);
            }
        }
        self.advance(ring)
    }

    /// Another thread has spent the CPU time of the first message that waits.
    pub(crate) fn finish_work(&mut self, ring: &mut Ring) -> Next {
        if let Some(message) = self.waiting.front_mut() {
            message.in_work = false;
        }
        self.advance(ring)
    }

    /// A receive has completed. If there are `more` completions, it stays in flight.
    pub(crate) fn handle_recv(
        &mut self,
        ring: &mut Ring,
        result: io::Result<usize>,
        bytes: Option<Bytes>,
        more: bool,
    ) -> Next {
        if !more {
            self.receiving = None;
            self.is_cancelled = false;
        }
        match (result, bytes) {
            (Ok(length @ 1..), Some(bytes)) => return self.enqueue(ring, bytes, length),
            (Ok(_), bytes) => {
                self.recycle(ring, bytes);
                self.ended = true;
            }
            (Err(error), bytes) => {
                self.recycle(ring, bytes);
                match Errno::from_io_error(&error) {
                    Some(Errno::NOBUFS) => self.found_pool_empty = true,
                    // `advance` submits the next one.
                    Some(Errno::CANCELED | Errno::INTR) => {}
                    // Nothing is left to read of what arrived before the stop.
                    Some(Errno::AGAIN) if matches!(self.phase, Phase::Stopping) => {
                        self.phase = Phase::Answering;
                    }
                    _ => self.fail(error),
                }
            }
        }
        self.advance(ring)
    }

    /// A send has completed.
    pub(crate) fn handle_send(
        &mut self,
        ring: &mut Ring,
        result: io::Result<usize>,
        bytes: Bytes,
    ) -> Next {
        let progress = self.sending.take();
        match (result, progress) {
            (Ok(taken), Some(Sending { sent, length })) if sent + taken < length => {
                self.send(ring, bytes, sent + taken, length);
            }
            (Ok(_), _) => self.recycle(ring, Some(bytes)),
            (Err(error), _) => {
                self.recycle(ring, Some(bytes));
                self.fail(error);
            }
        }
        self.advance(ring)
    }

    /// Queues a message to be sent, or drops it if the connection is ending.
    fn enqueue(&mut self, ring: &mut Ring, bytes: Bytes, length: usize) -> Next {
        match self.phase {
            Phase::Echoing | Phase::Answering => {}
            // From here on, the connection submits no receive whose bytes it echoes. The multishot
            // receive that is being cancelled may still return bytes, which are echoed.
            Phase::Stopping => self.phase = Phase::Answering,
            Phase::Ending | Phase::Failed(_) => {
                self.recycle(ring, Some(bytes));
                return self.advance(ring);
            }
        }
        let mut offloaded = None;
        match self.work {
            Some(Work::Inline(time)) => burn(time),
            Some(Work::Offloaded(time)) => offloaded = Some(time),
            None => {}
        }
        self.waiting.push_back(Message { bytes, length, in_work: offloaded.is_some() });
        match offloaded {
            Some(time) => Next::Work(time),
            None => self.advance(ring),
        }
    }

    /// Submits what can be submitted now.
    fn advance(&mut self, ring: &mut Ring) -> Next {
        if matches!(self.phase, Phase::Failed(_)) {
            return self.close_or_wait();
        }
        if self.sending.is_none()
            && self.waiting.front().is_some_and(|message| !message.in_work)
            && let Some(Message { bytes, length, .. }) = self.waiting.pop_front()
        {
            self.send(ring, bytes, 0, length);
        }
        let all_sent = self.sending.is_none() && self.waiting.is_empty();
        if all_sent && (self.ended || matches!(self.phase, Phase::Answering)) {
            self.finish();
        }
        if self.ended && all_sent {
            return self.close_or_wait();
        }
        match self.receiving {
            Some(key) => {
                if self.waiting.len() >= MOST_WAITING && !mem::replace(&mut self.is_cancelled, true)
                {
                    ring.cancel(key);
                }
            }
            None if self.ended => {}
            None => self.receive(ring, all_sent),
        }
        Next::Wait
    }

    /// Submits a receive if there is room for what arrives.
    fn receive(&mut self, ring: &mut Ring, all_sent: bool) {
        let may_wait = match self.phase {
            Phase::Echoing if self.shots == Shots::Multi && self.waiting.len() <= FEW_WAITING => {
                if !mem::take(&mut self.found_pool_empty) && ring.pool_has_free() {
                    self.receiving = Some(ring.recv_multishot(&self.socket, self.token));
                    return;
                }
                true
            }
            Phase::Echoing if all_sent => true,
            Phase::Stopping if all_sent => false,
            Phase::Ending => true,
            Phase::Echoing | Phase::Stopping | Phase::Answering | Phase::Failed(_) => return,
        };
        let buffer = self.spare.take().unwrap_or_else(|| Buffer::new(self.buffer_bytes));
        self.receiving = Some(ring.recv(&self.socket, buffer, may_wait, self.token));
    }

    fn send(&mut self, ring: &mut Ring, bytes: Bytes, sent: usize, length: usize) {
        self.sending = Some(Sending { sent, length });
        ring.send(&self.socket, bytes, sent, length - sent, self.token);
    }

    fn recycle(&mut self, ring: &mut Ring, bytes: Option<Bytes>) {
        match bytes {
            Some(Bytes::Owned(buffer)) => self.spare = Some(buffer),
            Some(Bytes::Pooled(lease)) => ring.recycle(lease),
            None => {}
        }
    }

    /// Sends FIN.
    fn finish(&mut self) {
        self.phase = Phase::Ending;
        if let Err(error) = net::shutdown(&self.socket, net::Shutdown::Write) {
            self.fail(error.into());
        }
    }

    fn fail(&mut self, error: io::Error) {
        if !matches!(self.phase, Phase::Failed(_)) {
            // shutdown(2) makes the operations in flight complete.
            let _ = net::shutdown(&self.socket, net::Shutdown::Both);
            self.phase = Phase::Failed(error);
        }
    }

    fn close_or_wait(&self) -> Next {
        let is_busy = self.receiving.is_some() || self.sending.is_some();
        if is_busy { Next::Wait } else { Next::Over }
    }
}
