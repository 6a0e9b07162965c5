//! Echo of datagrams: one task for each socket. tokio-uring has UDP alone.

use std::{io, net, pin::pin};

use common::{AcceptError, Context, DATAGRAM_BYTES};
use tokio::{select, time};
use tokio_uring::{buf::BoundedBuf as _, net::UdpSocket};

use crate::capability;

pub(crate) async fn udp(socket: net::UdpSocket, context: Context) {
    let socket = UdpSocket::from_std(socket);
    let mut buffer = Vec::with_capacity(DATAGRAM_BYTES);
    let mut stop = context.stop();
    loop {
        let mut receive = pin!(socket.recv_from(buffer));
        let (received, filled) = select! {
            biased;
            () = &mut stop => {
                // Dropped it would go on, and keep the socket open.
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

/// Deals with an error of receiving: whether there can be a next datagram.
async fn goes_on(context: &Context, error: &io::Error) -> bool {
    match context.receive_error(error) {
        AcceptError::Retry => true,
        AcceptError::BackOff(pause) => {
            time::sleep(pause).await;
            true
        }
        AcceptError::Fatal => {
            context.fail();
            false
        }
    }
}
