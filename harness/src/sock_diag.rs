//! Reads how Linux sees any TCP socket on this host: one end of a connection, or all listeners. It
//! uses `sock_diag(7)`, which needs no privilege and reads no other socket. `/proc/net/tcp` shows
//! the same, but takes a third of a second just after 100,000 connections have ended.

use std::io;
use std::net::{Ipv4Addr, SocketAddr, TcpListener};
use std::sync::LazyLock;

/// One end of a TCP connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SocketEnd {
    /// Bytes that have arrived and that the program has not read.
    pub unread: u64,
    /// Bytes that the program has written and the other end has not acknowledged.
    pub unacknowledged: u64,
    /// Zero once no process holds the socket.
    pub inode: u64,
}

/// A listening TCP socket.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Listener {
    pub address: SocketAddr,
    pub inode: u64,
    /// Clients in its accept queue.
    pub waiting: u32,
    /// Capacity of the queue: the backlog passed to listen(2), capped at `somaxconn`.
    pub capacity: u32,
}

/// Whether this system reports sockets. Tried once per process.
#[must_use]
pub fn works() -> bool {
    static WORKS: LazyLock<bool> = LazyLock::new(|| listeners().is_ok());
    *WORKS
}

/// Tries whether this system reports a listener of this process.
///
/// # Errors
/// `Unsupported` on systems other than Linux; otherwise the kernel's error, which is `NotFound` if
/// it has no module tcp_diag.
pub fn try_out() -> io::Result<()> {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?;
    let address = listener.local_addr()?;
    let is_reported = listeners()?.iter().any(|one| one.address == address);
    if is_reported { Ok(()) } else { Err(io::ErrorKind::NotFound.into()) }
}

/// The end at `local` of the connection with `remote`.
///
/// # Errors
/// `NotFound` if there is no such connection; `Unsupported` on systems other than Linux.
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

/// All TCP listeners on this host.
///
/// # Errors
/// `Unsupported` on systems other than Linux; otherwise the kernel's error.
pub fn listeners() -> io::Result<Vec<Listener>> {
    cfg_if::cfg_if! {
        if #[cfg(target_os = "linux")] {
            linux::listeners()
        } else {
            Err(io::ErrorKind::Unsupported.into())
        }
    }
}

/// Requests and responses over netlink(7), laid out as in `linux/inet_diag.h`.
#[cfg(target_os = "linux")]
mod linux {
    use std::io;
    use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
    use std::os::fd::OwnedFd;

    use rustix::net::{
        AddressFamily, RecvFlags, SendFlags, SocketFlags, SocketType, netlink, recv, send,
        socket_with,
    };

    use super::{Listener, SocketEnd};

    const SOCK_DIAG_BY_FAMILY: u16 = 20;
    const NLM_F_REQUEST: u16 = 1;
    const NLM_F_DUMP: u16 = 0x300;
    const NLMSG_ERROR: u16 = 2;
    const NLMSG_DONE: u16 = 3;
    /// Masks of the states in `net/tcp_states.h`.
    const ANY_STATE: u32 = u32::MAX;
    const LISTENING: u32 = 1 << 10;
    const AF_INET: u8 = 2;
    const AF_INET6: u8 = 10;
    const IPPROTO_TCP: u8 = 6;
    /// Size of `nlmsghdr` in bytes.
    const HEADER_BYTES: usize = 16;
    /// Offsets in a response: the header, 4 bytes about the state, `inet_diag_sockid` of 48 bytes,
    /// a timer.
    const FAMILY: usize = HEADER_BYTES;
    const PORT: usize = HEADER_BYTES + 4;
    const ADDRESS: usize = PORT + 4;
    const RQUEUE: usize = HEADER_BYTES + 4 + 48 + 4;
    const WQUEUE: usize = RQUEUE + 4;
    /// After the user id.
    const INODE: usize = WQUEUE + 4 + 4;

    pub(super) fn socket_end(local: SocketAddr, remote: SocketAddr) -> io::Result<SocketEnd> {
        let kernel = kernel()?;
        let family = if local.is_ipv4() { AF_INET } else { AF_INET6 };
        let mut id = Vec::new();
        id.extend(local.port().to_be_bytes());
        id.extend(remote.port().to_be_bytes());
        for address in [local.ip(), remote.ip()] {
            let start = id.len();
            match address {
                IpAddr::V4(address) => id.extend(address.octets()),
                IpAddr::V6(address) => id.extend(address.octets()),
            }
            id.resize(start + 16, 0);
        }
        id.extend(0u32.to_ne_bytes()); // any interface
        id.extend([0xff; 8]); // INET_DIAG_NOCOOKIE: any cookie
        send(&kernel, &request(NLM_F_REQUEST, family, ANY_STATE, &id), SendFlags::empty())?;
        let mut answer = [0; 4096];
        let (bytes, _) = recv(&kernel, &mut answer[..], RecvFlags::empty())?;
        let answer = &answer[..bytes];
        if kind(answer) == Some(NLMSG_ERROR) {
            return Err(error(answer)?);
        }
        let number = |at| word(answer, at).map(u64::from);
        Ok(SocketEnd {
            unread: number(RQUEUE)?,
            unacknowledged: number(WQUEUE)?,
            inode: number(INODE)?,
        })
    }

