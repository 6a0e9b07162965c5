//! Echo server on io_uring alone: one ring per thread, and no runtime.
//!
//! `server` is the loop of a thread: it waits for completions. The user data of a completion is the
//! slot of its operation in `ring`, which keeps every operation in flight together with the memory
//! that the kernel uses (`buffers`). The operation's token says which listener, datagram socket or
//! connection handles the completion. `connection` decides what to submit next.
//!
//! The `single-shot` flavor submits one accept per client and one receive per message, into a
//! buffer of the connection, which the reply is then sent from. The `multishot` flavor uses
//! multishot accept and receive with provided buffers: the kernel picks a buffer when bytes arrive,
//! so an idle connection holds none, unless it once found no provided buffer free.
//!
//! The server does not use:
//!
//! - registered files: every client would need a slot in a table of fixed size;
//! - bundles, where one receive fills several buffers, and incremental consumption, where several
//!   receives share a buffer: here one send answers one receive, from the same buffer;
//! - zero-copy send: over loopback, IORING_OP_SEND_ZC copies anyway. On Unix sockets it fails with
//!   EOPNOTSUPP. The buffer stays busy until a second completion (IORING_CQE_F_NOTIF);
//! - SQPOLL: its kernel thread spins, which would count as CPU time of the server.

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
        mod stub;

        use stub::{multishot, probe, single_shot};
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
