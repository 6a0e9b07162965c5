//! The optional parts of the contract: messages that cost CPU time, and operations that are
//! cancelled.
//!
//! Dropping a future of async-std's sockets cancels it and loses nothing: the system call comes
//! first, and a pending future holds nothing but a waker.

use std::future::Future;
use std::io;
use std::num::NonZero;

use async_std::io::ReadExt as _;
use async_std::{future, task};
use blocking::set_max_blocking_threads;
use common::{burn, Context, Sockets, Work, POOL_THREADS};

use crate::stream::Stream;

/// Starts all threads of the pool, if messages cost work: later the system may refuse them. Then
/// the pool (blocking 1.7.0) holds its lock and tries again without a pause, for ever
/// (blocking#79).
///
/// # Errors
/// The system refuses threads.
pub(crate) fn fill_pool(sockets: &Sockets) -> io::Result<()> {
    const THREADS: NonZero<usize> = NonZero::new(POOL_THREADS).unwrap();

    if !sockets.offload_work() {
        return Ok(());
    }
    set_max_blocking_threads(THREADS);
    common::fill_pool(POOL_THREADS, |job| drop(task::spawn_blocking(job)))
}

/// Spends what one message costs: on the pool, unless the server was told to do it inline.
pub(crate) async fn work(work: Work) {
    match work {
        Work::Offloaded(time) => task::spawn_blocking(move || burn(time)).await,
        Work::Inline(time) => burn(time),
    }
}

/// Accepts a client. Under `--cancel accept=TIME` the `accept` is cancelled after that time and
/// started again.
pub(crate) async fn accept<F: Future>(context: &Context, accept: impl Fn() -> F) -> F::Output {
    let Some(limit) = context.cancel_limits().accept else {
        return accept().await;
    };
    loop {
        if let Ok(accepted) = future::timeout(limit, accept()).await {
            return accepted;
        }
    }
}

/// Reads. Under `--cancel read=TIME` the read is cancelled after that time and started again.
pub(crate) async fn read<S: Stream>(
    context: &Context,
    stream: &mut S,
    buffer: &mut [u8],
) -> io::Result<usize> {
    let Some(limit) = context.cancel_limits().read else {
        return stream.read(buffer).await;
    };
    loop {
        // Boxed: inline, the timer would enlarge the task of every connection, even without
        // `--cancel`.
        if let Ok(read) = Box::pin(future::timeout(limit, stream.read(buffer))).await {
            return read;
        }
    }
}
