//! The optional parts of the contract: messages that cost CPU time, and operations that are
//! cancelled.

use std::io;

use common::{Context, POOL_IDLE, PoolJob, Work, burn};
use tokio::io::AsyncReadExt as _;
use tokio::runtime::Builder;
use tokio::{task, time};

use crate::stream::Stream;

/// Limits the blocking pool (that of `spawn_blocking`) to `threads` threads, and keeps idle threads
/// alive.
pub(crate) fn size_pool(runtime: &mut Builder, threads: usize) -> &mut Builder {
    runtime.max_blocking_threads(threads).thread_keep_alive(POOL_IDLE)
}

/// Starts all threads of the runtime's blocking pool before the server is ready. If the kernel
/// refused a thread later, a job would wait for a busy thread.
///
/// # Errors
/// The system refuses threads. If it refuses the first one, Tokio panics instead (1.54.1).
pub(crate) fn fill_pool(threads: usize, spawn_blocking: impl FnMut(PoolJob)) -> io::Result<()> {
    common::fill_pool(threads, spawn_blocking)
}

/// Spends the CPU time that one message costs: on a thread of the blocking pool, or with
/// `--cpu-inline` on the calling thread.
pub(crate) async fn work(work: Work) -> io::Result<()> {
    match work {
        Work::Offloaded(time) => task::spawn_blocking(move || burn(time)).await?,
        Work::Inline(time) => burn(time),
    }
    Ok(())
}

/// Accepts a client. Under `--cancel accept=TIME` the `accept` is cancelled after that time and
/// started again, which loses no client.
pub(crate) async fn accept<F: Future>(context: &Context, accept: impl Fn() -> F) -> F::Output {
    let Some(limit) = context.cancel_limits().accept else {
        return accept().await;
    };
    loop {
        if let Ok(accepted) = time::timeout(limit, accept()).await {
            return accepted;
        }
    }
}

/// Under `--cancel read=TIME`, cancels the read after that time and starts it again, which loses no
/// byte.
pub(crate) async fn read<S: Stream>(
    context: &Context,
    stream: &mut S,
    buffer: &mut [u8],
) -> io::Result<usize> {
    let Some(limit) = context.cancel_limits().read else {
        return stream.read(buffer).await;
    };
    loop {
        // The future is boxed because the timer would otherwise enlarge the task of every
        // connection, even without `--cancel`.
        if let Ok(read) = Box::pin(time::timeout(limit, stream.read(buffer))).await {
            return read;
        }
    }
}
