//! The server proper: accept loop and echo, on descriptors.

use std::{
    future::pending,
    io,
    mem::take,
    os::{fd::OwnedFd, unix::net::UnixStream},
    pin::pin,
    rc::Rc,
    sync::{Arc, mpsc},
    task::Poll,
    thread,
};

use common::{
    AcceptError, BACKLOG, Context, Drained, Driver, Listener, Listeners, ServeError, Transport,
    Unavailable, block_on, build_ring, classify, probe_ring,
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
use rustix::net::{Shutdown, SocketFlags, accept_with, shutdown, sockopt::set_tcp_nodelay};

use crate::{datagrams, operation};

/// What kimojio's rings take, each of which has a second one for polled storage.
const SUBMISSIONS: u32 = 128;
/// The first Linux that kimojio supports.
const SINCE: &str = "5.15";

/// Builds two rings like those of a worker, and closes them. kimojio itself would panic.
pub(crate) fn probe(_: Driver) -> Result<(), Unavailable> {
    probe_ring(SINCE, rings)
}

fn rings() -> io::Result<[IoUring; 2]> {
    Ok([IoUring::new(SUBMISSIONS)?, IoUring::builder().setup_iopoll().build(SUBMISSIONS)?])
}

/// Takes what the threads will need, twice, and gives it back: where kimojio lacks memory for a
/// ring, or a descriptor, it panics. Twice, because the memory of rings comes back late.
fn rehearse(workers: usize) -> Result<(), ServeError> {
    const PIPES: usize = 4;

    let threads = 0..2 * workers;
    let _rings =
        build_ring(SINCE, || threads.clone().map(|_| rings()).collect::<io::Result<Vec<_>>>())?;
    let pipes = 0..2 * workers * PIPES;
    let _pipes = pipes.map(|_| UnixStream::pair()).collect::<io::Result<Vec<_>>>()?;
    Ok(())
}

/// What a thread needs to serve.
struct Worker {
    listeners: Vec<Share>,
    datagrams: Vec<OwnedFd>,
    /// Ends when the server is to stop: a task of kimojio can only be woken on its own thread.
    stop: UnixStream,
    context: Context,
}

/// A thread's share in a listener.
struct Share {
    /// A duplicate of its own, to accept from.
    listener: OwnedFd,
    /// The original, whose queue is emptied at the end.
    queue: Arc<OwnedFd>,
    transport: Transport,
}

/// Runs a runtime on each thread; the calling one waits for them.
pub(crate) fn runtime_per_thread(
    listeners: Listeners,
    context: Context,
) -> Result<Drained, ServeError> {
    let Listeners { tcp, udp, unix, unixgram } = listeners;
    let tcp = tcp.into_iter().map(|Listener { socket, .. }| (Transport::Tcp, socket.into()));
    let unix = unix.into_iter().map(|socket| (Transport::Unix, socket.into()));
    let queues = tcp.chain(unix).map(|(transport, socket)| (transport, Arc::new(socket)));
    let queues: Vec<_> = queues.collect();
    let share = |(transport, queue): &(Transport, Arc<OwnedFd>)| -> io::Result<Share> {
        let listener = queue.try_clone()?;
        Ok(Share { listener, queue: Arc::clone(queue), transport: *transport })
    };
    let udp = udp.into_iter().map(OwnedFd::from);
    let mut datagrams: Vec<_> = udp.chain(unixgram.into_iter().map(OwnedFd::from)).collect();
    rehearse(context.workers())?;
    let (started, starts) = mpsc::channel();
    let (stopped, stops) = mpsc::channel();
    let mut serving = Vec::new();
    for number in 1..=context.workers() {
        let (alive, stop) = UnixStream::pair()?;
        serving.push(alive);
        let worker = Worker {
            listeners: queues.iter().map(share).collect::<io::Result<_>>()?,
            // The first thread has them alone: two would wake for each datagram, and overtake each
            // other.
            datagrams: take(&mut datagrams),
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
        let mut loops = Vec::new();
        for share in self.listeners {
            let accept_loop = accept_loop(share, Rc::clone(&stop), self.context.clone());
            loops.push(spawn_task(accept_loop));
        }
        for socket in self.datagrams {
            let echo = datagrams::echo(socket, Rc::clone(&stop), self.context.clone());
            loops.push(spawn_task(echo));
        }
        let _ = started.send(());
        let _ = operation::read(&self.stop.into(), &mut [0], None).await;
        stop.set();
        for ends in loops {
            let _ = ends.await;
        }
        drop(stopped);
        pending().await
    }
}

async fn accept_loop(share: Share, stop: Rc<AsyncEvent>, context: Context) {
    let Share { listener, queue, transport } = share;
    let cancel_after = context.cancel().accept;
    while !stop.is_set() {
        match operation::accept(&listener, pin!(stop.wait()), cancel_after).await {
            None => {}
            Some(Ok(stream)) => spawn_echo(stream, transport, &stop, &context),
            Some(Err(error)) => match context.accept_error(&error) {
                AcceptError::Retry => {}
                AcceptError::BackOff(pause) => operation::pause(pin!(stop.wait()), pause).await,
                AcceptError::Fatal => context.fail(),
            },
        }
    }
    serve_queue(&queue, transport, &stop, &context);
}

/// Serves the clients in the accept queue, which closing the listener would reset.
fn serve_queue(queue: &OwnedFd, transport: Transport, stop: &Rc<AsyncEvent>, context: &Context) {
    for _ in 0..=BACKLOG {
        match accept_with(queue, SocketFlags::CLOEXEC).map_err(io::Error::from) {
            Ok(stream) => spawn_echo(stream, transport, stop, context),
            Err(error) if classify(&error) == AcceptError::Retry => {}
            Err(_) => break,
        }
    }
}

fn spawn_echo(stream: OwnedFd, transport: Transport, stop: &Rc<AsyncEvent>, context: &Context) {
    if transport == Transport::Tcp {
        // It fails on a connection that is already reset; reading will say so.
        let _ = set_tcp_nodelay(&stream, true);
    }
    let (connection, stop, context) = (context.connection(), Rc::clone(stop), context.clone());
    spawn_task(async move { connection.ended(echo(stream, &stop, &context).await) });
}

async fn echo(stream: OwnedFd, stop: &AsyncEvent, context: &Context) -> io::Result<()> {
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
