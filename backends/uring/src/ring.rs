//! The ring, and everything that the kernel may be using: an operation is kept here with its buffer
//! and its socket, from its submission to its last completion.
#![expect(unsafe_code, reason = "the kernel is given pointers and descriptors")]

use std::io;
use std::mem;
use std::os::fd::{AsRawFd as _, FromRawFd as _, OwnedFd};
use std::rc::Rc;
use std::time::Duration;

use io_uring::types::{Fd, SubmitArgs, Timespec};
use io_uring::{IoUring, cqueue, opcode, squeue};
use rustix::io::Errno;
use rustix::net;
use slab::Slab;

use crate::buffers::{Buffer, Datagram, GROUP, Lease, Pool};

/// Entries of the submission queue. When it is full, it is submitted early.
const SUBMISSIONS: u32 = 256;
/// Entries of the completion queue. On overflow the kernel keeps further completions
/// (IORING_FEAT_NODROP).
const COMPLETIONS: u32 = 4096;
/// The user data of a completion that nobody waits for.
const NOBODY: u64 = u64::MAX;

/// How often one submission of an accept or a receive completes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Shots {
    /// Once.
    Single,
    /// Again and again, until it ends or is cancelled; receives take provided buffers.
    Multi,
}

/// Bytes that were received, in one of the two kinds of memory.
#[derive(Debug)]
pub(crate) enum Bytes {
    Owned(Buffer),
    Pooled(Lease),
}

/// The result of an operation, with the memory that the kernel gives back.
#[derive(Debug)]
pub(crate) enum Effect {
    Accepted(io::Result<OwnedFd>),
    /// How many bytes there are, and where. A provided buffer comes only with bytes.
    Received(io::Result<usize>, Option<Bytes>),
    /// How many of the bytes the socket took.
    Sent(io::Result<usize>, Bytes),
    /// How many bytes the datagram has.
    DatagramReceived(io::Result<usize>, Datagram),
    /// Whether the datagram was sent back.
    DatagramSent(io::Result<()>, Datagram),
}

/// A completion, with the token of who submitted the operation.
#[derive(Debug)]
pub(crate) struct Completion {
    pub(crate) token: u64,
    pub(crate) effect: Effect,
    /// The operation stays in flight and completes again (IORING_CQE_F_MORE).
    pub(crate) more: bool,
}

/// Identifies an operation in flight. Slots are reused, so the key also has a serial number.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Key {
    slot: usize,
    number: u64,
}

#[derive(Debug)]
struct Operation {
    number: u64,
    token: u64,
    /// Keeps the descriptor open, so that its number is not reused.
    _socket: Rc<OwnedFd>,
    in_flight: InFlight,
}

/// The kind of an operation, with the memory that the kernel owns until it completes.
#[derive(Debug)]
enum InFlight {
    Accept,
    Recv(Buffer),
    RecvMultishot,
    Send(Bytes),
    RecvMsg(Datagram),
    SendMsg(Datagram),
}

/// One io_uring instance, which only the thread that built it uses.
pub(crate) struct Ring {
    ring: IoUring,
    operations: Slab<Operation>,
    pool: Option<Pool>,
    next_number: u64,
    /// Completions that were collected early, to make room in the completion queue.
    backlog: Vec<cqueue::Entry>,
    /// Why nothing can be submitted any more. The next wait returns it.
    failure: Option<io::Error>,
}

impl Drop for Ring {
    fn drop(&mut self) {
        // Closing a ring cancels its operations some time later, and until then the kernel may
        // write into every buffer.
        mem::forget(mem::take(&mut self.operations));
        mem::forget(self.pool.take());
    }
}

impl Ring {
    /// The first Linux with DEFER_TASKRUN.
    pub(crate) const SINCE: &str = "6.1";

    /// A ring that the calling thread alone may use.
    ///
    /// # Errors
    /// Those of io_uring_setup(2); `InvalidInput` on Linux 5.1 to 6.0.
    pub(crate) fn new() -> io::Result<Self> {
        let ring = IoUring::builder()
            .setup_single_issuer()
            // Task work runs only in io_uring_enter(2) with IORING_ENTER_GETEVENTS, so completions
            // do not interrupt the thread.
            .setup_defer_taskrun()
            .setup_submit_all()
            .setup_cqsize(COMPLETIONS)
            .build(SUBMISSIONS)?;
        Ok(Self {
            ring,
            operations: Slab::new(),
            pool: None,
            next_number: 0,
            backlog: Vec::new(),
            failure: None,
        })
    }

