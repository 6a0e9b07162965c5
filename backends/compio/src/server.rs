//! Worker threads with one runtime each, which both flavors start in the same way.

use std::future::pending;
use std::io;

use common::{Context, Drained, Listener, ServeError, Sockets, Work, run_workers};
#[cfg(unix)]
use compio::net::UnixStream;
use compio::net::{TcpStream, UdpSocket};
use compio::runtime::{JoinHandle, spawn};
use socket2::Socket;

use crate::transport::Stream;
use crate::{capability, datagrams, managed, owned, runtime};

/// Who owns the buffers that connections are read into.
#[derive(Clone, Copy)]
enum Buffers {
    Connection,
    Driver,
}

pub(crate) fn runtime_per_thread(
    sockets: Sockets,
    context: Context,
) -> Result<Drained, ServeError> {
    serve(Buffers::Connection, sockets, context)
}

pub(crate) fn managed(sockets: Sockets, context: Context) -> Result<Drained, ServeError> {
    serve(Buffers::Driver, sockets, context)
}

fn serve(buffers: Buffers, sockets: Sockets, context: Context) -> Result<Drained, ServeError> {
    let pool = capability::pool(&sockets)?;
    run_workers(sockets, &context, move |sockets, context, worker| {
        let runtime = runtime::build(&context, pool.clone())?;
        runtime::block_on(&runtime, async {
            let loops = spawn_loops(buffers, sockets, &context)?;
            let accepting = worker.ready();
            for accept_loop in loops {
                // A panic in it ends the process.
                let _ = accept_loop.await;
            }
            drop(accepting);
            // Dropping the runtime would wait for the operations of connections that the drain
            // deadline cut.
            pending().await
        })
    })
}

fn spawn_loops(
    buffers: Buffers,
    sockets: Sockets,
    context: &Context,
) -> io::Result<Vec<JoinHandle<()>>> {
    let mut loops = Vec::new();
    for Listener { socket, work } in sockets.tcp {
        loops.push(spawn_accept_loop::<TcpStream>(buffers, socket.into(), work, context)?);
    }
    #[cfg(unix)]
    for listener in sockets.unix {
        loops.push(spawn_accept_loop::<UnixStream>(buffers, listener.into(), None, context)?);
    }
    for socket in sockets.udp {
        let socket = UdpSocket::from_std(socket)?;
        loops.push(spawn(datagrams::udp(socket, context.clone())));
    }
    Ok(loops)
}

fn spawn_accept_loop<S: Stream>(
    buffers: Buffers,
    queue: Socket,
    work: Option<Work>,
    context: &Context,
) -> io::Result<JoinHandle<()>> {
    let (listener, context) = (S::listen(queue.try_clone()?)?, context.clone());
    Ok(match buffers {
        Buffers::Connection => spawn(owned::accept_loop::<S>(listener, queue, work, context)),
        Buffers::Driver => spawn(managed::accept_loop::<S>(listener, queue, work, context)),
    })
}
