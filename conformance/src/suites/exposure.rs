//! What cases check besides a server's connections: the addresses at which it can be reached, and
//! the descriptors that a program it executes would inherit.

use std::io::ErrorKind;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, TcpListener, UdpSocket};
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use harness::announcement::{Announcement, Ready};
use harness::launcher::{DRAIN_TIME, Launch, Server, Start};
use harness::place::Place;
use harness::process::ListeningSocket;
use report::{Failure, FailureKind, Transport};

use crate::case::{CaseResult, Observation};
use crate::client::connection::Connection;
use crate::client::datagrams::{Client, Datagrams};
use crate::client::{HAS_LOOPBACK_NETWORK, SECOND_LOOPBACK};
use crate::expectation::{GRACE_BEYOND_DRAIN, expect_graceful_end, expect_survival};
use crate::lifecycle::Lifecycle;

/// A connection that is not established within this time counts as refused.
const CONNECT_LIMIT: Duration = Duration::from_secs(1);
/// Long enough for a reply to a datagram that should get none.
const REPLY_LIMIT: Duration = Duration::from_millis(100);

pub(super) fn only_its_address(lifecycle: &Lifecycle) -> CaseResult {
    let mut tcp = vec!["tcp:127.0.0.1:0"];
    if HAS_LOOPBACK_NETWORK {
        tcp.push("tcp:127.0.0.2:0");
    }
    if has_ipv6() {
        tcp.push("tcp:[::1]:0");
    }
    let server = start_unexposed(lifecycle, &tcp)?;
    let Ok(ready) = server.ready() else {
        // A plain command announces nothing, and the judge gave it an explicit port already.
        return Observation::met();
    };
    // Start again on the port that the kernel has picked, this time given explicitly.
    let picked = ready.tcp_addresses()?.into_iter().take(1).map(Start::listening_on);
    server.ask_to_stop()?;
    expect_graceful_end(&server, DRAIN_TIME + GRACE_BEYOND_DRAIN, lifecycle.clock())?;
    for start in picked.chain([Start::with_listeners(&["cpu:127.0.0.1:0"])]) {
        let server = match lifecycle.launch(&start)? {
            // Other cases judge what a server does not offer.
            Launch::Declined(Announcement::Unsupported(_)) => continue,
            launched @ (Launch::Ready(_) | Launch::Declined(_) | Launch::Ended(_)) => {
                launched.expect_ready()?
            }
        };
        let found = expect_unexposed(lifecycle, &server);
        expect_survival(&server, found, lifecycle.clock())?;
    }
    Observation::met()
}

pub(super) fn only_its_udp_address(lifecycle: &Lifecycle) -> CaseResult {
    let mut udp = vec!["udp:127.0.0.1:0"];
    if has_ipv6() {
        udp.push("udp:[::1]:0");
    }
    start_unexposed(lifecycle, &udp)?;
    Observation::met()
}

/// Starts a server on ports that the kernel picks. Another process may use such a port at another
/// address, so a failure is tried once more. That this happens twice is as good as impossible.
fn start_unexposed(lifecycle: &Lifecycle, listen: &[&str]) -> Result<Server, Failure> {
    let attempt = || {
        let server = lifecycle.start_with(&Start::with_listeners(listen))?;
        let found = expect_unexposed(lifecycle, &server);
        expect_survival(&server, found, lifecycle.clock()).map(|()| server)
    };
    match attempt() {
        Err(failure) if failure.kind == FailureKind::NotRefused => attempt(),
        once => once,
    }
}

fn has_ipv6() -> bool {
    TcpListener::bind((Ipv6Addr::LOCALHOST, 0)).is_ok()
}