    /// Adds the provided buffers for [`Ring::recv_multishot`].
    ///
    /// # Errors
    /// As [`Pool::register`].
    pub(crate) fn with_provided_buffers(mut self, buffer_bytes: usize) -> io::Result<Self> {
        self.pool = Some(Pool::register(&self.ring.submitter(), buffer_bytes)?);
        Ok(self)
    }

    /// Whether a provided buffer may be free ([`Pool::has_free`]).
    pub(crate) fn pool_has_free(&self) -> bool {
        self.pool.as_ref().is_some_and(Pool::has_free)
    }

    /// Queues an accept. The next [`Ring::submit`] or [`Ring::wait`] submits it, or an earlier push
    /// that finds the submission queue full.
    pub(crate) fn accept(&mut self, listener: &Rc<OwnedFd>, shots: Shots, token: u64) -> Key {
        let fd = Fd(listener.as_raw_fd());
        let flags = net::SocketFlags::CLOEXEC.bits() as i32;
        let entry = match shots {
            Shots::Single => {
                let (address, length) = (std::ptr::null_mut(), std::ptr::null_mut());
                opcode::Accept::new(fd, address, length).flags(flags).build()
            }
            Shots::Multi => opcode::AcceptMulti::new(fd).flags(flags).build(),
        };
        self.begin(entry, listener, InFlight::Accept, token)
    }

    /// Queues a receive into `buffer`. If `may_wait` is false and no bytes have arrived, the
    /// receive completes with EAGAIN.
    pub(crate) fn recv(
        &mut self,
        socket: &Rc<OwnedFd>,
        buffer: Buffer,
        may_wait: bool,
        token: u64,
    ) -> Key {
        let flags = if may_wait { net::RecvFlags::empty() } else { net::RecvFlags::DONTWAIT };
        let length = u32::try_from(buffer.len()).unwrap_or(u32::MAX);
        let entry = opcode::Recv::new(Fd(socket.as_raw_fd()), buffer.start(), length)
            .flags(flags.bits() as i32)
            .build();
        self.begin(entry, socket, InFlight::Recv(buffer), token)
    }

    /// Queues a multishot receive into provided buffers.
    pub(crate) fn recv_multishot(&mut self, socket: &Rc<OwnedFd>, token: u64) -> Key {
        let entry = opcode::RecvMulti::new(Fd(socket.as_raw_fd()), GROUP).build();
        self.begin(entry, socket, InFlight::RecvMultishot, token)
    }

    /// Queues a send of `length` bytes that begin at `offset`.
    pub(crate) fn send(
        &mut self,
        socket: &Rc<OwnedFd>,
        bytes: Bytes,
        offset: usize,
        length: usize,
        token: u64,
    ) -> Key {
        let start = match (&bytes, &self.pool) {
            (Bytes::Owned(buffer), _) => buffer.start(),
            (Bytes::Pooled(lease), Some(pool)) => pool.start(lease),
            (Bytes::Pooled(_), None) => unreachable!("a lease is of this ring's pool"),
        };
        // With MSG_WAITALL the kernel itself retries after a short send.
        let flags = net::SendFlags::NOSIGNAL.bits() | net::RecvFlags::WAITALL.bits();
        let length = u32::try_from(length).unwrap_or(u32::MAX);
        let entry = opcode::Send::new(Fd(socket.as_raw_fd()), start.wrapping_add(offset), length)
            .flags(flags as i32)
            .build();
        self.begin(entry, socket, InFlight::Send(bytes), token)
    }

    /// Queues a receive of one datagram.
    pub(crate) fn recvmsg(&mut self, socket: &Rc<OwnedFd>, datagram: Datagram, token: u64) -> Key {
        let header = datagram.to_receive();
        let entry = opcode::RecvMsg::new(Fd(socket.as_raw_fd()), header).build();
        self.begin(entry, socket, InFlight::RecvMsg(datagram), token)
    }

