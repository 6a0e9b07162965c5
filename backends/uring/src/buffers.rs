//! Memory that the kernel writes into: a buffer of one operation, a buffer with the address of a
//! datagram's sender, or a pool of provided buffers, which the kernel picks from.
//!
//! An echo need not look at the bytes. While the kernel may write into memory, there is only a
//! pointer to it here, never a reference.
#![expect(unsafe_code, reason = "the kernel is given pointers")]

use std::cell::Cell;
use std::io;
use std::ptr::{self, NonNull};
use std::rc::Rc;
use std::sync::atomic::{AtomicU16, Ordering};

use io_uring::Submitter;
use io_uring::types::BufRingEntry;
use libc::{iovec, msghdr, sockaddr_storage, sockaddr_un};

/// The buffer group ID. Each ring has one group.
pub(crate) const GROUP: u16 = 0;
/// The most buffers in a pool: a power of two, which the kernel requires.
const POOL_BUFFERS: usize = 1024;
/// The most memory of a pool, in bytes. Pages that no message has used are not resident.
const POOL_BYTES: usize = 64 * 1024 * 1024;

/// Memory for one operation at a time.
#[derive(Debug)]
pub(crate) struct Buffer(NonNull<[u8]>);

impl Buffer {
    pub(crate) fn new(bytes: usize) -> Self {
        let memory = vec![0_u8; bytes].into_boxed_slice();
        Self(NonNull::from(Box::leak(memory)))
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
        // SAFETY: `new` leaked it, and this is its only owner. The kernel does not use it: while an
        // operation is in flight, `Ring` owns the buffer.
        drop(unsafe { Box::from_raw(self.0.as_ptr()) });
    }
}

/// Memory for one datagram at a time, with the address of its sender and the `msghdr` that
/// describes both to the kernel.
#[derive(Debug)]
pub(crate) struct Datagram {
    bytes: Buffer,
    /// An `Rc`: moving a `Box` counts as a unique access to its contents, which invalidates raw
    /// pointers into it by Rust's aliasing rules. Moving an `Rc` does not.
    envelope: Rc<Envelope>,
}

/// What the kernel reads and writes next to the bytes.
#[derive(Debug)]
struct Envelope {
    header: Cell<msghdr>,
    vector: Cell<iovec>,
    address: Cell<Address>,
}

/// As large and as aligned as `sockaddr_storage`, whose fields are private.
type Address = [u64; 16];

const _: () = assert!(
    size_of::<Address>() == size_of::<sockaddr_storage>()
        && align_of::<Address>() == align_of::<sockaddr_storage>()
);

/// The longest address. For a path that fills `sun_path` the kernel reports one byte more
/// (unix(7)), and would refuse to send to that length.
const LONGEST_ADDRESS: u32 = size_of::<sockaddr_un>() as u32;

/// No bytes and no address.
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
    pub(crate) fn new(bytes: usize) -> Self {
        let envelope = Envelope {
            header: Cell::new(EMPTY),
            vector: Cell::new(iovec { iov_base: ptr::null_mut(), iov_len: 0 }),
            address: Cell::default(),
        };
        Self { bytes: Buffer::new(bytes), envelope: Rc::new(envelope) }
    }

    /// The `msghdr` that receives into the whole buffer.
    pub(crate) fn to_receive(&self) -> *mut msghdr {
        self.header(size_of::<Address>() as u32, self.bytes.len())
    }

    /// The `msghdr` that sends the first `length` bytes back to their sender; none if the sender
    /// has no name.
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

/// A provided buffer that the kernel has picked and filled. [`Pool::recycle`] provides it again. If
/// it is dropped instead, the pool has one buffer less, and nothing worse happens.
#[derive(Debug)]
#[must_use = "the pool has one buffer less until it is recycled"]
pub(crate) struct Lease(u16);

