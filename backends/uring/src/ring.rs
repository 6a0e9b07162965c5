//! The ring, and all that the kernel may be using: an operation is kept here, with its buffer and
//! its socket, from its submission to its last completion.
#![expect(unsafe_code, reason = "the kernel is given pointers and descriptors")]

use std::{
    io, mem,
    os::fd::{AsRawFd as _, FromRawFd as _, OwnedFd},
    rc::Rc,
    time::Duration,
};

use io_uring::{
    IoUring, cqueue, opcode, squeue,
    types::{Fd, SubmitArgs, Timespec},
};
use rustix::{io::Errno, net};
use slab::Slab;

use crate::buffers::{Buffer, Datagram, GROUP, Lease, Pool};

/// Operations that can wait for the next system call. A full queue is submitted early, no more.
const SUBMISSIONS: u32 = 256;
/// Completions that can wait to be looked at; the kernel keeps those beyond.
const COMPLETIONS: u32 = 4096;
/// Marks a completion that nobody waits for.
const NOBODY: u64 = u64::MAX;

/// Bytes that were received, in one of the two kinds of memory.
#[derive(Debug)]
pub(crate) enum Bytes {
    Owned(Buffer),
    Pooled(Lease),
}

/// What became of an operation.
#[derive(Debug)]
pub(crate) enum Effect {
    Accepted(io::Result<OwnedFd>),
    /// How many bytes there are, and where. A pooled buffer is there only with bytes.
    Received(io::Result<usize>, Option<Bytes>),
    /// How many bytes the socket took of those that were to be sent.
    Sent(io::Result<usize>, Bytes),
    /// How many bytes a datagram has.
    Came(io::Result<usize>, Datagram),
    /// Whether a datagram has gone back.
    Answered(io::Result<()>, Datagram),
}

/// A completion, and whose it is.
#[derive(Debug)]
pub(crate) struct Completion {
    pub(crate) owner: u64,
    pub(crate) effect: Effect,
    /// The operation goes on, and completes again.
    pub(crate) more: bool,
}

/// An operation under way. Its slot may have another one later, so it has a number as well.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Key {
    slot: usize,
    number: u64,
}

#[derive(Debug)]
struct Operation {
    number: u64,
    owner: u64,
    /// Keeps the descriptor from being closed, and its number from being used again.
    _socket: Rc<OwnedFd>,
    held: Held,
}

/// What the kernel uses of ours meanwhile.
#[derive(Debug)]
enum Held {
    Accept,
    Receive(Buffer),
    ReceiveMany,
    Send(Bytes),
    Come(Datagram),
    Answer(Datagram),
}

/// An `io_uring` instance of one thread.
pub(crate) struct Ring {
    ring: IoUring,
    operations: Slab<Operation>,
    pool: Option<Pool>,
    next_number: u64,
    /// Completions that had to be taken out of the kernel's way before anybody waited for them.
    backlog: Vec<cqueue::Entry>,
}

impl Drop for Ring {
    fn drop(&mut self) {
        // Closing a ring cancels what is under way some time later, and until then the kernel may
        // write into every buffer.
        mem::forget(mem::take(&mut self.operations));
        mem::forget(self.pool.take());
    }
}

impl Ring {
    /// The first Linux that leaves completions until they are asked for.
    pub(crate) const SINCE: &str = "6.1";

    /// A ring that the calling thread alone may use.
    ///
    /// # Errors
    ///
    /// Those of io_uring_setup(2); `InvalidInput` on a kernel older than 6.1.
    pub(crate) fn new() -> io::Result<Ring> {
        let ring = IoUring::builder()
            .setup_single_issuer()
            // What completes is looked at when this thread asks, not when it is interrupted.
            .setup_defer_taskrun()
            .setup_submit_all()
            .setup_cqsize(COMPLETIONS)
            .build(SUBMISSIONS)?;
        Ok(Ring { ring, operations: Slab::new(), pool: None, next_number: 0, backlog: Vec::new() })
    }

