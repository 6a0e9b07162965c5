//! The accept loop and the echo, and the threads that run them.

use std::convert::Infallible;
use std::future::pending;
use std::io;
use std::net;
use std::os::fd::OwnedFd;
use std::os::unix::net::UnixStream;
use std::pin::pin;
use std::rc::Rc;
use std::task::Poll;

use common::{
    Context, Drained, Driver, Listener, Recovery, ServeError, Sockets, Transport, Unavailable,
    Worker, build_ring, probe_ring, run_workers,
};
use futures_util::future::{Either, select};
use futures_util::poll;
use io_uring::IoUring;
use kimojio::configuration::{Configuration, ExitBehavior};
use kimojio::operations::{nop, spawn_task};
use kimojio::{AsyncEvent, Runtime};
use rustix::net::sockopt::set_tcp_nodelay;
use rustix::net::{Shutdown, SocketFlags, accept_with, shutdown};

use crate::{datagrams, operation};

async fn accept_loop(
    listener: OwnedFd,
    transport: Transport,
    stop: Rc<AsyncEvent>,
    context: Context,
) {
    let cancel_after = context.cancel_limits().accept;
    while !stop.is_set() {
        match operation::accept(&listener, pin!(stop.wait()), cancel_after).await {
            None => {}
            Some(Ok(stream)) => spawn_echo(stream, transport, &stop, &context),
            Some(Err(error)) => match context.after_accept_error(&error) {
                Recovery::Retry => {}
                Recovery::BackOff(pause) => operation::pause(pin!(stop.wait()), pause).await,
                Recovery::Fatal => {}
            },
        }
    }
    let accept = || Ok(accept_with(&listener, SocketFlags::CLOEXEC)?);
    context.accept_queued(accept).for_each(|stream| spawn_echo(stream, transport, &stop, &context));
}

fn spawn_echo(stream: OwnedFd, transport: Transport, stop: &Rc<AsyncEvent>, context: &Context) {
    if transport == Transport::Tcp {
        // Fails if the connection is already reset; the read will report it.
        let _ = set_tcp_nodelay(&stream, true);
    }
    let (connection, stop, context) =
        (context.count_connection(), Rc::clone(stop), context.clone());
    spawn_task(async move { connection.ended(echo(stream, &stop, &context).await) });
}

async fn echo(stream: OwnedFd, stop: &AsyncEvent, context: &Context) -> io::Result<()> {
    let mut buffer = vec![0; context.buffer_bytes()];
    let cancel_after = context.cancel_limits().read;
    let mut stopped = pin!(stop.wait());
    let mut bytes = loop {
        let bytes = {
            let mut read = pin!(operation::read(&stream, &mut buffer, cancel_after));
            match select(&mut read, &mut stopped).await {
                Either::Left((completed, _)) => completed?,
                Either::Right(_) => {
                    // io_uring promises no order (io_uring(7)). But before io_uring_enter(2)
                    // returns from submitting this NOP, the kernel has run pending task work, so a
                    // read whose bytes had arrived has completed.
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
    // Reads until the client's FIN: closing a socket with unread bytes would reset it.
    while bytes > 0 {
        bytes = operation::read(&stream, &mut buffer, None).await?;
    }
    Ok(())
}

pub(crate) fn runtime_per_thread(
    sockets: Sockets,
    context: Context,
) -> Result<Drained, ServeError> {
    rehearse(context.workers())?;
    run_workers(sockets, &context, |sockets, context, worker| {
        // A task of kimojio can only be woken on its own thread, so it reads the stop from a
        // socket.
        let (stopping, stopped) = UnixStream::pair()?;
        context.on_stop(move || {
            let _ = stopping.shutdown(net::Shutdown::Write);
        });
        let until = ExitBehavior::WhenMainTaskCompletes;
        let mut runtime = Runtime::new(0, Configuration::new().set_exit_behavior(until));
        match runtime.block_on(serve(sockets, stopped.into(), context, worker)) {
            Some(Ok(failed)) => failed,
            // A panic in it ends the process.
            None | Some(Err(_)) => Err(io::Error::other("a runtime has ended").into()),
        }
    })
}

/// Serves until the process ends.
async fn serve(
    sockets: Sockets,
    stopped: OwnedFd,
    context: Context,
    worker: Worker,
) -> Result<Infallible, ServeError> {
    let stop = Rc::new(AsyncEvent::new());
    let Sockets { tcp, udp, unix, unixgram } = sockets;
    let mut loops = Vec::new();
    let tcp = tcp.into_iter().map(|Listener { socket, .. }| (Transport::Tcp, socket.into()));
    let unix = unix.into_iter().map(|socket| (Transport::Unix, socket.into()));
    for (transport, listener) in tcp.chain(unix) {
        let accept_loop = accept_loop(listener, transport, Rc::clone(&stop), context.clone());
        loops.push(spawn_task(accept_loop));
    }
    let udp = udp.into_iter().map(OwnedFd::from);
    for socket in udp.chain(unixgram.into_iter().map(OwnedFd::from)) {
        loops.push(spawn_task(datagrams::echo(socket, Rc::clone(&stop), context.clone())));
    }
    let accepting = worker.ready();
    let _ = operation::read(&stopped, &mut [0], None).await;
    stop.set();
    for accept_loop in loops {
        let _ = accept_loop.await;
    }
    drop(accepting);
    pending().await
}

/// The submission entries of kimojio's rings. Each runtime has a second ring, with
/// IORING_SETUP_IOPOLL.
const SUBMISSIONS: u32 = 128;
/// The first Linux that kimojio supports.
const SINCE: &str = "5.15";

/// Builds two rings like those of a worker, and closes them: kimojio would panic without them.
pub(crate) fn probe(_: Driver) -> Result<(), Unavailable> {
    probe_ring(SINCE, rings)
}

fn rings() -> io::Result<[IoUring; 2]> {
    Ok([IoUring::new(SUBMISSIONS)?, IoUring::builder().setup_iopoll().build(SUBMISSIONS)?])
}

/// Takes the rings and descriptors that the workers will need, and gives them back: kimojio panics
/// if it cannot have them. Takes twice as many as the workers need, because the kernel may free the
/// memory of the closed rings only after the workers set theirs up.
fn rehearse(workers: usize) -> Result<(), ServeError> {
    const PIPES: usize = 4;

    let threads = 0..2 * workers;
    let _rings =
        build_ring(SINCE, || threads.clone().map(|_| rings()).collect::<io::Result<Vec<_>>>())?;
    let pipes = 0..2 * workers * PIPES;
    let _pipes = pipes.map(|_| UnixStream::pair()).collect::<io::Result<Vec<_>>>()?;
    Ok(())
}
