//! The server proper: accept loop and echo, by operations that own their buffers.

use std::{
    io,
    mem::take,
    net,
    ops::ControlFlow,
    os::unix,
    pin::pin,
    sync::{Arc, mpsc},
    thread,
    time::Duration,
};

use common::{
    AcceptError, BACKLOG, Context, Drained, Listener, Listeners, POOL_THREADS, ServeError, Wait,
    Work, classify,
};
use futures_util::future::{Either, pending, select};
use monoio::{
    BufResult,
    blocking::DefaultThreadPool,
    io::{
        AsyncWriteRent as _, AsyncWriteRentExt as _, OwnedReadHalf, OwnedWriteHalf, Splitable as _,
    },
    net::{TcpStream, UnixDatagram, UnixStream, udp::UdpSocket},
    spawn,
    task::JoinHandle,
    time::sleep,
};
use socket2::Socket;

use crate::{capability, datagrams, runtime, transport::Stream};

/// What a thread needs to serve.
struct Worker {
    tcp: Vec<Origin>,
    unix: Vec<Origin>,
    udp: Vec<net::UdpSocket>,
    unixgram: Vec<unix::net::UnixDatagram>,
    context: Context,
}

/// Where connections come from. The threads share it, and each accepts from a duplicate of its own.
#[derive(Clone)]
struct Origin {
    listener: Arc<Socket>,
    work: Option<Work>,
}

