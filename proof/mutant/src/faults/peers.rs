//! Faults in the treatment of datagram clients: whom the server answers, and from which port.

use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, UdpSocket};

use super::Fault;
use super::datagrams::{Fate, is_at};
use crate::datagrams::{Client, Datagram, DatagramHooks};

pub(super) const FAULTS: &[Fault] = &[
    Fault::datagram(
        "knows-clients-by-port",
        "Replies to the first client that used a port, even if another address now uses it",
        || Box::new(ByPort(BTreeMap::new())),
    ),
    Fault::datagram("forgets-low-ports", "Does not answer clients on ports below 16384", || {
        Box::new(Fate(unless_low_port))
    }),
    Fault::datagram("forgets-high-ports", "Does not answer clients on ports above 61000", || {
        Box::new(Fate(unless_high_port))
    }),
    Fault::datagram(
        "bans-unreachable-peers",
        "Never answers a client again after a reply to it could not be sent",
        || Box::new(Bans { is_gone: false, banned: BTreeSet::new(), last: None }),
    ),
    Fault::settable_datagram(
        "keeps-socket-for-client",
        "Opens and keeps a socket for every 20th new datagram client (settable)",
        20,
        |at| Box::new(Opens { each: at, seen: BTreeSet::new(), files: Vec::new() }),
    ),
    Fault::datagram("replies-from-elsewhere", "Sends replies from another port", || {
        Box::new(Elsewhere(|datagram| (datagram.bytes.clone(), Vec::new())))
    }),
];

/// The first client at each port.
struct ByPort(BTreeMap<u16, SocketAddr>);

impl DatagramHooks for ByPort {
    fn received(&mut self, mut datagram: Datagram) -> Vec<Datagram> {
        if let Client::Ip(address) = &mut datagram.client {
            *address = *self.0.entry(address.port()).or_insert(*address);
        }
        vec![datagram]
    }
}

fn unless_low_port(datagram: Datagram) -> Vec<Datagram> {
    if is_at(&datagram, |address| address.port() < 16_384) { Vec::new() } else { vec![datagram] }
}

fn unless_high_port(datagram: Datagram) -> Vec<Datagram> {
    if is_at(&datagram, |address| address.port() > 61_000) { Vec::new() } else { vec![datagram] }
}

/// Bans a client to which a reply cannot be sent. It works on Unix paths only: over UDP, the next
/// call reports the error, and not this one.
struct Bans {
    is_gone: bool,
    banned: BTreeSet<Client>,
    last: Option<Client>,
}

impl DatagramHooks for Bans {
    fn received(&mut self, datagram: Datagram) -> Vec<Datagram> {
        if std::mem::take(&mut self.is_gone) {
            self.banned.extend(self.last.take());
        }
        if self.banned.contains(&datagram.client) {
            return Vec::new();
        }
        self.last = Some(datagram.client.clone());
        vec![datagram]
    }

    fn tries_again(&mut self, _error: &io::Error) -> bool {
        self.is_gone = true;
        false
    }
}

struct Opens {
    each: u64,
    seen: BTreeSet<Client>,
    files: Vec<UdpSocket>,
}

impl DatagramHooks for Opens {
    fn received(&mut self, datagram: Datagram) -> Vec<Datagram> {
        let is_new = self.seen.insert(datagram.client.clone());
        if is_new && (self.seen.len() as u64).is_multiple_of(self.each) {
            self.files.extend(UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)));
        }
        vec![datagram]
    }
}

/// Sends something to each UDP client from another port, and something from the server's port.
pub(super) struct Elsewhere(pub(super) fn(&Datagram) -> (Vec<u8>, Vec<Datagram>));

impl DatagramHooks for Elsewhere {
    fn received(&mut self, datagram: Datagram) -> Vec<Datagram> {
        let Client::Ip(to) = datagram.client else { return vec![datagram] };
        let (from_elsewhere, due) = (self.0)(&datagram);
        let socket = UdpSocket::bind((unspecified(to), 0));
        // Without a free descriptor, nothing is sent from another port.
        let _ = socket.and_then(|socket| socket.send_to(&from_elsewhere, to));
        due
    }
}

fn unspecified(of: SocketAddr) -> IpAddr {
    match of {
        SocketAddr::V4(_) => Ipv4Addr::UNSPECIFIED.into(),
        SocketAddr::V6(_) => Ipv6Addr::UNSPECIFIED.into(),
    }
}
