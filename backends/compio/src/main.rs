//! Echo server on compio: one runtime per thread, whose operations own their buffers. On io_uring
//! and completion ports the kernel completes them. On its polling driver, compio waits for
//! readiness and makes the system call itself.
//!
//! `owned` has the accept loop and the echo with a buffer per connection, `managed` those with
//! provided buffers, and `server` the threads that run them.
//!
//! compio 0.19.2 allocates each operation and cannot reuse one: a message costs two allocations on
//! io_uring, and six on the polling driver.
//!
//! On the polling driver a message takes five system calls if it has to be waited for: a `recv`
//! that finds nothing, `epoll_ctl` to add the socket, `epoll_ctl` to remove it once it is ready,
//! `recv` and `send`. compio has no call that keeps a socket registered.

mod capability;
mod datagrams;
mod managed;
mod owned;
mod queue;
mod runtime;
mod server;
mod transport;
mod turns;

use common::{Backend, Capability, Flavor, Transport, Workers};

/// On Windows a socket and its duplicates belong to one completion port, so threads with a port
/// each cannot accept from one listener.
const WORKERS: Workers = if cfg!(windows) { Workers::One } else { Workers::PerCore };

static BACKEND: Backend = Backend {
    package: env!("CARGO_PKG_NAME"),
    runtime: "compio",
    drivers: runtime::DRIVERS,
    flavors: &[
        Flavor {
            name: "runtime-per-thread",
            about: "One runtime per thread; each keeps the connections it accepted",
            workers: WORKERS,
            serve: server::runtime_per_thread,
        },
        Flavor {
            name: "managed",
            about: "One runtime per thread, with multishot accept and provided buffers",
            workers: WORKERS,
            serve: server::managed,
        },
    ],
    // It has no Unix datagram socket.
    transports: &[Transport::Tcp, Transport::Udp, Transport::Unix],
    capabilities: &[Capability::Cpu],
    probe: runtime::probe,
};

fn main() {
    common::run(&BACKEND)
}
