//! The optional parts of the contract: messages that cost CPU time, and operations that are
//! cancelled.
//!
//! Dropping a future of tokio-uring does not cancel its operation, and the crate has no call that
//! does. The operation stays in flight and takes one more client (tokio-uring#129) or the next
//! bytes, which are lost. So we submit the cancellation ourselves and await the operation to its
//! end, which shows whether the cancellation came in time.

use std::io;
use std::os::fd::AsRawFd;
use std::pin::pin;
use std::sync::OnceLock;
use std::time::Duration;

use common::{POOL_IDLE, POOL_THREADS, Sockets, Unavailable, Work, burn};
use io_uring_06::opcode;
use io_uring_06::types::{CancelBuilder, Fd};
use rustix::io::Errno;
use tokio::runtime::{Builder, Runtime};
use tokio::{select, time};
use tokio_uring::BufResult;

use crate::request::submit;
use crate::transport::Stream;

/// The pool of threads for blocking calls: that of a Tokio runtime that runs nothing else. The
/// runtimes of tokio-uring have such pools, too, but end a thread that was idle for 10 s, and panic
/// if the system then refuses the next one.
static POOL: OnceLock<Runtime> = OnceLock::new();

/// Starts all threads of the pool, if messages cost work.
///
/// # Errors
/// The system refuses threads.
pub(crate) fn fill_pool(sockets: &Sockets) -> io::Result<()> {
    if !sockets.offload_work() {
        return Ok(());
    }
    let mut pool = Builder::new_current_thread();
    let pool = pool.max_blocking_threads(POOL_THREADS).thread_keep_alive(POOL_IDLE).build()?;
    let pool = POOL.get_or_init(|| pool);
    common::fill_pool(POOL_THREADS, |job| drop(pool.spawn_blocking(job)))
}

/// Spends what one message costs: on the pool, unless the server was told to do it inline.
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

/// Accepts. With a `limit`, the accept is cancelled after that time and started again. Must be
/// awaited to its end.
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

/// Reads. With a `limit`, the read is cancelled after that time and started again. Must be awaited
/// to its end.
pub(crate) async fn read<S: Stream>(
    stream: &S,
    mut buffer: Vec<u8>,
    limit: Option<Duration>,
) -> BufResult<usize, Vec<u8>> {
    let Some(limit) = limit else {
        return stream.read(buffer).await;
    };
    loop {
        // Boxed: inline, the timer would enlarge the task of every connection, even without
        // `--cancel`.
        match Box::pin(cancelled_after(limit, stream, stream.read(buffer))).await {
            (Err(error), unused) if is(&error, Errno::CANCELED) => buffer = unused,
            completed => return completed,
        }
    }
}

/// Awaits the only operation on `socket`, and submits its cancellation each time that it has waited
/// for `limit`.
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
        // The result of the cancellation does not matter: the operation itself shows whether it was
        // in time.
        let _ = cancel(socket).await;
    }
}

/// Submits the cancellation of the operation on `socket`.
pub(crate) async fn cancel(socket: &impl AsRawFd) -> io::Result<()> {
    let operation = CancelBuilder::fd(Fd(socket.as_raw_fd()));
    let request = opcode::AsyncCancel2::new(operation).build();
    submit(request).await.map(drop)
}

/// Whether this kernel can cancel an operation by its descriptor, tried on one without operations.
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
