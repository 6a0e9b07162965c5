//! What Linux tells of one end of a TCP connection on this host, whoever's it is: through
//! `sock_diag(7)`, without privilege and without looking at any other socket. `/proc/net/tcp` has
//! the same, and takes a third of a second when a hundred thousand connections have just ended.

use std::io;
use std::net::SocketAddr;

/// One end of a connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SocketEnd {
    /// Bytes that arrived and that the program has not read.
    pub unread: u64,
    /// Bytes that the program has written and the other end has not acknowledged.
    pub unacknowledged: u64,
    /// The inode of the socket; 0 when no process has it any more.
    pub inode: u64,
}

/// Whether this system tells.
pub const IS_TOLD: bool = cfg!(target_os = "linux");

/// The end at `local` of its connection with `remote`.
///
/// # Errors
/// `NotFound` when there is no such connection, `Unsupported` where the system does not tell.
pub fn socket_end(local: SocketAddr, remote: SocketAddr) -> io::Result<SocketEnd> {
    cfg_if::cfg_if! {
        if #[cfg(target_os = "linux")] {
            linux::socket_end(local, remote)
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

    use super::SocketEnd;

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
    /// Behind the user's number.
    const INODE: usize = WQUEUE + 4 + 4;

    pub(super) fn socket_end(local: SocketAddr, remote: SocketAddr) -> io::Result<SocketEnd> {
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

    fn read(answer: &[u8]) -> io::Result<SocketEnd> {
        let word = |at: usize| -> io::Result<u32> {
            let bytes = answer.get(at..at + 4).and_then(|bytes| bytes.try_into().ok());
            bytes.map(u32::from_ne_bytes).ok_or_else(|| io::ErrorKind::InvalidData.into())
        };
        let kind = answer.get(4..6).and_then(|bytes| bytes.try_into().ok()).map(u16::from_ne_bytes);
        if kind == Some(NLMSG_ERROR) {
            let negated = i32::from_ne_bytes(word(HEADER)?.to_ne_bytes());
            return Err(io::Error::from_raw_os_error(negated.wrapping_neg()));
        }
        let number = |at| word(at).map(u64::from);
        Ok(SocketEnd {
            unread: number(RQUEUE)?,
            unacknowledged: number(WQUEUE)?,
            inode: number(INODE)?,
        })
    }
}

#[cfg(all(test, target_os = "linux"))]
mod tests {
    use std::io::{Read as _, Write as _};
    use std::net::{TcpListener, TcpStream};
    use std::os::fd::AsRawFd as _;

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
            assert_eq!(socket_end(far, near).unwrap().unread, 600);
            let own = socket_end(near, far).unwrap();
            assert_eq!((own.unread, own.unacknowledged), (0, 0));
            let link = format!("/proc/self/fd/{}", writer.as_raw_fd());
            let link = std::fs::read_link(link).unwrap();
            assert_eq!(link.to_str(), Some(format!("socket:[{}]", own.inode).as_str()));
            drop((writer, reader));
            let nobody = SocketAddr::from(([127, 0, 0, 1], 1));
            let error = socket_end(nobody, nobody).unwrap_err();
            assert_eq!(error.kind(), io::ErrorKind::NotFound);
        }
    }
}
