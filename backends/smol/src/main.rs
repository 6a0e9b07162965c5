//! Echo server on smol: executors that threads run, and sockets that wake their tasks when ready.
//!
//! There is one reactor in a process, also where each thread has an executor of its own: whichever
//! thread is idle first waits for the sockets of all, and wakes the others.
//!
//! Each wait of the reactor (async-io 2) collects the tasks that it wakes in a new vector: about
//! one allocation for six messages on 64 busy connections.
//!
//! A message takes four system calls where it has to be waited for: `recv` that finds nothing,
//! `epoll_ctl`, because the poller (polling 3) reports a socket once and is then to be asked again,
//! `recv` and `send`. There is no setting for that. What a wait takes beside (`epoll_pwait`,
//! `timerfd_settime`, a `read` of the poller's own descriptor, a `futex`) is for all messages that
//! it finds.

mod capability;
mod datagrams;
mod executor;
mod transport;

use std::{io, sync::mpsc, thread};

use common::{
    AcceptError, BACKLOG, Backend, Capability, Context, Drained, Driver, Flavor, Listener,
    Listeners, ServeError, Transport, Wait, Work, Workers, block_on, classify,
};
#[cfg(unix)]
use smol::{
    Async,
    net::unix::{UnixListener, UnixStream},
};
use smol::{
    Task, Timer, future,
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::{TcpListener, TcpStream, UdpSocket},
};

use crate::{executor::Place, transport::Stream};

