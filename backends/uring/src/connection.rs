//! A connection: what it receives, what it has still to send, and what it does next.
//!
//! One operation of each kind is under way at most, so that bytes stay in their order. With one
//! shot at a time the same buffer is received into and sent from. With many shots the kernel goes
//! on receiving into the pool while a send is under way, up to a number of messages.

use std::{collections::VecDeque, io, mem, os::fd::OwnedFd, rc::Rc, time::Duration};

use common::{Connection as Counted, Work, burn};
use rustix::{io::Errno, net};

use crate::{
    buffers::Buffer,
    ring::{Bytes, Key, Ring},
};

/// Messages that wait to be sent, at which receiving stops: a client that does not read has about
/// so many buffers of the pool, and no more.
const MOST_WAITING: usize = 16;
/// And at which it goes on.
const FEW_WAITING: usize = 4;

#[derive(Debug)]
pub(crate) struct Connection {
    /// Whose its completions are.
    owner: u64,
    socket: Rc<OwnedFd>,
    counted: Counted,
    work: Option<Work>,
    /// The kernel receives into the pool, again and again.
    many: bool,
    phase: Phase,
    receiving: Option<Key>,
    /// Too much waits to be sent, and receiving is about to end.
    is_cancelled: bool,
    /// The pool had no buffer: the next bytes go into one of its own.
    found_pool_empty: bool,
    /// The client's FIN has come.
    ended: bool,
    /// The message of which a send is under way.
    sending: Option<Sending>,
    waiting: VecDeque<Message>,
    /// A buffer of its own that nobody uses.
    spare: Option<Buffer>,
    buffer_bytes: usize,
}

#[derive(Debug)]
enum Phase {
    Echoing,
    /// The server stops: what has arrived is still received.
    Stopping,
    /// What was received is to be sent, then FIN.
    Answering,
    /// FIN is sent; what still comes is dropped, up to the client's own.
    Ending,
    /// Nothing is to be done any more, but something is still under way.
    Failed(io::Error),
}

/// Bytes that are to be sent.
#[derive(Debug)]
struct Message {
    bytes: Bytes,
    length: usize,
    /// Another thread works for it.
    in_work: bool,
}

/// The part of a message of which the socket has taken `sent` bytes.
#[derive(Clone, Copy, Debug)]
struct Sending {
    sent: usize,
    length: usize,
}

/// What a connection wants of its loop.
#[derive(Debug)]
#[must_use]
pub(crate) enum Next {
    Wait,
    /// Its message costs so much time, which another thread has to spend.
    Work(Duration),
    /// It is over, and nothing is under way.
    Over,
}

impl Connection {
    pub(crate) fn new(
        owner: u64,
        socket: OwnedFd,
        counted: Counted,
        work: Option<Work>,
        many: bool,
        buffer_bytes: usize,
    ) -> Connection {
        Connection {
            owner,
            socket: Rc::new(socket),
            counted,
            work,
            // A message that costs time is one read, as with one shot.
            many: many && work.is_none(),
            phase: Phase::Echoing,
            receiving: None,
            is_cancelled: false,
            found_pool_empty: false,
            ended: false,
            sending: None,
            // Enough for one message at a time. Left to itself it would begin with room for four.
            waiting: VecDeque::with_capacity(1),
            spare: None,
            buffer_bytes,
        }
    }

    /// The receive under way that may be cancelled, to be begun anew.
    pub(crate) fn receiving(&self) -> Option<Key> {
        if matches!(self.phase, Phase::Echoing) { self.receiving } else { None }
    }

    /// Counts it out.
    pub(crate) fn over(self, ring: &mut Ring) {
        for message in self.waiting {
            if let Bytes::Pooled(lease) = message.bytes {
                ring.give(lease);
            }
        }
        self.counted.ended(match self.phase {
            Phase::Failed(error) => Err(error),
            Phase::Echoing | Phase::Stopping | Phase::Answering | Phase::Ending => Ok(()),
        });
    }

    /// Receives for the first time.
    pub(crate) fn start(&mut self, ring: &mut Ring) -> Next {
        self.go_on(ring)
    }

