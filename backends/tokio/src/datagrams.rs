//! Echo of UDP datagrams: one task per socket.

use std::io;

use common::{Context, DATAGRAM_BYTES, Recovery};
use tokio::net::UdpSocket;
use tokio::{select, time};

/// Echoes datagrams until the stop. If the kernel has no room for a reply, the server drops the
/// reply, because waiting would delay the replies to other clients. Before Tokio has seen the
/// socket's first event, `try_send_to` would return `WouldBlock` without a system call. That drops
/// no reply here, because `recv_from` returns only after that event.
pub(crate) async fn echo(socket: UdpSocket, context: Context) {
    let mut buffer = vec![0; DATAGRAM_BYTES];
    let mut stopped = context.stopped();
    loop {
        let received = select! {
            biased;
            () = &mut stopped => return,
            received = socket.recv_from(&mut buffer) => received,
        };
        match received {
            Ok((bytes, client)) => {
                if let Err(error) = socket.try_send_to(&buffer[..bytes], client) {
                    context.dropped_reply(&error);
                }
            }
            Err(error) => match pause_after_error(&context, &error).await {
                Recovery::Retry | Recovery::BackOff(_) => {}
                Recovery::Fatal => return,
            },
        }
    }
}

/// Logs a receive error, unless it concerns only one client. If the system lacks a resource such
/// as memory, also sleeps for a moment. A stop takes effect after this sleep, which is short.
pub(crate) async fn pause_after_error(context: &Context, error: &io::Error) -> Recovery {
    let recovery = context.after_receive_error(error);
    if let Recovery::BackOff(pause) = recovery {
        time::sleep(pause).await;
    }
    recovery
}
