//! Echo server on compio: threads with a driver each, which completes operations that own their
//! buffers. Where the system has no such interface, the driver waits and makes the calls itself.
//!
//! compio 0.19.2 keeps each operation in a box of its own, and has no way to use one again: a
//! message costs two allocations on io_uring, and six on the driver that waits.
//!
//! On that driver it takes five system calls where it has to be waited for: `recv` that finds
//! nothing, `epoll_ctl` to add the socket, `epoll_ctl` to remove it once it is ready, `recv` and
//! `send`. compio has no call that leaves a socket with the poller.

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

/// A socket of Windows belongs to one completion port, and so does each duplicate of it: threads
/// with a port each cannot accept from one listener.
const WORKERS: Workers = if cfg!(windows) { Workers::One } else { Workers::PerCore };

static BACKEND: Backend = Backend {
    package: env!("CARGO_PKG_NAME"),
    runtime: "compio",
    drivers: runtime::DRIVERS,
    flavors: &[
        Flavor {
            name: "runtime-per-thread",
            about: "Each thread has its own driver and keeps the connections that it accepted",
            workers: WORKERS,
            serve: server::runtime_per_thread,
        },
        Flavor {
            name: "managed",
            about: "The same with multishot accepts, and reads into buffers of the driver",
            workers: WORKERS,
            serve: server::managed,
        },
    ],
    // It has no Unix datagram socket, only a wait until one of std's is ready (`PollFd`).
    transports: &[Transport::Tcp, Transport::Udp, Transport::Unix],
    capabilities: &[Capability::Cpu],
    probe: runtime::probe,
};

fn main() {
    common::run(&BACKEND)
}
