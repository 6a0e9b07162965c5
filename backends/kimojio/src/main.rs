//! Echo server on kimojio: threads with an io_uring each, and operations on plain descriptors that
//! borrow their buffers.
//!
//! kimojio 0.19.0 sets its rings up without IORING_SETUP_COOP_TASKRUN, and lets no program change
//! that: completions interrupt the thread, and that shows in what a message costs. Backends whose
//! rings leave them until the thread's next system call need a sixth less. The one thing that can
//! be had is its feature `setup_single_issuer`, and that makes no clear difference.

use common::{Backend, Capability, Driver, Flavor, Transport, Workers};

cfg_if::cfg_if! {
    if #[cfg(target_os = "linux")] {
        mod datagrams;
        mod operation;
        mod server;

        use server::{probe, runtime_per_thread};
    } else {
        mod elsewhere;

        use elsewhere::{probe, runtime_per_thread};
    }
}

static BACKEND: Backend = Backend {
    package: env!("CARGO_PKG_NAME"),
    runtime: "kimojio",
    drivers: &[Driver::IoUring],
    flavors: &[Flavor {
        name: "runtime-per-thread",
        about: "Each thread has its own ring and keeps the connections that it accepted",
        workers: Workers::PerCore,
        serve: runtime_per_thread,
    }],
    transports: &Transport::ALL,
    // It has no pool of threads for work that keeps one.
    capabilities: &[Capability::Cancel],
    probe,
};

fn main() {
    common::run(&BACKEND)
}
