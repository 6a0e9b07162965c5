//! The optional parts of the contract, as smol wants them done: work that keeps a thread busy, and
//! operations under a timeout.
//!
//! Dropping a future of smol's sockets is how one is cancelled, and loses nothing: it asks the
//! system first and waits for an event after, and a waiting one holds only its place among those
//! who are woken.

use std::{io, time::Duration};

use common::{Work, burn};
use smol::{Timer, future, io::AsyncReadExt as _, unblock};

use crate::transport::Stream;

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
