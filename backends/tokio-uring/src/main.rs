//! Echo server on tokio-uring: threads with an io_uring each, that the kernel fills buffers for.

use common::{Backend, Capability, Driver, Flavor, Transport, Workers};

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
    drivers: &[Driver::IoUring],
    flavors: &[Flavor {
        name: "ring-per-thread",
        about: "Each thread has its own ring and keeps the connections that it accepted",
        workers: Workers::PerCore,
        serve: ring_per_thread,
    }],
    transports: &[Transport::Tcp],
    capabilities: &Capability::ALL,
    probe,
};

fn main() {
    common::run(&BACKEND)
}
