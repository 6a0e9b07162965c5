//! The optional parts of the contract, as Tokio wants them done: work that keeps a thread busy, and
//! operations under a timeout.
//!
//! Dropping a future of Tokio's sockets is how one is cancelled, and loses nothing: all that it
//! holds is its place among those who wait for the socket. It reads or accepts in the same poll in
//! which it resolves, so what it did not return is still with the system.

use std::{io, time::Duration};

use common::{Listeners, POOL_IDLE, Work, burn};
use tokio::{io::AsyncReadExt as _, runtime::Builder, task, time};

use crate::transport::Stream;

/// Gives a runtime a pool of that many threads for blocking calls, which never end.
pub(crate) fn bound_pool(runtime: &mut Builder, threads: usize) -> &mut Builder {
    runtime.max_blocking_threads(threads).thread_keep_alive(POOL_IDLE)
}

/// Starts the pool of the current runtime, if anything is to be done there. Where the system
/// refuses a thread, `spawn_blocking` panics (tokio 1.54.1), or waits for ever (before 1.54).
///
/// # Errors
///
/// The system refuses threads.
pub(crate) fn fill_pool(listeners: &Listeners, threads: usize) -> io::Result<()> {
    if !listeners.offload_work() {
        return Ok(());
    }
    common::fill_pool(threads, |job| drop(task::spawn_blocking(job)))
}

/// Does the work of a message, on the pool of threads that blocking calls go to.
pub(crate) async fn work(work: Work) -> io::Result<()> {
    match work {
        Work::Offloaded(time) => task::spawn_blocking(move || burn(time)).await?,
        Work::Inline(time) => burn(time),
    }
    Ok(())
}

/// Accepts, in attempts that are cancelled after `limit` if there is one.
pub(crate) async fn accept<S: Stream>(
    listener: &S::Listener,
    limit: Option<Duration>,
) -> io::Result<S> {
    let Some(limit) = limit else {
        return S::accept(listener).await;
    };
    loop {
        if let Ok(accepted) = time::timeout(limit, S::accept(listener)).await {
            return accepted;
        }
    }
}

/// Reads, in attempts that are cancelled after `limit` if there is one.
pub(crate) async fn read<S: Stream>(
    stream: &mut S,
    buffer: &mut [u8],
    limit: Option<Duration>,
) -> io::Result<usize> {
    let Some(limit) = limit else {
        return stream.read(buffer).await;
    };
    loop {
        // In a box, or every connection that is never cancelled would carry the timer as well.
        if let Ok(read) = Box::pin(time::timeout(limit, stream.read(buffer))).await {
            return read;
        }
    }
}
