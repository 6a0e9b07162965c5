//! Building rings, before tokio-uring does: it would panic where the kernel refuses one.

use common::{Driver, ServeError, Unavailable, build_ring, probe_ring};
use tokio_uring::Runtime;

/// Operations that can wait for the next system call. A full queue is submitted early, no more.
const SUBMISSIONS: u32 = 256;
/// Completions that can wait to be looked at: a burst on as many connections stays in the ring.
/// Both cost memory that counts against the user's limit of locked memory.
const COMPLETIONS: u32 = 4096;

/// Builds one ring like those of the workers, and closes it.
pub(crate) fn probe(_: Driver) -> Result<(), Unavailable> {
    let mut ring = tokio_uring::uring_builder();
    ring.setup_cqsize(COMPLETIONS);
    probe_ring(|| ring.build(SUBMISSIONS))
}

/// A runtime with a ring of its own, for the calling thread.
pub(crate) fn runtime() -> Result<Runtime, ServeError> {
    let mut ring = tokio_uring::uring_builder();
    // Not DEFER_TASKRUN: the ring is watched through epoll, where completions that wait for the
    // program to enter the kernel never show, and nothing is ever echoed.
    ring.setup_cqsize(COMPLETIONS);
    let mut builder = tokio_uring::builder();
    builder.entries(SUBMISSIONS).uring_builder(&ring);
    build_ring(|| Runtime::new(&builder))
}