static BACKEND: Backend = Backend {
    package: env!("CARGO_PKG_NAME"),
    runtime: "smol",
    drivers: &[Driver::READINESS],
    flavors: &[
        Flavor {
            name: "multi-thread",
            about: "Threads run one executor and take turns to wait for the sockets",
            workers: Workers::PerCore,
            serve: multi_thread,
        },
        Flavor {
            name: "per-core",
            about: "Each thread runs an executor of its own and keeps the connections that it \
                    accepted; one reactor waits for the sockets of all",
            workers: Workers::PerCore,
            serve: per_core,
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
    executor::probe()?;
    capability::fill_pool(&listeners)?;
    // The calling thread is a worker too.
    for number in 1..context.workers() {
        let run = || Place::AnyThread.run(future::pending::<()>());
        thread::Builder::new().name(format!("smol-{number}")).spawn(run)?;
    }
    Place::AnyThread.run(async {
        let loops = spawn_loops(Place::AnyThread, listeners, &context)?;
        context.ready();
        for ends in loops {
            ends.await;
        }
        Ok(context.drained().await)
    })
}

fn per_core(listeners: Listeners, context: Context) -> Result<Drained, ServeError> {
    let duplicates: io::Result<Vec<_>> =
        (1..context.workers()).map(|_| duplicate(&listeners)).collect();
    let duplicates = duplicates?;
    // After the duplicates, which need descriptors too.
    executor::probe()?;
    capability::fill_pool(&listeners)?;
    let (started, starts) = mpsc::channel();
    let (stopped, stops) = mpsc::channel();
    for (number, listeners) in (1..).zip(duplicates.into_iter().chain([listeners])) {
        let (context, started, stopped) = (context.clone(), started.clone(), stopped.clone());
        let run = move || Place::ThisThread.run(worker(listeners, context, started, stopped));
        thread::Builder::new().name(format!("smol-{number}")).spawn(run)?;
    }
    drop((started, stopped));
    for _ in 1..=context.workers() {
        starts.recv().map_err(io::Error::other)??;
    }
    context.ready();
    // Ends when no thread can accept any more.
    while stops.recv().is_ok() {}
    Ok(block_on(context.drained()))
}

/// Serves until the process ends, also the connections that the drain deadline has cut.
async fn worker(
    listeners: Listeners,
    context: Context,
    started: mpsc::Sender<io::Result<()>>,
    stopped: mpsc::Sender<()>,
) {
    let loops = match spawn_loops(Place::ThisThread, listeners, &context) {
        Ok(loops) => loops,
        Err(error) => return drop(started.send(Err(error))),
    };
    let _ = started.send(Ok(()));
    for ends in loops {
        ends.await;
    }
    drop(stopped);
    future::pending().await
}

/// What one more thread accepts from. A datagram socket is left to one thread: two would send their
/// replies to a client in any order.
fn duplicate(listeners: &Listeners) -> io::Result<Listeners> {
    let mut duplicates = Listeners::default();
    for Listener { socket, work } in &listeners.tcp {
        duplicates.tcp.push(Listener { socket: socket.try_clone()?, work: *work });
    }
    #[cfg(unix)]
    for listener in &listeners.unix {
        duplicates.unix.push(listener.try_clone()?);
    }
    Ok(duplicates)
}

/// Begins to serve; each task ends after the stop signal.
fn spawn_loops(place: Place, listeners: Listeners, context: &Context) -> io::Result<Vec<Task<()>>> {
    let mut loops = Vec::new();
    for Listener { socket, work } in listeners.tcp {
        let listener = TcpListener::try_from(socket)?;
        let accept_loop = accept_loop::<TcpStream>(place, listener, work, context.clone());
        loops.push(place.spawn(accept_loop));
    }
    for socket in listeners.udp {
        let socket = UdpSocket::try_from(socket)?;
        loops.push(place.spawn(datagrams::echo(socket, context.clone())));
    }
    #[cfg(unix)]
    for listener in listeners.unix {
        let listener = UnixListener::try_from(listener)?;
        let accept_loop = accept_loop::<UnixStream>(place, listener, None, context.clone());
        loops.push(place.spawn(accept_loop));
    }
    #[cfg(unix)]
    for socket in listeners.unixgram {
        loops.push(place.spawn(datagrams::echo(Async::new(socket)?, context.clone())));
    }
    Ok(loops)
}

async fn accept_loop<S: Stream>(
    place: Place,
    listener: S::Listener,
    work: Option<Work>,
    context: Context,
) {
    let cancel_after = context.cancel().accept;
    let mut stop = context.stop();
    loop {
        match unless(&mut stop, capability::accept::<S>(&listener, cancel_after)).await {
            None => break,
            Some(Ok(stream)) => spawn_echo(place, stream, work, &context),
            Some(Err(error)) => match context.accept_error(&error) {
                AcceptError::Retry => {}
                // Afterwards `accept` asks the system before it waits for an event, so it needs
                // no new client to go on.
                AcceptError::BackOff(pause) => {
                    unless(&mut stop, Timer::after(pause)).await;
                }
                AcceptError::Fatal => context.fail(),
            },
        }
        // smol has no budget for a task that finds something to do every time.
        future::yield_now().await;
    }
    serve_queue::<S>(place, &listener, work, &context).await;
}

/// What the operation gives, or nothing once the server has been told to stop.
async fn unless<T>(stop: &mut Wait, operation: impl Future<Output = T>) -> Option<T> {
    let stopped = async {
        stop.await;
        None
    };
    let done = async { Some(operation.await) };
    future::or(stopped, done).await
}

/// Serves the clients in the accept queue, which closing the listener would reset.
async fn serve_queue<S: Stream>(
    place: Place,
    listener: &S::Listener,
    work: Option<Work>,
    context: &Context,
) {
    for _ in 0..=BACKLOG {
        match future::poll_once(S::accept(listener)).await {
            Some(Ok(stream)) => spawn_echo(place, stream, work, context),
            Some(Err(error)) if classify(&error) == AcceptError::Retry => {}
            Some(Err(_)) | None => break,
        }
    }
}

fn spawn_echo<S: Stream>(place: Place, stream: S, work: Option<Work>, context: &Context) {
    let (connection, context) = (context.connection(), context.clone());
    place.spawn(async move { connection.ended(echo(stream, work, context).await) }).detach();
}

async fn echo<S: Stream>(mut stream: S, work: Option<Work>, context: Context) -> io::Result<()> {
    // Echoes in a row after which others get a turn, also if there was no need to wait.
    const TURN: usize = 32;

    let mut buffer = vec![0; context.buffer_bytes()];
    let cancel_after = context.cancel().read;
    let mut stop = context.stop();
    for turn in 1_usize.. {
        let read =
            async { capability::read(&mut stream, &mut buffer, cancel_after).await.map(Some) };
        let stopped = async {
            (&mut stop).await;
            Ok(None)
        };
        // Reading comes first, so that what has arrived is echoed even when the stop has too.
        match future::or(read, stopped).await? {
            None => break,
            Some(0) => return stream.close().await,
            Some(bytes) => answer(&mut stream, &buffer[..bytes], work).await?,
        }
        if context.stopping() {
            break;
        }
        if turn % TURN == 0 {
            future::yield_now().await;
        }
    }
    // Closing sends FIN; the peer's side stays open until it is dropped.
    stream.close().await?;
    while stream.read(&mut buffer).await? > 0 {
        future::yield_now().await;
    }
    Ok(())
}

async fn answer<S: Stream>(stream: &mut S, message: &[u8], work: Option<Work>) -> io::Result<()> {
    if let Some(work) = work {
        capability::work(work).await;
    }
    stream.write_all(message).await
}
