//! How many clients a listener lets wait, seen from outside its process.

/// The accept queues of all TCP listeners on a port, taken together.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct AcceptQueue {
    /// Clients that wait.
    pub waiting: u32,
    /// How many may: what the listeners gave to listen(2), cut at `somaxconn`.
    pub room: u32,
}

/// That of a port of this host. None where the system does not tell, or nobody listens.
#[must_use]
pub fn accept_queue(port: u16) -> Option<AcceptQueue> {
    system::accept_queue(port)
}

#[cfg(target_os = "linux")]
mod system {
    use rustix::io::{Errno, read, write};
    use rustix::net::{AddressFamily, SocketType, netlink, socket};

    use super::AcceptQueue;

    /// `SOCK_DIAG_BY_FAMILY` of linux/sock_diag.h.
    const BY_FAMILY: u16 = 20;
    /// `NLM_F_REQUEST | NLM_F_DUMP` of linux/netlink.h.
    const REQUEST_DUMP: u16 = 0x301;
    /// `NLMSG_ERROR` and `NLMSG_DONE`: what ends an answer.
    const ENDS: [u16; 2] = [2, 3];
    /// `AF_INET` and `AF_INET6` (ip(7), ipv6(7)).
    const FAMILIES: [u8; 2] = [2, 10];
    /// `IPPROTO_TCP`.
    const TCP: u8 = 6;
    /// One bit for each state of tcp_states.h; a listener's is the tenth.
    const LISTENING: u32 = 1 << 10;

    /// Bytes of `struct nlmsghdr`, and of that with `struct inet_diag_req_v2` (sock_diag(7)).
    const HEADER: usize = 16;
    const REQUEST: usize = HEADER + 56;
    /// Where `struct inet_diag_msg` has a listener's port, how many wait, and its backlog.
    const PORT: usize = HEADER + 4;
    const WAITING: usize = HEADER + 56;
    const BACKLOG: usize = HEADER + 60;

    pub(super) fn accept_queue(port: u16) -> Option<AcceptQueue> {
        let queues = FAMILIES.into_iter().filter_map(|family| of_family(family, port).ok());
        queues.flatten().reduce(|one, other| AcceptQueue {
            waiting: one.waiting + other.waiting,
            room: one.room.saturating_add(other.room),
        })
    }

    fn of_family(family: u8, port: u16) -> Result<Option<AcceptQueue>, Errno> {
        let diag = Some(netlink::SOCK_DIAG);
        let kernel = socket(AddressFamily::NETLINK, SocketType::DGRAM, diag)?;
        write(&kernel, &request(family))?;
        let mut queue: Option<AcceptQueue> = None;
        let mut answer = vec![0; 64 * 1024];
        loop {
            let bytes = read(&kernel, &mut answer)?;
            let mut rest = &answer[..bytes];
            if rest.is_empty() {
                return Ok(queue);
            }
            while let Some(length) = field(rest, 0) {
                let length = (length as usize).clamp(HEADER, rest.len());
                let (message, next) = rest.split_at(length);
                if ENDS.iter().any(|end| message[4..6] == end.to_ne_bytes()) {
                    return Ok(queue);
                }
                if message.get(PORT..PORT + 2) == Some(&port.to_be_bytes())
                    && let (Some(waiting), Some(backlog)) =
                        (field(message, WAITING), field(message, BACKLOG))
                {
                    let sum = queue.get_or_insert_default();
                    sum.waiting += waiting;
                    sum.room = sum.room.saturating_add(backlog);
                }
                rest = next.get((4 - length % 4) % 4..).unwrap_or_default();
            }
        }
    }

    /// All listeners of a family.
    fn request(family: u8) -> [u8; REQUEST] {
        let mut request = [0; REQUEST];
        request[0..4].copy_from_slice(&(REQUEST as u32).to_ne_bytes());
        request[4..6].copy_from_slice(&BY_FAMILY.to_ne_bytes());
        request[6..8].copy_from_slice(&REQUEST_DUMP.to_ne_bytes());
        request[HEADER] = family;
        request[HEADER + 1] = TCP;
        request[HEADER + 4..HEADER + 8].copy_from_slice(&LISTENING.to_ne_bytes());
        request
    }

    fn field(message: &[u8], at: usize) -> Option<u32> {
        let bytes = message.get(at..at + 4)?;
        Some(u32::from_ne_bytes(bytes.try_into().ok()?))
    }
}

#[cfg(not(target_os = "linux"))]
mod system {
    pub(super) fn accept_queue(_: u16) -> Option<super::AcceptQueue> {
        None
    }
}

#[cfg(all(test, target_os = "linux"))]
mod tests {
    use socket2::{Domain, Socket, Type};

    use super::*;

    #[test]
    fn the_room_of_a_listener_is_what_it_asked_for() {
        for (address, backlog) in [("127.0.0.1:0", 5), ("[::1]:0", 77)] {
            let address: std::net::SocketAddr = address.parse().unwrap();
            let listener = Socket::new(Domain::for_address(address), Type::STREAM, None).unwrap();
            if listener.bind(&address.into()).is_err() {
                continue;
            }
            listener.listen(backlog).unwrap();
            let port = listener.local_addr().unwrap().as_socket().unwrap().port();
            let room = backlog as u32;
            assert_eq!(accept_queue(port), Some(AcceptQueue { waiting: 0, room }), "{address}");
            let client = std::net::TcpStream::connect((address.ip(), port)).unwrap();
            assert_eq!(accept_queue(port), Some(AcceptQueue { waiting: 1, room }), "{address}");
            drop((client, listener));
            assert_eq!(accept_queue(port), None, "{address}");
        }
    }
}
