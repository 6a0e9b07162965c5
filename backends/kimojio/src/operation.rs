//! Operations of kimojio as the server needs them, with the timeouts of the contract.
//!
//! Dropping one that is in the kernel cancels it, and keeps the whole thread waiting for its end,
//! because its buffer is borrowed; what it completed with is lost. So each is awaited to its end.

use std::{future::pending, io, os::fd::OwnedFd, pin::pin, time::Duration};

use futures_util::future::{Either, select};
use kimojio::{Errno, operations};
use rustix::{
    io::{FdFlags, fcntl_setfd},
    net::{RecvFlags, SendFlags},
};

/// Accepts a client; `None` if that was cancelled, once `stop` resolves or after `limit`.
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

/// kimojio 0.19.0 accepts without SOCK_CLOEXEC, so a process that is started keeps connections open
/// after their end. Setting the flag now leaves it those that are accepted at that moment.
fn closed_on_exec(stream: OwnedFd) -> Result<OwnedFd, Errno> {
    fcntl_setfd(&stream, FdFlags::CLOEXEC)?;
    Ok(stream)
}

/// Reads, in attempts that the kernel cancels after `limit` if there is one.
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

/// Writes all of `message`; one operation may take less.
pub(crate) async fn write_all(stream: &OwnedFd, mut message: &[u8]) -> io::Result<()> {
    while !message.is_empty() {
        let written = operations::send(stream, message, SendFlags::NOSIGNAL, None).await?;
        message = &message[written..];
    }
    Ok(())
}

/// Pauses, until `stop` resolves at the latest.
pub(crate) async fn pause(stop: impl Future + Unpin, time: Duration) {
    select(stop, operations::sleep(time)).await;
}

async fn after(limit: Option<Duration>) {
    match limit {
        Some(limit) => drop(operations::sleep(limit).await),
        None => pending().await,
    }
}
