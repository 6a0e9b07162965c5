//! The accept queue of a listener at the stop.

use std::net::Shutdown;

use common::Context;
use socket2::Socket;

use crate::transport::Stream;

/// Takes the clients in the accept queue: closing the listener would reset them.
pub(crate) fn take_queue<S: Stream>(queue: &Socket, context: &Context, serve: impl FnMut(S)) {
    let accept = || queue.accept().and_then(|(socket, _)| S::from_socket(socket));
    context.accept_queued(accept).for_each(serve);
}

/// Ends the accepts in flight of every thread, except those that have a client. On a TCP listener
/// they complete with EINVAL. On a Unix listener they may stay in flight, because the listener
/// returns EAGAIN to a non-blocking call; no client can reach them any more.
pub(crate) fn end_accepts(queue: &Socket) {
    let _ = queue.shutdown(Shutdown::Both);
}
