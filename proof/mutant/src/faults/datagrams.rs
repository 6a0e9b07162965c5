//! Faults of the echo of datagrams.

use std::collections::BTreeSet;
use std::io::{self, ErrorKind};
use std::net::SocketAddr;
use std::time::{Duration, Instant};

use crate::datagrams::{Client, Correct, Datagram, DatagramHooks};
use crate::fault::Fault;
use crate::faults::{Burst, limit};

/// The largest datagram of IPv4.
const LARGEST_OF_IPV4: usize = 65_507;
/// For how long some faults collect what comes.
const HELD: Duration = Duration::from_millis(5);

/// What `fault` does to datagrams. `at` moves the place where it strikes.
pub(crate) fn hooks(fault: Option<Fault>, at: Option<u64>) -> Box<dyn DatagramHooks> {
    let fate = |fate: fn(Datagram) -> Vec<Datagram>| Box::new(Fate(fate));
    match fault {
        Some(Fault::DoublesReply) => fate(|datagram| vec![datagram.clone(), datagram]),
        Some(Fault::DropsEmpty) => {
            fate(|datagram| if datagram.bytes.is_empty() { Vec::new() } else { vec![datagram] })
        }
        Some(Fault::DiesOfLong) => fate(|datagram| {
            assert!(datagram.bytes.len() <= LARGEST_OF_IPV4, "nobody sends so much");
            vec![datagram]
        }),
        Some(Fault::DiesOfUnnamed) => fate(|datagram| {
            assert!(datagram.client != Client::Unnamed, "everybody has a name");
            vec![datagram]
        }),
        Some(Fault::ForgetsIpv6Datagrams) => fate(|datagram| {
            let is_ipv6 = |address: &SocketAddr| address.is_ipv6() && mapped(address).is_none();
            if is_at(&datagram, is_ipv6) { Vec::new() } else { vec![datagram] }
        }),
        Some(Fault::ForgetsMappedClients) => fate(|datagram| {
            if is_at(&datagram, |address| mapped(address).is_some()) {
                Vec::new()
            } else {
                vec![datagram]
            }
        }),
        Some(Fault::StallsOnLargeReply) => fate(|datagram| {
            if datagram.bytes.len() >= 8 * 1024 {
                std::thread::sleep(Duration::from_millis(300));
            }
            vec![datagram]
        }),
        Some(Fault::MergesDatagrams) => Box::new(Held::new(merged)),
        Some(Fault::RepliesToLast) => Box::new(Held::new(to_last)),
        Some(Fault::EndsAtEmpty) => Box::new(Deaf::once(|deaf, datagram| {
            deaf.is_deaf |= datagram.bytes.is_empty();
        })),
        Some(Fault::EndsAtError) => {
            let mut deaf = Deaf::once(|deaf, datagram| {
                deaf.seen.insert(datagram.client.clone());
                deaf.is_deaf |= deaf.seen.len() > deaf.at;
            });
            deaf.at = limit(at, 15);
            Box::new(deaf)
        }
        Some(Fault::DeafAfterBurst) => {
            let mut deaf = Deaf::once(|deaf, _| {
                deaf.is_deaf |= deaf.burst.count() > deaf.at;
            });
            deaf.at = limit(at, 400);
            Box::new(deaf)
        }
        Some(Fault::EndsAtSendError) => {
            Box::new(Deaf { ends_at_send_error: true, ..Deaf::once(|_, _| {}) })
        }
        Some(Fault::ShortBuffer) => Box::new(ShortBuffer),
        Some(Fault::DrainsDatagramsFirst) => Box::new(Lingers),
        Some(Fault::WaitsForFullPeer) => Box::new(WaitsForPeer),
        Some(_) | None => Box::new(Correct),
    }
}

fn is_at(datagram: &Datagram, wanted: impl Fn(&SocketAddr) -> bool) -> bool {
    matches!(&datagram.client, Client::Ip(address) if wanted(address))
}

