//! Threads with a runtime each, and what the flavors have in common: the start, the queue, FIN.

use std::{
    future::{pending, poll_fn},
    io,
    mem::{replace, take},
    net::{self, Shutdown},
    sync::{Arc, mpsc},
    task::Poll,
    thread,
    time::Duration,
};

use common::{
    AcceptError, BACKLOG, Context, Drained, Listener, Listeners, ServeError, Work, classify,
};
#[cfg(unix)]
use compio::net::UnixStream;
use compio::{
    net::{TcpStream, UdpSocket},
    runtime::{JoinHandle, spawn},
};
use socket2::Socket;

use crate::{datagrams, managed, owned, runtime, transport::Stream};

/// The shortest timer. When one fires, the driver has been asked what completed before it was set.
pub(crate) const LOOK: Duration = Duration::from_millis(1);

/// Echoes in a row after which others get a turn, if none had to wait: a call that succeeds at once
/// completes without the driver, and compio has no budget for a task that does nothing else.
pub(crate) const TURN: u32 = 4;

/// Whose the buffers are that reads of connections fill.
#[derive(Clone, Copy)]
enum Buffers {
    /// The connection's.
    Owned,
    /// The driver's.
    Managed,
}

/// What a thread needs to serve.
struct Worker {
    buffers: Buffers,
    tcp: Vec<Origin>,
    #[cfg(unix)]
    unix: Vec<Origin>,
    udp: Vec<net::UdpSocket>,
    context: Context,
}

/// Where connections come from. The threads share it, and each accepts from a duplicate of its own.
#[derive(Clone)]
struct Origin {
    listener: Arc<Socket>,
    work: Option<Work>,
}

pub(crate) fn runtime_per_thread(
    listeners: Listeners,
    context: Context,
) -> Result<Drained, ServeError> {
    serve(Buffers::Owned, listeners, context)
}

pub(crate) fn managed(listeners: Listeners, context: Context) -> Result<Drained, ServeError> {
    serve(Buffers::Managed, listeners, context)
}

/// Runs a runtime on each thread; the calling one waits for them.
fn serve(buffers: Buffers, listeners: Listeners, context: Context) -> Result<Drained, ServeError> {
    let origin = |socket, work| Origin { listener: Arc::new(socket), work };
    let tcp = listeners.tcp.into_iter();
    let tcp: Vec<_> =
        tcp.map(|Listener { socket, work }| origin(Socket::from(socket), work)).collect();
    #[cfg(unix)]
    let unix: Vec<_> =
        listeners.unix.into_iter().map(|socket| origin(Socket::from(socket), None)).collect();
    let mut udp = listeners.udp;
    let (started, starts) = mpsc::channel();
    let (stopped, stops) = mpsc::channel();
    for number in 1..=context.workers() {
        let worker = Worker {
            buffers,
            tcp: tcp.clone(),
            #[cfg(unix)]
            unix: unix.clone(),
            // The first thread has them alone: two would wake for each datagram, and overtake each
            // other.
            udp: take(&mut udp),
            context: context.clone(),
        };
        let (started, stopped) = (started.clone(), stopped.clone());
        thread::Builder::new().name(format!("compio-{number}")).spawn(
            move || match runtime::build(&worker.context) {
                Ok(runtime) => runtime::block_on(&runtime, worker.run(started, stopped)),
                Err(error) => drop(started.send(Err(error))),
            },
        )?;
    }
    // The end of the last accept loop has to close a listener.
    drop(tcp);
    #[cfg(unix)]
    drop(unix);
    drop((started, stopped));
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
        let loops = match self.start() {
            Ok(loops) => loops,
            Err(error) => return drop(started.send(Err(error.into()))),
        };
        let _ = started.send(Ok(()));
        for ends in loops {
            // It ends the process if it panics.
            let _ = ends.await;
        }
        drop(stopped);
        pending().await
    }

    fn start(self) -> io::Result<Vec<JoinHandle<()>>> {
        let mut loops = Vec::new();
        for origin in self.tcp {
            loops.push(start_accepts::<TcpStream>(self.buffers, origin, self.context.clone())?);
        }
        #[cfg(unix)]
        for origin in self.unix {
            loops.push(start_accepts::<UnixStream>(self.buffers, origin, self.context.clone())?);
        }
        for socket in self.udp {
            let socket = UdpSocket::from_std(socket)?;
            loops.push(spawn(datagrams::udp(socket, self.context.clone())));
        }
        Ok(loops)
    }
}

fn start_accepts<S: Stream>(
    buffers: Buffers,
    Origin { listener: queue, work }: Origin,
    context: Context,
) -> io::Result<JoinHandle<()>> {
    let listener = S::listen(queue.try_clone()?)?;
    Ok(match buffers {
        Buffers::Owned => spawn(owned::accept_loop::<S>(listener, queue, work, context)),
        Buffers::Managed => spawn(managed::accept_loop::<S>(listener, queue, work, context)),
    })
}

/// Takes the clients in the accept queue, which closing the listener would reset.
pub(crate) fn take_queue<S: Stream>(queue: &Socket, mut serve: impl FnMut(S)) {
    for _ in 0..=BACKLOG {
        match queue.accept().and_then(|(socket, _)| S::from_socket(socket)) {
            Ok(stream) => serve(stream),
            Err(error) if classify(&error) == AcceptError::Retry => {}
            Err(_) => break,
        }
    }
}

/// Ends the accepts that are in the kernel, in every thread, and none that has a client. Those on a
/// TCP listener complete with EINVAL. Those on a Unix listener may stay, because it says EAGAIN to
/// calls that must not wait; but no client can come to them any more.
pub(crate) fn end_accepts(queue: &Socket) {
    let _ = queue.shutdown(Shutdown::Both);
}

/// Sends FIN. Not by the operation for it: both drivers have that done on another thread, the
/// kernel's or compio's, and it never blocks.
pub(crate) fn send_fin(stream: &impl Stream) -> io::Result<()> {
    stream.socket().shutdown(Shutdown::Write)
}

/// Lets the tasks that can run have a turn, and the driver too.
pub(crate) async fn yield_now() {
    let mut yielded = false;
    poll_fn(|cx| {
        if replace(&mut yielded, true) {
            return Poll::Ready(());
        }
        cx.waker().wake_by_ref();
        Poll::Pending
    })
    .await;
}
