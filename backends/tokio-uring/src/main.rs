//! Echo server on tokio-uring: threads with an io_uring each, that the kernel fills buffers for.
//!
//! An idle connection takes 4.9 KiB: its buffer of 4, and its task, which Tokio rounds up to a
//! multiple of 128 bytes (768 here) so that tasks do not share cache lines. A batch of messages
//! takes two kinds of system call: Tokio waits in epoll for the ring, and then submits to it.

use common::{Backend, Capability, Driver, Flavor, Transport, Workers};

cfg_if::cfg_if! {
    if #[cfg(target_os = "linux")] {
        mod capability;
        mod datagrams;
        mod request;
        mod ring;
        mod server;
        mod transport;

        use {
            ring::probe,
            server::{ring_per_thread, tuned},
        };
    } else {
        mod elsewhere;

        use elsewhere::{probe, ring_per_thread, tuned};
    }
}

static BACKEND: Backend = Backend {
    package: env!("CARGO_PKG_NAME"),
    runtime: "tokio-uring",
    drivers: &[Driver::IoUring],
    flavors: &[
        Flavor {
            name: "ring-per-thread",
            about: "Each thread has its own ring and keeps the connections that it accepted",
            workers: Workers::PerCore,
            serve: ring_per_thread,
        },
        Flavor {
            name: "tuned",
            about: "The same, and no thread is interrupted for its completions",
            workers: Workers::PerCore,
            serve: tuned,
        },
    ],
    // It has no Unix datagrams.
    transports: &[Transport::Tcp, Transport::Udp, Transport::Unix],
    capabilities: &Capability::ALL,
    probe,
};

fn main() {
    common::run(&BACKEND)
}
