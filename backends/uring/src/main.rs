//! Echo server on io_uring alone: threads with a ring each, and no runtime between.

cfg_if::cfg_if! {
    if #[cfg(target_os = "linux")] {
        mod buffers;
        mod connection;
        mod datagrams;
        mod ring;
        mod server;
        mod threads;

        use threads::{multishot, probe, single_shot};
    } else {
        mod elsewhere;

        use elsewhere::{multishot, probe, single_shot};
    }
}

use common::{Backend, Capability, Driver, Flavor, Transport, Workers};

static BACKEND: Backend = Backend {
    package: env!("CARGO_PKG_NAME"),
    runtime: "io-uring",
    drivers: &[Driver::IoUring],
    flavors: &[
        Flavor {
            name: "single-shot",
            about: "Each receive has a buffer of its own, which is then sent from",
            workers: Workers::PerCore,
            serve: single_shot,
        },
        Flavor {
            name: "multishot",
            about: "Accepts and receives go on by themselves, into buffers of a pool",
            workers: Workers::PerCore,
            serve: multishot,
        },
    ],
    transports: &Transport::ALL,
    capabilities: &Capability::ALL,
    probe,
};

fn main() {
    common::run(&BACKEND)
}
