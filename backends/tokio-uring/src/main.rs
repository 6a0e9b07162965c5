//! Echo server on tokio-uring: one ring per thread, and operations that own their buffers.
//!
//! An idle connection takes 4.9 KiB: a buffer of 4 KiB, and a task of 768 bytes, which Tokio rounds
//! up to a multiple of 128 so that tasks do not share cache lines. Tokio waits for the ring in
//! epoll and then submits to it, so a batch of messages takes two kinds of system call.

use common::{Backend, Capability, Driver, Flavor, Transport, Workers};

cfg_if::cfg_if! {
    if #[cfg(target_os = "linux")] {
        mod capability;
        mod datagrams;
        mod request;
        mod ring;
        mod server;
        mod transport;

        use ring::probe;
        use server::{ring_per_thread, tuned};
    } else {
        mod stub;

        use stub::{probe, ring_per_thread, tuned};
    }
}

static BACKEND: Backend = Backend {
    package: env!("CARGO_PKG_NAME"),
    runtime: "tokio-uring",
    drivers: &[Driver::IoUring],
    flavors: &[
        Flavor {
            name: "ring-per-thread",
            about: "One ring per thread; each keeps the connections it accepted",
            workers: Workers::PerCore,
            serve: ring_per_thread,
        },
        Flavor {
            name: "tuned",
            about: "One ring per thread, with COOP_TASKRUN (no interrupts) and SINGLE_ISSUER",
            workers: Workers::PerCore,
            serve: tuned,
        },
    ],
    // It has no Unix datagram socket.
    transports: &[Transport::Tcp, Transport::Udp, Transport::Unix],
    capabilities: &Capability::ALL,
    probe,
};

fn main() {
    common::run(&BACKEND)
}
