//! Echo server on io_uring alone: one ring per thread, and no runtime.
//!
//! `server` is the loop of a thread: it waits for completions and hands each to the connection that
//! its user data names. `connection` decides what to submit next. `ring` keeps every operation that
//! is in flight together with the memory that the kernel uses, and `buffers` is that memory.
//!
//! The `single-shot` flavor submits one accept per client and one receive per message, into a
//! buffer of the connection, which the reply is then sent from. The `multishot` flavor uses
//! multishot accept and receive with provided buffers: the kernel picks a buffer when bytes arrive,
//! so an idle connection holds none.
//!
//! What it does not use: registered files (every client would need a slot in a table of fixed
//! size), bundles and incremental buffer consumption (an echo sends what one receive returned),
//! zero-copy send (it pays off above some 10 KiB per message, and needs a second completion), and
//! SQPOLL (a kernel thread that spins would be charged to nobody).

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
            about: "One receive at a time per connection, into a buffer of its own",
            workers: Workers::PerCore,
            serve: single_shot,
        },
        Flavor {
            name: "multishot",
            about: "Multishot accept and receive, with provided buffers",
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
