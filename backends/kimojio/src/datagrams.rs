//! Echo of datagrams over UDP and Unix sockets: one task per socket, which sends each datagram back
//! to the name that the kernel gave.

use std::io;
use std::os::fd::OwnedFd;
use std::pin::pin;
use std::ptr::null_mut;
use std::rc::Rc;

use common::{Context, DATAGRAM_BYTES, Recovery};
use futures_util::future::{Either, select};
use kimojio::{AsyncEvent, operations};
use rustix::io_uring::{MsgHdr, iovec};
use rustix::net::{RecvFlags, SendFlags};

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
        match context.after_receive_error(&error) {
            Recovery::Retry => {}
            Recovery::BackOff(pause) => operation::pause(pin!(stop.wait()), pause).await,
            Recovery::Fatal => return,
        }
    }
}

/// Room for the name of any socket: the size of a `sockaddr_storage`, in bytes.
const NAME_BYTES: u32 = 128;

/// A datagram, and the name of its sender, which is empty if the sender has none.
struct Datagram {
    bytes: Vec<u8>,
    used_bytes: usize,
    name: [u8; NAME_BYTES as usize],
    name_bytes: u32,
}

impl Datagram {
    fn new() -> Self {
        Self {
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

    /// Sends it back, unless its sender has no name. A reply that the system does not take at once
    /// is an error: waiting would hold up all others.
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

    /// The `msghdr` for both operations. Its pointers are valid while the two functions above run:
    /// they borrow the datagram and own `part`. They return only after the kernel is done with
    /// both, because dropping an operation waits for its completion (kimojio, src/ring_future.rs).
    /// kimojio checks none of this: it takes any `msghdr` in a safe function.
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
