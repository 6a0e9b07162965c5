//! Building rings, before tokio-uring does: it would panic where the kernel refuses one.

use common::{Driver, ServeError, Unavailable, build_ring, probe_ring};
use io_uring_06::Builder;
use rustix::io::Errno;
use tokio_uring::Runtime;

/// Operations that can wait for the next system call. A full queue is submitted early, no more.
const SUBMISSIONS: u32 = 256;
/// Completions that can wait to be looked at: a burst on as many connections stays in the ring.
/// Both cost memory that counts against the user's limit of locked memory.
const COMPLETIONS: u32 = 4096;

/// The first Linux where the number of completions can be chosen.
const SINCE: &str = "5.5";

/// What a ring costs: what it does is the same.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Setup {
    Plain,
    Tuned,
}

/// Builds one ring like those of the workers, and closes it.
pub(crate) fn probe(_: Driver) -> Result<(), Unavailable> {
    let ring = builder(Setup::Plain);
    probe_ring(SINCE, || ring.build(SUBMISSIONS))
}

/// Looks whether the kernel, which has given a plain ring, knows what this one asks for.
pub(crate) fn probe_setup(setup: Setup) -> Result<(), Unavailable> {
    match builder(setup).build(SUBMISSIONS) {
        Err(error) if Errno::from_io_error(&error) == Some(Errno::INVAL) => {
            Err(Unavailable("a tuned ring needs Linux 6.0".to_owned()))
        }
        // Other failures are found again when the ring is built to be used.
        Ok(_) | Err(_) => Ok(()),
    }
}

/// A runtime with a ring of its own, for the calling thread.
pub(crate) fn runtime(setup: Setup) -> Result<Runtime, ServeError> {
    let mut runtime = tokio_uring::builder();
    runtime.entries(SUBMISSIONS).uring_builder(&builder(setup));
    build_ring(SINCE, || Runtime::new(&runtime))
}

fn builder(setup: Setup) -> Builder {
    let mut ring = tokio_uring::uring_builder();
    ring.setup_cqsize(COMPLETIONS);
    match setup {
        Setup::Plain => {}
        // Completions wait for this thread's next system call instead of interrupting it, and a
        // flag says so; and the kernel relies on it that no other thread uses the ring.
        //
        // Not DEFER_TASKRUN: the ring is watched through epoll, where completions that wait for
        // the program to enter the kernel never show, and nothing is ever echoed.
        Setup::Tuned => {
            ring.setup_coop_taskrun().setup_taskrun_flag().setup_single_issuer();
        }
    }
    ring
}