    /// Queues a send of the first `length` bytes of a datagram to its sender.
    ///
    /// # Errors
    /// The datagram, if its sender has no name.
    pub(crate) fn sendmsg(
        &mut self,
        socket: &Rc<OwnedFd>,
        datagram: Datagram,
        length: usize,
        may_wait: bool,
        token: u64,
    ) -> Result<(), Datagram> {
        let Some(header) = datagram.to_answer(length) else { return Err(datagram) };
        let flags = if may_wait { net::SendFlags::empty() } else { net::SendFlags::DONTWAIT };
        let entry =
            opcode::SendMsg::new(Fd(socket.as_raw_fd()), header).flags(flags.bits()).build();
        self.begin(entry, socket, InFlight::SendMsg(datagram), token);
        Ok(())
    }

    /// Queues a cancel request for an operation. The operation completes with ECANCELED, or with
    /// its own result if the request comes too late. Does nothing once the last completion of the
    /// operation has been collected.
    pub(crate) fn cancel(&mut self, key: Key) {
        if self.operations.get(key.slot).is_some_and(|operation| operation.number == key.number) {
            self.push(&opcode::AsyncCancel::new(key.slot as u64).build().user_data(NOBODY));
        }
    }

    /// Provides a buffer to the kernel again.
    pub(crate) fn recycle(&mut self, lease: Lease) {
        if let Some(pool) = &mut self.pool {
            pool.recycle(lease);
        }
    }

    /// Submits the queued operations.
    ///
    /// # Errors
    /// Those of io_uring_enter(2).
    pub(crate) fn submit(&self) -> io::Result<()> {
        self.ring.submit().map(drop)
    }

    /// Submits the queued operations, waits for a completion for at most `time` (`None`: without
    /// limit), and collects what is in the completion queue, even after an error. Completions that
    /// overflowed the queue come with a later call.
    ///
    /// # Errors
    /// Those of io_uring_enter(2), except those that a later call can overcome.
    pub(crate) fn wait(
        &mut self,
        time: Option<Duration>,
        completions: &mut Vec<Completion>,
    ) -> io::Result<()> {
        let submitter = self.ring.submitter();
        let waited = match time {
            _ if self.failure.is_some() => Ok(0),
            _ if !self.backlog.is_empty() => submitter.submit(),
            None => submitter.submit_and_wait(1),
            Some(time) => {
                let time = Timespec::from(time);
                submitter.submit_with_args(1, &SubmitArgs::new().timespec(&time))
            }
        };
        if let Err(error) = waited
            && !is_temporary(&error)
        {
            self.failure = Some(error);
        }
        let (operations, pool) = (&mut self.operations, &mut self.pool);
        for entry in self.backlog.drain(..).chain(self.ring.completion()) {
            if entry.user_data() != NOBODY {
                completions.push(completed(operations, pool.as_mut(), &entry));
            }
        }
        self.failure.take().map_or(Ok(()), Err)
    }

    fn begin(
        &mut self,
        entry: squeue::Entry,
        socket: &Rc<OwnedFd>,
        in_flight: InFlight,
        token: u64,
    ) -> Key {
        let number = self.next_number;
        self.next_number += 1;
        let operation = Operation { number, token, _socket: Rc::clone(socket), in_flight };
        let slot = self.operations.insert(operation);
        self.push(&entry.user_data(slot as u64));
        Key { slot, number }
    }

    fn push(&mut self, entry: &squeue::Entry) {
        loop {
            // SAFETY: `operations` keeps the memory that the entry points to until the last
            // completion of the operation, and beyond the end of the ring.
            if unsafe { self.ring.submission().push(entry) }.is_ok() {
                return;
            }
            // The queue is full.
            if let Err(error) = self.ring.submit() {
                self.backlog.extend(self.ring.completion());
                if !is_temporary(&error) {
                    // The next wait returns it.
                    self.failure = Some(error);
                    return;
                }
            }
        }
    }
}

/// Whether io_uring_enter(2) can be called again. ETIME: the timeout expired. EINTR: a signal
/// came. EAGAIN: the kernel had no memory for a request. EBUSY (seen on Linux 6.1): the completion
/// queue has no room for the overflowed completions; collect completions first.
fn is_temporary(error: &io::Error) -> bool {
    let errno = Errno::from_io_error(error);
    matches!(errno, Some(Errno::TIME | Errno::INTR | Errno::BUSY | Errno::AGAIN))
}

