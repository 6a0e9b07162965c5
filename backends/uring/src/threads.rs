//! A ring on each thread, and what they begin and end together.

use std::{io, os::unix::net::UnixStream, sync::mpsc, thread};

use common::{
    Context, Drained, Driver, Listener, Listeners, ServeError, Transport, Unavailable, block_on,
    build_ring, probe_ring,
};

use crate::{
    ring::Ring,
    server::{Server, Socket, wake},
};

/// Builds one ring like those of the threads, and closes it.
pub(crate) fn probe(_: Driver) -> Result<(), Unavailable> {
    probe_ring(Ring::SINCE, Ring::new)
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
    let (listening, mut datagrams) = by_descriptor(listeners);
    for number in 1..=context.workers() {
        let (started, stopped, context) = (started.clone(), stopped.clone(), context.clone());
        let mut sockets = listening.iter().map(duplicate).collect::<io::Result<Vec<_>>>()?;
        // The first thread takes them all: several could answer a client out of order.
        sockets.append(&mut datagrams);
        thread::Builder::new().name(format!("ring-{number}")).spawn(move || {
            // A ring belongs to the thread that has built it.
            let server = build(many, &context)
                .and_then(|ring| Ok(Server::new(ring, many, sockets, context.clone())?));
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
    // The servers have duplicates, and closing those has to close the listeners.
    drop((listening, stopped));
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
    build_ring(Ring::SINCE, || match many {
        true => Ring::new()?.with_pool(context.buffer_bytes()),
        false => Ring::new(),
    })
}

/// What listens, and what does not.
fn by_descriptor(listeners: Listeners) -> (Vec<Socket>, Vec<Socket>) {
    let Listeners { tcp, udp, unix, unixgram } = listeners;
    let plain = |descriptor, transport| Socket { descriptor, transport, work: None };
    let tcp = tcp.into_iter().map(|Listener { socket, work }| Socket {
        descriptor: socket.into(),
        transport: Transport::Tcp,
        work,
    });
    let unix = unix.into_iter().map(|socket| plain(socket.into(), Transport::Unix));
    let udp = udp.into_iter().map(|socket| plain(socket.into(), Transport::Udp));
    let unixgram = unixgram.into_iter().map(|socket| plain(socket.into(), Transport::Unixgram));
    (tcp.chain(unix).collect(), udp.chain(unixgram).collect())
}

fn duplicate(socket: &Socket) -> io::Result<Socket> {
    Ok(Socket { descriptor: socket.descriptor.try_clone()?, ..*socket })
}
