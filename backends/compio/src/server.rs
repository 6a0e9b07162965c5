//! Threads with a runtime each, which either flavor starts and ends in the same way.

use std::{
    future::pending,
    io,
    mem::take,
    net,
    sync::{Arc, mpsc},
    thread,
};

use common::{Context, Drained, Listener, Listeners, ServeError, Work};
#[cfg(unix)]
use compio::net::UnixStream;
use compio::{
    net::{TcpStream, UdpSocket},
    runtime::{JoinHandle, spawn},
};
use socket2::Socket;

use crate::{capability, datagrams, managed, owned, runtime, transport::Stream};

/// Whose the buffers are that reads of connections fill.
#[derive(Clone, Copy)]
enum Buffers {
    /// The connection's.
    Owned,
    /// The driver's.
    Managed,
}

/// What a thread needs to serve.
struct Worker {
    buffers: Buffers,
    tcp: Vec<Origin>,
    #[cfg(unix)]
    unix: Vec<Origin>,
    udp: Vec<net::UdpSocket>,
    context: Context,
}

/// Where connections come from. The threads share it, and each accepts from a duplicate of its own.
#[derive(Clone)]
struct Origin {
    listener: Arc<Socket>,
    work: Option<Work>,
}

pub(crate) fn runtime_per_thread(
    listeners: Listeners,
    context: Context,
) -> Result<Drained, ServeError> {
    serve(Buffers::Owned, listeners, context)
}

pub(crate) fn managed(listeners: Listeners, context: Context) -> Result<Drained, ServeError> {
    serve(Buffers::Managed, listeners, context)
}

/// Runs a runtime on each thread; the calling one waits for them.
fn serve(buffers: Buffers, listeners: Listeners, context: Context) -> Result<Drained, ServeError> {
    let pool = capability::pool(&listeners)?;
    let origin = |socket, work| Origin { listener: Arc::new(socket), work };
    let tcp = listeners.tcp.into_iter();
    let tcp: Vec<_> =
        tcp.map(|Listener { socket, work }| origin(Socket::from(socket), work)).collect();
    #[cfg(unix)]
    let unix: Vec<_> =
        listeners.unix.into_iter().map(|socket| origin(Socket::from(socket), None)).collect();
    let mut udp = listeners.udp;
    let (started, starts) = mpsc::channel();
    let (stopped, stops) = mpsc::channel();
    for number in 1..=context.workers() {
        let worker = Worker {
            buffers,
            tcp: tcp.clone(),
            #[cfg(unix)]
            unix: unix.clone(),
            // The first thread has them alone: two would wake for each datagram, and overtake each
            // other.
            udp: take(&mut udp),
            context: context.clone(),
        };
        let (started, stopped, pool) = (started.clone(), stopped.clone(), pool.clone());
        thread::Builder::new().name(format!("compio-{number}")).spawn(
            move || match runtime::build(&worker.context, pool) {
                Ok(runtime) => runtime::block_on(&runtime, worker.run(started, stopped)),
                Err(error) => drop(started.send(Err(error))),
            },
        )?;
    }
    // The end of the last accept loop has to close a listener.
    drop(tcp);
    #[cfg(unix)]
    drop(unix);
    drop((started, stopped));
    for _ in 1..=context.workers() {
        starts.recv().map_err(io::Error::other)??;
    }
    context.ready();
    // Ends when no thread can accept any more.
    while stops.recv().is_ok() {}
    Ok(common::block_on(context.drained()))
}

impl Worker {
    /// Serves until the process ends. Dropping the runtime instead would wait for the operations
    /// of connections that the drain deadline has cut.
    async fn run(self, started: mpsc::Sender<Result<(), ServeError>>, stopped: mpsc::Sender<()>) {
        let loops = match self.start() {
            Ok(loops) => loops,
            Err(error) => return drop(started.send(Err(error.into()))),
        };
        let _ = started.send(Ok(()));
        for ends in loops {
            // It ends the process if it panics.
            let _ = ends.await;
        }
        drop(stopped);
        pending().await
    }

    fn start(self) -> io::Result<Vec<JoinHandle<()>>> {
        let mut loops = Vec::new();
        for origin in self.tcp {
            loops.push(start_accepts::<TcpStream>(self.buffers, origin, self.context.clone())?);
        }
        #[cfg(unix)]
        for origin in self.unix {
            loops.push(start_accepts::<UnixStream>(self.buffers, origin, self.context.clone())?);
        }
        for socket in self.udp {
            let socket = UdpSocket::from_std(socket)?;
            loops.push(spawn(datagrams::udp(socket, self.context.clone())));
        }
        Ok(loops)
    }
}

fn start_accepts<S: Stream>(
    buffers: Buffers,
    Origin { listener: queue, work }: Origin,
    context: Context,
) -> io::Result<JoinHandle<()>> {
    let listener = S::listen(queue.try_clone()?)?;
    Ok(match buffers {
        Buffers::Owned => spawn(owned::accept_loop::<S>(listener, queue, work, context)),
        Buffers::Managed => spawn(managed::accept_loop::<S>(listener, queue, work, context)),
    })
}
