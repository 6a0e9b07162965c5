//! The server proper: accept loop and echo, on descriptors.

use std::{
    future::pending,
    io, net,
    os::{fd::OwnedFd, unix::net::UnixStream},
    pin::pin,
    rc::Rc,
    sync::{Arc, mpsc},
    task::Poll,
    thread,
};

use common::{
    AcceptError, BACKLOG, Context, Drained, Driver, Listeners, ServeError, Unavailable, block_on,
    build_ring, classify, probe_ring,
};
use futures_util::{
    future::{Either, select},
    poll,
};
use io_uring::IoUring;
use kimojio::{
    AsyncEvent, Runtime,
    configuration::{Configuration, ExitBehavior},
    operations::{nop, spawn_task},
};
use rustix::net::{Shutdown, shutdown, sockopt::set_tcp_nodelay};

use crate::operation;

/// What kimojio's rings take, each of which has a second one for polled storage.
const SUBMISSIONS: u32 = 128;

/// Builds two rings like those of a worker, and closes them. kimojio itself would panic.
pub(crate) fn probe(_: Driver) -> Result<(), Unavailable> {
    probe_ring(rings)
}

fn rings() -> io::Result<[IoUring; 2]> {
    Ok([IoUring::new(SUBMISSIONS)?, IoUring::builder().setup_iopoll().build(SUBMISSIONS)?])
}

/// Takes what the threads will need, twice, and gives it back: where kimojio lacks memory for a
/// ring, or a descriptor, it panics. Twice, because the memory of rings comes back late.
fn rehearse(workers: usize) -> Result<(), ServeError> {
    const PIPES: usize = 4;

    let threads = 0..2 * workers;
    let _rings = build_ring(|| threads.clone().map(|_| rings()).collect::<io::Result<Vec<_>>>())?;
    let pipes = 0..2 * workers * PIPES;
    let _pipes = pipes.map(|_| UnixStream::pair()).collect::<io::Result<Vec<_>>>()?;
    Ok(())
}

/// What a thread needs to serve.
struct Worker {
    listeners: Vec<Share>,
    /// Ends when the server is to stop: a task of kimojio can only be woken on its own thread.
    stop: UnixStream,
    context: Context,
}

/// A thread's share in a listener.
struct Share {
    /// A duplicate of its own, to accept from.
    listener: net::TcpListener,
    /// The original, whose queue is emptied at the end.
    queue: Arc<net::TcpListener>,
}

/// Runs a runtime on each thread; the calling one waits for them.
pub(crate) fn runtime_per_thread(
    listeners: Listeners,
    context: Context,
) -> Result<Drained, ServeError> {
    let queues: Vec<_> =
        listeners.tcp.into_iter().map(|listener| Arc::new(listener.socket)).collect();
    let share = |queue: &Arc<net::TcpListener>| -> io::Result<Share> {
        Ok(Share { listener: queue.try_clone()?, queue: Arc::clone(queue) })
    };
    rehearse(context.workers())?;
    let (started, starts) = mpsc::channel();
    let (stopped, stops) = mpsc::channel();
    let mut serving = Vec::new();
    for number in 1..=context.workers() {
        let (alive, stop) = UnixStream::pair()?;
        serving.push(alive);
        let worker = Worker {
            listeners: queues.iter().map(share).collect::<io::Result<_>>()?,
            stop,
            context: context.clone(),
        };
        let (started, stopped) = (started.clone(), stopped.clone());
        thread::Builder::new().name(format!("kimojio-{number}")).spawn(move || {
            let until = ExitBehavior::WhenMainTaskCompletes;
            let mut runtime = Runtime::new(0, Configuration::new().set_exit_behavior(until));
            // It ends the process if it panics.
            let _ = runtime.block_on(worker.run(started, stopped));
        })?;
    }
    // Each thread has duplicates, and closing those has to close the listeners.
    drop((queues, started, stopped));
    for _ in 1..=context.workers() {
        starts.recv().map_err(io::Error::other)?;
    }
    context.ready();
    block_on(context.stop());
    drop(serving);
    // Ends when no thread can accept any more.
    while stops.recv().is_ok() {}
    Ok(block_on(context.drained()))
}

