//! The server proper: accept loop and echo, by operations that own their buffers.

use std::{
    io, net,
    pin::pin,
    sync::{Arc, mpsc},
    thread,
    time::Duration,
};

use common::{AcceptError, BACKLOG, Context, Drained, Listeners, ServeError, Work, classify};
use futures_util::future::{Either, pending, select};
use monoio::{
    blocking::DefaultThreadPool,
    io::{AsyncWriteRent as _, AsyncWriteRentExt as _, Splitable as _},
    net::{TcpListener, TcpStream},
    spawn,
    time::sleep,
};

use crate::{capability, runtime};

/// Enough for messages that cost work to wait for each other no longer than the cores make them.
const POOL_THREADS: usize = 16;

/// What a thread needs to serve.
struct Worker {
    listeners: Vec<Share>,
    context: Context,
}

/// A thread's share in a listener.
struct Share {
    /// A duplicate of its own, to accept from.
    socket: net::TcpListener,
    /// The original, whose queue is emptied at the end.
    queue: Arc<net::TcpListener>,
    work: Option<Work>,
}

/// Runs a runtime on each thread; the calling one waits for them.
pub(crate) fn runtime_per_thread(
    listeners: Listeners,
    context: Context,
) -> Result<Drained, ServeError> {
    let listeners: Vec<_> = listeners
        .tcp
        .into_iter()
        .map(|listener| (Arc::new(listener.socket), listener.work))
        .collect();
    let share = |(queue, work): &(Arc<net::TcpListener>, Option<Work>)| -> io::Result<Share> {
        Ok(Share { socket: queue.try_clone()?, queue: Arc::clone(queue), work: *work })
    };
    // It starts its threads at once, so there is one only where messages cost work.
    let pool = listeners
        .iter()
        .any(|(_, work)| work.is_some())
        .then(|| DefaultThreadPool::new(POOL_THREADS));
    let (started, starts) = mpsc::channel();
    let (stopped, stops) = mpsc::channel();
    for number in 1..=context.workers() {
        let worker = Worker {
            listeners: listeners.iter().map(share).collect::<io::Result<_>>()?,
            context: context.clone(),
        };
        let (started, stopped, pool) = (started.clone(), stopped.clone(), pool.clone());
        thread::Builder::new().name(format!("monoio-{number}")).spawn(
            move || match runtime::build(worker.context.driver(), pool.as_ref()) {
                Ok(mut runtime) => runtime.block_on(worker.run(started, stopped)),
                Err(error) => drop(started.send(Err(error))),
            },
        )?;
    }
    // Each thread has duplicates, and closing those has to close the listeners.
    drop((listeners, started, stopped));
    for _ in 1..=context.workers() {
        starts.recv().map_err(io::Error::other)??;
    }
    context.ready();
    // Ends when no thread can accept any more.
    while stops.recv().is_ok() {}
    Ok(common::block_on(context.drained()))
}

impl Worker {
    /// Serves until the process ends, also the operations of connections that the drain deadline
    /// has cut.
    async fn run(self, started: mpsc::Sender<Result<(), ServeError>>, stopped: mpsc::Sender<()>) {
        let mut accept_loops = Vec::new();
        for Share { socket, queue, work } in self.listeners {
            match TcpListener::from_std(socket) {
                Ok(listener) => {
                    let accept_loop = accept_loop(listener, queue, work, self.context.clone());
                    accept_loops.push(spawn(accept_loop));
                }
                Err(error) => return drop(started.send(Err(error.into()))),
            }
        }
        let _ = started.send(Ok(()));
        for accept_loop in accept_loops {
            accept_loop.await;
        }
        drop(stopped);
        pending().await
    }
}

async fn accept_loop(
    listener: TcpListener,
    queue: Arc<net::TcpListener>,
    work: Option<Work>,
    context: Context,
) {
    let cancel_after = context.cancel().accept;
    let mut stop = context.stop();
    while !context.stopping() {
        match capability::accept(&listener, &mut stop, cancel_after).await {
            None => {}
            Some(Ok(stream)) => spawn_echo(stream, work, &context),
            Some(Err(error)) => match context.accept_error(&error) {
                AcceptError::Retry => {}
                AcceptError::BackOff(pause) => {
                    select(&mut stop, pin!(sleep(pause))).await;
                }
                AcceptError::Fatal => context.fail(),
            },
        }
    }
    serve_queue(&queue, work, &context);
}

/// Serves the clients in the accept queue, which closing the listener would reset.
fn serve_queue(queue: &net::TcpListener, work: Option<Work>, context: &Context) {
    for _ in 0..=BACKLOG {
        match queue.accept().and_then(|(stream, _)| from_std(stream)) {
            Ok(stream) => spawn_echo(stream, work, context),
            Err(error) if classify(&error) == AcceptError::Retry => {}
            Err(_) => break,
        }
    }
}

/// The driver for epoll and kqueue leaves it to the program that its sockets do not block.
fn from_std(stream: net::TcpStream) -> io::Result<TcpStream> {
    stream.set_nonblocking(true)?;
    TcpStream::from_std(stream)
}

fn spawn_echo(stream: TcpStream, work: Option<Work>, context: &Context) {
    let (connection, context) = (context.connection(), context.clone());
    spawn(async move { connection.ended(echo(stream, work, context).await) });
}

/// The shortest timer. When one fires, the driver has been asked what completed before it was set.
const LOOK: Duration = Duration::from_millis(1);

async fn echo(stream: TcpStream, work: Option<Work>, context: Context) -> io::Result<()> {
    // It fails on a connection that is already reset; reading will say so.
    let _ = stream.set_nodelay(true);
    // Dropping the half that writes sends FIN.
    let (mut reader, mut writer) = stream.into_split();
    let mut buffer = Vec::with_capacity(context.buffer_bytes());
    let cancel_after = context.cancel().read;
    let mut stop = context.stop();
    let (mut result, mut buffer) = loop {
        let (result, filled) = {
            // The driver owns the buffer until the read completes, then it goes on to the write
            // and comes back.
            let mut read = pin!(capability::read(&mut reader, buffer, cancel_after));
            match select(&mut read, &mut stop).await {
                Either::Left((completed, _)) => completed,
                Either::Right(((), read)) => match select(read, pin!(sleep(LOOK))).await {
                    Either::Left((completed, _)) => completed,
                    Either::Right((_, read)) => {
                        writer.shutdown().await?;
                        break read.await;
                    }
                },
            }
        };
        if result? == 0 {
            return Ok(());
        }
        if let Some(work) = work {
            capability::work(work).await;
        }
        let (result, written) = writer.write_all(filled).await;
        result?;
        buffer = written;
        if context.stopping() {
            writer.shutdown().await?;
            break capability::read(&mut reader, buffer, None).await;
        }
    };
    // Reads to the peer's FIN.
    while result? > 0 {
        (result, buffer) = capability::read(&mut reader, buffer, None).await;
    }
    Ok(())
}
