//! Echo server on kimojio: one io_uring per thread, and operations on plain descriptors that borrow
//! their buffers.
//!
//! kimojio 0.19.0 sets up its rings without IORING_SETUP_COOP_TASKRUN, and no program can change
//! that. So completions interrupt the thread, and a message costs about a sixth more than on
//! backends whose rings leave completions until the next system call. Its feature
//! `setup_single_issuer` makes no clear difference.

use common::{Backend, Capability, Driver, Flavor, Transport, Workers};

cfg_if::cfg_if! {
    if #[cfg(target_os = "linux")] {
        mod datagrams;
        mod operation;
        mod server;

        use server::{probe, runtime_per_thread};
    } else {
        mod stub;

        use stub::{probe, runtime_per_thread};
    }
}

static BACKEND: Backend = Backend {
    package: env!("CARGO_PKG_NAME"),
    runtime: "kimojio",
    drivers: &[Driver::IoUring],
    flavors: &[Flavor {
        name: "runtime-per-thread",
        about: "One runtime per thread; each keeps the connections it accepted",
        workers: Workers::PerCore,
        serve: runtime_per_thread,
    }],
    transports: &Transport::ALL,
    // It has no pool of threads for blocking work.
    capabilities: &[Capability::Cancel],
    probe,
};

fn main() {
    common::run(&BACKEND)
}
