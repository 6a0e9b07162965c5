//! Faults of the datagram echo.

use std::collections::BTreeSet;
use std::io::{self, ErrorKind};
use std::net::{Ipv4Addr, SocketAddr};
use std::thread;
use std::time::{Duration, Instant};

use super::{Burst, Fault, limit};
use crate::datagrams::{Client, Datagram, DatagramHooks};

pub(super) const FAULTS: &[Fault] = &[
    Fault::datagram("doubles-reply", "Sends every reply to a datagram twice", || {
        Box::new(Fate(doubled))
    }),
    Fault::datagram(
        "merges-datagrams",
        "Merges the datagrams that a client sends within 5 ms into one",
        || Box::new(Held::new(merged)),
    ),
    Fault::datagram(
        "ends-at-empty",
        "Stops receiving at an empty datagram, as if it were the end of the socket",
        || Box::new(Deaf::new(0, |_, datagram| datagram.bytes.is_empty())),
    ),
    Fault::settable_datagram(
        "leaks-of-datagrams",
        "Leaks 32 bytes (settable) of memory per datagram",
        32,
        |at| Box::new(Leaks { bytes: limit(at), for_each: Each::Datagram, ..Leaks::default() }),
    ),
    Fault::settable_datagram(
        "leaks-of-peers",
        "Leaks 2 KiB (settable) of memory per datagram client",
        2048,
        |at| Box::new(Leaks { bytes: limit(at), for_each: Each::Client, ..Leaks::default() }),
    ),
    Fault::settable_datagram(
        "serves-600-peers",
        "Answers the first 600 datagram clients (settable), and no later ones",
        600,
        |at| Box::new(Table { room: limit(at), seen: BTreeSet::new() }),
    ),
    Fault::datagram("drops-empty", "Does not echo empty datagrams", || {
        Box::new(Fate(unless_empty))
    }),
    Fault::datagram("short-buffer", "Has a buffer of 2048 bytes for datagrams", || {
        Box::new(ShortBuffer)
    }),
    Fault::datagram(
        "dies-of-long",
        "Panics at a datagram that is too long for UDP over IPv4",
        || Box::new(Fate(unless_too_long)),
    ),
    Fault::settable_datagram(
        "ends-at-error",
        "Treats the 16th client (settable) as an error, and stops receiving",
        15,
        |at| Box::new(Deaf::new(limit(at), is_one_client_too_many)),
    ),
    Fault::settable_datagram(
        "loses-first-after-3-s",
        "Loses the first datagram after 3 s (settable) of silence",
        3,
        |at| Box::new(AfterSilence { silence: Duration::from_secs(at), last: None }),
    ),
    Fault::settable_datagram(
        "pauses-each-200th-datagram",
        "Sleeps 150 ms at every 200th datagram (settable)",
        200,
        |at| Box::new(Pauses { each: at, seen: 0 }),
    ),
    Fault::datagram(
        "spins-after-empty",
        "Starts a thread that computes forever at the first empty datagram",
        || Box::new(SpinsAfterEmpty { runs: false }),
    ),
    Fault::datagram(
        "replies-to-last",
        "Collects replies for 5 ms, and sends all of them to the client that sent last",
        || Box::new(Held::new(to_last)),
    ),
    Fault::settable_datagram(
        "deaf-after-burst",
        "Stops receiving after 400 datagrams (settable) within 1 s",
        400,
        |at| Box::new(Deaf::new(limit(at), |deaf, _| deaf.burst.count() > deaf.at)),
    ),
    Fault::datagram(
        "stalls-on-large-reply",
        "Sleeps 300 ms at a datagram of at least 8 KiB",
        || Box::new(Fate(late_if_large)),
    ),
    Fault::datagram("forgets-ipv6-datagrams", "Does not answer datagrams over IPv6", || {
        Box::new(Fate(unless_ipv6))
    }),
    Fault::datagram(
        "forgets-mapped-clients",
        "Does not answer IPv4 clients on a dual-stack UDP socket",
        || Box::new(Fate(unless_mapped)),
    ),
    Fault::datagram(
        "drains-datagrams-first",
        "Does nothing else while datagrams arrive less than 50 ms apart",
        || Box::new(Lingers),
    ),
    Fault::datagram(
        "dies-of-port-zero",
        "Panics when it cannot reply because the client has port 0",
        || Box::new(Fate(unless_port_zero)),
    ),
    Fault::datagram(
        "ends-at-port-zero",
        "Stops receiving after a datagram from a client with port 0",
        || Box::new(Deaf::new(0, |_, datagram| has_port_zero(datagram))),
    ),
    Fault::datagram("dies-of-unnamed", "Panics at a datagram from a client without a path", || {
        Box::new(Fate(unless_unnamed))
    }),
    Fault::datagram(
        "ends-at-send-error",
        "Stops receiving after a reply that it could not send",
        || Box::new(Deaf { ends_at_send_error: true, ..Deaf::new(0, |_, _| false) }),
    ),
    Fault::settable_datagram(
        "spins-after-error",
        "Polls without a pause after an error that it does not read, for which it takes the 16th \
         client (settable)",
        15,
        |at| Box::new(SpinsAfterError { at: limit(at), seen: BTreeSet::new() }),
    ),
    Fault::settable_datagram(
        "error-thread-spins",
        "Starts a thread that spins after an error, for which it takes the 20th client (settable)",
        19,
        |at| Box::new(ErrorThreadSpins { at: limit(at), seen: BTreeSet::new(), runs: false }),
    ),
    Fault::datagram(
        "retries-full-peer",
        "Resends a reply without a pause while its client has no room, and serves other clients \
         meanwhile",
        || Box::new(Retries { kept: None, last: None, pause: Duration::ZERO }),
    ),
    Fault::datagram(
        "retries-lost-peer",
        "Keeps a reply for a client without room, and resends it without a pause once the client \
         is gone",
        || Box::new(Retries { kept: None, last: None, pause: Duration::from_millis(100) }),
    ),
    Fault::datagram("waits-for-full-peer", "Blocks until a client has room for its reply", || {
        Box::new(WaitsForPeer)
    }),
];

