//! The optional parts of the contract, as smol wants them done: work that keeps a thread busy, and
//! operations under a timeout.
//!
//! Dropping a future of smol's sockets is how one is cancelled, and loses nothing: it asks the
//! system first and waits for an event after, and a waiting one holds only its place among those
//! who are woken.

use std::{io, num::NonZero, time::Duration};

use blocking::set_max_blocking_threads;
use common::{Listeners, POOL_THREADS, Work, burn};
use smol::{Timer, future, io::AsyncReadExt as _, unblock};

use crate::transport::Stream;

/// Starts the pool, if anything is to be done there. Where the system refuses a thread, the pool
/// (blocking 1.7.0) holds its lock and tries again without a pause, for ever (blocking#79).
///
/// # Errors
///
/// The system refuses threads.
pub(crate) fn fill_pool(listeners: &Listeners) -> io::Result<()> {
    const THREADS: NonZero<usize> = NonZero::new(POOL_THREADS).unwrap();

    if !listeners.offload_work() {
        return Ok(());
    }
    set_max_blocking_threads(THREADS);
    common::fill_pool(POOL_THREADS, |job| unblock(job).detach())
}

/// Does the work of a message, on the pool of threads that blocking calls go to.
pub(crate) async fn work(work: Work) {
    match work {
        Work::Offloaded(time) => unblock(move || burn(time)).await,
        Work::Inline(time) => burn(time),
    }
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
        let accepted = async { Some(S::accept(listener).await) };
        if let Some(accepted) = future::or(accepted, none_after(limit)).await {
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
        let read = async { Some(stream.read(buffer).await) };
        // In a box, or every connection that is never cancelled would carry the timer as well.
        if let Some(read) = Box::pin(future::or(read, none_after(limit))).await {
            return read;
        }
    }
}

async fn none_after<T>(limit: Duration) -> Option<T> {
    Timer::after(limit).await;
    None
}
