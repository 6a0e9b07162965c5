//! Echo server on tokio-uring: threads with an io_uring each, that the kernel fills buffers for.

use common::{Backend, Capability, Driver, Flavor, Model, Workers};

cfg_if::cfg_if! {
    if #[cfg(target_os = "linux")] {
        mod capability;
        mod ring;
        mod server;

        use {ring::probe, server::ring_per_thread};
    } else {
        mod elsewhere;

        use elsewhere::{probe, ring_per_thread};
    }
}

static BACKEND: Backend = Backend {
    package: env!("CARGO_PKG_NAME"),
    runtime: "tokio-uring",
    model: Model::Completion,
    driver: Driver::IoUring,
    flavors: &[Flavor {
        name: "ring-per-thread",
        about: "Each thread has its own ring and keeps the connections that it accepted",
        workers: Workers::PerCore,
        serve: ring_per_thread,
    }],
    capabilities: &Capability::ALL,
    probe,
};

fn main() {
    common::run(&BACKEND)
}
