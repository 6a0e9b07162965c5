//! A ring on each thread, and what they begin and end together.

use std::{io, os::unix::net::UnixStream, sync::mpsc, thread};

use common::{
    Context, Drained, Driver, Listener, Listeners, ServeError, Unavailable, block_on, build_ring,
    probe_ring,
};

use crate::{
    ring::Ring,
    server::{Server, wake},
};

/// Builds one ring like those of the threads, and closes it.
pub(crate) fn probe(_: Driver) -> Result<(), Unavailable> {
    probe_ring(Ring::new)
}

pub(crate) fn single_shot(listeners: Listeners, context: Context) -> Result<Drained, ServeError> {
    serve(listeners, context, false)
}

pub(crate) fn multishot(listeners: Listeners, context: Context) -> Result<Drained, ServeError> {
    serve(listeners, context, true)
}

fn serve(listeners: Listeners, context: Context, many: bool) -> Result<Drained, ServeError> {
    let (started, starts) = mpsc::channel();
    let (stopped, stops) = mpsc::channel();
    for number in 1..=context.workers() {
        let (started, stopped, context) = (started.clone(), stopped.clone(), context.clone());
        let listeners = listeners.tcp.iter().map(duplicate).collect::<io::Result<Vec<_>>>()?;
        thread::Builder::new().name(format!("ring-{number}")).spawn(move || {
            // A ring belongs to the thread that has built it.
            let server = build(many, &context)
                .and_then(|ring| Ok(Server::new(ring, many, &listeners, context.clone())?));
            // The server has duplicates, and closing those has to close the listeners.
            drop(listeners);
            let server = match server {
                Ok((server, waker)) => {
                    let _ = started.send(Ok(waker));
                    server
                }
                Err(error) => {
                    let _ = started.send(Err(error));
                    return;
                }
            };
            if let Err(error) = server.run(stopped) {
                context.accept_error(&error);
                context.fail();
            }
        })?;
    }
    drop((listeners, stopped));
    let lost = |_| ServeError::Failed(io::Error::other("a thread has ended"));
    let wakers = (0..context.workers())
        .map(|_| starts.recv().map_err(lost)?)
        .collect::<Result<Vec<UnixStream>, ServeError>>()?;
    context.ready();
    block_on(context.stop());
    wakers.iter().for_each(wake);
    // Ends when no loop can accept any more, or has failed.
    while stops.recv().is_ok() {}
    Ok(block_on(context.drained()))
}

fn build(many: bool, context: &Context) -> Result<Ring, ServeError> {
    build_ring(|| match many {
        true => Ring::new()?.with_pool(context.buffer_bytes()),
        false => Ring::new(),
    })
}

fn duplicate(listener: &Listener) -> io::Result<Listener> {
    Ok(Listener { socket: listener.socket.try_clone()?, work: listener.work })
}
