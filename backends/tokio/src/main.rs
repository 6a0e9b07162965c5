//! Echo server on Tokio: a task for each connection, woken when its socket is ready.

mod capability;
mod datagrams;
mod per_core;
mod transport;

use std::io;

use common::{
    AcceptError, BACKLOG, Backend, Capability, Context, Drained, Driver, Flavor, Listener,
    Listeners, POOL_THREADS, ServeError, Transport, Work, Workers, classify,
};
#[cfg(unix)]
use tokio::net::{UnixDatagram, UnixListener, UnixStream};
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::{TcpListener, TcpStream, UdpSocket},
    runtime::Builder,
    select,
    task::{self, JoinHandle},
    time,
};

use crate::transport::Stream;

static BACKEND: Backend = Backend {
    package: env!("CARGO_PKG_NAME"),
    runtime: "tokio",
    drivers: &[Driver::READINESS],
    flavors: &[
        Flavor {
            name: "multi-thread",
            about: "Tasks move between worker threads, which steal work from each other",
            workers: Workers::PerCore,
            serve: multi_thread,
        },
        Flavor {
            name: "current-thread",
            about: "One thread polls the sockets and runs every task",
            workers: Workers::One,
            serve: current_thread,
        },
        Flavor {
            name: "local-per-core",
            about: "Each thread has its own runtime and keeps the connections that it accepted",
            workers: Workers::PerCore,
            serve: per_core::serve,
        },
    ],
    transports: &Transport::ALL,
    capabilities: &Capability::ALL,
    probe: |_| Ok(()),
};

fn main() {
    common::run(&BACKEND)
}

fn multi_thread(listeners: Listeners, context: Context) -> Result<Drained, ServeError> {
    let mut runtime = Builder::new_multi_thread();
    serve(runtime.worker_threads(context.workers()), listeners, context)
}

fn current_thread(listeners: Listeners, context: Context) -> Result<Drained, ServeError> {
    serve(&mut Builder::new_current_thread(), listeners, context)
}

fn serve(
    runtime: &mut Builder,
    listeners: Listeners,
    context: Context,
) -> Result<Drained, ServeError> {
    let runtime = capability::bound_pool(runtime, POOL_THREADS).enable_all().build()?;
    let drained = runtime.block_on(async {
        capability::fill_pool(&listeners, POOL_THREADS)?;
        let loops = start(listeners, &context)?;
        context.ready();
        for ends in loops {
            ends.await.map_err(io::Error::from)?;
        }
        Ok(context.drained().await)
    });
    // Not dropped, which would wait for the tasks of connections that the deadline has cut.
    runtime.shutdown_background();
    drained
}

/// Begins to serve, in tasks: `block_on` stays on the thread that called it, which is not a worker
/// of a runtime with several, and accepting there would hand every connection over to another.
fn start(listeners: Listeners, context: &Context) -> io::Result<Vec<JoinHandle<()>>> {
    let mut loops = Vec::new();
    for Listener { socket, work } in listeners.tcp {
        let listener = TcpListener::from_std(socket)?;
        loops.push(task::spawn(accept_loop::<TcpStream>(listener, work, context.clone())));
    }
    for socket in listeners.udp {
        let socket = UdpSocket::from_std(socket)?;
        loops.push(task::spawn(datagrams::udp(socket, context.clone())));
    }
    #[cfg(unix)]
    for listener in listeners.unix {
        let listener = UnixListener::from_std(listener)?;
        loops.push(task::spawn(accept_loop::<UnixStream>(listener, None, context.clone())));
    }
    #[cfg(unix)]
    for sender in listeners.unixgram {
        let socket = UnixDatagram::from_std(sender.try_clone()?)?;
        loops.push(task::spawn(datagrams::unixgram(socket, sender, context.clone())));
    }
    Ok(loops)
}

async fn accept_loop<S: Stream>(listener: S::Listener, work: Option<Work>, context: Context) {
    let cancel_after = context.cancel().accept;
    let mut stop = context.stop();
    loop {
        let accepted = select! {
            accepted = capability::accept::<S>(&listener, cancel_after) => accepted,
            () = &mut stop => break,
        };
        match accepted {
            Ok(stream) => spawn_echo(stream, work, &context),
            Err(error) => match context.accept_error(&error) {
                AcceptError::Retry => {}
                // Tokio keeps the listener marked as ready after an error, so the next `accept`
                // asks the system again and needs no new client to wake it.
                AcceptError::BackOff(pause) => select! {
                    () = time::sleep(pause) => {}
                    () = &mut stop => break,
                },
                AcceptError::Fatal => return context.fail(),
            },
        }
    }
    if let Ok(queue) = S::queue(listener) {
        serve_queue::<S>(&queue, work, &context);
    }
}

/// Serves the clients in the accept queue, which closing the listener would reset.
///
/// It asks the system itself: Tokio would report only clients whose event it has seen.
fn serve_queue<S: Stream>(queue: &S::Queue, work: Option<Work>, context: &Context) {
    for _ in 0..=BACKLOG {
        match S::accept_now(queue) {
            Ok(stream) => spawn_echo(stream, work, context),
            Err(error) if classify(&error) == AcceptError::Retry => {}
            Err(_) => break,
        }
    }
}

fn spawn_echo<S: Stream>(stream: S, work: Option<Work>, context: &Context) {
    let (connection, context) = (context.connection(), context.clone());
    task::spawn(async move { connection.ended(echo(stream, work, context).await) });
}

async fn echo<S: Stream>(mut stream: S, work: Option<Work>, context: Context) -> io::Result<()> {
    let mut buffer = vec![0; context.buffer_bytes()];
    let cancel_after = context.cancel().read;
    let mut stop = context.stop();
    while !context.stopping() {
        let n = select! {
            biased;
            read = capability::read(&mut stream, &mut buffer, cancel_after) => read?,
            () = &mut stop => break,
        };
        if n == 0 {
            return stream.shutdown().await;
        }
        answer(&mut stream, &buffer[..n], work).await?;
    }
    // What has arrived is still echoed.
    match stream.read_now(&mut buffer) {
        Ok(n) => answer(&mut stream, &buffer[..n], work).await?,
        Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
        Err(error) => return Err(error),
    }
    stream.shutdown().await?;
    while stream.read(&mut buffer).await? > 0 {}
    Ok(())
}

async fn answer<S: Stream>(stream: &mut S, message: &[u8], work: Option<Work>) -> io::Result<()> {
    if let Some(work) = work {
        capability::work(work).await?;
    }
    stream.write_all(message).await
}
