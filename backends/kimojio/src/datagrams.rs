//! Echo of datagrams, of UDP and of Unix sockets alike: one task for each socket, which sends back
//! to the name that the kernel gave, whatever its kind.

use std::{io, os::fd::OwnedFd, pin::pin, ptr::null_mut, rc::Rc};

use common::{AcceptError, Context, DATAGRAM_BYTES};
use futures_util::future::{Either, select};
use kimojio::{AsyncEvent, operations};
use rustix::{
    io_uring::{MsgHdr, iovec},
    net::{RecvFlags, SendFlags},
};

use crate::operation;

pub(crate) async fn echo(socket: OwnedFd, stop: Rc<AsyncEvent>, context: Context) {
    let mut datagram = Datagram::new();
    while !stop.is_set() {
        let received = match select(pin!(datagram.receive(&socket)), pin!(stop.wait())).await {
            Either::Left((received, _)) => received,
            Either::Right(_) => return,
        };
        let Err(error) = received else {
            if let Err(error) = datagram.send_back(&socket).await {
                context.dropped_reply(&error);
            }
            continue;
        };
        match context.receive_error(&error) {
            AcceptError::Retry => {}
            AcceptError::BackOff(pause) => operation::pause(pin!(stop.wait()), pause).await,
            AcceptError::Fatal => return context.fail(),
        }
    }
}

/// Bytes that the name of every socket fits in, those of a `sockaddr_storage`.
const NAME_BYTES: u32 = 128;

/// A datagram, and the name of the socket that it is from, of no bytes if that has none.
struct Datagram {
    bytes: Vec<u8>,
    used_bytes: usize,
    name: [u8; NAME_BYTES as usize],
    name_bytes: u32,
}

impl Datagram {
    fn new() -> Datagram {
        Datagram {
            bytes: vec![0; DATAGRAM_BYTES],
            used_bytes: 0,
            name: [0; NAME_BYTES as usize],
            name_bytes: 0,
        }
    }

    async fn receive(&mut self, socket: &OwnedFd) -> io::Result<()> {
        (self.used_bytes, self.name_bytes) = (self.bytes.len(), NAME_BYTES);
        let mut part = self.part();
        let mut header = self.header(&mut part);
        let received = operations::recvmsg(socket, &mut header, RecvFlags::empty(), None).await;
        (self.used_bytes, self.name_bytes) = (received?, header.msg_namelen);
        Ok(())
    }

    /// Sends it to where it is from, unless that has no name and cannot be answered. A reply that
    /// cannot go out at once is an error: waiting would hold up all others.
    async fn send_back(&mut self, socket: &OwnedFd) -> io::Result<()> {
        if self.name_bytes == 0 {
            return Ok(());
        }
        let mut part = self.part();
        let mut header = self.header(&mut part);
        operations::sendmsg(socket, &mut header, SendFlags::DONTWAIT, None).await?;
        Ok(())
    }

    fn part(&mut self) -> iovec {
        iovec { iov_base: self.bytes.as_mut_ptr().cast(), iov_len: self.used_bytes }
    }

    /// What the operations take. Its pointers are good for as long as the two functions above run:
    /// they borrow the datagram and own the part. They end no sooner than the kernel is done with
    /// either, because dropping an operation waits for that (kimojio, src/ring_future.rs). Nobody
    /// else checks it: kimojio takes any header, and says that this is safe.
    fn header(&mut self, part: &mut iovec) -> MsgHdr {
        MsgHdr {
            msg_name: self.name.as_mut_ptr().cast(),
            msg_namelen: self.name_bytes,
            msg_iov: part,
            msg_iovlen: 1,
            msg_control: null_mut(),
            msg_controllen: 0,
            msg_flags: RecvFlags::empty(),
        }
    }
}
