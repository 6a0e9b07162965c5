//! The accept loop and the echo, whose operations own their buffers, and the threads that run them.

use std::future::{pending, ready};
use std::io;
use std::net::Shutdown;
use std::ops::ControlFlow;
use std::pin::pin;
use std::time::Duration;

use common::{
    Cancel, Context, Drained, Listener, Recovery, ServeError, Sockets, Wait, Work, run_workers,
};
use socket2::SockRef;
use tokio::task::JoinHandle;
use tokio::{select, time};
use tokio_uring::BufResult;
use tokio_uring::buf::{BoundedBuf as _, Slice};
use tokio_uring::net::{TcpStream, UnixStream};

use crate::ring::{self, Setup};
use crate::transport::Stream;
use crate::{capability, datagrams};

async fn accept_loop<S: Stream>(
    listener: S::Listener,
    queue: S::Queue,
    work: Option<Work>,
    context: Context,
) {
    let cancel_after = context.cancel_limits().accept;
    let mut stop = context.stopped();
    // An accept that is dropped is not cancelled: it takes one more client and leaks it
    // (tokio-uring#129). So one accept is always in flight, and it is awaited to its end.
    let mut accept = pin!(capability::accept::<S>(&listener, cancel_after));
    loop {
        let accepted = select! {
            biased;
            () = &mut stop => break,
            accepted = &mut accept => accepted,
        };
        match accepted {
            Ok(stream) => spawn_echo(stream, work, &context),
            // Another thread has shut the listener down (below) before this one saw the stop.
            Err(_) if context.stopping() => {}
            Err(error) => match context.after_accept_error(&error) {
                Recovery::Retry => {}
                Recovery::BackOff(pause) => select! {
                    () = time::sleep(pause) => {}
                    () = &mut stop => {}
                },
                Recovery::Fatal => {}
            },
        }
        accept.set(capability::accept(&listener, cancel_after));
    }
    serve_queue::<S>(&queue, work, &context);
    // A listener stays open while an accept is in flight. shutdown(2) ends the pending accept: on
    // TCP with EINVAL, on a Unix path with POLLHUP. An accept that has just taken a client
    // completes with it. On TCP, only the shutdown of the first thread succeeds.
    let _ = SockRef::from(&queue).shutdown(Shutdown::Both);
    if let Ok(stream) = accept.await {
        spawn_echo(stream, work, &context);
    }
}

fn spawn_echo<S: Stream>(stream: S, work: Option<Work>, context: &Context) {
    let (connection, context) = (context.count_connection(), context.clone());
    tokio_uring::spawn(async move { connection.ended(echo(stream, work, context).await) });
}

async fn echo<S: Stream>(stream: S, work: Option<Work>, context: Context) -> io::Result<()> {
    let mut buffer = Vec::with_capacity(context.buffer_bytes());
    let cancel_after = context.cancel_limits().read;
    let mut stop = context.stopped();
    // The buffer moves into the read and comes back with its completion, and likewise for the
    // write.
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
    // Reads until the client's FIN: closing a socket with unread bytes would reset it.
    while result? > 0 {
        (result, buffer) = stream.read(buffer).await;
    }
    Ok(())
}

/// Reads the next message: `Continue` with bytes to echo, or `Break` with a result that must not be
/// echoed: the client has sent FIN, or the server has already sent its own.
///
/// A separate function: its future ends before the write begins, so that both use the same bytes of
/// the connection's task.
async fn next<S: Stream>(
    stream: &S,
    buffer: Vec<u8>,
    stop: &mut Wait,
    cancel_after: Option<Duration>,
) -> io::Result<ControlFlow<BufResult<usize, Vec<u8>>, Slice<Vec<u8>>>> {
    // A read that is dropped is not cancelled either, and would take bytes with it.
    let mut read = pin!(capability::read(stream, buffer, cancel_after));
    let (result, filled) = select! {
        biased;
        completed = &mut read => completed,
        () = stop => {
            // io_uring promises no order (io_uring(7)). But before io_uring_enter(2) returns from
            // submitting this NOP, the kernel has run pending task work, so a read whose bytes had
            // arrived has completed.
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

/// Serves the clients in the accept queue: shutting the listener down would reset them.
fn serve_queue<S: Stream>(queue: &S::Queue, work: Option<Work>, context: &Context) {
    context
        .accept_queued(|| S::accept_now(queue))
        .for_each(|stream| spawn_echo(stream, work, context));
}

pub(crate) fn ring_per_thread(sockets: Sockets, context: Context) -> Result<Drained, ServeError> {
    serve(sockets, context, Setup::Plain)
}

pub(crate) fn tuned(sockets: Sockets, context: Context) -> Result<Drained, ServeError> {
    ring::probe_setup(Setup::Tuned)?;
    serve(sockets, context, Setup::Tuned)
}

fn serve(sockets: Sockets, context: Context, setup: Setup) -> Result<Drained, ServeError> {
    capability::fill_pool(&sockets)?;
    run_workers(sockets, &context, move |sockets, context, worker| {
        let runtime = ring::runtime(setup)?;
        runtime.block_on(async {
            if context.cancel_limits() != Cancel::default() {
                capability::probe().await?;
            }
            let loops = spawn_loops(sockets, &context)?;
            let accepting = worker.ready();
            for accept_loop in loops {
                // A panic in it ends the process.
                let _ = accept_loop.await;
            }
            drop(accepting);
            // Dropping the runtime would wait for the operations of connections that the drain
            // deadline cut.
            pending().await
        })
    })
}

fn spawn_loops(sockets: Sockets, context: &Context) -> io::Result<Vec<JoinHandle<()>>> {
    let mut loops = Vec::new();
    for Listener { socket, work } in sockets.tcp {
        loops.push(spawn_accept_loop::<TcpStream>(socket, work, context)?);
    }
    for listener in sockets.unix {
        loops.push(spawn_accept_loop::<UnixStream>(listener, None, context)?);
    }
    for socket in sockets.udp {
        loops.push(tokio_uring::spawn(datagrams::udp(socket, context.clone())));
    }
    Ok(loops)
}

fn spawn_accept_loop<S: Stream>(
    queue: S::Queue,
    work: Option<Work>,
    context: &Context,
) -> io::Result<JoinHandle<()>> {
    let listener = S::listener(&queue)?;
    Ok(tokio_uring::spawn(accept_loop::<S>(listener, queue, work, context.clone())))
}
