//! Echo server on Tokio: one task per connection, which Tokio polls when its socket is ready.
//!
//! `accept_loop` is the outer loop of Tokio's tutorial, and `echo` is its inner loop; `spawn_echo`
//! starts the task between them. The tutorial does not handle an `accept` that fails; `accept_loop`
//! does. The tutorial has no stop signal; here, both loops handle one. After the stop signal, each
//! connection reads once more what has already arrived, echoes it, and sends FIN. The functions
//! from `multi_thread` on run the server in three ways, which `--flavor` selects. Unlike most
//! servers, this one has no limit on clients and no idle timeout, and a panic ends the whole
//! process.
//!
//! Unix sockets, datagrams and the optional parts of the contract (docs/CONTRACT.md) are modules of
//! their own. Without `--cancel`, `capability::accept` only awaits `listener.accept()`, and
//! `capability::read` only awaits `stream.read(buffer)`. The crate `common` implements the parts of
//! the contract that do not depend on the runtime. In your own program, use `CancellationToken` of
//! tokio-util in place of `context.stopped()`, and its `TaskTracker` in place of `count_connection`
//! and `drained`.

mod capability;
mod datagrams;
mod stream;
#[cfg(unix)]
mod unix;

use std::future::pending;
use std::io;

use common::{
    Backend, Capability, Context, Drained, Driver, Flavor, Listener, POOL_THREADS, Recovery,
    ServeError, Sockets, Transport, Work, Workers, run_workers,
};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
#[cfg(unix)]
use tokio::net::UnixListener;
use tokio::net::{TcpListener, TcpStream, UdpSocket};
use tokio::runtime::{Builder, LocalOptions};
use tokio::task::{self, JoinHandle};
use tokio::{select, time};

use crate::stream::Stream;

fn main() {
    common::run(&BACKEND)
}

/// Accepts clients until the server is told to stop. `work` is the CPU time that each message costs
/// before it is echoed, on a `cpu:` listener.
async fn accept_loop(listener: TcpListener, work: Option<Work>, context: Context) {
    let mut stopped = context.stopped();
    loop {
        // `select!` drops the future that loses. A dropped `accept` or `read` has consumed nothing:
        // if Tokio's system call succeeds, the same poll returns its result.
        let accepted = select! {
            accepted = capability::accept(&context, || listener.accept()) => accepted,
            () = &mut stopped => break,
        };
        match accepted {
            Ok((stream, _)) => spawn_tcp_echo(stream, work, &context),
            Err(error) => match context.after_accept_error(&error) {
                Recovery::Retry => {}
                // For example, no descriptor is free. The clients in the accept queue cause no new
                // event, because the poller is edge-triggered. The loop needs none: after this
                // error Tokio still considers the listener ready.
                Recovery::BackOff(pause) => select! {
                    () = time::sleep(pause) => {}
                    () = &mut stopped => break,
                },
                Recovery::Fatal => return,
            },
        }
    }
    // Closing the listener would reset the clients in its accept queue. Tokio's `accept` makes no
    // system call before Tokio has seen the listener's event, so it can miss clients that have just
    // arrived. The `accept` of the standard library takes them.
    let Ok(listener) = listener.into_std() else { return };
    let accept = || {
        let (stream, _) = listener.accept()?;
        stream.set_nonblocking(true)?;
        TcpStream::from_std(stream)
    };
    context.accept_queued(accept).for_each(|stream| spawn_tcp_echo(stream, work, &context));
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
    let mut buffer = vec![0; context.buffer_bytes()];
    let mut stopped = context.stopped();
    loop {
        let bytes = select! {
            // Poll the stop first, so that a client that always has bytes cannot delay it.
            biased;
            () = &mut stopped => break,
            read = capability::read(&context, &mut stream, &mut buffer) => read?,
        };
        if bytes == 0 {
            // The client has sent FIN, and all its bytes are echoed. Send FIN to the client, too.
            return stream.shutdown().await;
        }
        answer(&mut stream, &buffer[..bytes], work).await?;
    }
    // After the stop, read once more what has already arrived, at most one buffer, and echo it.
    match stream.read_now(&mut buffer) {
        Ok(0) => {}
        Ok(bytes) => answer(&mut stream, &buffer[..bytes], work).await?,
        Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
        Err(error) => return Err(error),
    }
    stream.shutdown().await?;
    // Read until the client's FIN: closing a socket with unread bytes sends a reset, which can
    // destroy an echo that the client has not read yet. At the drain deadline, the server ends
    // without waiting for this task.
    while stream.read(&mut buffer).await? > 0 {}
    Ok(())
}

