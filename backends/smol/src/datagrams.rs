//! Echo of datagrams: one task for each socket. A reply that the system does not take is dropped,
//! as any datagram may be.

use std::io;
use std::net::SocketAddr;
#[cfg(unix)]
use std::os::unix::net as unix;

use common::{Context, DATAGRAM_BYTES, Recovery};
#[cfg(unix)]
use smol::Async;
use smol::net::UdpSocket;
use smol::{Timer, future};

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
                    until(&mut stop, Timer::after(pause)).await;
                }
                Recovery::Fatal => return,
            },
        }
        if turn % TURN == 0 {
            future::yield_now().await;
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

/// Uses `Async`: `smol::net::unix::UnixDatagram` sends only to paths (not to abstract names), and
/// its send waits while one receiver's queue is full, which would delay all other clients.
#[cfg(unix)]
impl Socket for Async<unix::UnixDatagram> {
    type Address = unix::SocketAddr;

    async fn receive(&self, buffer: &mut [u8]) -> io::Result<(usize, unix::SocketAddr)> {
        self.recv_from(buffer).await
    }

    async fn reply(&self, message: &[u8], to: unix::SocketAddr) -> io::Result<()> {
        // A client without a name cannot be answered.
        if to.is_unnamed() {
            return Ok(());
        }
        self.get_ref().send_to_addr(message, &to).map(drop)
    }
}
