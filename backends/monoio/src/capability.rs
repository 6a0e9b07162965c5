//! The optional parts of the contract on monoio: work that keeps a thread busy, and operations
//! under a timeout.
//!
//! Dropping a future of monoio asks the kernel to cancel its operation, which may complete all the
//! same, with a client or with bytes that nobody is there to take. So an operation is cancelled by
//! a handle, and awaited to its end: only that says whether the handle came in time.

use std::{io, pin::pin, time::Duration};

use common::{Wait, Work, burn};
use futures_util::future::{Either, pending, select};
use monoio::{
    BufResult,
    io::{AsyncReadRent as _, CancelableAsyncReadRent as _, Canceller, OwnedReadHalf},
    spawn_blocking, time,
};

use crate::transport::Stream;

/// Does the work of a message, on the pool of threads that blocking calls go to.
pub(crate) async fn work(work: Work) {
    match work {
        Work::Offloaded(time) => {
            // It ends the process if it panics.
            let _ = spawn_blocking(move || burn(time)).await;
        }
        Work::Inline(time) => burn(time),
    }
}

/// Accepts a client; `None` if that was cancelled, at the stop or after `limit`.
pub(crate) async fn accept<S: Stream>(
    listener: &S::Listener,
    stop: &mut Wait,
    limit: Option<Duration>,
) -> Option<io::Result<S>> {
    let canceller = Canceller::new();
    let accept = S::cancelable_accept(listener, canceller.handle());
    let over = async {
        select(stop, pin!(after(limit))).await;
    };
    match cancelled_after(over, canceller, accept).await {
        Err(error) if is_cancelled(&error) => None,
        accepted => Some(accepted),
    }
}

/// Reads, in attempts that are cancelled after `limit` if there is one. Never dropped unfinished.
pub(crate) async fn read<S: Stream>(
    stream: &mut OwnedReadHalf<S>,
    mut buffer: Vec<u8>,
    limit: Option<Duration>,
) -> BufResult<usize, Vec<u8>> {
    if limit.is_none() {
        return stream.read(buffer).await;
    }
    loop {
        let canceller = Canceller::new();
        let read = stream.cancelable_read(buffer, canceller.handle());
        // In a box, or every connection that is never cancelled would carry the timer as well.
        match Box::pin(cancelled_after(after(limit), canceller, read)).await {
            (Err(error), unused) if is_cancelled(&error) => buffer = unused,
            completed => return completed,
        }
    }
}

/// Awaits an operation, which is cancelled once `over` resolves.
async fn cancelled_after<T>(
    over: impl Future<Output = ()>,
    canceller: Canceller,
    operation: impl Future<Output = T>,
) -> T {
    let mut operation = pin!(operation);
    match select(&mut operation, pin!(over)).await {
        Either::Left((completed, _)) => completed,
        Either::Right(((), _)) => {
            canceller.cancel();
            operation.await
        }
    }
}

async fn after(limit: Option<Duration>) {
    match limit {
        Some(limit) => time::sleep(limit).await,
        None => pending().await,
    }
}

/// Whether an operation ended because it was cancelled. monoio has Linux's number of that error on
/// every system (src/io/util/cancel.rs).
fn is_cancelled(error: &io::Error) -> bool {
    const ECANCELED: i32 = 125;

    error.raw_os_error() == Some(ECANCELED)
}