/// Runs a runtime on each thread; the calling one waits for them.
pub(crate) fn runtime_per_thread(
    listeners: Listeners,
    context: Context,
) -> Result<Drained, ServeError> {
    let offload_work = listeners.offload_work();
    let Listeners { tcp, mut udp, unix, mut unixgram } = listeners;
    let origin = |socket, work| Origin { listener: Arc::new(socket), work };
    let tcp = tcp.into_iter().map(|Listener { socket, work }| origin(socket.into(), work));
    let tcp: Vec<_> = tcp.collect();
    let unix: Vec<_> = unix.into_iter().map(|socket| origin(socket.into(), None)).collect();
    // It starts its threads at once, so there is one only where messages cost work.
    let pool = offload_work.then(|| DefaultThreadPool::new(POOL_THREADS));
    let (started, starts) = mpsc::channel();
    let (stopped, stops) = mpsc::channel();
    for number in 1..=context.workers() {
        let worker = Worker {
            tcp: tcp.clone(),
            unix: unix.clone(),
            // The first thread has the datagrams alone: two would wake for each, and overtake each
            // other.
            udp: take(&mut udp),
            unixgram: take(&mut unixgram),
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
    // The end of the last accept loop has to close a listener.
    drop((tcp, unix, started, stopped));
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
        let loops = match self.start() {
            Ok(loops) => loops,
            Err(error) => return drop(started.send(Err(error.into()))),
        };
        let _ = started.send(Ok(()));
        for ends in loops {
            ends.await;
        }
        drop(stopped);
        pending().await
    }

    fn start(self) -> io::Result<Vec<JoinHandle<()>>> {
        let mut loops = Vec::new();
        for origin in self.tcp {
            loops.push(start_accepts::<TcpStream>(origin, self.context.clone())?);
        }
        for origin in self.unix {
            loops.push(start_accepts::<UnixStream>(origin, self.context.clone())?);
        }
        for socket in self.udp {
            let socket = UdpSocket::from_std(socket)?;
            loops.push(spawn(datagrams::udp(socket, self.context.clone())));
        }
        for sender in self.unixgram {
            let socket = UnixDatagram::from_std(sender.try_clone()?)?;
            loops.push(spawn(datagrams::unixgram(socket, sender, self.context.clone())));
        }
        Ok(loops)
    }
}

fn start_accepts<S: Stream>(
    Origin { listener: queue, work }: Origin,
    context: Context,
) -> io::Result<JoinHandle<()>> {
    let listener = S::listen(queue.try_clone()?)?;
    Ok(spawn(accept_loop::<S>(listener, queue, work, context)))
}

async fn accept_loop<S: Stream>(
    listener: S::Listener,
    queue: Arc<Socket>,
    work: Option<Work>,
    context: Context,
) {
    let cancel_after = context.cancel().accept;
    let mut stop = context.stop();
    while !context.stopping() {
        match capability::accept::<S>(&listener, &mut stop, cancel_after).await {
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
    serve_queue::<S>(&queue, work, &context);
}

/// Serves the clients in the accept queue, which closing the listener would reset.
fn serve_queue<S: Stream>(queue: &Socket, work: Option<Work>, context: &Context) {
    let accept = || {
        let (socket, _) = queue.accept()?;
        // The driver for epoll and kqueue leaves it to the program that its sockets do not block.
        socket.set_nonblocking(true)?;
        S::from_socket(socket)
    };
    for _ in 0..=BACKLOG {
        match accept() {
            Ok(stream) => spawn_echo(stream, work, context),
            Err(error) if classify(&error) == AcceptError::Retry => {}
            Err(_) => break,
        }
    }
}

fn spawn_echo<S: Stream>(stream: S, work: Option<Work>, context: &Context) {
    let (connection, context) = (context.connection(), context.clone());
    stream.prepare();
    // Dropping the half that writes sends FIN.
    let (reader, writer) = stream.into_split();
    spawn(async move { connection.ended(echo(reader, writer, work, context).await) });
}

/// The shortest timer. When one fires, the driver has been asked what completed before it was set.
const LOOK: Duration = Duration::from_millis(1);

async fn echo<S: Stream>(
    mut reader: OwnedReadHalf<S>,
    mut writer: OwnedWriteHalf<S>,
    work: Option<Work>,
    context: Context,
) -> io::Result<()> {
    let mut buffer = Vec::with_capacity(context.buffer_bytes());
    let cancel_after = context.cancel().read;
    let mut stop = context.stop();
    // The driver owns the buffer until the read completes, then it goes on to the write and comes
    // back.
    let (mut result, mut buffer) = loop {
        let read = next(&mut reader, &mut writer, buffer, &mut stop, cancel_after);
        let message = match read.await? {
            ControlFlow::Continue(message) => message,
            ControlFlow::Break(last) => break last,
        };
        if let Some(work) = work {
            capability::work(work).await;
        }
        let (result, written) = writer.write_all(message).await;
        result?;
        if context.stopping() {
            writer.shutdown().await?;
            break capability::read(&mut reader, written, None).await;
        }
        buffer = written;
    };
    // Reads to the peer's FIN.
    while result? > 0 {
        (result, buffer) = capability::read(&mut reader, buffer, None).await;
    }
    Ok(())
}

/// Reads the next message, or what is not to be echoed any more: FIN, or what comes once the stop
/// has sent ours.
///
/// A future of its own, so that it shares its room in a connection's task with that of the write.
async fn next<S: Stream>(
    reader: &mut OwnedReadHalf<S>,
    writer: &mut OwnedWriteHalf<S>,
    buffer: Vec<u8>,
    stop: &mut Wait,
    cancel_after: Option<Duration>,
) -> io::Result<ControlFlow<BufResult<usize, Vec<u8>>, Vec<u8>>> {
    let mut read = pin!(capability::read(reader, buffer, cancel_after));
    let (result, filled) = match select(&mut read, stop).await {
        Either::Left((completed, _)) => completed,
        // A timer is 640 bytes: in a box, or each connection would carry it from its start.
        Either::Right(((), read)) => match select(read, Box::pin(sleep(LOOK))).await {
            Either::Left((completed, _)) => completed,
            Either::Right((_, read)) => {
                writer.shutdown().await?;
                return Ok(ControlFlow::Break(read.await));
            }
        },
    };
    Ok(match result? {
        0 => ControlFlow::Break((Ok(0), filled)),
        _ => ControlFlow::Continue(filled),
    })
}