impl Worker {
    /// Serves until the process ends, also the operations of connections that the drain deadline
    /// has cut.
    async fn run(self, started: mpsc::Sender<()>, stopped: mpsc::Sender<()>) {
        let stop = Rc::new(AsyncEvent::new());
        let mut accept_loops = Vec::new();
        for share in self.listeners {
            let accept_loop = accept_loop(share, Rc::clone(&stop), self.context.clone());
            accept_loops.push(spawn_task(accept_loop));
        }
        let _ = started.send(());
        let _ = operation::read(&self.stop.into(), &mut [0], None).await;
        stop.set();
        for accept_loop in accept_loops {
            let _ = accept_loop.await;
        }
        drop(stopped);
        pending().await
    }
}

async fn accept_loop(Share { listener, queue }: Share, stop: Rc<AsyncEvent>, context: Context) {
    let cancel_after = context.cancel().accept;
    while !stop.is_set() {
        match operation::accept(&listener, pin!(stop.wait()), cancel_after).await {
            None => {}
            Some(Ok(stream)) => spawn_echo(stream, &stop, &context),
            Some(Err(error)) => match context.accept_error(&error) {
                AcceptError::Retry => {}
                AcceptError::BackOff(pause) => operation::pause(pin!(stop.wait()), pause).await,
                AcceptError::Fatal => context.fail(),
            },
        }
    }
    serve_queue(&queue, &stop, &context);
}

/// Serves the clients in the accept queue, which closing the listener would reset.
fn serve_queue(queue: &net::TcpListener, stop: &Rc<AsyncEvent>, context: &Context) {
    for _ in 0..=BACKLOG {
        match queue.accept() {
            Ok((stream, _)) => spawn_echo(stream.into(), stop, context),
            Err(error) if classify(&error) == AcceptError::Retry => {}
            Err(_) => break,
        }
    }
}

fn spawn_echo(stream: OwnedFd, stop: &Rc<AsyncEvent>, context: &Context) {
    let (connection, stop, context) = (context.connection(), Rc::clone(stop), context.clone());
    spawn_task(async move { connection.ended(echo(stream, &stop, &context).await) });
}

async fn echo(stream: OwnedFd, stop: &AsyncEvent, context: &Context) -> io::Result<()> {
    // It fails on a connection that is already reset; reading will say so.
    let _ = set_tcp_nodelay(&stream, true);
    let mut buffer = vec![0; context.buffer_bytes()];
    let cancel_after = context.cancel().read;
    let mut stopped = pin!(stop.wait());
    let mut bytes = loop {
        let bytes = {
            let mut read = pin!(operation::read(&stream, &mut buffer, cancel_after));
            match select(&mut read, &mut stopped).await {
                Either::Left((completed, _)) => completed?,
                Either::Right(_) => {
                    // Completions come in order: once this one has, so has a read that need not
                    // wait.
                    nop().await?;
                    match poll!(&mut read) {
                        Poll::Ready(completed) => completed?,
                        Poll::Pending => {
                            shutdown(&stream, Shutdown::Write)?;
                            break read.await?;
                        }
                    }
                }
            }
        };
        if bytes == 0 {
            return Ok(shutdown(&stream, Shutdown::Write)?);
        }
        operation::write_all(&stream, &buffer[..bytes]).await?;
        if stop.is_set() {
            shutdown(&stream, Shutdown::Write)?;
            break operation::read(&stream, &mut buffer, None).await?;
        }
    };
    // Reads to the peer's FIN.
    while bytes > 0 {
        bytes = operation::read(&stream, &mut buffer, None).await?;
    }
    Ok(())
}
