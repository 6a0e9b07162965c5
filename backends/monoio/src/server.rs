//! The accept loop and the echo, whose operations own their buffers, and the threads that run them.

use std::io;
use std::ops::ControlFlow;
use std::pin::pin;
use std::time::Duration;

use common::{
    Context, Drained, Listener, POOL_THREADS, Recovery, ServeError, Sockets, Wait, Work,
    run_workers,
};
use futures_util::future::{Either, pending, select};
use monoio::blocking::DefaultThreadPool;
use monoio::io::{
    AsyncWriteRent as _, AsyncWriteRentExt as _, OwnedReadHalf, OwnedWriteHalf, Splitable as _,
};
use monoio::net::udp::UdpSocket;
use monoio::net::{TcpStream, UnixDatagram, UnixStream};
use monoio::task::JoinHandle;
use monoio::time::sleep;
use monoio::{BufResult, spawn};
use socket2::Socket;

use crate::transport::Stream;
use crate::{capability, datagrams, runtime};

async fn accept_loop<S: Stream>(
    listener: S::Listener,
    queue: Socket,
    work: Option<Work>,
    context: Context,
) {
    let cancel_after = context.cancel_limits().accept;
    let mut stop = context.stopped();
    while !context.stopping() {
        match capability::accept::<S>(&listener, &mut stop, cancel_after).await {
            None => {}
            Some(Ok(stream)) => spawn_echo(stream, work, &context),
            Some(Err(error)) => match context.after_accept_error(&error) {
                Recovery::Retry => {}
                Recovery::BackOff(pause) => {
                    select(&mut stop, pin!(sleep(pause))).await;
                }
                Recovery::Fatal => {}
            },
        }
    }
    serve_queue::<S>(&queue, work, &context);
}

fn spawn_echo<S: Stream>(stream: S, work: Option<Work>, context: &Context) {
    let (connection, context) = (context.count_connection(), context.clone());
    stream.prepare();
    // Dropping the writing half sends FIN.
    let (reader, writer) = stream.into_split();
    spawn(async move { connection.ended(echo(reader, writer, work, context).await) });
}

async fn echo<S: Stream>(
    mut reader: OwnedReadHalf<S>,
    mut writer: OwnedWriteHalf<S>,
    work: Option<Work>,
    context: Context,
) -> io::Result<()> {
    let mut buffer = Vec::with_capacity(context.buffer_bytes());
    let cancel_after = context.cancel_limits().read;
    let mut stop = context.stopped();
    // The buffer moves into the read and comes back with its completion, and likewise for the
    // write.
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
    // Reads until the client's FIN: closing a socket with unread bytes would reset it.
    while result? > 0 {
        (result, buffer) = capability::read(&mut reader, buffer, None).await;
    }
    Ok(())
}

/// Reads the next message: `Continue` with bytes to echo, or `Break` with a result that must not be
/// echoed: the client has sent FIN, or the server has already sent its own.
///
/// A separate function: its future ends before the write begins, so that both use the same bytes of
/// the connection's task.
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
        // Boxed: inline, the timer would enlarge the task of every connection by 640 bytes.
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

/// The shortest timer. When it fires, the driver has delivered what had completed before.
const LOOK: Duration = Duration::from_millis(1);

/// Serves the clients in the accept queue: closing the listener would reset them.
fn serve_queue<S: Stream>(queue: &Socket, work: Option<Work>, context: &Context) {
    let accept = || {
        let (socket, _) = queue.accept()?;
        // The polling driver expects its sockets to be non-blocking.
        socket.set_nonblocking(true)?;
        S::from_socket(socket)
    };
    context.accept_queued(accept).for_each(|stream| spawn_echo(stream, work, context));
}

pub(crate) fn runtime_per_thread(
    sockets: Sockets,
    context: Context,
) -> Result<Drained, ServeError> {
    // A pool starts its threads when it is created, so there is none without costly messages.
    let pool = sockets.offload_work().then(|| DefaultThreadPool::new(POOL_THREADS));
    run_workers(sockets, &context, move |sockets, context, worker| {
        let mut runtime = runtime::build(context.driver(), pool.as_ref())?;
        runtime.block_on(async {
            let loops = spawn_loops(sockets, &context)?;
            let accepting = worker.ready();
            for accept_loop in loops {
                accept_loop.await;
            }
            drop(accepting);
            pending().await
        })
    })
}

fn spawn_loops(sockets: Sockets, context: &Context) -> io::Result<Vec<JoinHandle<()>>> {
    let mut loops = Vec::new();
    for Listener { socket, work } in sockets.tcp {
        loops.push(spawn_accept_loop::<TcpStream>(socket.into(), work, context)?);
    }
    for listener in sockets.unix {
        loops.push(spawn_accept_loop::<UnixStream>(listener.into(), None, context)?);
    }
    for socket in sockets.udp {
        let socket = UdpSocket::from_std(socket)?;
        loops.push(spawn(datagrams::udp(socket, context.clone())));
    }
    for sender in sockets.unixgram {
        let socket = UnixDatagram::from_std(sender.try_clone()?)?;
        loops.push(spawn(datagrams::unixgram(socket, sender, context.clone())));
    }
    Ok(loops)
}

fn spawn_accept_loop<S: Stream>(
    queue: Socket,
    work: Option<Work>,
    context: &Context,
) -> io::Result<JoinHandle<()>> {
    let listener = S::listen(queue.try_clone()?)?;
    Ok(spawn(accept_loop::<S>(listener, queue, work, context.clone())))
}
