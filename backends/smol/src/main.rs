//! Echo server on smol: one task per connection, which its executor polls when the socket is ready.
//!
//! The accept loop and the echo come first, then the two ways to run them, which `--flavor` chooses
//! from. Unix sockets, datagrams and the optional parts of the contract (docs/CONTRACT.md) are
//! modules of their own.
//!
//! A process has one reactor, even where each thread has its own executor: an idle thread waits for
//! the sockets of all threads and wakes the others. Each of its waits (async-io 2) collects the
//! wakers in a new vector: about one allocation per six messages on 64 busy connections.
//!
//! A message takes four system calls if it has to be waited for: a `recv` that finds nothing,
//! `epoll_ctl`, because the poller (polling 3) is oneshot and has to be armed again, `recv` and
//! `send`. No setting changes that. The other calls of a wait (`epoll_pwait`, `timerfd_settime`, a
//! `read` of the poller's own descriptor, a `futex`) are shared by all messages that it delivers.

mod capability;
mod datagrams;
mod executor;
#[cfg(unix)]
mod unix;

use std::io;
use std::thread;

use common::{
    Backend, Capability, Context, Drained, Driver, Flavor, Listener, Recovery, ServeError, Sockets,
    Transport, Wait, Work, Workers, run_workers,
};
#[cfg(unix)]
use smol::Async;
use smol::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _};
#[cfg(unix)]
use smol::net::unix::UnixListener;
use smol::net::{TcpListener, TcpStream, UdpSocket};
use smol::{Task, Timer, future};

use crate::executor::Place;

fn main() {
    common::run(&BACKEND)
}

/// Accepts clients until the server is told to stop. `work` is the CPU time that each message costs
/// before it is echoed, on a `cpu:` listener.
async fn accept_loop(place: Place, listener: TcpListener, work: Option<Work>, context: Context) {
    let mut stopped = context.stopped();
    loop {
        let accept = capability::accept(&context, || listener.accept());
        match until(&mut stopped, accept).await {
            None => break,
            Some(Ok((stream, _))) => spawn_tcp_echo(place, stream, work, &context),
            Some(Err(error)) => match context.after_accept_error(&error) {
                Recovery::Retry => {}
                // No free descriptor, for example. The clients in the accept queue cause no second
                // event, and need none: `accept` makes the system call before it waits for one.
                Recovery::BackOff(pause) => {
                    until(&mut stopped, Timer::after(pause)).await;
                }
                Recovery::Fatal => return,
            },
        }
        // smol has no budget for a task that never has to wait.
        future::yield_now().await;
    }
    // Closing the listener would reset the clients in its accept queue.
    let accept = || now(listener.accept());
    context
        .accept_queued(accept)
        .for_each(|(stream, _)| spawn_tcp_echo(place, stream, work, &context));
}

fn spawn_tcp_echo(place: Place, stream: TcpStream, work: Option<Work>, context: &Context) {
    // Fails if the connection is already reset (EINVAL on macOS); the read will report it.
    let _ = stream.set_nodelay(true);
    spawn_echo(place, stream, work, context);
}

fn spawn_echo<S: Stream>(place: Place, stream: S, work: Option<Work>, context: &Context) {
    // Counted before the task runs, or the drain could miss it.
    let (counted, context) = (context.count_connection(), context.clone());
    let echo = async move {
        let result = echo(stream, work, context).await;
        counted.ended(result);
    };
    place.spawn(echo).detach();
}

/// What the echo needs of a connection.
trait Stream: AsyncRead + AsyncWrite + Send + Unpin + 'static {}

impl<S: AsyncRead + AsyncWrite + Send + Unpin + 'static> Stream for S {}

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
    // `close` sends FIN; the client's side stays open until the stream is dropped.
    stream.close().await?;
    // Closing a socket with unread bytes resets the connection, and the client could lose the last
    // echo. So the rest is read until the client's FIN, or until the drain deadline.
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

/// The output of an operation, or nothing once the server is told to stop. The operation is dropped
/// then, which loses nothing: smol makes the system call in the poll that returns its result.
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
            about: "Each thread runs its own executor and keeps the connections it accepted; one \
                    reactor waits for the sockets of all threads",
            workers: Workers::PerCore,
            serve: per_core,
        },
    ],
    transports: &Transport::ALL,
    capabilities: &Capability::ALL,
    probe: |_| Ok(()),
};

fn multi_thread(sockets: Sockets, context: Context) -> Result<Drained, ServeError> {
    executor::start_reactor()?;
    capability::fill_pool(&sockets)?;
    // The calling thread is a worker, too.
    for number in 1..context.workers() {
        let run = || Place::AnyThread.run(future::pending::<()>());
        thread::Builder::new().name(format!("smol-{number}")).spawn(run)?;
    }
    Place::AnyThread.run(async {
        let loops = spawn_loops(Place::AnyThread, sockets, &context)?;
        context.announce();
        for task in loops {
            task.await;
        }
        Ok(context.drained().await)
    })
}

fn per_core(sockets: Sockets, context: Context) -> Result<Drained, ServeError> {
    executor::start_reactor()?;
    capability::fill_pool(&sockets)?;
    run_workers(sockets, &context, |sockets, context, worker| {
        Place::ThisThread.run(async {
            let loops = spawn_loops(Place::ThisThread, sockets, &context)?;
            let accepting = worker.ready();
            for task in loops {
                task.await;
            }
            drop(accepting);
            // The connections are served until `run_workers` ends the process.
            future::pending().await
        })
    })
}

/// Spawns a task for each listener.
fn spawn_loops(place: Place, sockets: Sockets, context: &Context) -> io::Result<Vec<Task<()>>> {
    let mut loops = Vec::new();
    for Listener { socket, work } in sockets.tcp {
        let listener = TcpListener::try_from(socket)?;
        loops.push(place.spawn(accept_loop(place, listener, work, context.clone())));
    }
    for socket in sockets.udp {
        let socket = UdpSocket::try_from(socket)?;
        loops.push(place.spawn(datagrams::echo(socket, context.clone())));
    }
    #[cfg(unix)]
    for listener in sockets.unix {
        let listener = UnixListener::try_from(listener)?;
        loops.push(place.spawn(unix::accept_loop(place, listener, context.clone())));
    }
    #[cfg(unix)]
    for socket in sockets.unixgram {
        loops.push(place.spawn(datagrams::echo(Async::new(socket)?, context.clone())));
    }
    Ok(loops)
}