/// Provided buffers, which the kernel picks from when bytes arrive (io_uring_register_buf_ring(3)).
#[derive(Debug)]
pub(crate) struct Pool {
    /// The buffer ring: the kernel takes free buffers from its head.
    entries: NonNull<[Page]>,
    memory: Buffer,
    buffer_bytes: usize,
    count: u16,
    /// Where the next recycled buffer is put.
    tail: u16,
    /// Buffers that are in the ring.
    free: u16,
}

/// The kernel requires that the buffer ring begins at a page boundary. On aarch64 and powerpc64,
/// kernels have pages of up to 64 KiB.
#[cfg_attr(any(target_arch = "aarch64", target_arch = "powerpc64"), repr(C, align(65536)))]
#[cfg_attr(not(any(target_arch = "aarch64", target_arch = "powerpc64")), repr(C, align(4096)))]
#[derive(Clone, Debug)]
struct Page([u8; 4096]);

impl Pool {
    /// Registers a pool of buffers of `buffer_bytes` each.
    ///
    /// # Errors
    /// Those of io_uring_register(2), such as a lack of memory.
    pub(crate) fn register(submitter: &Submitter<'_>, buffer_bytes: usize) -> io::Result<Self> {
        let most = (POOL_BYTES / buffer_bytes).clamp(2, POOL_BUFFERS);
        // Rounded down to a power of two.
        let count = 1_u16 << most.ilog2();
        let pages = (usize::from(count) * size_of::<BufRingEntry>()).div_ceil(size_of::<Page>());
        let entries = vec![Page([0; 4096]); pages].into_boxed_slice();
        let mut pool = Self {
            entries: NonNull::from(Box::leak(entries)),
            memory: Buffer::new(buffer_bytes * usize::from(count)),
            buffer_bytes,
            count,
            tail: 0,
            free: 0,
        };
        let address = pool.entries.as_ptr().cast::<u8>() as u64;
        // SAFETY: `entries` has room for `count` entries. It is leaked, so it outlives the ring.
        unsafe { submitter.register_buf_ring_with_flags(address, count, GROUP, 0)? };
        for number in 0..count {
            pool.recycle(Lease(number));
        }
        Ok(pool)
    }

    /// Whether a buffer may be free. The kernel may already have consumed it, for a completion that
    /// is not yet collected; then a receive ends with ENOBUFS.
    pub(crate) fn has_free(&self) -> bool {
        self.free > 0
    }

    /// The buffer with this buffer ID, which the kernel has consumed.
    pub(crate) fn lease(&mut self, id: u16) -> Lease {
        self.free -= 1;
        Lease(id)
    }

    /// Where the bytes of a buffer are.
    pub(crate) fn start(&self, lease: &Lease) -> *mut u8 {
        self.memory.start().wrapping_add(usize::from(lease.0) * self.buffer_bytes)
    }

    /// Provides the buffer to the kernel again.
    pub(crate) fn recycle(&mut self, lease: Lease) {
        let start = self.start(&lease) as u64;
        let index = usize::from(self.tail % self.count);
        let first = self.entries.as_ptr().cast::<BufRingEntry>();
        // SAFETY: the index is within the ring. The kernel does not read the address, length and ID
        // of this entry before the tail has passed it. The kernel may read the tail at any time; it
        // lies in the first entry and is not written through this reference. The lease shows that
        // the kernel does not write into the buffer.
        let entry = unsafe { &mut *first.add(index) };
        entry.set_addr(start);
        entry.set_len(self.buffer_bytes as u32);
        entry.set_bid(lease.0);
        self.tail = self.tail.wrapping_add(1);
        self.free += 1;
        // SAFETY: the tail lies in `first`, the ring's first entry. It is aligned, lives as long as
        // the ring, and only this thread writes it; the kernel reads it as an atomic.
        let tail = unsafe { AtomicU16::from_ptr(BufRingEntry::tail(first).cast_mut()) };
        tail.store(self.tail, Ordering::Release);
    }
}
