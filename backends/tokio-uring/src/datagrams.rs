//! Echo of UDP datagrams: one task per socket.

use std::io;
use std::net;
use std::pin::pin;

use common::{Context, DATAGRAM_BYTES, Recovery};
use tokio::{select, time};
use tokio_uring::buf::BoundedBuf as _;
use tokio_uring::net::UdpSocket;

use crate::capability;

pub(crate) async fn udp(socket: net::UdpSocket, context: Context) {
    let socket = UdpSocket::from_std(socket);
    let mut buffer = Vec::with_capacity(DATAGRAM_BYTES);
    let mut stop = context.stopped();
    loop {
        let mut receive = pin!(socket.recv_from(buffer));
        let (received, filled) = select! {
            biased;
            () = &mut stop => {
                // If it were dropped, it would stay in flight and keep the socket open.
                if capability::cancel(&socket).await.is_ok() {
                    let _ = receive.await;
                }
                return;
            }
            received = &mut receive => received,
        };
        buffer = match received {
            Ok((bytes, from)) => {
                let (sent, message) = socket.send_to(filled.slice(..bytes), from).await;
                if let Err(error) = sent {
                    context.dropped_reply(&error);
                }
                message.into_inner()
            }
            Err(error) if goes_on(&context, &error).await => filled,
            Err(_) => return,
        };
    }
}

/// Logs an error of receiving, and waits if the system has run out of something. Whether to receive
/// again.
async fn goes_on(context: &Context, error: &io::Error) -> bool {
    match context.after_receive_error(error) {
        Recovery::Retry => true,
        Recovery::BackOff(pause) => {
            time::sleep(pause).await;
            true
        }
        Recovery::Fatal => false,
    }
}
