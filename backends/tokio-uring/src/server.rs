//! The server proper: accept loop and echo, by operations that own their buffers.

use std::{
    future::ready,
    io, mem,
    net::{Shutdown, UdpSocket},
    ops::ControlFlow,
    pin::pin,
    sync::{Arc, mpsc},
    thread,
    time::Duration,
};

use common::{
    AcceptError, BACKLOG, Cancel, Context, Drained, Listeners, ServeError, Wait, Work, classify,
};
use socket2::SockRef;
use tokio::{select, sync::Barrier, task::JoinHandle, time};
use tokio_uring::{
    BufResult, Runtime,
    buf::{BoundedBuf as _, Slice},
    net::{TcpStream, UnixStream},
};

use crate::{
    capability, datagrams,
    ring::{self, Setup},
    transport::Stream,
};

/// What a thread is to serve.
struct Worker {
    tcp: Vec<Share<TcpStream>>,
    unix: Vec<Share<UnixStream>>,
    udp: Vec<UdpSocket>,
    /// Where the threads meet after their accept loops.
    accepted_all: Arc<Barrier>,
    context: Context,
}

/// A listener that each thread accepts from, by a duplicate, and what its messages cost.
type Share<S> = (Arc<<S as Stream>::Queue>, Option<Work>);

/// A thread that serves.
struct Serving {
    runtime: Runtime,
    loops: Vec<JoinHandle<()>>,
    accepted_all: Arc<Barrier>,
    context: Context,
}

pub(crate) fn ring_per_thread(
    listeners: Listeners,
    context: Context,
) -> Result<Drained, ServeError> {
    serve(listeners, context, Setup::Plain)
}

pub(crate) fn tuned(listeners: Listeners, context: Context) -> Result<Drained, ServeError> {
    ring::probe_setup(Setup::Tuned)?;
    serve(listeners, context, Setup::Tuned)
}

/// Runs a ring on each thread; the calling one is the last of them.
fn serve(listeners: Listeners, context: Context, setup: Setup) -> Result<Drained, ServeError> {
    capability::fill_pool(&listeners)?;
    let tcp = listeners.tcp.into_iter().map(|listener| (Arc::new(listener.socket), listener.work));
    let unix = listeners.unix.into_iter().map(|listener| (Arc::new(listener), None));
    let last = Worker {
        tcp: tcp.collect(),
        unix: unix.collect(),
        // One thread alone has them, or a client could be answered out of order.
        udp: listeners.udp,
        accepted_all: Arc::new(Barrier::new(context.workers())),
        context: context.clone(),
    };
    let (started, starts) = mpsc::channel();
    for number in 1..context.workers() {
        let (worker, started) = (last.another(), started.clone());
        thread::Builder::new().name(format!("ring-{number}")).spawn(move || {
            match worker.start(setup) {
                Ok(serving) => {
                    let _ = started.send(Ok(()));
                    serving.run();
                }
                Err(error) => {
                    let _ = started.send(Err(error));
                }
            }
        })?;
    }
    let serving = last.start(setup)?;
    for _ in 1..context.workers() {
        starts.recv().map_err(io::Error::other)??;
    }
    context.ready();
    Ok(serving.run())
}

impl Worker {
    /// The same for one more thread.
    fn another(&self) -> Worker {
        Worker {
            tcp: self.tcp.clone(),
            unix: self.unix.clone(),
            udp: Vec::new(),
            accepted_all: Arc::clone(&self.accepted_all),
            context: self.context.clone(),
        }
    }

    fn start(self, setup: Setup) -> Result<Serving, ServeError> {
        let Worker { tcp, unix, udp, accepted_all, context } = self;
        let runtime = ring::runtime(setup)?;
        let loops = runtime.block_on(async {
            if context.cancel() != Cancel::default() {
                capability::probe().await?;
            }
            let mut loops = Vec::new();
            for (queue, work) in tcp {
                loops.push(spawn_accept_loop::<TcpStream>(queue, work, &context)?);
            }
            for (queue, work) in unix {
                loops.push(spawn_accept_loop::<UnixStream>(queue, work, &context)?);
            }
            for socket in udp {
                loops.push(tokio_uring::spawn(datagrams::udp(socket, context.clone())));
            }
            Ok::<_, ServeError>(loops)
        })?;
        Ok(Serving { runtime, loops, accepted_all, context })
    }
}

impl Serving {
    fn run(self) -> Drained {
        let drained = self.runtime.block_on(async {
            for ends in self.loops {
                // It ends the process if it panics.
                let _ = ends.await;
            }
            self.accepted_all.wait().await;
            self.context.drained().await
        });
        // Dropping it would wait for the operations of connections that the deadline has cut.
        mem::forget(self.runtime);
        drained
    }
}