/// The addresses that a server announced, or the one that it was given.
fn announced_addresses(server: &Server) -> Result<Vec<ListeningSocket>, Failure> {
    let on = |transport, addresses: Vec<SocketAddr>| {
        addresses.into_iter().map(move |address| ListeningSocket { transport, address })
    };
    let Ok(ready) = server.ready() else {
        for transport in [Transport::Tcp, Transport::Udp] {
            if let Ok(Place::Ip(address)) = server.place(transport) {
                return Ok(vec![ListeningSocket { transport, address }]);
            }
        }
        return Err(Failure::new(FailureKind::Harness, "a server with an address", "another"));
    };
    let tcp = ready.addresses("tcp")?.into_iter().chain(ready.addresses("cpu")?).collect();
    Ok(on(Transport::Tcp, tcp).chain(on(Transport::Udp, ready.addresses("udp")?)).collect())
}

fn expect_unexposed(lifecycle: &Lifecycle, server: &Server) -> Result<(), Failure> {
    let given = announced_addresses(server)?;
    for address in server.ready().map_or(Ok(Vec::new()), Ready::tcp_addresses)? {
        lifecycle.peer_at_address(address).expect_service()?;
    }
    for place in &given {
        for ip in other_addresses(place.address.ip()) {
            let other = SocketAddr::from((ip, place.address.port()));
            let is_reached = match place.transport {
                Transport::Udp => is_answered(lifecycle, place.address, other)?,
                Transport::Tcp | Transport::Unix | Transport::Unixgram => {
                    is_connected(lifecycle, other)?
                }
            };
            // Two listeners of the server may have the same port.
            let is_own = given.iter().any(|own| own.address == other);
            if is_reached && !is_own {
                return Err(reached_failure(place, &format!("a client reached it on {other}")));
            }
        }
    }
    for seen in server.process().listening_sockets()? {
        let own = given.iter().find(|own| {
            own.transport == seen.transport && own.address.port() == seen.address.port()
        });
        // A contract server may have no TCP listener outside loopback. Of a plain command, only
        // sockets on its own port are judged.
        let is_asked = own.or(given.first().filter(|own| {
            server.ready().is_ok()
                && seen.transport == Transport::Tcp
                && own.transport == Transport::Tcp
        }));
        if let Some(own) = is_asked
            && !seen.address.ip().to_canonical().is_loopback()
        {
            let kind = seen.transport.kind();
            return Err(reached_failure(
                own,
                &format!("it has a {kind} socket on {}", seen.address),
            ));
        }
    }
    Ok(())
}

fn is_connected(lifecycle: &Lifecycle, address: SocketAddr) -> Result<bool, Failure> {
    let pending = lifecycle.peer_at_address(address).start();
    let deadline = lifecycle.clock().deadline_after(CONNECT_LIMIT);
    match pending.and_then(|pending| pending.finish(deadline)) {
        Ok(_) => Ok(true),
        Err(failure) if failure.kind == FailureKind::Harness => Err(failure),
        Err(_) => Ok(false),
    }
}

fn reached_failure(given: &ListeningSocket, actual: &str) -> Failure {
    let expected = format!("a server on {}:{} alone", given.transport.kind(), given.address);
    Failure::new(FailureKind::NotRefused, expected, actual)
}

/// The other addresses of this host: the loopback addresses of both families, and its address on
/// the network if it has one.
fn other_addresses(own: IpAddr) -> Vec<IpAddr> {
    let mut all: Vec<IpAddr> = vec![Ipv4Addr::LOCALHOST.into()];
    if HAS_LOOPBACK_NETWORK {
        all.push(SECOND_LOOPBACK.into());
    }
    if has_ipv6() {
        all.push(Ipv6Addr::LOCALHOST.into());
    }
    all.extend(own_address());
    all.retain(|other| *other != own);
    all
}

/// The source address of this host towards other hosts. Connecting a UDP socket finds it and sends
/// nothing.
fn own_address() -> Option<IpAddr> {
    /// An address for documentation, which no host has (RFC 5737).
    const DOCUMENTATION_ADDRESS: (Ipv4Addr, u16) = (Ipv4Addr::new(192, 0, 2, 1), 9);
    let socket = UdpSocket::bind((Ipv4Addr::UNSPECIFIED, 0)).ok()?;
    socket.connect(DOCUMENTATION_ADDRESS).ok()?;
    socket.local_addr().ok().map(|address| address.ip())
}

