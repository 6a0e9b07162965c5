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

/// Shuts the listener down, which ends the pending accepts of every thread. On TCP they complete
/// with EINVAL. On a Unix path they may stay pending, because the kernel's retry gets EAGAIN
/// (finding linux-multishot-accept). No new client can arrive.
pub(crate) fn end_accepts(queue: &Socket) {
    let _ = queue.shutdown(Shutdown::Both);
}