/// The operation that a completion belongs to, with its result and its memory.
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
    let lease = lease.map(|(pool, number)| pool.lease(number));
    let (token, in_flight) = if more {
        // Only operations without a buffer of their own are multishot.
        match &operations[slot] {
            Operation { token, in_flight: InFlight::Accept, .. } => (*token, InFlight::Accept),
            Operation { token, .. } => (*token, InFlight::RecvMultishot),
        }
    } else {
        let operation = operations.remove(slot);
        (operation.token, operation.in_flight)
    };
    let effect = match in_flight {
        InFlight::Accept => Effect::Accepted(result.map(|descriptor| {
            // SAFETY: the kernel has just opened this descriptor for us, and nothing else owns it.
            unsafe { OwnedFd::from_raw_fd(descriptor as i32) }
        })),
        InFlight::Recv(buffer) => Effect::Received(result, Some(Bytes::Owned(buffer))),
        InFlight::RecvMultishot => Effect::Received(result, lease.map(Bytes::Pooled)),
        InFlight::Send(bytes) => Effect::Sent(result, bytes),
        InFlight::RecvMsg(datagram) => Effect::DatagramReceived(result, datagram),
        InFlight::SendMsg(datagram) => Effect::DatagramSent(result.map(drop), datagram),
    };
    Completion { token, effect, more }
}

#[cfg(test)]
mod tests {
    use std::io::Write as _;
    use std::os::unix::net::UnixStream;
    use std::time::Duration;

    use super::*;

    /// A ring on this thread, unless the host has none to give.
    fn ring() -> Option<Ring> {
        Ring::new().inspect_err(|error| eprintln!("not tested: no ring here: {error}")).ok()
    }

    /// Waits at most 1 s for a completion, and returns all that are there.
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
        // Each completes at once with EAGAIN. No completion is examined before all are queued.
        for token in 0..count {
            ring.recv(&socket, Buffer::new(1), false, token);
        }
        let mut tokens = Vec::new();
        loop {
            let completions = wait(&mut ring);
            if completions.is_empty() {
                break;
            }
            tokens.extend(completions.iter().map(|completion| completion.token));
        }
        tokens.sort_unstable();
        assert!(tokens.into_iter().eq(0..count), "each operation completes once");
    }

    #[test]
    fn a_pool_that_ran_dry_ends_a_receive_and_loses_nothing() {
        // So large that the pool has only two buffers.
        const BUFFER_BYTES: usize = 32 * 1024 * 1024;
        let Some(mut ring) = ring().map(|ring| ring.with_provided_buffers(BUFFER_BYTES).unwrap())
        else {
            return;
        };
        let (socket, mut peer) = UnixStream::pair().unwrap();
        let socket = Rc::new(OwnedFd::from(socket));
        ring.recv_multishot(&socket, 0);
        let (mut leases, mut end) = (Vec::new(), None);
        let mut collect = |ring: &mut Ring| {
            for completion in wait(ring) {
                match (completion.effect, completion.more) {
                    (Effect::Received(Ok(1), Some(Bytes::Pooled(lease))), _) => leases.push(lease),
                    (Effect::Received(Err(error), None), false) => end = Some(error),
                    other => panic!("expected a provided buffer or the end, got {other:?}"),
                }
            }
            (leases.len(), end.as_ref().and_then(Errno::from_io_error))
        };
        for count in 1..=2 {
            peer.write_all(&[1]).unwrap();
            assert_eq!(collect(&mut ring).0, count);
        }
        assert!(!ring.pool_has_free());
        peer.write_all(&[1]).unwrap();
        // Without SO_INQ on Unix sockets (Linux before 6.17), the kernel tried to receive again
        // after the second byte, found no buffer, and ended the receive before this write.
        assert_eq!(collect(&mut ring), (2, Some(Errno::NOBUFS)));
        ring.recv(&socket, Buffer::new(8), true, 0);
        match wait(&mut ring).pop() {
            Some(Completion { effect: Effect::Received(Ok(1), Some(Bytes::Owned(_))), .. }) => {}
            other => panic!("expected the byte that found no provided buffer, got {other:?}"),
        }
        leases.into_iter().for_each(|lease| ring.recycle(lease));
        ring.recv_multishot(&socket, 0);
        peer.write_all(&[1]).unwrap();
        let received = wait(&mut ring).pop();
        assert!(received.is_some_and(|completion| completion.more), "the pool has buffers again");
    }
}
