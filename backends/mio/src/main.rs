//! Echo server on mio: an event loop of its own, and no runtime between it and the poller.

mod connection;
mod datagrams;
mod event_loop;
mod stream;

use std::{mem, sync::mpsc, thread};

use common::{
    Backend, Capability, Context, Drained, Driver, Flavor, Listeners, ServeError, Transport,
    Workers, block_on,
};

use crate::{datagrams::Datagrams, event_loop::EventLoop, stream::Listener};

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
    transports: &Transport::ALL,
    // Nothing waits here but the poller, so there is no operation to cancel.
    capabilities: &[Capability::Cpu],
    probe: |_| Ok(()),
};

fn main() {
    common::run(&BACKEND)
}

fn loop_per_worker(mut listeners: Listeners, context: Context) -> Result<Drained, ServeError> {
    let (stopped, stops) = mpsc::channel();
    let mut wakers = Vec::new();
    for number in 1..=context.workers() {
        let mut event_loop = EventLoop::new(context.clone())?;
        for listener in &listeners.tcp {
            let socket = Listener::tcp(listener.socket.try_clone()?);
            event_loop.listen(socket, listener.work)?;
        }
        #[cfg(unix)]
        for listener in &listeners.unix {
            event_loop.listen(Listener::Unix(listener.try_clone()?), None)?;
        }
        // The first loop takes them all: several could answer a client out of order.
        for socket in mem::take(&mut listeners.udp) {
            event_loop.receive(Datagrams::udp(socket))?;
        }
        #[cfg(unix)]
        for socket in mem::take(&mut listeners.unixgram) {
            event_loop.receive(Datagrams::unixgram(socket))?;
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