    /// Gives the ring a pool of buffers for [`Ring::receive_many`].
    ///
    /// # Errors
    ///
    /// As [`Pool::register`].
    pub(crate) fn with_pool(mut self, buffer_bytes: usize) -> io::Result<Ring> {
        self.pool = Some(Pool::register(&self.ring.submitter(), buffer_bytes)?);
        Ok(self)
    }

    /// Whether bytes that arrive now would find a buffer in the pool.
    pub(crate) fn pool_has_free(&self) -> bool {
        self.pool.as_ref().is_some_and(Pool::has_free)
    }

    /// Accepts a client, or one after another.
    pub(crate) fn accept(&mut self, listener: &Rc<OwnedFd>, many: bool, owner: u64) -> Key {
        let fd = Fd(listener.as_raw_fd());
        let flags = net::SocketFlags::CLOEXEC.bits() as i32;
        let entry = if many {
            opcode::AcceptMulti::new(fd).flags(flags).build()
        } else {
            let (address, length) = (std::ptr::null_mut(), std::ptr::null_mut());
            opcode::Accept::new(fd, address, length).flags(flags).build()
        };
        self.begin(entry, listener, Held::Accept, owner)
    }

    /// Receives once into a buffer; `WouldBlock` if it may not wait and nothing is there.
    pub(crate) fn receive(
        &mut self,
        socket: &Rc<OwnedFd>,
        buffer: Buffer,
        may_wait: bool,
        owner: u64,
    ) -> Key {
        let flags = if may_wait { net::RecvFlags::empty() } else { net::RecvFlags::DONTWAIT };
        let length = u32::try_from(buffer.len()).unwrap_or(u32::MAX);
        let entry = opcode::Recv::new(Fd(socket.as_raw_fd()), buffer.start(), length)
            .flags(flags.bits() as i32)
            .build();
        self.begin(entry, socket, Held::Receive(buffer), owner)
    }

    /// Receives again and again into buffers of the pool.
    pub(crate) fn receive_many(&mut self, socket: &Rc<OwnedFd>, owner: u64) -> Key {
        let entry = opcode::RecvMulti::new(Fd(socket.as_raw_fd()), GROUP).build();
        self.begin(entry, socket, Held::ReceiveMany, owner)
    }

    /// Sends `length` bytes from the `offset`th on.
    pub(crate) fn send(
        &mut self,
        socket: &Rc<OwnedFd>,
        bytes: Bytes,
        offset: usize,
        length: usize,
        owner: u64,
    ) -> Key {
        let start = match (&bytes, &self.pool) {
            (Bytes::Owned(buffer), _) => buffer.start(),
            (Bytes::Pooled(lease), Some(pool)) => pool.start(lease),
            (Bytes::Pooled(_), None) => unreachable!("a lease is of this ring's pool"),
        };
        // The kernel itself goes on after a send that the socket took a part of.
        let flags = net::SendFlags::NOSIGNAL.bits() | net::RecvFlags::WAITALL.bits();
        let length = u32::try_from(length).unwrap_or(u32::MAX);
        let entry = opcode::Send::new(Fd(socket.as_raw_fd()), start.wrapping_add(offset), length)
            .flags(flags as i32)
            .build();
        self.begin(entry, socket, Held::Send(bytes), owner)
    }

    /// Receives a datagram.
    pub(crate) fn receive_datagram(
        &mut self,
        socket: &Rc<OwnedFd>,
        datagram: Datagram,
        owner: u64,
    ) -> Key {
        let header = datagram.to_receive();
        let entry = opcode::RecvMsg::new(Fd(socket.as_raw_fd()), header).build();
        self.begin(entry, socket, Held::Come(datagram), owner)
    }

    /// Sends the first `length` bytes of a datagram back to where it came from.
    ///
    /// # Errors
    ///
    /// The datagram, if its sender has no name.
    pub(crate) fn answer(
        &mut self,
        socket: &Rc<OwnedFd>,
        datagram: Datagram,
        length: usize,
        may_wait: bool,
        owner: u64,
    ) -> Result<(), Datagram> {
        let Some(header) = datagram.to_answer(length) else { return Err(datagram) };
        let flags = if may_wait { net::SendFlags::empty() } else { net::SendFlags::DONTWAIT };
        let entry =
            opcode::SendMsg::new(Fd(socket.as_raw_fd()), header).flags(flags.bits()).build();
        self.begin(entry, socket, Held::Answer(datagram), owner);
        Ok(())
    }

