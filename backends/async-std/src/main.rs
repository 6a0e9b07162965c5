//! Echo server on async-std: the standard library's API, asynchronous, on a pool of threads.
//!
//! Each wait of the reactor (async-io 2) collects the tasks that it wakes in a new vector: about
//! one allocation for six messages on 64 busy connections.

mod capability;
mod datagrams;
mod transport;

use std::{env, future::Future, io};

#[cfg(unix)]
use async_std::os::unix::net::{UnixListener, UnixStream};
use async_std::{
    io::{prelude::WriteExt as _, ReadExt as _},
    net::{TcpListener, TcpStream, UdpSocket},
    task,
};
use common::{
    classify, AcceptError, Backend, Capability, Context, Drained, Driver, Flavor, Listener,
    Listeners, ServeError, Transport, Wait, Work, Workers, BACKLOG,
};
use futures_lite::future;

use crate::transport::Stream;

static BACKEND: Backend = Backend {
    package: env!("CARGO_PKG_NAME"),
    runtime: "async-std",
    drivers: &[Driver::READINESS],
    flavors: &[Flavor {
        name: "multi-thread",
        about: "A pool of threads takes turns to run tasks and to wait for the sockets",
        workers: Workers::PerCore,
        serve: multi_thread,
    }],
    transports: &Transport::ALL,
    capabilities: &Capability::ALL,
    probe: |_| Ok(()),
};

fn main() {
    common::run(&BACKEND)
}

fn multi_thread(listeners: Listeners, context: Context) -> Result<Drained, ServeError> {
    // Where descriptors have run out, the reactor would panic (async-io, src/reactor.rs).
    drop(polling::Poller::new()?);
    // Read when the first task is spawned. The thread that waits for signals reads no variables.
    env::set_var("ASYNC_STD_THREAD_COUNT", context.workers().to_string());
    capability::fill_pool(&listeners)?;
    // `task::block_on` would make the calling thread one more that waits for the sockets.
    Ok(future::block_on(task::spawn(serve(listeners, context)))?)
}

async fn serve(listeners: Listeners, context: Context) -> io::Result<Drained> {
    let mut loops = Vec::new();
    for Listener { socket, work } in listeners.tcp {
        let listener = TcpListener::from(socket);
        loops.push(task::spawn(accept_loop::<TcpStream>(listener, work, context.clone())));
    }
    for socket in listeners.udp {
        loops.push(task::spawn(datagrams::echo(UdpSocket::from(socket), context.clone())));
    }
    #[cfg(unix)]
    for listener in listeners.unix {
        let listener = UnixListener::from(listener);
        loops.push(task::spawn(accept_loop::<UnixStream>(listener, None, context.clone())));
    }
    #[cfg(unix)]
    for socket in listeners.unixgram {
        let socket = datagrams::Unixgram::new(socket)?;
        loops.push(task::spawn(datagrams::echo(socket, context.clone())));
    }
    context.ready();
    for ends in loops {
        ends.await;
    }
    Ok(context.drained().await)
}

async fn accept_loop<S: Stream>(listener: S::Listener, work: Option<Work>, context: Context) {
    let cancel_after = context.cancel().accept;
    let mut stop = context.stop();
    loop {
        match unless(&mut stop, capability::accept::<S>(&listener, cancel_after)).await {
            None => break,
            Some(Ok(stream)) => spawn_echo(stream, work, &context),
            Some(Err(error)) => match context.accept_error(&error) {
                AcceptError::Retry => {}
                // Afterwards `accept` asks the system before it waits for an event, so it needs
                // no new client to go on.
                AcceptError::BackOff(pause) => {
                    unless(&mut stop, task::sleep(pause)).await;
                }
                AcceptError::Fatal => context.fail(),
            },
        }
        // async-std has no budget for a task that finds something to do every time.
        task::yield_now().await;
    }
    serve_queue::<S>(&listener, work, &context).await;
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
async fn serve_queue<S: Stream>(listener: &S::Listener, work: Option<Work>, context: &Context) {
    for _ in 0..=BACKLOG {
        match future::poll_once(S::accept(listener)).await {
            Some(Ok(stream)) => spawn_echo(stream, work, context),
            Some(Err(error)) if classify(&error) == AcceptError::Retry => {}
            Some(Err(_)) | None => break,
        }
    }
}

fn spawn_echo<S: Stream>(stream: S, work: Option<Work>, context: &Context) {
    let (connection, context) = (context.connection(), context.clone());
    task::spawn(async move { connection.ended(echo(stream, work, context).await) });
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
            Some(0) => return stream.finish(),
            Some(bytes) => answer(&mut stream, &buffer[..bytes], work).await?,
        }
        if context.stopping() {
            break;
        }
        if turn % TURN == 0 {
            task::yield_now().await;
        }
    }
    stream.finish()?;
    while stream.read(&mut buffer).await? > 0 {
        task::yield_now().await;
    }
    Ok(())
}

async fn answer<S: Stream>(stream: &mut S, message: &[u8], work: Option<Work>) -> io::Result<()> {
    if let Some(work) = work {
        capability::work(work).await;
    }
    stream.write_all(message).await
}
