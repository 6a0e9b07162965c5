//! The flavor with a runtime on each thread, whose tasks stay there.

use std::{
    future::pending,
    io,
    mem::take,
    sync::mpsc::{self, Sender},
    thread,
};

use common::{Context, Drained, Listener, Listeners, POOL_THREADS, ServeError, block_on};
use tokio::runtime::{Builder, LocalOptions};

use crate::{capability, start};

/// Runs a runtime on each thread; the calling one waits for them.
pub(crate) fn serve(mut listeners: Listeners, context: Context) -> Result<Drained, ServeError> {
    let (started, starts) = mpsc::channel();
    let (stopped, stops) = mpsc::channel();
    for number in 1..=context.workers() {
        let listeners = share(&mut listeners)?;
        let (context, started, stopped) = (context.clone(), started.clone(), stopped.clone());
        thread::Builder::new().name(format!("tokio-{number}")).spawn(move || {
            let mut runtime = Builder::new_current_thread();
            let runtime = capability::bound_pool(&mut runtime, pool_threads(&context));
            match runtime.enable_all().build_local(LocalOptions::default()) {
                Ok(runtime) => runtime.block_on(run(listeners, context, started, stopped)),
                Err(error) => drop(started.send(Err(error))),
            }
        })?;
    }
    // Each thread has duplicates, and closing those has to close the listeners.
    drop((listeners, started, stopped));
    for _ in 1..=context.workers() {
        starts.recv().map_err(io::Error::other)??;
    }
    context.ready();
    // Ends when no thread can accept any more.
    while stops.recv().is_ok() {}
    Ok(block_on(context.drained()))
}

/// Duplicates of the listeners. The first thread has the datagram sockets alone: two would wake for
/// each datagram, and overtake each other.
fn share(listeners: &mut Listeners) -> io::Result<Listeners> {
    let duplicate = |Listener { socket, work }: &Listener| -> io::Result<Listener> {
        Ok(Listener { socket: socket.try_clone()?, work: *work })
    };
    Ok(Listeners {
        tcp: listeners.tcp.iter().map(duplicate).collect::<io::Result<_>>()?,
        udp: take(&mut listeners.udp),
        #[cfg(unix)]
        unix: listeners.unix.iter().map(|l| l.try_clone()).collect::<io::Result<_>>()?,
        #[cfg(unix)]
        unixgram: take(&mut listeners.unixgram),
    })
}

/// A runtime's share of the threads for blocking calls.
fn pool_threads(context: &Context) -> usize {
    POOL_THREADS.div_ceil(context.workers())
}

/// Serves until the process ends.
async fn run(
    listeners: Listeners,
    context: Context,
    started: Sender<io::Result<()>>,
    stopped: Sender<()>,
) {
    let filled = capability::fill_pool(&listeners, pool_threads(&context));
    let loops = match filled.and_then(|()| start(listeners, &context)) {
        Ok(loops) => loops,
        Err(error) => return drop(started.send(Err(error))),
    };
    let _ = started.send(Ok(()));
    for ends in loops {
        // It ends the process if it panics.
        let _ = ends.await;
    }
    drop(stopped);
    pending().await
}
