//! The server proper: accept loop and echo, by operations that own their buffers.

use std::{
    io,
    net::{self, Shutdown},
    pin::pin,
    sync::{Arc, mpsc},
    thread,
    time::Duration,
};

use common::{
    AcceptError, BACKLOG, Context, Drained, Driver, Listener, ServeError, Work, classify,
};
use compio::{
    BufResult,
    buf::{IntoInner as _, IoBuf as _},
    io::{AsyncRead as _, AsyncWriteExt as _},
    net::{TcpListener, TcpStream},
    runtime::spawn,
    time::sleep,
};
use futures_util::future::{Either, pending, select};
use socket2::SockRef;

use crate::{capability, runtime};

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
    listeners: Vec<Listener>,
    context: Context,
) -> Result<Drained, ServeError> {
    let listeners: Vec<_> =
        listeners.into_iter().map(|listener| (Arc::new(listener.socket), listener.work)).collect();
    let share = |(queue, work): &(Arc<net::TcpListener>, Option<Work>)| -> io::Result<Share> {
        Ok(Share { socket: queue.try_clone()?, queue: Arc::clone(queue), work: *work })
    };
    let (started, starts) = mpsc::channel();
    let (stopped, stops) = mpsc::channel();
    for number in 1..=context.workers() {
        let worker = Worker {
            listeners: listeners.iter().map(share).collect::<io::Result<_>>()?,
            context: context.clone(),
        };
        let (started, stopped) = (started.clone(), stopped.clone());
        thread::Builder::new().name(format!("compio-{number}")).spawn(
            move || match runtime::build(worker.context.driver()) {
                Ok(runtime) => runtime.block_on(worker.run(started, stopped)),
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
    /// Serves until the process ends. Dropping the runtime instead would wait for the operations
    /// of connections that the drain deadline has cut.
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
            // It ends the process if it panics.
            let _ = accept_loop.await;
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
    let mut stop = context.stop();
    // There is always one, and it is awaited to its end: dropping it may lose a client.
    let mut accept = pin!(listener.accept());
    loop {
        match select(&mut accept, &mut stop).await {
            Either::Right(_) => break,
            Either::Left((Ok((stream, _)), _)) => spawn_echo(stream, work, &context),
            // The shutdown below ends the accepts of every thread, perhaps of one that has not
            // seen the stop yet.
            Either::Left((Err(_), _)) if context.stopping() => {}
            Either::Left((Err(error), _)) => match context.accept_error(&error) {
                AcceptError::Retry => {}
                AcceptError::BackOff(pause) => {
                    select(&mut stop, pin!(sleep(pause))).await;
                }
                AcceptError::Fatal => context.fail(),
            },
        }
        accept.set(listener.accept());
    }
    serve_queue(&queue, work, &context);
    // Where the driver waits and then makes the call itself, an accept that still waits has no
    // client. The kernel may have one: this completes its accept (EINVAL) if it has not.
    if context.driver() == Driver::IoUring {
        let _ = SockRef::from(&*queue).shutdown(Shutdown::Both);
        if let Ok((stream, _)) = accept.await {
            spawn_echo(stream, work, &context);
        }
    }
}

/// Serves the clients in the accept queue, which closing the listener would reset.
fn serve_queue(queue: &net::TcpListener, work: Option<Work>, context: &Context) {
    for _ in 0..=BACKLOG {
        match queue.accept().and_then(|(stream, _)| TcpStream::from_std(stream)) {
            Ok(stream) => spawn_echo(stream, work, context),
            Err(error) if classify(&error) == AcceptError::Retry => {}
            Err(_) => break,
        }
    }
}

fn spawn_echo(stream: TcpStream, work: Option<Work>, context: &Context) {
    let (connection, context) = (context.connection(), context.clone());
    spawn(async move { connection.ended(echo(stream, work, context).await) }).detach();
}

/// The shortest timer. When one fires, the driver has been asked what completed before it was set.
const LOOK: Duration = Duration::from_millis(1);

async fn echo(stream: TcpStream, work: Option<Work>, context: Context) -> io::Result<()> {
    // It fails on a connection that is already reset; reading will say so.
    let _ = stream.set_nodelay(true);
    let mut buffer = Vec::with_capacity(context.buffer_bytes());
    let mut stop = context.stop();
    loop {
        // The driver owns the buffer until the read completes, then it goes on to the write and
        // comes back.
        let mut read = pin!(fill(&stream, buffer));
        let BufResult(result, filled) = match select(&mut read, &mut stop).await {
            Either::Left((completed, _)) => completed,
            Either::Right(((), read)) => match select(read, pin!(sleep(LOOK))).await {
                Either::Left((completed, _)) => completed,
                Either::Right((_, read)) => return finish(&stream, read).await,
            },
        };
        let bytes = result?;
        if bytes == 0 {
            return shutdown(&stream);
        }
        if let Some(work) = work {
            capability::work(work).await;
        }
        let BufResult(result, written) = (&stream).write_all(filled.slice(..bytes)).await;
        result?;
        buffer = written.into_inner();
        if context.stopping() {
            return finish(&stream, fill(&stream, buffer)).await;
        }
    }
}

/// Reads what there is, as much as the whole buffer takes.
async fn fill(mut stream: &TcpStream, mut buffer: Vec<u8>) -> BufResult<usize, Vec<u8>> {
    buffer.clear();
    stream.read(buffer).await
}

/// Sends FIN. Not by the operation for it: both drivers have that done on another thread, the
/// kernel's or compio's, and it never blocks.
fn shutdown(stream: &TcpStream) -> io::Result<()> {
    SockRef::from(stream).shutdown(Shutdown::Write)
}

/// Sends FIN, then reads to the peer's, beginning with a `read` that may be in flight.
async fn finish(
    stream: &TcpStream,
    read: impl Future<Output = BufResult<usize, Vec<u8>>>,
) -> io::Result<()> {
    shutdown(stream)?;
    let BufResult(mut result, mut buffer) = read.await;
    while result? > 0 {
        BufResult(result, buffer) = fill(stream, buffer).await;
    }
    Ok(())
}
