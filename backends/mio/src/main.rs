//! Echo server on mio: an event loop on the poller, without a runtime.
//!
//! `event_loop` waits for events and gives connections their turns. `connection` reads and writes
//! until the socket would block. `stream` makes TCP and Unix sockets alike, and `datagrams` echoes
//! UDP and Unix datagrams.

mod connection;
mod datagrams;
mod event_loop;
mod stream;

use common::{
    Backend, Capability, Context, Drained, Driver, Flavor, ServeError, Sockets, Transport, Workers,
    run_workers,
};

use crate::datagrams::Datagrams;
use crate::event_loop::EventLoop;
use crate::stream::Listener;

static BACKEND: Backend = Backend {
    package: env!("CARGO_PKG_NAME"),
    runtime: "mio",
    drivers: &[Driver::READINESS],
    flavors: &[
        Flavor {
            name: "loop",
            about: "One event loop polls all sockets",
            workers: Workers::One,
            serve: loop_per_worker,
        },
        Flavor {
            name: "per-core",
            about: "One event loop per thread; each keeps the connections it accepted",
            workers: Workers::PerCore,
            serve: loop_per_worker,
        },
    ],
    transports: &Transport::ALL,
    // Only the poller ever waits, so there is no pending operation to cancel.
    capabilities: &[Capability::Cpu],
    probe: |_| Ok(()),
};

fn main() {
    common::run(&BACKEND)
}

fn loop_per_worker(sockets: Sockets, context: Context) -> Result<Drained, ServeError> {
    run_workers(sockets, &context, |sockets, context, worker| {
        let mut event_loop = EventLoop::new(context.clone())?;
        for common::Listener { socket, work } in sockets.tcp {
            event_loop.listen(Listener::tcp(socket), work)?;
        }
        #[cfg(unix)]
        for listener in sockets.unix {
            event_loop.listen(Listener::Unix(listener), None)?;
        }
        for socket in sockets.udp {
            event_loop.receive(Datagrams::udp(socket))?;
        }
        #[cfg(unix)]
        for socket in sockets.unixgram {
            event_loop.receive(Datagrams::unixgram(socket))?;
        }
        let waker = event_loop.waker();
        context.on_stop(move || {
            // Fails only if there is no memory for an event.
            let _ = waker.wake();
        });
        event_loop.run(worker.ready())
    })
}
