//! Faults of the echo of datagrams.

use std::collections::BTreeSet;
use std::io::{self, ErrorKind};
use std::net::{Ipv4Addr, SocketAddr};
use std::thread;
use std::time::{Duration, Instant};

use super::{Burst, Fault, limit};
use crate::datagrams::{Client, Datagram, DatagramHooks};

/// The table.
pub(super) const FAULTS: &[Fault] = &[
    Fault::of_datagrams("doubles-reply", "Sends each reply to a datagram twice", || {
        Box::new(Fate(doubled))
    }),
    Fault::of_datagrams(
        "merges-datagrams",
        "Makes one of the datagrams that come from a client within 5 ms",
        || Box::new(Held::new(merged)),
    ),
    Fault::of_datagrams(
        "ends-at-empty",
        "Takes an empty datagram for the end of its socket",
        || Box::new(Deaf::at(0, |_, datagram| datagram.bytes.is_empty())),
    ),
    Fault::of_datagrams_at(
        "leaks-of-datagrams",
        "Leaks 32 bytes (settable) of memory at each datagram",
        32,
        |at| Box::new(Leaks { bytes: limit(at), for_each: Each::Datagram, ..Leaks::default() }),
    ),
    Fault::of_datagrams_at(
        "leaks-of-peers",
        "Leaks 2 KiB (settable) of memory for each client of datagrams",
        2048,
        |at| Box::new(Leaks { bytes: limit(at), for_each: Each::Client, ..Leaks::default() }),
    ),
    Fault::of_datagrams_at(
        "serves-600-peers",
        "Answers the datagrams of 600 clients (settable), and of none that comes later",
        600,
        |at| Box::new(Table { room: limit(at), seen: BTreeSet::new() }),
    ),
    Fault::of_datagrams("drops-empty", "Does not echo empty datagrams", || {
        Box::new(Fate(unless_empty))
    }),
    Fault::of_datagrams("short-buffer", "Has 2048 bytes of room for a datagram", || {
        Box::new(ShortBuffer)
    }),
    Fault::of_datagrams(
        "dies-of-long",
        "Panics at a datagram that is longer than any of UDP over IPv4",
        || Box::new(Fate(unless_too_long)),
    ),
    Fault::of_datagrams_at(
        "ends-at-error",
        "Receives nothing more after an error, which the 16th client (settable) is taken for",
        15,
        |at| Box::new(Deaf::at(limit(at), is_one_client_too_many)),
    ),
    Fault::of_datagrams_at(
        "loses-first-after-3-s",
        "Loses the datagram that comes after 3 s (settable) without any",
        3,
        |at| Box::new(AfterSilence { silence: Duration::from_secs(at), last: None }),
    ),
    Fault::of_datagrams_at(
        "pauses-each-200th-datagram",
        "Does nothing for 150 ms at each 200th datagram (settable)",
        200,
        |at| Box::new(Pauses { each: at, seen: 0 }),
    ),
    Fault::of_datagrams(
        "spins-after-empty",
        "Starts a thread that computes without end at the first empty datagram",
        || Box::new(SpinsAfterEmpty { runs: false }),
    ),
    Fault::of_datagrams(
        "replies-to-last",
        "Replies to whomever it has heard last within 5 ms",
        || Box::new(Held::new(to_last)),
    ),
    Fault::of_datagrams_at(
        "deaf-after-burst",
        "Receives nothing more after 400 datagrams (settable) within a second",
        400,
        |at| Box::new(Deaf::at(limit(at), |deaf, _| deaf.burst.count() > deaf.at)),
    ),
    Fault::of_datagrams(
        "stalls-on-large-reply",
        "Does nothing for 300 ms when a datagram of 8 KiB or more comes",
        || Box::new(Fate(late_if_large)),
    ),
    Fault::of_datagrams("forgets-ipv6-datagrams", "Does not answer datagrams over IPv6", || {
        Box::new(Fate(unless_ipv6))
    }),
    Fault::of_datagrams(
        "forgets-mapped-clients",
        "Does not answer datagrams of IPv4 clients on a socket for both families",
        || Box::new(Fate(unless_mapped)),
    ),
    Fault::of_datagrams(
        "drains-datagrams-first",
        "Does nothing else while datagrams come less than 50 ms apart",
        || Box::new(Lingers),
    ),
    Fault::of_datagrams(
        "dies-of-port-zero",
        "Panics at a reply that cannot be sent because its client has port 0",
        || Box::new(Fate(unless_port_zero)),
    ),
    Fault::of_datagrams(
        "ends-at-port-zero",
        "Receives nothing more after a client with port 0",
        || Box::new(Deaf::at(0, |_, datagram| has_port_zero(datagram))),
    ),
    Fault::of_datagrams(
        "dies-of-unnamed",
        "Panics at a datagram of a client without a path",
        || Box::new(Fate(unless_unnamed)),
    ),
    Fault::of_datagrams(
        "ends-at-send-error",
        "Receives nothing more when a reply could not be sent",
        || Box::new(Deaf { ends_at_send_error: true, ..Deaf::at(0, |_, _| false) }),
    ),
    Fault::of_datagrams_at(
        "spins-after-error",
        "Does not read what the kernel has queued about an error, and looks for it without a \
         pause; the 16th client (settable) is taken for an error",
        15,
        |at| Box::new(SpinsAfterError { at: limit(at), seen: BTreeSet::new() }),
    ),
    Fault::of_datagrams_at(
        "error-thread-spins",
        "Starts a thread that looks for more errors without a pause after an error, which the 20th \
         client (settable) is taken for",
        19,
        |at| Box::new(ErrorThreadSpins { at: limit(at), seen: BTreeSet::new(), runs: false }),
    ),
    Fault::of_datagrams(
        "retries-full-peer",
        "Sends a reply for which its client has no room again and again, between other replies",
        || Box::new(Retries { kept: None, last: None, pause: Duration::ZERO }),
    ),
    Fault::of_datagrams(
        "retries-lost-peer",
        "Keeps a reply for which its client has no room, and sends it again and again once the \
         client is gone",
        || Box::new(Retries { kept: None, last: None, pause: Duration::from_millis(100) }),
    ),
    Fault::of_datagrams(
        "waits-for-full-peer",
        "Waits until a client has room for its reply",
        || Box::new(WaitsForPeer),
    ),
];

/// The largest datagram of IPv4.
const LARGEST_OF_IPV4: usize = 65_507;
/// For how long some faults collect what comes.
const HELD: Duration = Duration::from_millis(5);

/// Decides by the datagram alone.
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

/// What something is leaked for.
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
            // Not zero, which the kernel would promise and never give.
            self.leaked.push(vec![0xa5; self.bytes]);
        }
        vec![datagram]
    }
}

/// Clients that it has room for.
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

/// The IPv4 address of a client that a socket for both families sees (RFC 4291, 2.5.5.2).
fn mapped(address: &SocketAddr) -> Option<Ipv4Addr> {
    match address {
        SocketAddr::V6(address) => address.ip().to_ipv4_mapped(),
        SocketAddr::V4(_) => None,
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
    /// Whether a datagram ends it.
    ends_at: fn(&mut Deaf, &Datagram) -> bool,
}

impl Deaf {
    fn at(at: usize, ends_at: fn(&mut Deaf, &Datagram) -> bool) -> Self {
        let burst = Burst::within(Duration::from_secs(1));
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
    /// Between two attempts while the client is there.
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
        // A client that is gone is given up, unless a reply for it was kept before.
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
        // It is taken back if it cannot be sent this time either.
        self.kept = Some((datagram.clone(), moment + Duration::from_secs(1)));
        vec![datagram]
    }
}