/// Whether the server's port replies to a datagram that was sent to another address. A later
/// exchange on the server's own address shows that it has had time for that datagram.
fn is_answered(lifecycle: &Lifecycle, own: SocketAddr, other: SocketAddr) -> Result<bool, Failure> {
    let trouble = |e: std::io::Error| {
        Failure::new(FailureKind::Harness, format!("to send a datagram to {other}"), e.to_string())
    };
    let from: IpAddr = match other {
        SocketAddr::V4(_) => Ipv4Addr::UNSPECIFIED.into(),
        SocketAddr::V6(_) => Ipv6Addr::UNSPECIFIED.into(),
    };
    let socket = UdpSocket::bind((from, 0)).map_err(trouble)?;
    if socket.send_to(b"is anybody there?", other).is_err() {
        return Ok(false);
    }
    let context = Arc::clone(lifecycle.context());
    Datagrams::new(Place::Ip(own), PathBuf::new(), context).expect_service()?;
    let deadline = lifecycle.clock().deadline_after(REPLY_LIMIT);
    let mut buffer = [0; 64];
    while !deadline.is_over() {
        let left = deadline.left().max(Duration::from_millis(1));
        socket.set_read_timeout(Some(left)).map_err(trouble)?;
        match socket.recv_from(&mut buffer) {
            Ok((_, from)) if from.port() == own.port() => return Ok(true),
            Ok(_) => {}
            Err(e) if [ErrorKind::WouldBlock, ErrorKind::TimedOut].contains(&e.kind()) => {}
            // Nobody listens there.
            Err(_) => return Ok(false),
        }
    }
    Ok(false)
}

pub(super) fn descriptors_not_inherited(lifecycle: &Lifecycle) -> CaseResult {
    let transports = [Transport::Tcp, Transport::Udp, Transport::Unix, Transport::Unixgram];
    for transport in transports.into_iter().filter(|transport| transport.exists_here()) {
        let server = match lifecycle.launch(&lifecycle.start_with_listener(transport)?)? {
            Launch::Declined(Announcement::Unsupported(_)) => continue,
            launched @ (Launch::Ready(_) | Launch::Declined(_) | Launch::Ended(_)) => {
                launched.expect_ready()?
            }
        };
        let found = expect_none_inherited(lifecycle, &server, transport);
        expect_survival(&server, found, lifecycle.clock())?;
        if server.ready().is_err() {
            break;
        }
    }
    Observation::met()
}

fn expect_none_inherited(
    lifecycle: &Lifecycle,
    server: &Server,
    transport: Transport,
) -> Result<(), Failure> {
    // Clients stay connected until the descriptors have been read.
    let mut connections: Vec<Connection> = Vec::new();
    let mut clients: Vec<Client> = Vec::new();
    match transport {
        Transport::Tcp | Transport::Unix => {
            let peer = lifecycle.peer_with_transport(transport, server)?;
            connections = peer.connect_many(lifecycle.size())?;
            connections.iter_mut().try_for_each(|client| client.exchange(64))?;
        }
        Transport::Udp | Transport::Unixgram => {
            let datagrams = lifecycle.datagrams(transport, server)?;
            for _ in 0..lifecycle.size() {
                clients.push(datagrams.client()?);
            }
            clients.iter_mut().try_for_each(|client| client.exchange(64))?;
        }
    }
    let inheritable = server.process().inheritable_descriptors()?;
    drop((connections, clients));
    if inheritable.is_empty() {
        return Ok(());
    }
    let expected = format!(
        "close-on-exec on all descriptors while {} clients are connected",
        transport.kind()
    );
    let actual = format!("none on {}", inheritable.join(", "));
    Err(Failure::new(FailureKind::Descriptors, expected, actual))
}
