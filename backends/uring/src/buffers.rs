//! Memory that the kernel writes into: a buffer of its own for an operation, the same with the
//! address of a datagram's sender, or a pool that the kernel takes from by itself.
//!
//! No bytes are looked at here, as an echo need not. What the kernel may be writing into is only
//! ever a pointer, never a reference.
#![expect(unsafe_code, reason = "the kernel is given pointers")]

use std::{
    cell::Cell,
    io,
    ptr::{self, NonNull},
    rc::Rc,
    sync::atomic::{AtomicU16, Ordering},
};

use io_uring::{Submitter, types::BufRingEntry};
use libc::{iovec, msghdr, sockaddr_storage, sockaddr_un};

/// The one group of buffers of a ring.
pub(crate) const GROUP: u16 = 0;
/// Buffers of a pool at most; a power of two, as the kernel wants it.
const POOL_BUFFERS: usize = 1024;
/// Memory of a pool at most, in bytes. It is touched only as far as it is used.
const POOL_BYTES: usize = 64 * 1024 * 1024;

/// Memory for one operation at a time.
#[derive(Debug)]
pub(crate) struct Buffer(NonNull<[u8]>);

impl Buffer {
    pub(crate) fn new(bytes: usize) -> Buffer {
        let memory = vec![0_u8; bytes].into_boxed_slice();
        Buffer(NonNull::from(Box::leak(memory)))
    }

    pub(crate) fn start(&self) -> *mut u8 {
        self.0.as_ptr().cast()
    }

    pub(crate) fn len(&self) -> usize {
        self.0.len()
    }
}

impl Drop for Buffer {
    fn drop(&mut self) {
        // SAFETY: it was leaked by `new`, nobody else owns it, and an operation that the kernel
        // still has keeps its buffer from getting here.
        drop(unsafe { Box::from_raw(self.0.as_ptr()) });
    }
}

/// Memory for one datagram at a time, with the address that it came from and goes back to, and
/// with what the kernel is told of both.
#[derive(Debug)]
pub(crate) struct Datagram {
    bytes: Buffer,
    /// Pointers into an `Rc` hold when that moves, as those into a `Box` do not.
    envelope: Rc<Envelope>,
}

/// What the kernel reads and writes beside the bytes.
#[derive(Debug)]
struct Envelope {
    header: Cell<msghdr>,
    vector: Cell<iovec>,
    address: Cell<Address>,
}

/// As long and as aligned as sockaddr_storage, whose own fields are private.
type Address = [u64; 16];

const _: () = assert!(
    size_of::<Address>() == size_of::<sockaddr_storage>()
        && align_of::<Address>() == align_of::<sockaddr_storage>()
);

/// The longest address that there is. Of a path that fills it the kernel says one byte more
/// (unix(7)), and would not take that back.
const LONGEST_ADDRESS: u32 = size_of::<sockaddr_un>() as u32;

/// Without bytes and without an address.
const EMPTY: msghdr = msghdr {
    msg_name: ptr::null_mut(),
    msg_namelen: 0,
    msg_iov: ptr::null_mut(),
    msg_iovlen: 0,
    msg_control: ptr::null_mut(),
    msg_controllen: 0,
    msg_flags: 0,
};

impl Datagram {
    pub(crate) fn new(bytes: usize) -> Datagram {
        let envelope = Envelope {
            header: Cell::new(EMPTY),
            vector: Cell::new(iovec { iov_base: ptr::null_mut(), iov_len: 0 }),
            address: Cell::default(),
        };
        Datagram { bytes: Buffer::new(bytes), envelope: Rc::new(envelope) }
    }

    /// What the kernel is told to fill all of it.
    pub(crate) fn to_receive(&self) -> *mut msghdr {
        self.header(size_of::<Address>() as u32, self.bytes.len())
    }

    /// What the kernel is told to send the first `length` bytes back; none if the client that has
    /// sent them has no name.
    pub(crate) fn to_answer(&self, length: usize) -> Option<*const msghdr> {
        match self.envelope.header.get().msg_namelen {
            0 => None,
            said => Some(self.header(said.min(LONGEST_ADDRESS), length)),
        }
    }

