//! Echo server on monoio: threads with an io_uring each, or with an epoll instance.

use common::{Backend, Capability, Flavor, Transport, Workers};

cfg_if::cfg_if! {
    if #[cfg(unix)] {
        mod capability;
        mod datagrams;
        mod runtime;
        mod server;
        mod transport;

        use {runtime::{DRIVERS, probe}, server::runtime_per_thread};
    } else {
        mod elsewhere;

        use elsewhere::{DRIVERS, probe, runtime_per_thread};
    }
}

static BACKEND: Backend = Backend {
    package: env!("CARGO_PKG_NAME"),
    runtime: "monoio",
    drivers: DRIVERS,
    flavors: &[Flavor {
        name: "runtime-per-thread",
        about: "Each thread has its own driver and keeps the connections that it accepted",
        workers: Workers::PerCore,
        serve: runtime_per_thread,
    }],
    transports: &Transport::ALL,
    capabilities: &Capability::ALL,
    probe,
};

fn main() {
    common::run(&BACKEND)
}
