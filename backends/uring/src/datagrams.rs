//! Echo of datagrams. One operation at a time is under way for a socket: it receives, or it sends
//! back what was received, from the same memory.

use std::{io, os::fd::OwnedFd, rc::Rc, time::Instant};

use common::{AcceptError, Context, DATAGRAM_BYTES, Transport};

use crate::{
    buffers::Datagram,
    ring::{Key, Ring},
};

pub(crate) struct Datagrams {
    /// Whose its completions are.
    owner: u64,
    socket: Rc<OwnedFd>,
    /// A reply waits for room. In UDP that is the socket's own; of Unix it is the receiver's, and
    /// the replies to all others would wait for a client that does not read.
    may_wait: bool,
    receiving: Option<Key>,
    /// While nothing is under way.
    idle: Option<Datagram>,
    /// When it is to receive again, after an error.
    pub(crate) at: Option<Instant>,
}

impl Datagrams {
    pub(crate) fn new(owner: u64, socket: OwnedFd, transport: Transport) -> Datagrams {
        Datagrams {
            owner,
            socket: Rc::new(socket),
            may_wait: transport == Transport::Udp,
            receiving: None,
            idle: Some(Datagram::new(DATAGRAM_BYTES)),
            at: None,
        }
    }

    /// Receives the next datagram, if nothing is under way and the server does not stop.
    pub(crate) fn receive(&mut self, ring: &mut Ring, context: &Context) {
        self.at = None;
        if !context.stopping()
            && let Some(datagram) = self.idle.take()
        {
            let key = ring.receive_datagram(&self.socket, datagram, self.owner);
            self.receiving = Some(key);
        }
    }

    /// A datagram has come, or an error.
    pub(crate) fn came(
        &mut self,
        ring: &mut Ring,
        context: &Context,
        result: io::Result<usize>,
        datagram: Datagram,
    ) {
        self.receiving = None;
        match result {
            Ok(length) => {
                let (socket, owner) = (&self.socket, self.owner);
                // It comes back at once if its client has no name and cannot be answered.
                self.idle = ring.answer(socket, datagram, length, self.may_wait, owner).err();
            }
            Err(_) if context.stopping() => self.idle = Some(datagram),
            Err(error) => {
                self.idle = Some(datagram);
                match context.receive_error(&error) {
                    AcceptError::Retry => {}
                    AcceptError::BackOff(pause) => {
                        self.at = Some(Instant::now() + pause);
                        return;
                    }
                    AcceptError::Fatal => return context.fail(),
                }
            }
        }
        self.receive(ring, context);
    }

    /// A datagram has gone back, or is dropped.
    pub(crate) fn answered(
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

    /// Whether nothing is under way any more, now that the server stops.
    pub(crate) fn has_ended(&mut self, ring: &mut Ring) -> bool {
        if let Some(key) = self.receiving.take() {
            ring.cancel(key);
        }
        self.idle.is_some()
    }
}
