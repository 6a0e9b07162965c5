//! Echo server on async-std: the standard library's API, asynchronous, on a pool of threads.
//!
//! The accept loop and the echo come first. Unix sockets, datagrams and the optional parts of the
//! contract (docs/CONTRACT.md) are modules of their own.
//!
//! Each wait of the reactor (async-io 2) collects the wakers in a new vector: about one allocation
//! per six messages on 64 busy connections.

mod capability;
mod datagrams;
mod stream;
#[cfg(unix)]
mod unix;

use std::env;
use std::future::Future;
use std::io;

use async_std::io::prelude::WriteExt as _;
use async_std::io::ReadExt as _;
use async_std::net::{TcpListener, TcpStream, UdpSocket};
#[cfg(unix)]
use async_std::os::unix::net::UnixListener;
use async_std::task::{self, JoinHandle};
use common::{
    Backend, Capability, Context, Drained, Driver, Flavor, Listener, Recovery, ServeError, Sockets,
    Transport, Wait, Work, Workers,
};
use futures_lite::future;

use crate::stream::Stream;

fn main() {
    common::run(&BACKEND)
}

/// Accepts clients until the server is told to stop. `work` is the CPU time that each message costs
/// before it is echoed, on a `cpu:` listener.
async fn accept_loop(listener: TcpListener, work: Option<Work>, context: Context) {
    let mut stopped = context.stopped();
    loop {
        let accept = capability::accept(&context, || listener.accept());
        match until(&mut stopped, accept).await {
            None => break,
            Some(Ok((stream, _))) => spawn_tcp_echo(stream, work, &context),
            Some(Err(error)) => match context.after_accept_error(&error) {
                Recovery::Retry => {}
                // No free descriptor, for example. The clients in the accept queue cause no second
                // event, and need none: `accept` makes the system call before it waits for one.
                Recovery::BackOff(pause) => {
                    until(&mut stopped, task::sleep(pause)).await;
                }
                Recovery::Fatal => return,
            },
        }
        // async-std has no budget for a task that never has to wait.
        task::yield_now().await;
    }
    // Closing the listener would reset the clients in its accept queue.
    let accept = || now(listener.accept());
    context.accept_queued(accept).for_each(|(stream, _)| spawn_tcp_echo(stream, work, &context));
}

fn spawn_tcp_echo(stream: TcpStream, work: Option<Work>, context: &Context) {
    // Fails if the connection is already reset (EINVAL on macOS); the read will report it.
    let _ = stream.set_nodelay(true);
    spawn_echo(stream, work, context);
}

fn spawn_echo<S: Stream>(stream: S, work: Option<Work>, context: &Context) {
    // Counted before the task runs, or the drain could miss it.
    let (counted, context) = (context.count_connection(), context.clone());
    task::spawn(async move {
        let result = echo(stream, work, context).await;
        counted.ended(result);
    });
}

async fn echo<S: Stream>(mut stream: S, work: Option<Work>, context: Context) -> io::Result<()> {
    // After this many echoes in a row the task yields, even if it never had to wait.
    const TURN: usize = 32;

    let mut buffer = vec![0; context.buffer_bytes()];
    let mut stopped = context.stopped();
    for turn in 1_usize.. {
        let read = async { capability::read(&context, &mut stream, &mut buffer).await.map(Some) };
        let stopped = async {
            (&mut stopped).await;
            Ok(None)
        };
        // The read is polled first, so bytes that have arrived are echoed even at the stop.
        match future::or(read, stopped).await? {
            None => break,
            // The client has sent FIN. Everything is echoed, so it gets ours.
            Some(0) => return stream.send_fin(),
            Some(bytes) => answer(&mut stream, &buffer[..bytes], work).await?,
        }
        if context.stopping() {
            break;
        }
        if turn % TURN == 0 {
            task::yield_now().await;
        }
    }
    stream.send_fin()?;
    // Closing a socket with unread bytes resets the connection, and the client could lose the last
    // echo. So the rest is read until the client's FIN, or until the drain deadline.
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

/// The output of an operation, or nothing once the server is told to stop. The operation is dropped
/// then, which loses nothing: async-std makes the system call in the poll that returns its result.
async fn until<T>(stopped: &mut Wait, operation: impl Future<Output = T>) -> Option<T> {
    let stopped = async {
        stopped.await;
        None
    };
    let operation = async { Some(operation.await) };
    future::or(stopped, operation).await
}

/// The result of an operation that makes its system call when it is first polled; `WouldBlock` if
/// it would have to wait.
fn now<T>(operation: impl Future<Output = io::Result<T>>) -> io::Result<T> {
    let result = future::block_on(future::poll_once(operation));
    result.unwrap_or_else(|| Err(io::ErrorKind::WouldBlock.into()))
}

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

fn multi_thread(sockets: Sockets, context: Context) -> Result<Drained, ServeError> {
    // Without a free descriptor, the reactor would panic (async-io, src/reactor.rs).
    drop(polling::Poller::new()?);
    // async-std reads the variable when the first task is spawned. The thread that waits for
    // signals reads no variables.
    env::set_var("ASYNC_STD_THREAD_COUNT", context.workers().to_string());
    capability::fill_pool(&sockets)?;
    // `task::block_on` would make the calling thread one more that waits for the sockets.
    Ok(future::block_on(task::spawn(serve(sockets, context)))?)
}

async fn serve(sockets: Sockets, context: Context) -> io::Result<Drained> {
    let loops = spawn_loops(sockets, &context)?;
    context.announce();
    for task in loops {
        task.await;
    }
    Ok(context.drained().await)
}

/// Spawns a task for each listener.
fn spawn_loops(sockets: Sockets, context: &Context) -> io::Result<Vec<JoinHandle<()>>> {
    let mut loops = Vec::new();
    for Listener { socket, work } in sockets.tcp {
        let listener = TcpListener::from(socket);
        loops.push(task::spawn(accept_loop(listener, work, context.clone())));
    }
    for socket in sockets.udp {
        loops.push(task::spawn(datagrams::echo(UdpSocket::from(socket), context.clone())));
    }
    #[cfg(unix)]
    for listener in sockets.unix {
        let listener = UnixListener::from(listener);
        loops.push(task::spawn(unix::accept_loop(listener, context.clone())));
    }
    #[cfg(unix)]
    for socket in sockets.unixgram {
        let socket = datagrams::Unixgram::new(socket)?;
        loops.push(task::spawn(datagrams::echo(socket, context.clone())));
    }
    Ok(loops)
}