    /// Ends it because its message cannot be worked for.
    pub(crate) fn give_up(&mut self, error: io::Error) -> Next {
        self.fail(error);
        self.over_or_wait()
    }

    /// The server stops.
    pub(crate) fn stop(&mut self, ring: &mut Ring) -> Next {
        if matches!(self.phase, Phase::Echoing) {
            self.phase = Phase::Stopping;
            if let Some(key) = self.receiving {
                ring.cancel(key);
            }
        }
        self.go_on(ring)
    }

    /// The work for its message has been done.
    pub(crate) fn worked(&mut self, ring: &mut Ring) -> Next {
        if let Some(message) = self.waiting.front_mut() {
            message.in_work = false;
        }
        self.go_on(ring)
    }

    /// A receive has completed, perhaps not for the last time.
    pub(crate) fn received(
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
            (Ok(length @ 1..), Some(bytes)) => return self.keep(ring, bytes, length),
            (Ok(_), bytes) => {
                self.take_back(ring, bytes);
                self.ended = true;
            }
            (Err(error), bytes) => {
                self.take_back(ring, bytes);
                match Errno::from_io_error(&error) {
                    Some(Errno::NOBUFS) => self.found_pool_empty = true,
                    // It is begun anew.
                    Some(Errno::CANCELED | Errno::INTR) => {}
                    // Nothing has arrived.
                    Some(Errno::AGAIN) if matches!(self.phase, Phase::Stopping) => {
                        self.phase = Phase::Answering;
                    }
                    _ => self.fail(error),
                }
            }
        }
        self.go_on(ring)
    }

    /// A send has completed.
    pub(crate) fn sent(
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
            (Ok(_), _) => self.take_back(ring, Some(bytes)),
            (Err(error), _) => {
                self.take_back(ring, Some(bytes));
                self.fail(error);
            }
        }
        self.go_on(ring)
    }

    /// Keeps a message until it is sent, or does without it.
    fn keep(&mut self, ring: &mut Ring, bytes: Bytes, length: usize) -> Next {
        match self.phase {
            Phase::Echoing | Phase::Answering => {}
            // What had arrived at the stop was one read.
            Phase::Stopping => self.phase = Phase::Answering,
            Phase::Ending | Phase::Failed(_) => {
                self.take_back(ring, Some(bytes));
                return self.go_on(ring);
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
            None => self.go_on(ring),
        }
    }

    /// Begins whatever can be begun now.
    fn go_on(&mut self, ring: &mut Ring) -> Next {
        if matches!(self.phase, Phase::Failed(_)) {
            return self.over_or_wait();
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
            return self.over_or_wait();
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

    /// Begins to receive if there is room for what comes.
    fn receive(&mut self, ring: &mut Ring, all_sent: bool) {
        let may_wait = match self.phase {
            Phase::Echoing if self.many && self.waiting.len() <= FEW_WAITING => {
                if !mem::take(&mut self.found_pool_empty) && ring.pool_has_free() {
                    self.receiving = Some(ring.receive_many(&self.socket, self.owner));
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
        self.receiving = Some(ring.receive(&self.socket, buffer, may_wait, self.owner));
    }

    fn send(&mut self, ring: &mut Ring, bytes: Bytes, sent: usize, length: usize) {
        self.sending = Some(Sending { sent, length });
        ring.send(&self.socket, bytes, sent, length - sent, self.owner);
    }

    fn take_back(&mut self, ring: &mut Ring, bytes: Option<Bytes>) {
        match bytes {
            Some(Bytes::Owned(buffer)) => self.spare = Some(buffer),
            Some(Bytes::Pooled(lease)) => ring.give(lease),
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
            // Ends what is still under way.
            let _ = net::shutdown(&self.socket, net::Shutdown::Both);
            self.phase = Phase::Failed(error);
        }
    }

    fn over_or_wait(&self) -> Next {
        let is_busy = self.receiving.is_some() || self.sending.is_some();
        if is_busy { Next::Wait } else { Next::Over }
    }
}