    /// Asks for the end of an operation, which still completes. One that is over already is left
    /// alone.
    pub(crate) fn cancel(&mut self, key: Key) {
        if self.operations.get(key.slot).is_some_and(|operation| operation.number == key.number) {
            self.push(&opcode::AsyncCancel::new(key.slot as u64).build().user_data(NOBODY));
        }
    }

    /// Takes a buffer of the pool back.
    pub(crate) fn give(&mut self, lease: Lease) {
        if let Some(pool) = &mut self.pool {
            pool.give(lease);
        }
    }

    /// Submits what is queued.
    ///
    /// # Errors
    ///
    /// Those of io_uring_enter(2).
    pub(crate) fn submit(&self) -> io::Result<()> {
        self.ring.submit().map(drop)
    }

    /// Submits what is queued and waits for a completion, at most for `time`; then collects all.
    ///
    /// # Errors
    ///
    /// Those of io_uring_enter(2) that are not about waiting.
    pub(crate) fn wait(
        &mut self,
        time: Option<Duration>,
        completions: &mut Vec<Completion>,
    ) -> io::Result<()> {
        let submitter = self.ring.submitter();
        let waited = match time {
            _ if !self.backlog.is_empty() => submitter.submit(),
            None => submitter.submit_and_wait(1),
            Some(time) => {
                let time = Timespec::from(time);
                submitter.submit_with_args(1, &SubmitArgs::new().timespec(&time))
            }
        };
        match waited.map_err(|error| (Errno::from_io_error(&error), error)) {
            // EBUSY: more has completed than there is room for, and it has to be collected first.
            Ok(_) | Err((Some(Errno::TIME | Errno::INTR | Errno::BUSY | Errno::AGAIN), _)) => {}
            Err((_, error)) => return Err(error),
        }
        let (operations, pool) = (&mut self.operations, &mut self.pool);
        for entry in self.backlog.drain(..).chain(self.ring.completion()) {
            if entry.user_data() != NOBODY {
                completions.push(completed(operations, pool.as_mut(), &entry));
            }
        }
        Ok(())
    }

    fn begin(&mut self, entry: squeue::Entry, socket: &Rc<OwnedFd>, held: Held, owner: u64) -> Key {
        let number = self.next_number;
        self.next_number += 1;
        let operation = Operation { number, owner, _socket: Rc::clone(socket), held };
        let slot = self.operations.insert(operation);
        self.push(&entry.user_data(slot as u64));
        Key { slot, number }
    }

    fn push(&mut self, entry: &squeue::Entry) {
        loop {
            // SAFETY: what the entry points to, and what that points to in turn, is kept in
            // `operations` until the kernel has said that the operation is over, and outlives the
            // ring.
            if unsafe { self.ring.submission().push(entry) }.is_ok() {
                return;
            }
            // The queue is full. EBUSY: the kernel keeps completions for which there was no room,
            // and takes nothing before they have some.
            if self.ring.submit().is_err() {
                self.backlog.extend(self.ring.completion());
            }
        }
    }
}

/// What a completion says, and what the kernel gives back with it.
fn completed(
    operations: &mut Slab<Operation>,
    pool: Option<&mut Pool>,
    entry: &cqueue::Entry,
) -> Completion {
    let slot = entry.user_data() as usize;
    let more = cqueue::more(entry.flags());
    let result = match entry.result() {
        count @ 0.. => Ok(count as usize),
        errno => Err(io::Error::from_raw_os_error(-errno)),
    };
    let lease = pool.zip(cqueue::buffer_select(entry.flags()));
    let lease = lease.map(|(pool, number)| pool.taken(number));
    let (owner, held) = if more {
        // Only those that hold no buffer of their own complete more than once.
        match &operations[slot] {
            Operation { owner, held: Held::Accept, .. } => (*owner, Held::Accept),
            Operation { owner, .. } => (*owner, Held::ReceiveMany),
        }
    } else {
        let operation = operations.remove(slot);
        (operation.owner, operation.held)
    };
    let effect = match held {
        Held::Accept => Effect::Accepted(result.map(|descriptor| {
            // SAFETY: the kernel has made this descriptor for us, and nobody else knows of it.
            unsafe { OwnedFd::from_raw_fd(descriptor as i32) }
        })),
        Held::Receive(buffer) => Effect::Received(result, Some(Bytes::Owned(buffer))),
        Held::ReceiveMany => Effect::Received(result, lease.map(Bytes::Pooled)),
        Held::Send(bytes) => Effect::Sent(result, bytes),
        Held::Come(datagram) => Effect::Came(result, datagram),
        Held::Answer(datagram) => Effect::Answered(result.map(drop), datagram),
    };
    Completion { owner, effect, more }
}

