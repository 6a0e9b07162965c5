//! Echo of datagrams: one thread for each socket, asleep in the call that receives. A reply that
//! the system does not take is dropped, as any datagram may be.

use std::{
    io,
    net::{SocketAddr, UdpSocket},
    thread,
};

use common::{AcceptError, Context, DATAGRAM_BYTES};

use crate::{loops::Source, transport::reachable};

/// A socket whose clients are known by the addresses of their datagrams.
pub(crate) trait Socket: Source {
    type Address;

    /// Waits for a datagram. A client without a name has no address, and cannot be answered.
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
            Err(error) => match context.receive_error(&error) {
                AcceptError::Retry => {}
                AcceptError::BackOff(pause) => thread::sleep(pause),
                AcceptError::Fatal => return context.fail(),
            },
        }
    }
}

impl Source for UdpSocket {
    /// A datagram of our own; shutting down, which needs none, is for connected sockets outside of
    /// Linux. If there is no room for it, no call waits.
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
    use std::{io, os::unix::net::UnixDatagram};

    use rustix::net::{RecvFlags, SendFlags, Shutdown, SocketAddrAny, recvfrom, sendto, shutdown};

    use super::Socket;
    use crate::loops::Source;

    impl Source for UnixDatagram {
        fn wake(&self) {
            // On Linux this ends the call, without the name that a datagram needs. Other systems
            // refuse it (ENOTCONN).
            if shutdown(self, Shutdown::Read).is_err()
                && let (Ok(address), Ok(client)) = (self.local_addr(), UnixDatagram::unbound())
            {
                let _ = client.send_to_addr(&[], &address);
            }
        }
    }

    /// Not by the calls of std, which block both or neither: waiting for a receiver whose queue is
    /// full would hold up all others.
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
