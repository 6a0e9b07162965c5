//! Echo of datagrams: one task for each socket. A reply that the system does not take is dropped,
//! as any datagram may be.

use std::io;

use common::{AcceptError, Context, DATAGRAM_BYTES};
use tokio::{net::UdpSocket, select, time};

pub(crate) async fn udp(socket: UdpSocket, context: Context) {
    let mut buffer = vec![0; DATAGRAM_BYTES];
    let mut stop = context.stop();
    loop {
        let received = select! {
            received = socket.recv_from(&mut buffer) => received,
            () = &mut stop => return,
        };
        match received {
            Ok((bytes, from)) => {
                if let Err(error) = socket.send_to(&buffer[..bytes], from).await {
                    context.dropped_reply(&error);
                }
            }
            Err(error) if goes_on(&context, &error).await => {}
            Err(_) => return,
        }
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

#[cfg(unix)]
pub(crate) use unix::unixgram;

#[cfg(unix)]
mod unix {
    use std::os::unix::net;

    use common::{Context, DATAGRAM_BYTES};
    use tokio::{net::UnixDatagram, select};

    use super::goes_on;

    /// Replies go out by `sender`, which is the same socket: waiting for a receiver whose queue is
    /// full would hold up all others, and Tokio sends to names in the file system alone.
    pub(crate) async fn unixgram(
        socket: UnixDatagram,
        sender: net::UnixDatagram,
        context: Context,
    ) {
        let mut buffer = vec![0; DATAGRAM_BYTES];
        let mut stop = context.stop();
        loop {
            let received = select! {
                received = socket.recv_from(&mut buffer) => received,
                () = &mut stop => return,
            };
            match received {
                Ok((bytes, from)) => {
                    let from: net::SocketAddr = from.into();
                    // A client without a name cannot be answered.
                    if !from.is_unnamed()
                        && let Err(error) = sender.send_to_addr(&buffer[..bytes], &from)
                    {
                        context.dropped_reply(&error);
                    }
                }
                Err(error) if goes_on(&context, &error).await => {}
                Err(_) => return,
            }
        }
    }
}