    pub(super) fn listeners() -> io::Result<Vec<Listener>> {
        let mut all = read_listeners(AF_INET)?;
        // A kernel may lack IPv6.
        all.extend(read_listeners(AF_INET6).unwrap_or_default());
        Ok(all)
    }

    fn read_listeners(family: u8) -> io::Result<Vec<Listener>> {
        let kernel = kernel()?;
        let flags = NLM_F_REQUEST | NLM_F_DUMP;
        send(&kernel, &request(flags, family, LISTENING, &[0; 48]), SendFlags::empty())?;
        let mut found = Vec::new();
        let mut answer = vec![0; 64 * 1024];
        loop {
            let (bytes, _) = recv(&kernel, &mut answer[..], RecvFlags::empty())?;
            let mut rest = &answer[..bytes];
            if rest.is_empty() {
                return Ok(found);
            }
            while rest.len() >= HEADER_BYTES {
                let length = (word(rest, 0)? as usize).clamp(HEADER_BYTES, rest.len());
                let (message, next) = rest.split_at(length);
                match kind(message) {
                    // A kernel without tcp_diag reports that in the last message.
                    Some(NLMSG_DONE)
                        if array(message, HEADER_BYTES)
                            .is_ok_and(|code| i32::from_ne_bytes(code) < 0) =>
                    {
                        return Err(error(message)?);
                    }
                    Some(NLMSG_DONE) => return Ok(found),
                    Some(NLMSG_ERROR) => return Err(error(message)?),
                    Some(_) | None => found.extend(listener(message)?),
                }
                rest = next.get(length.next_multiple_of(4) - length..).unwrap_or_default();
            }
        }
    }

    /// The listener that one message of a dump describes; `None` if the family is another one.
    fn listener(message: &[u8]) -> io::Result<Option<Listener>> {
        let ip = match message.get(FAMILY) {
            Some(&AF_INET) => IpAddr::from(Ipv4Addr::from(array::<4>(message, ADDRESS)?)),
            Some(&AF_INET6) => IpAddr::from(Ipv6Addr::from(array::<16>(message, ADDRESS)?)),
            Some(_) | None => return Ok(None),
        };
        let port = u16::from_be_bytes(array(message, PORT)?);
        Ok(Some(Listener {
            address: SocketAddr::from((ip, port)),
            inode: u64::from(word(message, INODE)?),
            waiting: word(message, RQUEUE)?,
            capacity: word(message, WQUEUE)?,
        }))
    }

    fn kernel() -> io::Result<OwnedFd> {
        let family = AddressFamily::NETLINK;
        let kind = SocketType::DGRAM;
        Ok(socket_with(family, kind, SocketFlags::CLOEXEC, Some(netlink::SOCK_DIAG))?)
    }

    /// A message with an `inet_diag_req_v2`. Its last 48 bytes, `id`, select the sockets.
    fn request(flags: u16, family: u8, states: u32, id: &[u8]) -> Vec<u8> {
        let mut body = vec![family, IPPROTO_TCP, 0, 0];
        body.extend(states.to_ne_bytes());
        body.extend(id);
        let length = u32::try_from(HEADER_BYTES + body.len()).unwrap_or(u32::MAX);
        let mut message = Vec::with_capacity(HEADER_BYTES + body.len());
        message.extend(length.to_ne_bytes());
        message.extend(SOCK_DIAG_BY_FAMILY.to_ne_bytes());
        message.extend(flags.to_ne_bytes());
        message.extend([0; 8]); // sequence number and port id: one request at a time
        message.extend(body);
        message
    }

    fn array<const N: usize>(message: &[u8], at: usize) -> io::Result<[u8; N]> {
        let bytes = message.get(at..at + N).and_then(|bytes| bytes.try_into().ok());
        bytes.ok_or_else(|| io::ErrorKind::InvalidData.into())
    }

    fn word(message: &[u8], at: usize) -> io::Result<u32> {
        array(message, at).map(u32::from_ne_bytes)
    }

    fn kind(message: &[u8]) -> Option<u16> {
        array(message, 4).map(u16::from_ne_bytes).ok()
    }

    /// The error that a message carries after its header (`NLMSG_ERROR` or `NLMSG_DONE`).
    fn error(message: &[u8]) -> io::Result<io::Error> {
        let negated = i32::from_ne_bytes(array(message, HEADER_BYTES)?);
        Ok(io::Error::from_raw_os_error(negated.wrapping_neg()))
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
