//! The server proper: accept loop and echo, by operations that own their buffers.

use std::{
    future::ready,
    io, mem,
    net::{self, Shutdown},
    pin::pin,
    sync::{Arc, mpsc},
    thread,
};

use common::{
    AcceptError, BACKLOG, Cancel, Context, Drained, Listeners, ServeError, Work, classify,
};
use socket2::SockRef;
use tokio::{select, sync::Barrier, time};
use tokio_uring::{
    BufResult, Runtime,
    buf::BoundedBuf as _,
    net::{TcpListener, TcpStream},
};

use crate::{capability, ring};

/// What a thread needs to serve.
struct Worker {
    listeners: Vec<Share>,
    /// Where the threads meet after their accept loops.
    accepted_all: Arc<Barrier>,
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

/// Runs a ring on each thread; the calling one is the last of them.
pub(crate) fn ring_per_thread(
    listeners: Listeners,
    context: Context,
) -> Result<Drained, ServeError> {
    let accepted_all = Arc::new(Barrier::new(context.workers()));
    let listeners: Vec<_> = listeners
        .tcp
        .into_iter()
        .map(|listener| (Arc::new(listener.socket), listener.work))
        .collect();
    let share = |(queue, work): &(Arc<net::TcpListener>, Option<Work>)| -> io::Result<Share> {
        Ok(Share { socket: queue.try_clone()?, queue: Arc::clone(queue), work: *work })
    };
    let worker = || -> io::Result<Worker> {
        Ok(Worker {
            listeners: listeners.iter().map(share).collect::<io::Result<_>>()?,
            accepted_all: Arc::clone(&accepted_all),
            context: context.clone(),
        })
    };
    let (started, starts) = mpsc::channel();
    for number in 1..context.workers() {
        let (worker, started) = (worker()?, started.clone());
        thread::Builder::new().name(format!("ring-{number}")).spawn(move || {
            let (runtime, start) = match ring::runtime() {
                Ok(runtime) => (Some(runtime), Ok(())),
                Err(error) => (None, Err(error)),
            };
            let _ = started.send(start);
            runtime.map(|runtime| worker.run(runtime))
        })?;
    }
    let (worker, runtime) = (worker()?, ring::runtime()?);
    if context.cancel() != Cancel::default()
        && let Some(share) = worker.listeners.first()
    {
        runtime.block_on(capability::probe(&share.socket))?;
    }
    for _ in 1..context.workers() {
        starts.recv().map_err(io::Error::other)??;
    }
    context.ready();
    Ok(worker.run(runtime))
}

impl Worker {
    fn run(self, runtime: Runtime) -> Drained {
        let drained = runtime.block_on(async {
            let mut accept_loops = Vec::new();
            for share in self.listeners {
                accept_loops.push(tokio_uring::spawn(accept_loop(share, self.context.clone())));
            }
            for accept_loop in accept_loops {
                // It ends the process if it panics.
                let _ = accept_loop.await;
            }
            self.accepted_all.wait().await;
            self.context.drained().await
        });
        // Dropping it would wait for the operations of connections that the deadline has cut.
        mem::forget(runtime);
        drained
    }
}

async fn accept_loop(Share { socket, queue, work }: Share, context: Context) {
    let listener = TcpListener::from_std(socket);
    let cancel_after = context.cancel().accept;
    let mut stop = context.stop();
    // An accept that is dropped is not cancelled: it takes one more client and leaks it
    // (tokio-uring#129). So there is always one, and it is awaited to its end.
    let mut accept = pin!(capability::accept(&listener, cancel_after));
    loop {
        let accepted = select! {
            biased;
            () = &mut stop => break,
            accepted = &mut accept => accepted,
        };
        match accepted {
            Ok((stream, _)) => spawn_echo(stream, work, &context),
            // The shutdown below ends the accepts of every thread, perhaps of one that has not
            // seen the stop yet.
            Err(_) if context.stopping() => {}
            Err(error) => match context.accept_error(&error) {
                AcceptError::Retry => {}
                AcceptError::BackOff(pause) => select! {
                    () = time::sleep(pause) => {}
                    () = &mut stop => {}
                },
                AcceptError::Fatal => context.fail(),
            },
        }
        accept.set(capability::accept(&listener, cancel_after));
    }
    serve_queue(&queue, work, &context);
    // A listener whose accept is in flight stays open when it is dropped. This completes the
    // accept (EINVAL), unless it has just taken a client. It fails in all threads but the first.
    let _ = SockRef::from(&*queue).shutdown(Shutdown::Both);
    if let Ok((stream, _)) = accept.await {
        spawn_echo(stream, work, &context);
    }
}

/// Serves the clients in the accept queue, which shutting down the listener would reset.
fn serve_queue(queue: &net::TcpListener, work: Option<Work>, context: &Context) {
    for _ in 0..=BACKLOG {
        match queue.accept() {
            Ok((stream, _)) => spawn_echo(TcpStream::from_std(stream), work, context),
            Err(error) if classify(&error) == AcceptError::Retry => {}
            Err(_) => break,
        }
    }
}

fn spawn_echo(stream: TcpStream, work: Option<Work>, context: &Context) {
    let (connection, context) = (context.connection(), context.clone());
    tokio_uring::spawn(async move { connection.ended(echo(stream, work, context).await) });
}

async fn echo(stream: TcpStream, work: Option<Work>, context: Context) -> io::Result<()> {
    // It fails on a connection that is already reset; reading will say so.
    let _ = stream.set_nodelay(true);
    let mut buffer = Vec::with_capacity(context.buffer_bytes());
    let cancel_after = context.cancel().read;
    let mut stop = context.stop();
    loop {
        // A read that is dropped is not cancelled either, and takes bytes with it. The kernel
        // owns the buffer until the read completes, then it goes on to the write and comes back.
        let mut read = pin!(capability::read(&stream, buffer, cancel_after));
        let (result, filled) = select! {
            biased;
            completed = &mut read => completed,
            () = &mut stop => {
                // Completions come in order: once this one has, so has a read that need not wait.
                tokio_uring::no_op().await?;
                select! {
                    biased;
                    completed = &mut read => completed,
                    () = ready(()) => return finish(&stream, read).await,
                }
            }
        };
        let bytes = result?;
        if bytes == 0 {
            return stream.shutdown(Shutdown::Write);
        }
        if let Some(work) = work {
            capability::work(work).await?;
        }
        let (result, written) = stream.write_all(filled.slice(..bytes)).await;
        result?;
        buffer = written.into_inner();
        if context.stopping() {
            return finish(&stream, stream.read(buffer)).await;
        }
    }
}

/// Sends FIN, then reads to the peer's, beginning with a `read` that may be in flight.
async fn finish(
    stream: &TcpStream,
    read: impl Future<Output = BufResult<usize, Vec<u8>>>,
) -> io::Result<()> {
    stream.shutdown(Shutdown::Write)?;
    let (mut result, mut buffer) = read.await;
    while result? > 0 {
        (result, buffer) = stream.read(buffer).await;
    }
    Ok(())
}