/// The payload of the largest UDP datagram over IPv4, in bytes.
const LARGEST_OF_IPV4: usize = 65_507;
/// How long some faults collect datagrams.
const HELD: Duration = Duration::from_millis(5);

/// A fault that decides by the datagram alone.
pub(super) struct Fate(pub(super) fn(Datagram) -> Vec<Datagram>);

impl DatagramHooks for Fate {
    fn received(&mut self, datagram: Datagram) -> Vec<Datagram> {
        (self.0)(datagram)
    }
}

struct AfterSilence {
    silence: Duration,
    last: Option<Instant>,
}

impl DatagramHooks for AfterSilence {
    fn received(&mut self, datagram: Datagram) -> Vec<Datagram> {
        let is_first = self.last.is_some_and(|last| last.elapsed() >= self.silence);
        self.last = Some(Instant::now());
        if is_first { Vec::new() } else { vec![datagram] }
    }
}

struct Pauses {
    each: u64,
    seen: u64,
}

impl DatagramHooks for Pauses {
    fn received(&mut self, datagram: Datagram) -> Vec<Datagram> {
        self.seen += 1;
        if self.seen.is_multiple_of(self.each) {
            thread::sleep(Duration::from_millis(150));
        }
        vec![datagram]
    }
}

struct SpinsAfterEmpty {
    runs: bool,
}

impl DatagramHooks for SpinsAfterEmpty {
    fn received(&mut self, datagram: Datagram) -> Vec<Datagram> {
        if datagram.bytes.is_empty() && !std::mem::replace(&mut self.runs, true) {
            thread::spawn(|| {
                loop {
                    std::hint::spin_loop();
                }
            });
        }
        vec![datagram]
    }
}

/// What the server leaks memory for.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
enum Each {
    #[default]
    Datagram,
    Client,
}

#[derive(Default)]
struct Leaks {
    bytes: usize,
    for_each: Each,
    seen: BTreeSet<Client>,
    leaked: Vec<Vec<u8>>,
}

impl DatagramHooks for Leaks {
    fn received(&mut self, datagram: Datagram) -> Vec<Datagram> {
        if self.for_each == Each::Datagram || self.seen.insert(datagram.client.clone()) {
            // Not zeros: zeroed pages take no memory until something writes to them.
            self.leaked.push(vec![0xa5; self.bytes]);
        }
        vec![datagram]
    }
}

/// Serves the first `room` clients.
struct Table {
    room: usize,
    seen: BTreeSet<Client>,
}

impl DatagramHooks for Table {
    fn received(&mut self, datagram: Datagram) -> Vec<Datagram> {
        if self.seen.len() < self.room {
            self.seen.insert(datagram.client.clone());
        }
        if self.seen.contains(&datagram.client) { vec![datagram] } else { Vec::new() }
    }
}

fn doubled(datagram: Datagram) -> Vec<Datagram> {
    vec![datagram.clone(), datagram]
}

fn unless_empty(datagram: Datagram) -> Vec<Datagram> {
    if datagram.bytes.is_empty() { Vec::new() } else { vec![datagram] }
}

fn unless_too_long(datagram: Datagram) -> Vec<Datagram> {
    assert!(datagram.bytes.len() <= LARGEST_OF_IPV4, "nobody sends so much");
    vec![datagram]
}

fn unless_unnamed(datagram: Datagram) -> Vec<Datagram> {
    assert!(datagram.client != Client::Unnamed, "everybody has a name");
    vec![datagram]
}

fn unless_port_zero(datagram: Datagram) -> Vec<Datagram> {
    assert!(!has_port_zero(&datagram), "everybody has a port");
    vec![datagram]
}

fn has_port_zero(datagram: &Datagram) -> bool {
    is_at(datagram, |address| address.port() == 0)
}

fn unless_ipv6(datagram: Datagram) -> Vec<Datagram> {
    let is_ipv6 = |address: &SocketAddr| address.is_ipv6() && mapped(address).is_none();
    if is_at(&datagram, is_ipv6) { Vec::new() } else { vec![datagram] }
}

