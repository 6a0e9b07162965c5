//! The server proper: accept loop and echo, by operations that own their buffers.

use std::{
    future::ready,
    io, mem,
    net::{self, Shutdown},
    pin::pin,
    sync::{Arc, mpsc},
    thread,
};

use common::{AcceptError, BACKLOG, Context, Drained, ServeError, classify};
use socket2::SockRef;
use tokio::{select, sync::Barrier, time};
use tokio_uring::{
    BufResult, Runtime,
    buf::BoundedBuf as _,
    net::{TcpListener, TcpStream},
};

use crate::ring;

/// What a thread needs to serve.
struct Worker {
    /// For each listener a duplicate of its own, and the original, whose queue is emptied at the
    /// end.
    listeners: Vec<(net::TcpListener, Arc<net::TcpListener>)>,
    /// Where the threads meet after their accept loops.
    accepted_all: Arc<Barrier>,
    context: Context,
}

/// Runs a ring on each thread; the calling one is the last of them.
pub(crate) fn ring_per_thread(
    listeners: Vec<net::TcpListener>,
    context: Context,
) -> Result<Drained, ServeError> {
    let accepted_all = Arc::new(Barrier::new(context.workers()));
    let listeners: Vec<_> = listeners.into_iter().map(Arc::new).collect();
    let duplicate = |original: &Arc<net::TcpListener>| -> io::Result<_> {
        Ok((original.try_clone()?, Arc::clone(original)))
    };
    let worker = || -> io::Result<Worker> {
        Ok(Worker {
            listeners: listeners.iter().map(duplicate).collect::<io::Result<_>>()?,
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
            for (listener, queue) in self.listeners {
                let accept_loop = accept_loop(listener, queue, self.context.clone());
                accept_loops.push(tokio_uring::spawn(accept_loop));
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

async fn accept_loop(listener: net::TcpListener, queue: Arc<net::TcpListener>, context: Context) {
    let listener = TcpListener::from_std(listener);
    let mut stop = context.stop();
    // An accept that is dropped is not cancelled: it takes one more client and leaks it
    // (tokio-uring#129). So there is always one, and it is awaited to its end.
    let mut accept = pin!(listener.accept());
    loop {
        let accepted = select! {
            biased;
            () = &mut stop => break,
            accepted = &mut accept => accepted,
        };
        match accepted {
            Ok((stream, _)) => spawn_echo(stream, &context),
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
        accept.set(listener.accept());
    }
    serve_queue(&queue, &context);
    // A listener whose accept is in flight stays open when it is dropped. This completes the
    // accept (EINVAL), unless it has just taken a client. It fails in all threads but the first.
    let _ = SockRef::from(&*queue).shutdown(Shutdown::Both);
    if let Ok((stream, _)) = accept.await {
        spawn_echo(stream, &context);
    }
}

/// Serves the clients in the accept queue, which shutting down the listener would reset.
fn serve_queue(queue: &net::TcpListener, context: &Context) {
    for _ in 0..=BACKLOG {
        match queue.accept() {
            Ok((stream, _)) => spawn_echo(TcpStream::from_std(stream), context),
            Err(error) if classify(&error) == AcceptError::Retry => {}
            Err(_) => break,
        }
    }
}

fn spawn_echo(stream: TcpStream, context: &Context) {
    let (connection, context) = (context.connection(), context.clone());
    tokio_uring::spawn(async move { connection.ended(echo(stream, context).await) });
}

async fn echo(stream: TcpStream, context: Context) -> io::Result<()> {
    // It fails on a connection that is already reset; reading will say so.
    let _ = stream.set_nodelay(true);
    let mut buffer = Vec::with_capacity(context.buffer_bytes());
    let mut stop = context.stop();
    loop {
        // A read that is dropped is not cancelled either, and takes bytes with it. The kernel
        // owns the buffer until the read completes, then it goes on to the write and comes back.
        let mut read = pin!(stream.read(buffer));
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
