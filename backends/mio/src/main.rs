//! Echo server on mio: an event loop of its own, and no runtime between it and the poller.

mod connection;
mod event_loop;

use std::{sync::mpsc, thread};

use common::{
    Backend, Capability, Context, Drained, Driver, Flavor, Listeners, ServeError, Transport,
    Workers, block_on,
};
use event_loop::EventLoop;

static BACKEND: Backend = Backend {
    package: env!("CARGO_PKG_NAME"),
    runtime: "mio",
    drivers: &[Driver::READINESS],
    flavors: &[
        Flavor {
            name: "loop",
            about: "One thread polls all sockets",
            workers: Workers::One,
            serve: loop_per_worker,
        },
        Flavor {
            name: "per-core",
            about: "Each thread polls its own sockets and keeps the connections that it accepted",
            workers: Workers::PerCore,
            serve: loop_per_worker,
        },
    ],
    // Nothing waits here but the poller, so there is no operation to cancel.
    transports: &[Transport::Tcp],
    capabilities: &[Capability::Cpu],
    probe: |_| Ok(()),
};

fn main() {
    common::run(&BACKEND)
}

fn loop_per_worker(listeners: Listeners, context: Context) -> Result<Drained, ServeError> {
    let (stopped, stops) = mpsc::channel();
    let mut wakers = Vec::new();
    for number in 1..=context.workers() {
        let mut event_loop = EventLoop::new(context.clone())?;
        for listener in &listeners.tcp {
            event_loop.listen(listener.socket.try_clone()?, listener.work)?;
        }
        wakers.push(event_loop.waker());
        let (stopped, context) = (stopped.clone(), context.clone());
        thread::Builder::new().name(format!("loop-{number}")).spawn(move || {
            if let Err(error) = event_loop.run(stopped) {
                context.accept_error(&error);
                context.fail();
            }
        })?;
    }
    // Each loop has duplicates, and closing those has to close the listeners.
    drop(listeners);
    drop(stopped);
    context.ready();
    block_on(context.stop());
    for waker in wakers {
        waker.wake()?;
    }
    // Ends when no loop can accept any more, or has failed.
    while stops.recv().is_ok() {}
    Ok(block_on(context.drained()))
}