fn unless_mapped(datagram: Datagram) -> Vec<Datagram> {
    let is_mapped = |address: &SocketAddr| mapped(address).is_some();
    if is_at(&datagram, is_mapped) { Vec::new() } else { vec![datagram] }
}

fn late_if_large(datagram: Datagram) -> Vec<Datagram> {
    if datagram.bytes.len() >= 8 * 1024 {
        thread::sleep(Duration::from_millis(300));
    }
    vec![datagram]
}

pub(super) fn is_at(datagram: &Datagram, wanted: impl Fn(&SocketAddr) -> bool) -> bool {
    matches!(&datagram.client, Client::Ip(address) if wanted(address))
}

/// The IPv4 address of a client that a dual-stack socket sees (RFC 4291, 2.5.5.2).
fn mapped(address: &SocketAddr) -> Option<Ipv4Addr> {
    match address {
        SocketAddr::V6(address) => address.ip().to_ipv4_mapped(),
        SocketAddr::V4(_) => None,
    }
}

/// Collects datagrams for [`HELD`], and then sends something else.
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

/// Merges consecutive datagrams of one client.
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

/// Sends every datagram to the client that sent last.
fn to_last(mut datagrams: Vec<Datagram>) -> Vec<Datagram> {
    if let Some(last) = datagrams.last().map(|last| last.client.clone()) {
        datagrams.iter_mut().for_each(|datagram| datagram.client = last.clone());
    }
    datagrams
}

/// Stops receiving, while the process keeps running.
struct Deaf {
    is_deaf: bool,
    at: usize,
    seen: BTreeSet<Client>,
    burst: Burst,
    ends_at_send_error: bool,
    /// Whether the server stops receiving at a datagram.
    ends_at: fn(&mut Self, &Datagram) -> bool,
}

impl Deaf {
    fn new(at: usize, ends_at: fn(&mut Self, &Datagram) -> bool) -> Self {
        let burst = Burst::new(Duration::from_secs(1));
        let (is_deaf, ends_at_send_error) = (false, false);
        Self { is_deaf, at, seen: BTreeSet::new(), burst, ends_at_send_error, ends_at }
    }
}

fn is_one_client_too_many(deaf: &mut Deaf, datagram: &Datagram) -> bool {
    deaf.seen.insert(datagram.client.clone());
    deaf.seen.len() > deaf.at
}

impl DatagramHooks for Deaf {
    fn is_deaf(&self) -> bool {
        self.is_deaf
    }

    fn received(&mut self, datagram: Datagram) -> Vec<Datagram> {
        self.is_deaf |= (self.ends_at)(self, &datagram);
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

struct SpinsAfterError {
    at: usize,
    seen: BTreeSet<Client>,
}

impl DatagramHooks for SpinsAfterError {
    fn received(&mut self, datagram: Datagram) -> Vec<Datagram> {
        self.seen.insert(datagram.client.clone());
        vec![datagram]
    }

    fn release_at(&self) -> Option<Instant> {
        (self.seen.len() > self.at).then(Instant::now)
    }
}

struct ErrorThreadSpins {
    at: usize,
    seen: BTreeSet<Client>,
    runs: bool,
}

impl DatagramHooks for ErrorThreadSpins {
    fn received(&mut self, datagram: Datagram) -> Vec<Datagram> {
        self.seen.insert(datagram.client.clone());
        if self.seen.len() > self.at && !self.runs {
            self.runs = true;
            thread::spawn(|| {
                loop {
                    std::hint::spin_loop();
                }
            });
        }
        vec![datagram]
    }
}

/// Keeps the last reply that could not be sent.
struct Retries {
    kept: Option<(Datagram, Instant)>,
    last: Option<Datagram>,
    /// The pause between two attempts while the client exists.
    pause: Duration,
}

impl DatagramHooks for Retries {
    fn received(&mut self, datagram: Datagram) -> Vec<Datagram> {
        self.last = Some(datagram.clone());
        vec![datagram]
    }

    fn tries_again(&mut self, error: &io::Error) -> bool {
        let is_there = error.kind() == ErrorKind::WouldBlock;
        let pause = if is_there { self.pause } else { Duration::ZERO };
        // A reply to a client that is gone is given up, unless one was already kept.
        if is_there || self.kept.is_some() {
            let kept = self.kept.take().map(|(datagram, _)| datagram);
            let kept = kept.or_else(|| self.last.take());
            self.kept = kept.map(|datagram| (datagram, Instant::now() + pause));
        }
        false
    }

    fn release_at(&self) -> Option<Instant> {
        self.kept.as_ref().map(|(_, moment)| *moment)
    }

    fn release(&mut self) -> Vec<Datagram> {
        let Some((datagram, moment)) = self.kept.take() else { return Vec::new() };
        // Stays kept. If sending fails again, `tries_again` sets the time of the next attempt.
        self.kept = Some((datagram.clone(), moment + Duration::from_secs(1)));
        vec![datagram]
    }
}
