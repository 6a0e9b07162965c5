//! What cases check besides a server's connections: the addresses at which it can be reached, and
//! the descriptors that a program it executes would inherit.

use std::io::ErrorKind;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, TcpListener, UdpSocket};
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use harness::announcement::{Announcement, Ready};
use harness::launcher::{DRAIN, Launch, Server, Start};
use harness::place::Place;
use harness::process::Waiting;
use report::{Failure, FailureKind, Transport};

use crate::case::{CaseResult, Observation};
use crate::client::connection::Connection;
use crate::client::datagrams::{Client, Datagrams};
use crate::client::{HAS_LOOPBACK_NETWORK, SECOND_LOOPBACK};
use crate::expectation::{GRACE_BEYOND_DRAIN, expect_graceful_end, expect_survival};
use crate::lifecycle::Lifecycle;

/// How long a connection that should be refused may take to be established.
const REACHED: Duration = Duration::from_secs(1);
/// Enough for an answer to a datagram that nobody should have.
const ANSWERED: Duration = Duration::from_millis(100);

pub(super) fn only_its_address(lifecycle: &Lifecycle) -> CaseResult {
    let mut tcp = vec!["tcp:127.0.0.1:0"];
    if HAS_LOOPBACK_NETWORK {
        tcp.push("tcp:127.0.0.2:0");
    }
    if has_ipv6() {
        tcp.push("tcp:[::1]:0");
    }
    let server = start_unreached_elsewhere(lifecycle, &tcp)?;
    let Ok(ready) = server.ready() else {
        // A command says by itself what it listens on, and gets a port that was picked.
        return Observation::met();
    };
    // What the kernel has picked for this one is given to another by the judge.
    let picked = ready.tcp_addresses()?.into_iter().take(1).map(Start::on);
    server.ask_to_stop()?;
    expect_graceful_end(&server, DRAIN + GRACE_BEYOND_DRAIN, lifecycle.clock())?;
    for start in picked.chain([Start::listening(&["cpu:127.0.0.1:0"])]) {
        let server = match lifecycle.launch(&start)? {
            // What it does not offer is asked elsewhere.
            Launch::Declined(Announcement::Unsupported(_)) => continue,
            launched @ (Launch::Ready(_) | Launch::Declined(_) | Launch::Ended(_)) => {
                launched.expect_ready()?
            }
        };
        let found = expect_reached_nowhere_else(lifecycle, &server);
        expect_survival(&server, found, lifecycle.clock())?;
    }
    Observation::met()
}

pub(super) fn only_its_udp_address(lifecycle: &Lifecycle) -> CaseResult {
    let mut udp = vec!["udp:127.0.0.1:0"];
    if has_ipv6() {
        udp.push("udp:[::1]:0");
    }
    start_unreached_elsewhere(lifecycle, &udp)?;
    Observation::met()
}

