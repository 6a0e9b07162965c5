//! The optional parts of the contract on tokio-uring: work that keeps a thread busy, and operations
//! under a timeout.
//!
//! Dropping a future of tokio-uring does not cancel its operation, and the crate has no call that
//! does: the kernel goes on, and takes one more client (tokio-uring#129) or the next bytes for
//! nobody. So the kernel is asked to cancel, by an entry of our own, and the operation is awaited
//! to its end all the same: only that says whether the request came in time.

use std::{io, os::fd::AsRawFd, pin::pin, sync::OnceLock, time::Duration};

use common::{Listeners, POOL_IDLE, POOL_THREADS, Unavailable, Work, burn};
use io_uring_06::{
    opcode,
    types::{CancelBuilder, Fd},
};
use rustix::io::Errno;
use tokio::{
    runtime::{Builder, Runtime},
    select, time,
};
use tokio_uring::BufResult;

use crate::{request::submit, transport::Stream};

/// The pool of threads that blocking calls go to: that of a runtime of Tokio which runs nothing
/// else. The runtimes of tokio-uring have such pools too, but end a thread that was idle for 10 s,
/// and panic when the system then refuses the next one.
static POOL: OnceLock<Runtime> = OnceLock::new();

/// Starts the pool, if anything is to be done there.
///
/// # Errors
///
/// The system refuses threads.
pub(crate) fn fill_pool(listeners: &Listeners) -> io::Result<()> {
    if !listeners.offload_work() {
        return Ok(());
    }
    let mut pool = Builder::new_current_thread();
    let pool = pool.max_blocking_threads(POOL_THREADS).thread_keep_alive(POOL_IDLE).build()?;
    let pool = POOL.get_or_init(|| pool);
    common::fill_pool(POOL_THREADS, |job| drop(pool.spawn_blocking(job)))
}

/// Does the work of a message, on the pool.
pub(crate) async fn work(work: Work) -> io::Result<()> {
    match work {
        Work::Offloaded(time) => {
            let pool = POOL.get().ok_or(io::ErrorKind::Unsupported)?;
            pool.spawn_blocking(move || burn(time)).await?;
        }
        Work::Inline(time) => burn(time),
    }
    Ok(())
}

/// Accepts, in attempts that are cancelled after `limit` if there is one. Never dropped unfinished.
pub(crate) async fn accept<S: Stream>(
    listener: &S::Listener,
    limit: Option<Duration>,
) -> io::Result<S> {
    let Some(limit) = limit else {
        return S::accept(listener).await;
    };
    loop {
        match cancelled_after(limit, listener, S::accept(listener)).await {
            Err(error) if is(&error, Errno::CANCELED) => {}
            accepted => return accepted,
        }
    }
}

/// Reads, in attempts that are cancelled after `limit` if there is one. Never dropped unfinished.
pub(crate) async fn read<S: Stream>(
    stream: &S,
    mut buffer: Vec<u8>,
    limit: Option<Duration>,
) -> BufResult<usize, Vec<u8>> {
    let Some(limit) = limit else {
        return stream.read(buffer).await;
    };
    loop {
        // In a box, or every connection that is never cancelled would carry the timer as well.
        match Box::pin(cancelled_after(limit, stream, stream.read(buffer))).await {
            (Err(error), unused) if is(&error, Errno::CANCELED) => buffer = unused,
            completed => return completed,
        }
    }
}

/// Awaits the only operation on `socket`, which the kernel is asked to cancel each time that it has
/// waited for `limit`.
async fn cancelled_after<T>(
    limit: Duration,
    socket: &impl AsRawFd,
    operation: impl Future<Output = T>,
) -> T {
    let mut operation = pin!(operation);
    loop {
        select! {
            biased;
            completed = &mut operation => return completed,
            () = time::sleep(limit) => {}
        }
        // What comes of the request is no news (it may be too late): the operation itself tells.
        let _ = cancel(socket).await;
    }
}

/// Asks the kernel to cancel the operation on `socket`.
pub(crate) async fn cancel(socket: &impl AsRawFd) -> io::Result<()> {
    let operation = CancelBuilder::fd(Fd(socket.as_raw_fd()));
    let request = opcode::AsyncCancel2::new(operation).build();
    submit(request).await.map(drop)
}

/// Whether this kernel can cancel the operation on a descriptor; tried on one that has none.
pub(crate) async fn probe() -> Result<(), Unavailable> {
    match cancel(&io::stderr()).await {
        Err(error) if is(&error, Errno::INVAL) => {
            Err(Unavailable("cancelling what waits on a socket needs Linux 5.19".to_owned()))
        }
        Ok(()) | Err(_) => Ok(()),
    }
}

fn is(error: &io::Error, errno: Errno) -> bool {
    Errno::from_io_error(error) == Some(errno)
}
