//! What waits in the queues of one end of a TCP connection on this host, whoever's it is: Linux
//! tells through `sock_diag(7)`, without privilege and without looking at any other socket.

use std::io;
use std::net::SocketAddr;

/// Bytes that wait at one end of a connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Queues {
    /// Arrived and not read by the program.
    pub unread: u64,
    /// Written by the program and not acknowledged by the other end.
    pub unacknowledged: u64,
}

/// Whether this system tells.
pub const ARE_TOLD: bool = cfg!(target_os = "linux");

/// The queues of the end at `local` of its connection with `remote`.
///
/// # Errors
/// `NotFound` when there is no such connection, `Unsupported` where the system does not tell.
pub fn queues(local: SocketAddr, remote: SocketAddr) -> io::Result<Queues> {
    cfg_if::cfg_if! {
        if #[cfg(target_os = "linux")] {
            linux::queues(local, remote)
        } else {
            let _ = (local, remote);
            Err(io::ErrorKind::Unsupported.into())
        }
    }
}

/// One question and one answer over netlink(7), laid out as in `linux/inet_diag.h`.
#[cfg(target_os = "linux")]
mod linux {
    use std::io;
    use std::net::{IpAddr, SocketAddr};

    use rustix::net::{
        AddressFamily, RecvFlags, SendFlags, SocketFlags, SocketType, netlink, recv, send,
        socket_with,
    };

    use super::Queues;

    const SOCK_DIAG_BY_FAMILY: u16 = 20;
    const NLM_F_REQUEST: u16 = 1;
    const NLMSG_ERROR: u16 = 2;
    const AF_INET: u8 = 2;
    const AF_INET6: u8 = 10;
    const IPPROTO_TCP: u8 = 6;
    /// Bytes of `nlmsghdr`.
    const HEADER: usize = 16;
    /// Offsets in the answer: the header, 4 bytes on the state, `inet_diag_sockid` of 48, a timer.
    const RQUEUE: usize = HEADER + 4 + 48 + 4;
    const WQUEUE: usize = RQUEUE + 4;

    pub(super) fn queues(local: SocketAddr, remote: SocketAddr) -> io::Result<Queues> {
        let kernel = socket_with(
            AddressFamily::NETLINK,
            SocketType::DGRAM,
            SocketFlags::CLOEXEC,
            Some(netlink::SOCK_DIAG),
        )?;
        send(&kernel, &question(local, remote), SendFlags::empty())?;
        let mut answer = [0; 4096];
        let (bytes, _) = recv(&kernel, &mut answer[..], RecvFlags::empty())?;
        read(&answer[..bytes])
    }

    fn question(local: SocketAddr, remote: SocketAddr) -> Vec<u8> {
        let family = if local.is_ipv4() { AF_INET } else { AF_INET6 };
        let mut body = vec![family, IPPROTO_TCP, 0, 0];
        body.extend(u32::MAX.to_ne_bytes()); // any state
        body.extend(local.port().to_be_bytes());
        body.extend(remote.port().to_be_bytes());
        for address in [local.ip(), remote.ip()] {
            let start = body.len();
            match address {
                IpAddr::V4(address) => body.extend(address.octets()),
                IpAddr::V6(address) => body.extend(address.octets()),
            }
            body.resize(start + 16, 0);
        }
        body.extend(0u32.to_ne_bytes()); // any interface
        body.extend([0xff; 8]); // INET_DIAG_NOCOOKIE: whatever its cookie
        let length = u32::try_from(HEADER + body.len()).unwrap_or(u32::MAX);
        let mut message = Vec::with_capacity(HEADER + body.len());
        message.extend(length.to_ne_bytes());
        message.extend(SOCK_DIAG_BY_FAMILY.to_ne_bytes());
        message.extend(NLM_F_REQUEST.to_ne_bytes());
        message.extend([0; 8]); // sequence and sender: one question, one answer
        message.extend(body);
        message
    }

    fn read(answer: &[u8]) -> io::Result<Queues> {
        let word = |at: usize| -> io::Result<u32> {
            let bytes = answer.get(at..at + 4).and_then(|bytes| bytes.try_into().ok());
            bytes.map(u32::from_ne_bytes).ok_or_else(|| io::ErrorKind::InvalidData.into())
        };
        let kind = answer.get(4..6).and_then(|bytes| bytes.try_into().ok()).map(u16::from_ne_bytes);
        if kind == Some(NLMSG_ERROR) {
            let negated = i32::from_ne_bytes(word(HEADER)?.to_ne_bytes());
            return Err(io::Error::from_raw_os_error(negated.wrapping_neg()));
        }
        Ok(Queues { unread: word(RQUEUE)?.into(), unacknowledged: word(WQUEUE)?.into() })
    }
}

#[cfg(all(test, target_os = "linux"))]
mod tests {
    use std::io::{Read, Write};
    use std::net::{TcpListener, TcpStream};

    use super::*;

    #[test]
    fn what_is_not_read_is_counted_at_the_reader() {
        for address in ["127.0.0.1:0", "[::1]:0"] {
            let Ok(listener) = TcpListener::bind(address) else { continue };
            let mut writer = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
            let (mut reader, _) = listener.accept().unwrap();
            let [near, far] = [&writer, &reader].map(|end| end.local_addr().unwrap());
            writer.write_all(&[7; 1000]).unwrap();
            reader.read_exact(&mut [0; 400]).unwrap();
            assert_eq!(queues(far, near).unwrap().unread, 600);
            assert_eq!(queues(near, far).unwrap(), Queues { unread: 0, unacknowledged: 0 });
            drop((writer, reader));
            let nobody = SocketAddr::from(([127, 0, 0, 1], 1));
            let error = queues(nobody, nobody).unwrap_err();
            assert_eq!(error.kind(), io::ErrorKind::NotFound);
        }
    }
}
