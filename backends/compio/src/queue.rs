//! The accept queue of a listener that is about to be closed.

use std::net::Shutdown;

use common::{AcceptError, BACKLOG, classify};
use socket2::Socket;

use crate::transport::Stream;

/// Takes the clients in the accept queue, which closing the listener would reset.
pub(crate) fn take_queue<S: Stream>(queue: &Socket, mut serve: impl FnMut(S)) {
    for _ in 0..=BACKLOG {
        match queue.accept().and_then(|(socket, _)| S::from_socket(socket)) {
            Ok(stream) => serve(stream),
            Err(error) if classify(&error) == AcceptError::Retry => {}
            Err(_) => break,
        }
    }
}

/// Ends the accepts that are in the kernel, in every thread, and none that has a client. Those on a
/// TCP listener complete with EINVAL. Those on a Unix listener may stay, because it says EAGAIN to
/// calls that must not wait; but no client can come to them any more.
pub(crate) fn end_accepts(queue: &Socket) {
    let _ = queue.shutdown(Shutdown::Both);
}