fn spawn_accept_loop<S: Stream>(
    queue: Arc<S::Queue>,
    work: Option<Work>,
    context: &Context,
) -> io::Result<JoinHandle<()>> {
    let listener = S::listener(&queue)?;
    let context = context.clone();
    Ok(tokio_uring::spawn(accept_loop::<S>(listener, queue, work, context)))
}

async fn accept_loop<S: Stream>(
    listener: S::Listener,
    queue: Arc<S::Queue>,
    work: Option<Work>,
    context: Context,
) {
    let cancel_after = context.cancel().accept;
    let mut stop = context.stop();
    // An accept that is dropped is not cancelled: it takes one more client and leaks it
    // (tokio-uring#129). So there is always one, and it is awaited to its end.
    let mut accept = pin!(capability::accept::<S>(&listener, cancel_after));
    loop {
        let accepted = select! {
            biased;
            () = &mut stop => break,
            accepted = &mut accept => accepted,
        };
        match accepted {
            Ok(stream) => spawn_echo(stream, work, &context),
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
    serve_queue::<S>(&queue, work, &context);
    // A listener whose accept is in flight stays open when it is dropped. This completes the
    // accept (EINVAL), unless it has just taken a client. It fails in all threads but the first.
    let _ = SockRef::from(&*queue).shutdown(Shutdown::Both);
    if let Ok(stream) = accept.await {
        spawn_echo(stream, work, &context);
    }
}

/// Serves the clients in the accept queue, which shutting down the listener would reset.
fn serve_queue<S: Stream>(queue: &S::Queue, work: Option<Work>, context: &Context) {
    for _ in 0..=BACKLOG {
        match S::accept_now(queue) {
            Ok(stream) => spawn_echo(stream, work, context),
            Err(error) if classify(&error) == AcceptError::Retry => {}
            Err(_) => break,
        }
    }
}

fn spawn_echo<S: Stream>(stream: S, work: Option<Work>, context: &Context) {
    let (connection, context) = (context.connection(), context.clone());
    tokio_uring::spawn(async move { connection.ended(echo(stream, work, context).await) });
}

async fn echo<S: Stream>(stream: S, work: Option<Work>, context: Context) -> io::Result<()> {
    let mut buffer = Vec::with_capacity(context.buffer_bytes());
    let cancel_after = context.cancel().read;
    let mut stop = context.stop();
    // The kernel owns the buffer until the read completes, then it goes on to the write and comes
    // back.
    let (mut result, mut buffer) = loop {
        let message = match next(&stream, buffer, &mut stop, cancel_after).await? {
            ControlFlow::Continue(message) => message,
            ControlFlow::Break(last) => break last,
        };
        if let Some(work) = work {
            capability::work(work).await?;
        }
        let (result, written) = stream.write_all(message).await;
        result?;
        buffer = written.into_inner();
        if context.stopping() {
            stream.shutdown(Shutdown::Write)?;
            break stream.read(buffer).await;
        }
    };
    // Reads to the peer's FIN.
    while result? > 0 {
        (result, buffer) = stream.read(buffer).await;
    }
    Ok(())
}

/// Reads the next message, or what is not to be echoed any more: FIN, which is answered, or what
/// comes once the stop has sent ours.
///
/// A future of its own, so that it shares its room in a connection's task with that of the write.
async fn next<S: Stream>(
    stream: &S,
    buffer: Vec<u8>,
    stop: &mut Wait,
    cancel_after: Option<Duration>,
) -> io::Result<ControlFlow<BufResult<usize, Vec<u8>>, Slice<Vec<u8>>>> {
    // A read that is dropped is not cancelled either, and takes bytes with it.
    let mut read = pin!(capability::read(stream, buffer, cancel_after));
    let (result, filled) = select! {
        biased;
        completed = &mut read => completed,
        () = stop => {
            // Completions come in order: once this one has, so has a read that need not wait.
            tokio_uring::no_op().await?;
            select! {
                biased;
                completed = &mut read => completed,
                () = ready(()) => {
                    stream.shutdown(Shutdown::Write)?;
                    return Ok(ControlFlow::Break(read.await));
                }
            }
        }
    };
    Ok(match result? {
        0 => {
            stream.shutdown(Shutdown::Write)?;
            ControlFlow::Break((Ok(0), filled))
        }
        bytes => ControlFlow::Continue(filled.slice(..bytes)),
    })
}
