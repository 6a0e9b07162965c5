//! Echo of datagrams. One operation per socket is in flight: a receive, or the send of what was
//! received, from the same memory.

use std::io;
use std::os::fd::OwnedFd;
use std::rc::Rc;
use std::time::Instant;

use common::{Context, DATAGRAM_BYTES, Recovery, Transport};

use crate::buffers::Datagram;
use crate::ring::{Key, Ring};

pub(crate) struct Datagrams {
    /// The token by which its completions find it.
    token: u64,
    socket: Rc<OwnedFd>,
    /// Whether a reply may wait for room. Over UDP, that is room in the socket's own queue. Over
    /// Unix paths, it is room in the client's queue: the replies to all others would wait for a
    /// client that does not read.
    may_wait: bool,
    receiving: Option<Key>,
    /// The memory, while nothing is in flight.
    idle: Option<Datagram>,
    /// When to receive again, after an error.
    pub(crate) wake_at: Option<Instant>,
}

impl Datagrams {
    pub(crate) fn new(token: u64, socket: OwnedFd, transport: Transport) -> Self {
        Self {
            token,
            socket: Rc::new(socket),
            may_wait: transport == Transport::Udp,
            receiving: None,
            idle: Some(Datagram::new(DATAGRAM_BYTES)),
            wake_at: None,
        }
    }

    /// Submits a receive, if nothing is in flight and the server does not stop.
    pub(crate) fn receive(&mut self, ring: &mut Ring, context: &Context) {
        self.wake_at = None;
        if !context.stopping()
            && let Some(datagram) = self.idle.take()
        {
            let key = ring.recvmsg(&self.socket, datagram, self.token);
            self.receiving = Some(key);
        }
    }

    /// A receive has completed.
    pub(crate) fn handle_recv(
        &mut self,
        ring: &mut Ring,
        context: &Context,
        result: io::Result<usize>,
        datagram: Datagram,
    ) {
        self.receiving = None;
        match result {
            Ok(length) => {
                let (socket, token) = (&self.socket, self.token);
                // If the client has no name and cannot be answered, the memory comes back at once.
                self.idle = ring.sendmsg(socket, datagram, length, self.may_wait, token).err();
            }
            Err(_) if context.stopping() => self.idle = Some(datagram),
            Err(error) => {
                self.idle = Some(datagram);
                match context.after_receive_error(&error) {
                    Recovery::Retry => {}
                    Recovery::BackOff(pause) => {
                        self.wake_at = Some(Instant::now() + pause);
                        return;
                    }
                    Recovery::Fatal => return,
                }
            }
        }
        self.receive(ring, context);
    }

    /// A send has completed.
    pub(crate) fn handle_send(
        &mut self,
        ring: &mut Ring,
        context: &Context,
        result: io::Result<()>,
        datagram: Datagram,
    ) {
        if let Err(error) = result {
            context.dropped_reply(&error);
        }
        self.idle = Some(datagram);
        self.receive(ring, context);
    }

    /// Cancels the receive, if one is in flight. Returns true once nothing is in flight.
    pub(crate) fn is_idle(&mut self, ring: &mut Ring) -> bool {
        if let Some(key) = self.receiving.take() {
            ring.cancel(key);
        }
        self.idle.is_some()
    }
}
