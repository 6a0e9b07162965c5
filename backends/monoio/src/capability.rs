//! The optional parts of the contract: messages that cost CPU time, and operations that are
//! cancelled.
//!
//! Dropping a future of monoio asks the kernel to cancel its operation. The operation may still
//! complete with a client or with bytes, which are lost. This backend therefore cancels an
//! operation through a `Canceller` and awaits its result, which shows whether the cancellation came
//! in time.

use std::io;
use std::pin::pin;
use std::time::Duration;

use common::{Wait, Work, burn};
use futures_util::future::{Either, pending, select};
use monoio::io::{AsyncReadRent as _, CancelableAsyncReadRent as _, Canceller, OwnedReadHalf};
use monoio::{BufResult, spawn_blocking, time};

use crate::transport::Stream;

/// Spends what one message costs: on the pool, unless the server was told to do it inline.
pub(crate) async fn work(work: Work) {
    match work {
        Work::Offloaded(time) => {
            // A panic in it ends the process.
            let _ = spawn_blocking(move || burn(time)).await;
        }
        Work::Inline(time) => burn(time),
    }
}

/// Accepts a client. `None` if the accept was cancelled: at the stop, or after `limit`.
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

/// Reads. With a `limit`, the read is cancelled after that time and started again. Must be awaited
/// to its end.
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
        // Boxed: inline, the timer would enlarge the task of every connection, even without
        // `--cancel`.
        match Box::pin(cancelled_after(after(limit), canceller, read)).await {
            (Err(error), unused) if is_cancelled(&error) => buffer = unused,
            completed => return completed,
        }
    }
}

/// Awaits an operation, and cancels it once `over` resolves.
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

/// Whether an operation was cancelled. monoio uses Linux's number of ECANCELED on every system
/// (src/io/util/cancel.rs).
fn is_cancelled(error: &io::Error) -> bool {
    const ECANCELED: i32 = 125;

    error.raw_os_error() == Some(ECANCELED)
}