/// Starts a server on ports that the kernel picks. One of them may be a stranger's on another
/// address; that this happens twice is as good as impossible.
fn start_unreached_elsewhere(lifecycle: &Lifecycle, listen: &[&str]) -> Result<Server, Failure> {
    let attempt = || {
        let server = lifecycle.start_with(&Start::listening(listen))?;
        let found = expect_reached_nowhere_else(lifecycle, &server);
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

/// Where a server is: what it announced, or the address that it was given.
fn given(server: &Server) -> Result<Vec<Waiting>, Failure> {
    let on = |transport, addresses: Vec<SocketAddr>| {
        addresses.into_iter().map(move |address| Waiting { transport, address })
    };
    let Ok(ready) = server.ready() else {
        for transport in [Transport::Tcp, Transport::Udp] {
            if let Ok(Place::Ip(address)) = server.place(transport) {
                return Ok(vec![Waiting { transport, address }]);
            }
        }
        return Err(Failure::new(FailureKind::Harness, "a server with an address", "another"));
    };
    let tcp = ready.addresses("tcp")?.into_iter().chain(ready.addresses("cpu")?).collect();
    Ok(on(Transport::Tcp, tcp).chain(on(Transport::Udp, ready.addresses("udp")?)).collect())
}

fn expect_reached_nowhere_else(lifecycle: &Lifecycle, server: &Server) -> Result<(), Failure> {
    let given = given(server)?;
    for address in server.ready().map_or(Ok(Vec::new()), Ready::tcp_addresses)? {
        lifecycle.peer_at(address).serves()?;
    }
    for place in &given {
        for ip in others(place.address.ip()) {
            let other = SocketAddr::from((ip, place.address.port()));
            let is_reached = match place.transport {
                Transport::Udp => answers(lifecycle, place.address, other)?,
                Transport::Tcp | Transport::Unix | Transport::Unixgram => {
                    is_connected(lifecycle, other)?
                }
            };
            // Two of its own listeners may have one port.
            let is_own = given.iter().any(|own| own.address == other);
            if is_reached && !is_own {
                return Err(reached(place, &format!("a client reached it on {other}")));
            }
        }
    }
    for seen in server.process().waiting_sockets()? {
        let own = given.iter().find(|own| {
            own.transport == seen.transport && own.address.port() == seen.address.port()
        });
        // What a command has beside its port is its own affair.
        let is_asked = own.or(given.first().filter(|own| {
            server.ready().is_ok()
                && seen.transport == Transport::Tcp
                && own.transport == Transport::Tcp
        }));
        if let Some(own) = is_asked
            && !seen.address.ip().to_canonical().is_loopback()
        {
            let kind = seen.transport.kind();
            return Err(reached(own, &format!("it has a {kind} socket on {}", seen.address)));
        }
    }
    Ok(())
}

fn is_connected(lifecycle: &Lifecycle, address: SocketAddr) -> Result<bool, Failure> {
    let pending = lifecycle.peer_at(address).start();
    let deadline = lifecycle.clock().within(REACHED);
    match pending.and_then(|pending| pending.finish(deadline)) {
        Ok(_) => Ok(true),
        Err(failure) if failure.kind == FailureKind::Harness => Err(failure),
        Err(_) => Ok(false),
    }
}

fn reached(given: &Waiting, actual: &str) -> Failure {
    let expected = format!("a server on {}:{} alone", given.transport.kind(), given.address);
    Failure::new(FailureKind::NotRefused, expected, actual)
}

/// Other addresses of this host, of the other family, and of the network if there is one.
fn others(own: IpAddr) -> Vec<IpAddr> {
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

/// The address by which this host would reach others; nothing is sent to find it.
fn own_address() -> Option<IpAddr> {
    /// For documentation, and nobody's (RFC 5737).
    const NOBODY: (Ipv4Addr, u16) = (Ipv4Addr::new(192, 0, 2, 1), 9);
    let socket = UdpSocket::bind((Ipv4Addr::UNSPECIFIED, 0)).ok()?;
    socket.connect(NOBODY).ok()?;
    socket.local_addr().ok().map(|address| address.ip())
}

/// Whether anything comes back from the server's port after a datagram to another address. The
/// server is asked on its own address behind that one, so that it has had its time.
fn answers(lifecycle: &Lifecycle, own: SocketAddr, other: SocketAddr) -> Result<bool, Failure> {
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
    Datagrams::new(Place::Ip(own), PathBuf::new(), context).serves()?;
    let deadline = lifecycle.clock().within(ANSWERED);
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
        let server = match lifecycle.launch(&lifecycle.over(transport)?)? {
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
    // They stay until the descriptors have been looked at.
    let mut connections: Vec<Connection> = Vec::new();
    let mut clients: Vec<Client> = Vec::new();
    match transport {
        Transport::Tcp | Transport::Unix => {
            let peer = lifecycle.peer_over(transport, server)?;
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
    let inheritable = server.process().inheritable()?;
    drop((connections, clients));
    if inheritable.is_empty() {
        return Ok(());
    }
    let expected = format!("close-on-exec on all descriptors beside {} clients", transport.kind());
    let actual = format!("none on {}", inheritable.join(", "));
    Err(Failure::new(FailureKind::Descriptors, expected, actual))
}