#[cfg(test)]
mod tests {
    use std::{io::Write as _, os::unix::net::UnixStream, time::Duration};

    use super::*;

    /// A ring on this thread, unless the host has none to give.
    fn ring() -> Option<Ring> {
        Ring::new().inspect_err(|error| eprintln!("not tested: no ring here: {error}")).ok()
    }

    /// What completes within a second.
    fn wait(ring: &mut Ring) -> Vec<Completion> {
        let mut completions = Vec::new();
        ring.wait(Some(Duration::from_secs(1)), &mut completions).unwrap();
        completions
    }

    #[test]
    fn completions_beyond_the_queue_are_not_lost() {
        let Some(mut ring) = ring() else { return };
        let (socket, _peer) = UnixStream::pair().unwrap();
        let socket = Rc::new(OwnedFd::from(socket));
        let count = 2 * u64::from(COMPLETIONS) + 1;
        // Each completes at once, because nothing is there, and none is looked at before the last.
        for owner in 0..count {
            ring.receive(&socket, Buffer::new(1), false, owner);
        }
        let mut owners = Vec::new();
        loop {
            let completions = wait(&mut ring);
            if completions.is_empty() {
                break;
            }
            owners.extend(completions.iter().map(|completion| completion.owner));
        }
        owners.sort_unstable();
        assert!(owners.into_iter().eq(0..count), "each operation completes once");
    }

    #[test]
    fn a_pool_that_ran_dry_ends_a_receive_and_loses_nothing() {
        // So large that there are two.
        const BUFFER_BYTES: usize = 32 * 1024 * 1024;
        let Some(mut ring) = ring().map(|ring| ring.with_pool(BUFFER_BYTES).unwrap()) else {
            return;
        };
        let (socket, mut peer) = UnixStream::pair().unwrap();
        let socket = Rc::new(OwnedFd::from(socket));
        ring.receive_many(&socket, 0);
        let mut leases = Vec::new();
        for _ in 0..2 {
            peer.write_all(&[1]).unwrap();
            match wait(&mut ring).pop() {
                Some(Completion {
                    effect: Effect::Received(Ok(1), Some(Bytes::Pooled(lease))),
                    more: true,
                    ..
                }) => leases.push(lease),
                other => panic!("not a byte in the pool, and more to come: {other:?}"),
            }
        }
        assert!(!ring.pool_has_free());
        peer.write_all(&[1]).unwrap();
        match wait(&mut ring).pop() {
            Some(Completion {
                effect: Effect::Received(Err(error), None), more: false, ..
            }) => {
                assert_eq!(Errno::from_io_error(&error), Some(Errno::NOBUFS));
            }
            other => panic!("not the end for want of a buffer: {other:?}"),
        }
        ring.receive(&socket, Buffer::new(8), true, 0);
        match wait(&mut ring).pop() {
            Some(Completion { effect: Effect::Received(Ok(1), Some(Bytes::Owned(_))), .. }) => {}
            other => panic!("not the byte that the pool had no room for: {other:?}"),
        }
        leases.into_iter().for_each(|lease| ring.give(lease));
        ring.receive_many(&socket, 0);
        peer.write_all(&[1]).unwrap();
        let received = wait(&mut ring).pop();
        assert!(received.is_some_and(|completion| completion.more), "the pool has buffers again");
    }
}