async fn answer<S: Stream>(stream: &mut S, message: &[u8], work: Option<Work>) -> io::Result<()> {
    if let Some(work) = work {
        capability::work(work).await?;
    }
    stream.write_all(message).await
}

static BACKEND: Backend = Backend {
    package: env!("CARGO_PKG_NAME"),
    runtime: "tokio",
    drivers: &[Driver::READINESS],
    flavors: &[
        Flavor {
            name: "multi-thread",
            about: "One runtime, with work stealing between its threads",
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
            about: "One runtime per thread; each keeps the connections it accepted",
            workers: Workers::PerCore,
            serve: local_per_core,
        },
    ],
    transports: &Transport::ALL,
    capabilities: &Capability::ALL,
    probe: |_| Ok(()),
};

fn multi_thread(sockets: Sockets, context: Context) -> Result<Drained, ServeError> {
    let mut runtime = Builder::new_multi_thread();
    run_one(runtime.worker_threads(context.workers()), sockets, context)
}

fn current_thread(sockets: Sockets, context: Context) -> Result<Drained, ServeError> {
    run_one(&mut Builder::new_current_thread(), sockets, context)
}

fn run_one(
    runtime: &mut Builder,
    sockets: Sockets,
    context: Context,
) -> Result<Drained, ServeError> {
    let runtime = capability::size_pool(runtime, POOL_THREADS).enable_all().build()?;
    if sockets.offload_work() {
        capability::fill_pool(POOL_THREADS, |job| drop(runtime.spawn_blocking(job)))?;
    }
    let drained = runtime.block_on(async {
        let loops = spawn_loops(sockets, &context)?;
        context.announce();
        join(loops).await;
        Ok(context.drained().await)
    });
    // Dropping the runtime would wait until running `spawn_blocking` work ends, even if the drain
    // deadline passes.
    runtime.shutdown_background();
    drained
}

/// Each runtime registers its own descriptor of every listener. This design is simple, but has two
/// costs: a new client may wake every idle thread, and nothing balances how many connections each
/// thread accepts. The threads are not pinned to cores.
fn local_per_core(sockets: Sockets, context: Context) -> Result<Drained, ServeError> {
    run_workers(sockets, &context, |sockets, context, worker| {
        let pool_threads = POOL_THREADS.div_ceil(context.workers());
        let mut runtime = Builder::new_current_thread();
        let runtime = capability::size_pool(&mut runtime, pool_threads);
        // A `LocalRuntime` can also run futures that are not `Send`. The futures here are `Send`,
        // because the other flavors need that.
        let runtime = runtime.enable_all().build_local(LocalOptions::default())?;
        if sockets.offload_work() {
            capability::fill_pool(pool_threads, |job| drop(runtime.spawn_blocking(job)))?;
        }
        runtime.block_on(async {
            let loops = spawn_loops(sockets, &context)?;
            let accepting = worker.ready();
            join(loops).await;
            drop(accepting);
            // This thread serves its connections until `common::run` ends the process.
            pending().await
        })
    })
}

/// Waits until all tasks have ended. The result is ignored: a task can fail only by a panic, and a
/// panic ends the process (`common::run`).
async fn join(tasks: Vec<JoinHandle<()>>) {
    for task in tasks {
        let _ = task.await;
    }
}

/// Spawns one task per listener, even for a single listener. `block_on` runs its future on a thread
/// that is not a worker of the multi-thread runtime. An accept loop on that thread would have to
/// hand each connection over to a worker.
fn spawn_loops(sockets: Sockets, context: &Context) -> io::Result<Vec<JoinHandle<()>>> {
    let mut loops = Vec::new();
    for Listener { socket, work } in sockets.tcp {
        let listener = TcpListener::from_std(socket)?;
        loops.push(task::spawn(accept_loop(listener, work, context.clone())));
    }
    for socket in sockets.udp {
        let socket = UdpSocket::from_std(socket)?;
        loops.push(task::spawn(datagrams::echo(socket, context.clone())));
    }
    #[cfg(unix)]
    for listener in sockets.unix {
        let listener = UnixListener::from_std(listener)?;
        loops.push(task::spawn(unix::accept_loop(listener, context.clone())));
    }
    #[cfg(unix)]
    for socket in sockets.unixgram {
        let datagrams = unix::Datagrams::new(socket)?;
        loops.push(task::spawn(datagrams.echo(context.clone())));
    }
    Ok(loops)
}