    fn header(&self, address_length: u32, length: usize) -> *mut msghdr {
        let Envelope { header, vector, address } = &*self.envelope;
        vector.set(iovec { iov_base: self.bytes.start().cast(), iov_len: length });
        header.set(msghdr {
            msg_name: address.as_ptr().cast(),
            msg_namelen: address_length,
            msg_iov: vector.as_ptr(),
            msg_iovlen: 1,
            ..EMPTY
        });
        header.as_ptr()
    }
}

/// A buffer that the kernel has taken from the pool and filled. It goes back by [`Pool::give`];
/// one that is dropped is lost to the pool, and harmless.
#[derive(Debug)]
#[must_use = "the pool has one buffer less until it is given back"]
pub(crate) struct Lease(u16);

/// Buffers that the kernel takes from when bytes arrive; io_uring_register_buf_ring(3).
#[derive(Debug)]
pub(crate) struct Pool {
    /// The ring of free buffers, which the kernel reads.
    entries: NonNull<[Page]>,
    memory: Buffer,
    buffer_bytes: usize,
    count: u16,
    /// Where the next free buffer is put.
    tail: u16,
    /// Buffers that nobody has a lease of.
    free: u16,
}

/// The kernel wants the ring of free buffers to begin with a page.
#[repr(C, align(4096))]
#[derive(Clone, Debug)]
struct Page([u8; 4096]);

impl Pool {
    /// Registers a pool of buffers of this size.
    ///
    /// # Errors
    ///
    /// `InvalidInput` on a kernel older than 5.19; a lack of memory.
    pub(crate) fn register(submitter: &Submitter<'_>, buffer_bytes: usize) -> io::Result<Pool> {
        let most = (POOL_BYTES / buffer_bytes).clamp(2, POOL_BUFFERS);
        // Rounded down to a power of two.
        let count = 1_u16 << most.ilog2();
        let pages = (usize::from(count) * size_of::<BufRingEntry>()).div_ceil(size_of::<Page>());
        let entries = vec![Page([0; 4096]); pages].into_boxed_slice();
        let mut pool = Pool {
            entries: NonNull::from(Box::leak(entries)),
            memory: Buffer::new(buffer_bytes * usize::from(count)),
            buffer_bytes,
            count,
            tail: 0,
            free: 0,
        };
        let address = pool.entries.as_ptr().cast::<u8>() as u64;
        // SAFETY: `entries` has room for so many, and is not freed before the ring: see `Ring`.
        unsafe { submitter.register_buf_ring_with_flags(address, count, GROUP, 0)? };
        for number in 0..count {
            pool.give(Lease(number));
        }
        Ok(pool)
    }

    /// Whether the kernel would find a buffer now.
    pub(crate) fn has_free(&self) -> bool {
        self.free > 0
    }

    /// The buffer of which the kernel says the number.
    pub(crate) fn taken(&mut self, number: u16) -> Lease {
        self.free -= 1;
        Lease(number)
    }

    /// Where a buffer's bytes are.
    pub(crate) fn start(&self, lease: &Lease) -> *mut u8 {
        self.memory.start().wrapping_add(usize::from(lease.0) * self.buffer_bytes)
    }

    /// Lets the kernel fill it again.
    pub(crate) fn give(&mut self, lease: Lease) {
        let start = self.start(&lease) as u64;
        let index = usize::from(self.tail % self.count);
        let first = self.entries.as_ptr().cast::<BufRingEntry>();
        // SAFETY: the index is within the ring. The kernel does not look at this entry before the
        // tail has passed it, and the lease says that it does not write into the buffer.
        let entry = unsafe { &mut *first.add(index) };
        entry.set_addr(start);
        entry.set_len(self.buffer_bytes as u32);
        entry.set_bid(lease.0);
        self.tail = self.tail.wrapping_add(1);
        self.free += 1;
        // SAFETY: `first` is the ring's first entry, whose tail is aligned, lives as long, and is
        // written by this thread alone; the kernel reads it as an atomic.
        let tail = unsafe { AtomicU16::from_ptr(BufRingEntry::tail(first).cast_mut()) };
        tail.store(self.tail, Ordering::Release);
    }
}
