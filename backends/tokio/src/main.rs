//! Echo server on Tokio: a task for each connection, woken when its socket is ready.

mod capability;

use std::{
    io::{self, Read as _},
    net,
};

use common::{
    AcceptError, BACKLOG, Backend, Capability, Context, Drained, Driver, Flavor, Listener,
    ServeError, Work, Workers, classify,
};
use socket2::SockRef;
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::{TcpListener, TcpStream},
    runtime::{Builder, Runtime},
    select, task, time,
};

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
    ],
    capabilities: &Capability::ALL,
    probe: |_| Ok(()),
};

fn main() {
    common::run(&BACKEND)
}

fn multi_thread(listeners: Vec<Listener>, context: Context) -> Result<Drained, ServeError> {
    let mut runtime = Builder::new_multi_thread();
    serve(runtime.worker_threads(context.workers()).enable_all().build()?, listeners, context)
}

fn current_thread(listeners: Vec<Listener>, context: Context) -> Result<Drained, ServeError> {
    serve(Builder::new_current_thread().enable_all().build()?, listeners, context)
}

fn serve(
    runtime: Runtime,
    listeners: Vec<Listener>,
    context: Context,
) -> Result<Drained, ServeError> {
    let drained = runtime.block_on(async {
        let mut accept_loops = Vec::new();
        for Listener { socket, work } in listeners {
            let listener = TcpListener::from_std(socket)?;
            // `block_on` stays on the main thread, which is not a worker: accepting here would
            // hand every connection over to another thread.
            accept_loops.push(task::spawn(accept_loop(listener, work, context.clone())));
        }
        context.ready();
        for accept_loop in accept_loops {
            accept_loop.await.map_err(io::Error::from)?;
        }
        Ok(context.drained().await)
    });
    // Not dropped, which would wait for the tasks of connections that the deadline has cut.
    runtime.shutdown_background();
    drained
}

async fn accept_loop(listener: TcpListener, work: Option<Work>, context: Context) {
    let cancel_after = context.cancel().accept;
    let mut stop = context.stop();
    loop {
        let accepted = select! {
            accepted = capability::accept(&listener, cancel_after) => accepted,
            () = &mut stop => break,
        };
        match accepted {
            Ok((stream, _)) => spawn_echo(stream, work, &context),
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
    if let Ok(listener) = listener.into_std() {
        serve_queue(&listener, work, &context);
    }
}

/// Serves the clients in the accept queue, which closing the listener would reset.
///
/// It asks the system itself: Tokio would report only clients whose event it has seen.
fn serve_queue(listener: &net::TcpListener, work: Option<Work>, context: &Context) {
    for _ in 0..=BACKLOG {
        match listener.accept() {
            Ok((stream, _)) => {
                let stream =
                    stream.set_nonblocking(true).and_then(|()| TcpStream::from_std(stream));
                if let Ok(stream) = stream {
                    spawn_echo(stream, work, context);
                }
            }
            Err(error) if classify(&error) == AcceptError::Retry => {}
            Err(_) => break,
        }
    }
}

fn spawn_echo(stream: TcpStream, work: Option<Work>, context: &Context) {
    let (connection, context) = (context.connection(), context.clone());
    task::spawn(async move { connection.ended(echo(stream, work, context).await) });
}

async fn echo(mut stream: TcpStream, work: Option<Work>, context: Context) -> io::Result<()> {
    // It fails on a connection that is already reset (EINVAL on macOS); reading will say so.
    let _ = stream.set_nodelay(true);
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
    // What has arrived is still echoed. Tokio would wait for an event even if the bytes are there,
    // so this asks the system itself.
    match (&*SockRef::from(&stream)).read(&mut buffer) {
        Ok(n) => answer(&mut stream, &buffer[..n], work).await?,
        Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
        Err(error) => return Err(error),
    }
    stream.shutdown().await?;
    while stream.read(&mut buffer).await? > 0 {}
    Ok(())
}

async fn answer(stream: &mut TcpStream, message: &[u8], work: Option<Work>) -> io::Result<()> {
    if let Some(work) = work {
        capability::work(work).await?;
    }
    stream.write_all(message).await
}
