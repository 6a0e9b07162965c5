//! Echo server on async-std: the standard library's API, asynchronous, on a pool of threads.

mod capability;

use std::{env, io, net::Shutdown};

use async_std::{
    io::{prelude::WriteExt as _, ReadExt as _},
    net::{TcpListener, TcpStream},
    task,
};
use common::{
    AcceptError, Backend, Capability, Context, Drained, Driver, Flavor, Listener, Listeners,
    ServeError, Transport, Work, Workers,
};
use futures_lite::future;

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
    transports: &[Transport::Tcp],
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
    // `task::block_on` would make the calling thread one more that waits for the sockets.
    Ok(future::block_on(task::spawn(serve(listeners, context))))
}

async fn serve(listeners: Listeners, context: Context) -> Drained {
    let accept_loop = |Listener { socket, work }| {
        task::spawn(accept_loop(TcpListener::from(socket), work, context.clone()))
    };
    let accept_loops: Vec<_> = listeners.tcp.into_iter().map(accept_loop).collect();
    context.ready();
    for accept_loop in accept_loops {
        accept_loop.await;
    }
    context.drained().await
}

async fn accept_loop(listener: TcpListener, work: Option<Work>, context: Context) {
    let cancel_after = context.cancel().accept;
    let mut stop = context.stop();
    loop {
        let stopped = async {
            (&mut stop).await;
            None
        };
        let accepted = async { Some(capability::accept(&listener, cancel_after).await) };
        match future::or(stopped, accepted).await {
            None => break,
            Some(Ok((stream, _))) => spawn_echo(stream, work, &context),
            Some(Err(error)) => match context.accept_error(&error) {
                AcceptError::Retry => {}
                // Afterwards `accept` asks the system before it waits for an event, so it needs
                // no new client to go on.
                AcceptError::BackOff(pause) => {
                    future::or(&mut stop, task::sleep(pause)).await;
                }
                AcceptError::Fatal => context.fail(),
            },
        }
        // async-std has no budget for a task that finds something to do every time.
        task::yield_now().await;
    }
    serve_queue(&listener, work, &context).await;
}

/// Serves the clients in the accept queue, which closing the listener would reset.
async fn serve_queue(listener: &TcpListener, work: Option<Work>, context: &Context) {
    for _ in 0..=common::BACKLOG {
        // `accept` asks the system when it is polled: it is pending only if the queue is empty.
        match future::poll_once(listener.accept()).await {
            Some(Ok((stream, _))) => spawn_echo(stream, work, context),
            Some(Err(error)) if common::classify(&error) == AcceptError::Retry => {}
            Some(Err(_)) | None => break,
        }
    }
}

fn spawn_echo(stream: TcpStream, work: Option<Work>, context: &Context) {
    let (connection, context) = (context.connection(), context.clone());
    task::spawn(async move { connection.ended(echo(stream, work, context).await) });
}

async fn echo(mut stream: TcpStream, work: Option<Work>, context: Context) -> io::Result<()> {
    // Echoes in a row after which others get a turn, also if there was no need to wait.
    const TURN: usize = 32;

    // It fails on a connection that is already reset (EINVAL on macOS); reading will say so.
    let _ = stream.set_nodelay(true);
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
            Some(0) => return stream.shutdown(Shutdown::Write),
            Some(bytes) => answer(&mut stream, &buffer[..bytes], work).await?,
        }
        if context.stopping() {
            break;
        }
        if turn % TURN == 0 {
            task::yield_now().await;
        }
    }
    stream.shutdown(Shutdown::Write)?;
    while stream.read(&mut buffer).await? > 0 {
        task::yield_now().await;
    }
    Ok(())
}

async fn answer(stream: &mut TcpStream, message: &[u8], work: Option<Work>) -> io::Result<()> {
    if let Some(work) = work {
        capability::work(work).await;
    }
    stream.write_all(message).await
}
