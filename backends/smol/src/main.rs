//! Echo server on smol: an executor that several threads run, and sockets it wakes when ready.

mod capability;

use std::{io, thread};

use common::{
    AcceptError, Backend, Capability, Context, Drained, Driver, Flavor, Listener, Listeners,
    ServeError, Transport, Work, Workers,
};
use smol::{
    Executor, Timer, future,
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::{TcpListener, TcpStream},
};

static BACKEND: Backend = Backend {
    package: env!("CARGO_PKG_NAME"),
    runtime: "smol",
    drivers: &[Driver::READINESS],
    flavors: &[Flavor {
        name: "multi-thread",
        about: "Threads run one executor and take turns to wait for the sockets",
        workers: Workers::PerCore,
        serve: multi_thread,
    }],
    transports: &[Transport::Tcp],
    capabilities: &Capability::ALL,
    probe: |_| Ok(()),
};

/// Not smol's own global executor, whose number of threads is an environment variable.
static EXECUTOR: Executor<'_> = Executor::new();

fn main() {
    common::run(&BACKEND)
}

fn multi_thread(listeners: Listeners, context: Context) -> Result<Drained, ServeError> {
    // Where descriptors have run out, smol's reactor would panic (async-io, src/reactor.rs).
    drop(polling::Poller::new()?);
    // The calling thread is a worker too.
    for number in 1..context.workers() {
        let run = || smol::block_on(EXECUTOR.run(future::pending::<()>()));
        thread::Builder::new().name(format!("smol-{number}")).spawn(run)?;
    }
    smol::block_on(EXECUTOR.run(serve(listeners, context)))
}

async fn serve(listeners: Listeners, context: Context) -> Result<Drained, ServeError> {
    let mut accept_loops = Vec::new();
    for Listener { socket, work } in listeners.tcp {
        let listener = TcpListener::try_from(socket)?;
        accept_loops.push(EXECUTOR.spawn(accept_loop(listener, work, context.clone())));
    }
    context.ready();
    for accept_loop in accept_loops {
        accept_loop.await;
    }
    Ok(context.drained().await)
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
                    let paused = async {
                        Timer::after(pause).await;
                    };
                    future::or(&mut stop, paused).await;
                }
                AcceptError::Fatal => context.fail(),
            },
        }
        // smol has no budget for a task that finds something to do every time.
        future::yield_now().await;
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
    EXECUTOR.spawn(async move { connection.ended(echo(stream, work, context).await) }).detach();
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

async fn answer(stream: &mut TcpStream, message: &[u8], work: Option<Work>) -> io::Result<()> {
    if let Some(work) = work {
        capability::work(work).await;
    }
    stream.write_all(message).await
}
