//! Builds rings before tokio-uring does, which would panic if the kernel refuses one.

use common::{Driver, ServeError, Unavailable, build_ring, probe_ring};
use io_uring_06::Builder;
use rustix::io::Errno;
use tokio_uring::Runtime;

/// Entries of the submission queue. When it is full, it is submitted early.
const SUBMISSIONS: u32 = 256;
/// Entries of the completion queue, enough for a burst on as many connections. On some
/// kernels, the memory of both queues counts against the user's limit of locked memory.
const COMPLETIONS: u32 = 4096;

/// The first Linux with IORING_SETUP_CQSIZE.
const SINCE: &str = "5.5";

/// The setup flags of a ring.
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

/// Whether the kernel, which has given a plain ring, knows the flags of this one.
pub(crate) fn probe_setup(setup: Setup) -> Result<(), Unavailable> {
    match builder(setup).build(SUBMISSIONS) {
        Err(error) if Errno::from_io_error(&error) == Some(Errno::INVAL) => {
            Err(Unavailable("a tuned ring needs Linux 6.0".to_owned()))
        }
        // Building the ring that is used finds other failures again.
        Ok(_) | Err(_) => Ok(()),
    }
}

/// A runtime for the calling thread.
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
        // COOP_TASKRUN: completions wait for this thread's next system call instead of interrupting
        // it, and TASKRUN_FLAG shows that some wait. SINGLE_ISSUER: only this thread submits.
        //
        // Not DEFER_TASKRUN: Tokio waits for the ring in epoll, which would never report
        // completions that wait for the thread to enter the kernel.
        Setup::Tuned => {
            ring.setup_coop_taskrun().setup_taskrun_flag().setup_single_issuer();
        }
    }
    ring
}
