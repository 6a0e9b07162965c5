//! Worker threads with one ring each.

use common::{
    Context, Drained, Driver, Listener, ServeError, Sockets, Transport, Unavailable, build_ring,
    probe_ring, run_workers,
};

use crate::ring::{Ring, Shots};
use crate::server::{Server, Socket, wake};

/// Builds one ring like those of the workers, and closes it.
pub(crate) fn probe(_: Driver) -> Result<(), Unavailable> {
    probe_ring(Ring::SINCE, Ring::new)
}

pub(crate) fn single_shot(sockets: Sockets, context: Context) -> Result<Drained, ServeError> {
    serve(sockets, context, Shots::Single)
}

pub(crate) fn multishot(sockets: Sockets, context: Context) -> Result<Drained, ServeError> {
    serve(sockets, context, Shots::Multi)
}

fn serve(sockets: Sockets, context: Context, shots: Shots) -> Result<Drained, ServeError> {
    run_workers(sockets, &context, move |sockets, context, worker| {
        let ring = build(shots, &context)?;
        let (server, waker) = Server::new(ring, shots, flatten(sockets), context.clone())?;
        context.on_stop(move || wake(&waker));
        server.run(worker.ready())
    })
}

fn build(shots: Shots, context: &Context) -> Result<Ring, ServeError> {
    build_ring(Ring::SINCE, || match shots {
        Shots::Single => Ring::new(),
        Shots::Multi => Ring::new()?.with_provided_buffers(context.buffer_bytes()),
    })
}

/// Lists the listeners, and then the datagram sockets.
fn flatten(Sockets { tcp, udp, unix, unixgram }: Sockets) -> Vec<Socket> {
    let plain = |descriptor, transport| Socket { descriptor, transport, work: None };
    let tcp = tcp.into_iter().map(|Listener { socket, work }| Socket {
        descriptor: socket.into(),
        transport: Transport::Tcp,
        work,
    });
    let unix = unix.into_iter().map(|socket| plain(socket.into(), Transport::Unix));
    let udp = udp.into_iter().map(|socket| plain(socket.into(), Transport::Udp));
    let unixgram = unixgram.into_iter().map(|socket| plain(socket.into(), Transport::Unixgram));
    tcp.chain(unix).chain(udp).chain(unixgram).collect()
}
