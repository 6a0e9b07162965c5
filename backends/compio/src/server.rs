//! Threads with a runtime each, and what the flavors have in common: the start, the queue, FIN.

use std::{
    io,
    net::{self, Shutdown},
    sync::{Arc, mpsc},
    thread,
    time::Duration,
};

use common::{AcceptError, BACKLOG, Context, Drained, Listeners, ServeError, Work, classify};
use compio::{
    net::{TcpListener, TcpStream},
    runtime::spawn,
};
use futures_util::future::pending;
use socket2::SockRef;

use crate::{managed, owned, runtime};

/// The shortest timer. When one fires, the driver has been asked what completed before it was set.
pub(crate) const LOOK: Duration = Duration::from_millis(1);

/// Whose the buffers are that reads fill.
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
    listeners: Vec<Share>,
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
    let listeners: Vec<_> = listeners
        .tcp
        .into_iter()
        .map(|listener| (Arc::new(listener.socket), listener.work))
        .collect();
    let share = |(queue, work): &(Arc<net::TcpListener>, Option<Work>)| -> io::Result<Share> {
        Ok(Share { socket: queue.try_clone()?, queue: Arc::clone(queue), work: *work })
    };
    let (started, starts) = mpsc::channel();
    let (stopped, stops) = mpsc::channel();
    for number in 1..=context.workers() {
        let worker = Worker {
            buffers,
            listeners: listeners.iter().map(share).collect::<io::Result<_>>()?,
            context: context.clone(),
        };
        let (started, stopped) = (started.clone(), stopped.clone());
        thread::Builder::new().name(format!("compio-{number}")).spawn(
            move || match runtime::build(&worker.context) {
                Ok(runtime) => runtime.block_on(worker.run(started, stopped)),
                Err(error) => drop(started.send(Err(error))),
            },
        )?;
    }
    // Each thread has duplicates, and closing those has to close the listeners.
    drop((listeners, started, stopped));
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
        let mut accept_loops = Vec::new();
        for Share { socket, queue, work } in self.listeners {
            let listener = match TcpListener::from_std(socket) {
                Ok(listener) => listener,
                Err(error) => return drop(started.send(Err(error.into()))),
            };
            let context = self.context.clone();
            accept_loops.push(match self.buffers {
                Buffers::Owned => spawn(owned::accept_loop(listener, queue, work, context)),
                Buffers::Managed => spawn(managed::accept_loop(listener, queue, work, context)),
            });
        }
        let _ = started.send(Ok(()));
        for accept_loop in accept_loops {
            // It ends the process if it panics.
            let _ = accept_loop.await;
        }
        drop(stopped);
        pending().await
    }
}

/// Takes the clients in the accept queue, which closing the listener would reset.
pub(crate) fn take_queue(queue: &net::TcpListener, mut serve: impl FnMut(TcpStream)) {
    for _ in 0..=BACKLOG {
        match queue.accept().and_then(|(stream, _)| TcpStream::from_std(stream)) {
            Ok(stream) => serve(stream),
            Err(error) if classify(&error) == AcceptError::Retry => {}
            Err(_) => break,
        }
    }
}

/// Ends the accepts that are in the kernel (EINVAL), in every thread, and none that has a client.
pub(crate) fn end_accepts(queue: &net::TcpListener) {
    let _ = SockRef::from(queue).shutdown(Shutdown::Both);
}

/// Sends FIN. Not by the operation for it: both drivers have that done on another thread, the
/// kernel's or compio's, and it never blocks.
pub(crate) fn send_fin(stream: &TcpStream) -> io::Result<()> {
    SockRef::from(stream).shutdown(Shutdown::Write)
}
