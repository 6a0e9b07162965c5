//! Echo server on monoio: one runtime per thread, on io_uring or on its polling driver.

use common::{Backend, Capability, Flavor, Transport, Workers};

cfg_if::cfg_if! {
    if #[cfg(unix)] {
        mod capability;
        mod datagrams;
        mod runtime;
        mod server;
        mod transport;

        use runtime::{DRIVERS, probe};
        use server::runtime_per_thread;
    } else {
        mod stub;

        use stub::{DRIVERS, probe, runtime_per_thread};
    }
}

static BACKEND: Backend = Backend {
    package: env!("CARGO_PKG_NAME"),
    runtime: "monoio",
    drivers: DRIVERS,
    flavors: &[Flavor {
        name: "runtime-per-thread",
        about: "One runtime per thread; each keeps the connections it accepted",
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
