//! Echo of datagrams: one task for each socket. A reply that the system does not take is dropped,
//! as any datagram may be.

use std::future::Future;
use std::io;
use std::net::SocketAddr;

use async_std::net::UdpSocket;
use async_std::task;
use common::{Context, Recovery, DATAGRAM_BYTES};
#[cfg(unix)]
pub(crate) use unix::Unixgram;

use crate::until;

/// A socket whose clients are known by the addresses of their datagrams.
pub(crate) trait Socket: Send + Sync + 'static {
    type Address: Send;

    fn receive(
        &self,
        buffer: &mut [u8],
    ) -> impl Future<Output = io::Result<(usize, Self::Address)>> + Send;

    fn reply(
        &self,
        message: &[u8],
        to: Self::Address,
    ) -> impl Future<Output = io::Result<()>> + Send;
}

pub(crate) async fn echo<S: Socket>(socket: S, context: Context) {
    // After this many datagrams in a row the task yields, even if it never had to wait.
    const TURN: usize = 32;

    let mut buffer = vec![0; DATAGRAM_BYTES];
    let mut stop = context.stopped();
    for turn in 1_usize.. {
        match until(&mut stop, socket.receive(&mut buffer)).await {
            None => return,
            Some(Ok((bytes, from))) => {
                if let Err(error) = socket.reply(&buffer[..bytes], from).await {
                    context.dropped_reply(&error);
                }
            }
            Some(Err(error)) => match context.after_receive_error(&error) {
                Recovery::Retry => {}
                Recovery::BackOff(pause) => {
                    until(&mut stop, task::sleep(pause)).await;
                }
                Recovery::Fatal => return,
            },
        }
        if turn % TURN == 0 {
            task::yield_now().await;
        }
    }
}

impl Socket for UdpSocket {
    type Address = SocketAddr;

    async fn receive(&self, buffer: &mut [u8]) -> io::Result<(usize, SocketAddr)> {
        self.recv_from(buffer).await
    }

    async fn reply(&self, message: &[u8], to: SocketAddr) -> io::Result<()> {
        self.send_to(message, to).await.map(drop)
    }
}

#[cfg(unix)]
mod unix {
    use std::io;
    use std::os::unix::net::{self, SocketAddr};

    use async_std::os::unix::net::UnixDatagram;

    use super::Socket;

    /// A Unix datagram socket, twice.
    pub(crate) struct Unixgram {
        receiver: UnixDatagram,
        /// The standard library's handle to the same non-blocking socket. async-std sends only to
        /// paths (not to abstract names), and its send waits while one receiver's queue is full,
        /// which would delay all other clients.
        sender: net::UnixDatagram,
    }

    impl Unixgram {
        /// # Errors
        /// Those of dup(2).
        pub(crate) fn new(sender: net::UnixDatagram) -> io::Result<Self> {
            Ok(Self { receiver: UnixDatagram::from(sender.try_clone()?), sender })
        }
    }

    impl Socket for Unixgram {
        type Address = SocketAddr;

        async fn receive(&self, buffer: &mut [u8]) -> io::Result<(usize, SocketAddr)> {
            self.receiver.recv_from(buffer).await
        }

        async fn reply(&self, message: &[u8], to: SocketAddr) -> io::Result<()> {
            // A client without a name cannot be answered.
            if to.is_unnamed() {
                return Ok(());
            }
            self.sender.send_to_addr(message, &to).map(drop)
        }
    }
}