/// The IPv4 address of a client that a socket for both families sees (RFC 4291, 2.5.5.2).
fn mapped(address: &SocketAddr) -> Option<std::net::Ipv4Addr> {
    match address {
        SocketAddr::V6(address) => address.ip().to_ipv4_mapped(),
        SocketAddr::V4(_) => None,
    }
}

/// Decides by the datagram alone.
struct Fate(fn(Datagram) -> Vec<Datagram>);

impl DatagramHooks for Fate {
    fn received(&mut self, datagram: Datagram) -> Vec<Datagram> {
        (self.0)(datagram)
    }
}

/// Collects for a moment, and then sends something else than came.
struct Held {
    datagrams: Vec<Datagram>,
    since: Option<Instant>,
    become_of: fn(Vec<Datagram>) -> Vec<Datagram>,
}

impl Held {
    fn new(become_of: fn(Vec<Datagram>) -> Vec<Datagram>) -> Self {
        Self { datagrams: Vec::new(), since: None, become_of }
    }
}

impl DatagramHooks for Held {
    fn received(&mut self, datagram: Datagram) -> Vec<Datagram> {
        self.datagrams.push(datagram);
        self.since.get_or_insert_with(Instant::now);
        Vec::new()
    }

    fn release_at(&self) -> Option<Instant> {
        self.since.map(|since| since + HELD)
    }

    fn release(&mut self) -> Vec<Datagram> {
        self.since = None;
        (self.become_of)(std::mem::take(&mut self.datagrams))
    }
}

/// Two in a row of one client become one.
fn merged(datagrams: Vec<Datagram>) -> Vec<Datagram> {
    let mut merged: Vec<Datagram> = Vec::new();
    for datagram in datagrams {
        match merged.last_mut() {
            Some(last) if last.client == datagram.client && !datagram.bytes.is_empty() => {
                last.bytes.extend(datagram.bytes);
            }
            Some(_) | None => merged.push(datagram),
        }
    }
    merged
}

/// All go to the client that was heard last.
fn to_last(mut datagrams: Vec<Datagram>) -> Vec<Datagram> {
    if let Some(last) = datagrams.last().map(|last| last.client.clone()) {
        datagrams.iter_mut().for_each(|datagram| datagram.client = last.clone());
    }
    datagrams
}

/// Ends its loop, while the process goes on.
struct Deaf {
    is_deaf: bool,
    at: usize,
    seen: BTreeSet<Client>,
    burst: Burst,
    ends_at_send_error: bool,
    look: fn(&mut Deaf, &Datagram),
}

impl Deaf {
    fn once(look: fn(&mut Deaf, &Datagram)) -> Self {
        let burst = Burst::within(Duration::from_secs(1));
        let (is_deaf, ends_at_send_error) = (false, false);
        Self { is_deaf, at: 0, seen: BTreeSet::new(), burst, ends_at_send_error, look }
    }
}

impl DatagramHooks for Deaf {
    fn is_deaf(&self) -> bool {
        self.is_deaf
    }

    fn received(&mut self, datagram: Datagram) -> Vec<Datagram> {
        (self.look)(self, &datagram);
        if self.is_deaf { Vec::new() } else { vec![datagram] }
    }

    fn tries_again(&mut self, error: &io::Error) -> bool {
        self.is_deaf |= self.ends_at_send_error && error.kind() != ErrorKind::WouldBlock;
        false
    }
}

struct ShortBuffer;

impl DatagramHooks for ShortBuffer {
    fn buffer_bytes(&self) -> usize {
        2048
    }
}

struct Lingers;

impl DatagramHooks for Lingers {
    fn lingers(&self) -> Duration {
        Duration::from_millis(50)
    }
}

struct WaitsForPeer;

impl DatagramHooks for WaitsForPeer {
    fn tries_again(&mut self, error: &io::Error) -> bool {
        error.kind() == ErrorKind::WouldBlock
    }
}
