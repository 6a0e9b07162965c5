//! Ports for servers that are told where to listen, or that start where another has just ended.

use std::io;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::ops::Range;
use std::sync::OnceLock;
use std::sync::atomic::{AtomicU32, Ordering};

use report::Transport;
use socket2::{Domain, Socket, Type};

use crate::host::ephemeral_ports;

/// Enough for the servers of all cells, with those of other programs of this kind beside them.
const ENOUGH: u32 = 2_000;
/// Below are ports that well-known services have, and many others that are no more.
const LOWEST: u32 = 10_000;
/// Ports below those of clients that are used at most.
const MOST: u32 = 16_384;
const END: u32 = 1 << 16;
/// What is given to clients where the system does not tell (RFC 6335, section 6).
const USUAL: (u16, u16) = (49_152, 65_535);

/// An address of 127.0.0.1 that is free now. Its port is none of those that the kernel gives to
/// clients, of which there are thousands in the cells beside this one: any of them could get it
/// before the server, or between two servers.
///
/// # Errors
/// No port is free, or the system has no socket to try one with.
pub fn free_address(transport: Transport) -> io::Result<SocketAddr> {
    let ip = IpAddr::from(Ipv4Addr::LOCALHOST);
    free_port(transport, &[ip]).map(|port| (ip, port).into())
}

/// A port that is free now on each of `ips`, chosen as in [`free_address`].
///
/// # Errors
/// As [`free_address`].
pub fn free_port(transport: Transport, ips: &[IpAddr]) -> io::Result<u16> {
    static RANGE: OnceLock<Range<u32>> = OnceLock::new();
    /// Another one for every server of this program, from a place of its own on.
    static NEXT: OnceLock<AtomicU32> = OnceLock::new();
    let range = RANGE.get_or_init(|| {
        let (first, last) = ephemeral_ports().unwrap_or(USUAL);
        for_servers(first.into(), last.into())
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

/// Ports for servers where clients get those from `first` to `last`: below, or else above; where
/// clients get nearly all, some of those.
fn for_servers(first: u32, last: u32) -> Range<u32> {
    let below = LOWEST.max(first.saturating_sub(MOST))..first;
    let above = last + 1..END;
    [below, above]
        .into_iter()
        .find(|range| range.end.saturating_sub(range.start) >= ENOUGH)
        .unwrap_or(END - MOST..END)
}

fn is_free(transport: Transport, ip: IpAddr, port: u16) -> io::Result<bool> {
    let kind = match transport {
        Transport::Tcp | Transport::Unix => Type::STREAM,
        Transport::Udp | Transport::Unixgram => Type::DGRAM,
    };
    let address = SocketAddr::from((ip, port));
    // Without SO_REUSEADDR, which std would set: not every server does.
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
        assert_eq!(for_servers(32_768, 60_999), 16_384..32_768, "Linux");
        assert_eq!(for_servers(49_152, 65_535), 32_768..49_152, "macOS, Windows");
        assert_eq!(for_servers(16_384, 65_535), 10_000..16_384, "macOS with more of them");
        assert_eq!(for_servers(1_024, 60_999), 61_000..65_536, "all the low ones");
        assert_eq!(for_servers(1_024, 65_535), 49_152..65_536, "all");
    }

    #[test]
    fn a_free_port_can_be_bound_and_does_not_come_again() {
        let (first, last) = ephemeral_ports().unwrap_or(USUAL);
        let one = free_address(Transport::Tcp).unwrap();
        let _listener = TcpListener::bind(one).unwrap();
        let other = free_address(Transport::Udp).unwrap();
        let _socket = UdpSocket::bind(other).unwrap();
        assert_ne!(one.port(), other.port());
        let is_for_clients = |at: SocketAddr| (first..=last).contains(&at.port());
        let range = for_servers(first.into(), last.into());
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
