//! Echo of datagrams: one thread per socket, which blocks in the call that receives. A reply that
//! the system refuses is dropped.

use std::io;
use std::net::{SocketAddr, UdpSocket};
use std::thread;

use common::{Context, DATAGRAM_BYTES, Recovery};

use crate::loops::Source;
use crate::transport::reachable;

/// A datagram socket.
pub(crate) trait Socket: Source {
    type Address;

    /// Waits for a datagram. The address is `None` if the client has no name to answer to.
    fn receive(&self, buffer: &mut [u8]) -> io::Result<(usize, Option<Self::Address>)>;

    fn reply(&self, message: &[u8], to: &Self::Address) -> io::Result<()>;
}

pub(crate) fn echo<S: Socket>(socket: &S, context: &Context) {
    let mut buffer = vec![0; DATAGRAM_BYTES];
    while !context.stopping() {
        match socket.receive(&mut buffer) {
            Ok((bytes, Some(from))) => {
                if let Err(error) = socket.reply(&buffer[..bytes], &from) {
                    context.dropped_reply(&error);
                }
            }
            Ok((_, None)) => {}
            Err(error) => match context.after_receive_error(&error) {
                Recovery::Retry => {}
                Recovery::BackOff(pause) => thread::sleep(pause),
                Recovery::Fatal => return,
            },
        }
    }
}

impl Source for UdpSocket {
    /// Sends a datagram of our own. Outside of Linux, shutdown(2) works on connected sockets only.
    /// If the queue has no room for it, the thread has datagrams to receive and does not wait.
    fn wake(&self) {
        if let Ok(address) = self.local_addr() {
            let _ = self.send_to(&[], reachable(address));
        }
    }
}

impl Socket for UdpSocket {
    type Address = SocketAddr;

    fn receive(&self, buffer: &mut [u8]) -> io::Result<(usize, Option<SocketAddr>)> {
        self.recv_from(buffer).map(|(bytes, from)| (bytes, Some(from)))
    }

    fn reply(&self, message: &[u8], to: &SocketAddr) -> io::Result<()> {
        self.send_to(message, to).map(drop)
    }
}

#[cfg(unix)]
mod unix {
    use std::io;
    use std::os::unix::net::UnixDatagram;

    use rustix::net::{RecvFlags, SendFlags, Shutdown, SocketAddrAny, recvfrom, sendto, shutdown};

    use super::Socket;
    use crate::loops::Source;

    impl Source for UnixDatagram {
        fn wake(&self) {
            // On Linux this ends the call, even if the socket's name has been removed. Other
            // systems refuse it (ENOTCONN).
            if shutdown(self, Shutdown::Read).is_err()
                && let (Ok(address), Ok(client)) = (self.local_addr(), Self::unbound())
            {
                let _ = client.send_to_addr(&[], &address);
            }
        }
    }

    /// Not by the standard library, where a socket blocks in both directions or in neither: a send
    /// that waited for a client whose queue is full would hold up all others.
    impl Socket for UnixDatagram {
        type Address = SocketAddrAny;

        fn receive(&self, buffer: &mut [u8]) -> io::Result<(usize, Option<SocketAddrAny>)> {
            let (bytes, _, from) = recvfrom(self, buffer, RecvFlags::empty())?;
            Ok((bytes, from))
        }

        fn reply(&self, message: &[u8], to: &SocketAddrAny) -> io::Result<()> {
            sendto(self, message, SendFlags::DONTWAIT, to)?;
            Ok(())
        }
    }
}
