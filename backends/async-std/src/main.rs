//! Echo server on async-std: the standard library's API, asynchronous, on a pool of threads.

use std::{
    env, io,
    net::{self, Shutdown},
};

use async_std::{
    io::{prelude::WriteExt as _, ReadExt as _},
    net::{TcpListener, TcpStream},
    task,
};
use common::{AcceptError, Backend, Context, Drained, Driver, Flavor, Model, ServeError, Workers};
use futures_lite::future;

static BACKEND: Backend = Backend {
    package: env!("CARGO_PKG_NAME"),
    runtime: "async-std",
    model: Model::Readiness,
    driver: Driver::READINESS,
    flavors: &[Flavor {
        name: "multi-thread",
        about: "A pool of threads takes turns to run tasks and to wait for the sockets",
        workers: Workers::PerCore,
        serve: multi_thread,
    }],
    probe: || Ok(()),
};

fn main() {
    common::run(&BACKEND)
}

fn multi_thread(listeners: Vec<net::TcpListener>, context: Context) -> Result<Drained, ServeError> {
    // Where descriptors have run out, the reactor would panic (async-io, src/reactor.rs).
    drop(polling::Poller::new()?);
    // Read when the first task is spawned. The thread that waits for signals reads no variables.
    env::set_var("ASYNC_STD_THREAD_COUNT", context.workers().to_string());
    // `task::block_on` would make the calling thread one more that waits for the sockets.
    Ok(future::block_on(task::spawn(serve(listeners, context))))
}

async fn serve(listeners: Vec<net::TcpListener>, context: Context) -> Drained {
    let accept_loop =
        |listener| task::spawn(accept_loop(TcpListener::from(listener), context.clone()));
    let accept_loops: Vec<_> = listeners.into_iter().map(accept_loop).collect();
    context.ready();
    for accept_loop in accept_loops {
        accept_loop.await;
    }
    context.drained().await
}

async fn accept_loop(listener: TcpListener, context: Context) {
    let mut stop = context.stop();
    loop {
        let stopped = async {
            (&mut stop).await;
            None
        };
        let accepted = async { Some(listener.accept().await) };
        match future::or(stopped, accepted).await {
            None => break,
            Some(Ok((stream, _))) => spawn_echo(stream, &context),
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
    serve_queue(&listener, &context).await;
}

/// Serves the clients in the accept queue, which closing the listener would reset.
async fn serve_queue(listener: &TcpListener, context: &Context) {
    for _ in 0..=common::BACKLOG {
        // `accept` asks the system when it is polled: it is pending only if the queue is empty.
        match future::poll_once(listener.accept()).await {
            Some(Ok((stream, _))) => spawn_echo(stream, context),
            Some(Err(error)) if common::classify(&error) == AcceptError::Retry => {}
            Some(Err(_)) | None => break,
        }
    }
}

fn spawn_echo(stream: TcpStream, context: &Context) {
    let (connection, context) = (context.connection(), context.clone());
    task::spawn(async move { connection.ended(echo(stream, context).await) });
}

async fn echo(mut stream: TcpStream, context: Context) -> io::Result<()> {
    // Echoes in a row after which others get a turn, also if there was no need to wait.
    const TURN: usize = 32;

    // It fails on a connection that is already reset (EINVAL on macOS); reading will say so.
    let _ = stream.set_nodelay(true);
    let mut buffer = vec![0; context.buffer_bytes()];
    let mut stop = context.stop();
    for turn in 1_usize.. {
        let read = async { stream.read(&mut buffer).await.map(Some) };
        let stopped = async {
            (&mut stop).await;
            Ok(None)
        };
        // Reading comes first, so that what has arrived is echoed even when the stop has too.
        match future::or(read, stopped).await? {
            None => break,
            Some(0) => return stream.shutdown(Shutdown::Write),
            Some(bytes) => stream.write_all(&buffer[..bytes]).await?,
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
