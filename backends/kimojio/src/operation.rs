//! kimojio's operations with the timeouts of the contract.
//!
//! An operation borrows its buffer. Dropping one that is in flight cancels it, blocks the whole
//! thread until it has completed, and loses its result. So each operation is awaited to its end.

use std::future::pending;
use std::io;
use std::os::fd::OwnedFd;
use std::pin::pin;
use std::time::Duration;

use futures_util::future::{Either, select};
use kimojio::{Errno, operations};
use rustix::io::{FdFlags, fcntl_setfd};
use rustix::net::{RecvFlags, SendFlags};

/// Accepts a client. `None` if the accept was cancelled: at the stop, or after `limit`.
pub(crate) async fn accept(
    listener: &OwnedFd,
    stop: impl Future + Unpin,
    limit: Option<Duration>,
) -> Option<io::Result<OwnedFd>> {
    let mut accept = operations::accept(listener);
    let limit = pin!(after(limit));
    let accepted = match select(&mut accept, select(stop, limit)).await {
        Either::Left((accepted, _)) => accepted,
        Either::Right(_) => {
            accept.cancel();
            accept.await
        }
    };
    match accepted {
        Err(Errno::CANCELED) => None,
        accepted => Some(accepted.and_then(closed_on_exec).map_err(io::Error::from)),
    }
}

/// kimojio 0.19.0 accepts without SOCK_CLOEXEC, so a process that is started would inherit the
/// connections. Setting the flag here leaves a gap between the two calls.
fn closed_on_exec(stream: OwnedFd) -> Result<OwnedFd, Errno> {
    fcntl_setfd(&stream, FdFlags::CLOEXEC)?;
    Ok(stream)
}

/// With a `limit`, a linked timeout (IORING_OP_LINK_TIMEOUT) cancels the read after that time, and
/// the read is submitted again.
pub(crate) async fn read(
    stream: &OwnedFd,
    buffer: &mut [u8],
    limit: Option<Duration>,
) -> io::Result<usize> {
    loop {
        match operations::recv(stream, buffer, RecvFlags::empty(), limit).await {
            Err(Errno::TIME) => {}
            completed => return Ok(completed?),
        }
    }
}

/// Writes all of `message`, which may take several operations.
pub(crate) async fn write_all(stream: &OwnedFd, mut message: &[u8]) -> io::Result<()> {
    while !message.is_empty() {
        let written = operations::send(stream, message, SendFlags::NOSIGNAL, None).await?;
        message = &message[written..];
    }
    Ok(())
}

/// Pauses, at most until the stop.
pub(crate) async fn pause(stop: impl Future + Unpin, time: Duration) {
    select(stop, operations::sleep(time)).await;
}

async fn after(limit: Option<Duration>) {
    match limit {
        Some(limit) => drop(operations::sleep(limit).await),
        None => pending().await,
    }
}
