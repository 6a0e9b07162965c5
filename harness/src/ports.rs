//! Chooses ports for servers that are told where to listen, or that start where another server has
//! just ended.

use std::io;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::ops::Range;
use std::sync::OnceLock;
use std::sync::atomic::{AtomicU32, Ordering};

use report::Transport;
use socket2::{Domain, Socket, Type};

use crate::host::ephemeral_ports;

/// Enough ports for the servers of all cells, and for those of other judges on this host.
const ENOUGH_PORTS: u32 = 2_000;
/// Lower ports are assigned to well-known services, and to many that no longer exist.
const LOWEST_PORT: u32 = 10_000;
/// At most this many ports below those of clients are used.
const MAX_PORTS: u32 = 16_384;
const PORT_END: u32 = 1 << 16;
/// The ports that clients get if the system does not report them (RFC 6335, section 6).
const USUAL_CLIENT_PORTS: (u16, u16) = (49_152, 65_535);

/// A free address on 127.0.0.1. Its port is outside the range that the kernel gives to clients.
/// Cells that run in parallel have thousands of clients, and any of them could take the port before
/// the server does, or between two servers.
///
/// # Errors
/// No port is free, or the system refuses a socket.
pub fn free_address(transport: Transport) -> io::Result<SocketAddr> {
    let ip = IpAddr::from(Ipv4Addr::LOCALHOST);
    free_port(transport, &[ip]).map(|port| (ip, port).into())
}

/// A port that is free on each of `ips`, chosen as in [`free_address`].
///
/// # Errors
/// See [`free_address`].
pub fn free_port(transport: Transport, ips: &[IpAddr]) -> io::Result<u16> {
    static RANGE: OnceLock<Range<u32>> = OnceLock::new();
    /// Each server gets the next port. The first port is random, so that programs that run in
    /// parallel start at different ports.
    static NEXT: OnceLock<AtomicU32> = OnceLock::new();
    let range = RANGE.get_or_init(|| {
        let (first, last) = ephemeral_ports().unwrap_or(USUAL_CLIENT_PORTS);
        server_ports(first.into(), last.into())
    });
    let next = NEXT.get_or_init(|| AtomicU32::new(fastrand::u32(..)));
    let count = range.end - range.start;
    for _ in range.clone() {
        let port = range.start + next.fetch_add(1, Ordering::Relaxed) % count;
        let port = u16::try_from(port).map_err(io::Error::other)?;
        let free = ips.iter().map(|ip| is_free(transport, *ip, port));
        let free = free.collect::<io::Result<Vec<bool>>>()?;
        if !free.contains(&false) {
            return Ok(port);
        }
    }
    Err(io::Error::other(format!("no port from {} to {} is free", range.start, range.end - 1)))
}

/// The ports for servers if clients get `first` to `last`: those below, or else those above. If
/// clients get nearly all ports, the highest ones are used anyway.
fn server_ports(first: u32, last: u32) -> Range<u32> {
    let below = LOWEST_PORT.max(first.saturating_sub(MAX_PORTS))..first;
    let above = last + 1..PORT_END;
    [below, above]
        .into_iter()
        .find(|range| range.end.saturating_sub(range.start) >= ENOUGH_PORTS)
        .unwrap_or(PORT_END - MAX_PORTS..PORT_END)
}

fn is_free(transport: Transport, ip: IpAddr, port: u16) -> io::Result<bool> {
    let kind = match transport {
        Transport::Tcp | Transport::Unix => Type::STREAM,
        Transport::Udp | Transport::Unixgram => Type::DGRAM,
    };
    let address = SocketAddr::from((ip, port));
    // std would set SO_REUSEADDR, but not every server does, so the port must be free without it.
    let socket = Socket::new(Domain::for_address(address), kind, None)?;
    if ip.is_ipv6() {
        socket.set_only_v6(true)?;
    }
    Ok(socket.bind(&address.into()).is_ok())
}

#[cfg(test)]
mod tests {
    use std::net::{Ipv6Addr, TcpListener, UdpSocket};

    use super::*;

    #[test]
    fn servers_get_ports_that_clients_do_not() {
        assert_eq!(server_ports(32_768, 60_999), 16_384..32_768, "Linux");
        assert_eq!(server_ports(49_152, 65_535), 32_768..49_152, "macOS, Windows");
        assert_eq!(server_ports(16_384, 65_535), 10_000..16_384, "macOS with more of them");
        assert_eq!(server_ports(1_024, 60_999), 61_000..65_536, "all the low ones");
        assert_eq!(server_ports(1_024, 65_535), 49_152..65_536, "all");
    }

    #[test]
    fn a_free_port_can_be_bound_and_does_not_come_again() {
        let (first, last) = ephemeral_ports().unwrap_or(USUAL_CLIENT_PORTS);
        let one = free_address(Transport::Tcp).unwrap();
        let _listener = TcpListener::bind(one).unwrap();
        let other = free_address(Transport::Udp).unwrap();
        let _socket = UdpSocket::bind(other).unwrap();
        assert_ne!(one.port(), other.port());
        let is_for_clients = |at: SocketAddr| (first..=last).contains(&at.port());
        let range = server_ports(first.into(), last.into());
        let is_apart = !range.contains(&first.into()) && !range.contains(&last.into());
        assert!(!is_apart || !is_for_clients(one) && !is_for_clients(other), "{one} {other}");
    }

    #[test]
    fn a_port_that_is_taken_is_not_free() {
        let ip = IpAddr::from(Ipv4Addr::LOCALHOST);
        let listener = TcpListener::bind((ip, 0)).unwrap();
        let taken = listener.local_addr().unwrap().port();
        assert!(!is_free(Transport::Tcp, ip, taken).unwrap());
        if UdpSocket::bind((Ipv6Addr::LOCALHOST, 0)).is_ok() {
            let both = [Ipv4Addr::UNSPECIFIED.into(), Ipv6Addr::UNSPECIFIED.into()];
            assert_ne!(free_port(Transport::Tcp, &both).unwrap(), taken);
        }
    }
}
