//! Faults that begin at a number of clients, reads, bytes or seconds.

use std::time::{Duration, Instant};

use mio::net::TcpStream;
use socket2::SockRef;

use super::{Fault, limit};
use crate::connection::Connection;
use crate::datagrams::{Client, Datagram, DatagramHooks};
use crate::hooks::{Admission, Gate, Hooks};

pub(super) const FAULTS: &[Fault] = &[
    Fault::settable(
        "serves-1100-at-once",
        "Serves 1100 clients (settable) at the same time, and forgets any others",
        1100,
        |at| Box::new(AtOnce { most: limit(at) }),
    ),
    Fault::settable(
        "serves-8192-at-once",
        "Serves 8192 clients (settable) at the same time, and forgets any others",
        8192,
        |at| Box::new(AtOnce { most: limit(at) }),
    ),
    Fault::settable(
        "serves-3000",
        "Serves 3000 clients (settable) in all, and forgets later ones",
        3000,
        |at| Box::new(InAll { left: at }),
    ),
    Fault::settable("forgets-65536th", "Forgets every 65,536th client (settable)", 1 << 16, |at| {
        Box::new(EachClient { at, seen: 0 })
    }),
    Fault::settable(
        "loses-65536th-read",
        "Loses every 65,536th read (settable) of the process",
        1 << 16,
        |at| Box::new(EachRead { at, seen: 0 }),
    ),
    Fault::settable_datagram(
        "loses-65536th-datagram",
        "Loses every 65,536th datagram (settable)",
        1 << 16,
        |at| Box::new(EachDatagram { at, seen: 0 }),
    ),
    Fault::settable(
        "loses-read-at-32-mib",
        "Loses the read in which all connections together pass a multiple of 32 MiB (settable)",
        32 << 20,
        |at| Box::new(EachBytes { at, seen: 0 }),
    ),
    Fault::settable(
        "ends-at-200-mib",
        "Resets a connection that has sent 200 MiB (settable)",
        200 << 20,
        |at| Box::new(EndsAt { at }),
    ),
    Fault::settable(
        "closes-after-20-s",
        "Closes a connection that has been silent for 20 s (settable)",
        20,
        |at| Box::new(ClosesAfter { limit: Duration::from_secs(at) }),
    ),
    Fault::settable(
        "deaf-once-up-for-10-s",
        "Stops accepting once it has run for 10 s (settable)",
        10,
        |at| {
            Box::new(OnceUp { since: Instant::now(), limit: Duration::from_secs(at), loses: false })
        },
    ),
    Fault::settable(
        "loses-reads-once-up-for-10-s",
        "Loses every read once it has run for 10 s (settable)",
        10,
        |at| {
            Box::new(OnceUp { since: Instant::now(), limit: Duration::from_secs(at), loses: true })
        },
    ),
    Fault::settable(
        "cliff-after-5-s",
        "Sleeps 2 s at the first message after 5 s (settable) without any message",
        5,
        |at| Box::new(Cliff { silence: Duration::from_secs(at), last: None }),
    ),
    Fault::settable(
        "slow-after-5-s",
        "Delays an echo by 2 s if the connection was silent for 5 s (settable) before",
        5,
        |at| Box::new(SlowAfter { silence: Duration::from_secs(at) }),
    ),
    Fault::settable(
        "gives-up-after-10-s",
        "Closes a connection whose write has been blocked for 10 s (settable)",
        10,
        |at| Box::new(GivesUp { limit: Duration::from_secs(at), forgets: false }),
    ),
    Fault::settable(
        "forgets-4-s-after-fin",
        "Discards the unwritten bytes of a half-closed connection whose write has been blocked for \
         4 s (settable)",
        4,
        |at| Box::new(ForgetsAfterFin { limit: Duration::from_secs(at) }),
    ),
    Fault::settable(
        "forgets-after-8-s",
        "Discards the unwritten bytes of a connection whose write has been blocked for 8 s \
         (settable)",
        8,
        |at| Box::new(GivesUp { limit: Duration::from_secs(at), forgets: true }),
    ),
    Fault::datagram(
        "drops-repeated-datagram",
        "Drops a datagram of at least 4 bytes that equals the one before it",
        || Box::new(DropsRepeated::default()),
    ),
    Fault::datagram(
        "drops-zero-datagram",
        "Drops a datagram of at least 2 bytes that are all zero",
        || Box::new(Dropping(|bytes| bytes.len() > 1 && bytes.iter().all(|byte| *byte == 0))),
    ),
    Fault::datagram("drops-datagram-of-1473", "Drops a datagram of 1473 bytes", || {
        Box::new(Dropping(|bytes| bytes.len() == 1473))
    }),
    Fault::datagram("drops-datagram-of-25000", "Drops a datagram of 25,000 bytes", || {
        Box::new(Dropping(|bytes| bytes.len() == 25_000))
    }),
];

struct AtOnce {
    most: usize,
}

impl Hooks for AtOnce {
    fn accepted(&mut self, _stream: &mut TcpStream, open: usize) -> Admission {
        if open < self.most { Admission::Serve } else { Admission::Ignore }
    }
}

struct InAll {
    left: u64,
}

impl Hooks for InAll {
    fn accepted(&mut self, _stream: &mut TcpStream, _open: usize) -> Admission {
        let is_over = self.left == 0;
        self.left = self.left.saturating_sub(1);
        if is_over { Admission::Ignore } else { Admission::Serve }
    }
}

struct EachClient {
    at: u64,
    seen: u64,
}

impl Hooks for EachClient {
    fn accepted(&mut self, _stream: &mut TcpStream, _open: usize) -> Admission {
        self.seen += 1;
        if self.seen.is_multiple_of(self.at) { Admission::Ignore } else { Admission::Serve }
    }
}

struct EachRead {
    at: u64,
    seen: u64,
}

impl Hooks for EachRead {
    fn received(&mut self, connection: &mut Connection) {
        self.seen += 1;
        if self.seen.is_multiple_of(self.at) {
            connection.pending.truncate(connection.fresh);
        }
    }
}

struct EachDatagram {
    at: u64,
    seen: u64,
}

impl DatagramHooks for EachDatagram {
    fn received(&mut self, datagram: Datagram) -> Vec<Datagram> {
        self.seen += 1;
        if self.seen.is_multiple_of(self.at) { Vec::new() } else { vec![datagram] }
    }
}

struct EachBytes {
    at: u64,
    seen: u64,
}

impl Hooks for EachBytes {
    fn received(&mut self, connection: &mut Connection) {
        let before = self.seen / self.at;
        self.seen += connection.fresh().len() as u64;
        if before < self.seen / self.at {
            connection.pending.truncate(connection.fresh);
        }
    }
}

struct EndsAt {
    at: u64,
}

impl Hooks for EndsAt {
    fn step(&mut self, connection: &mut Connection) -> Gate {
        if connection.bytes_read < self.at {
            return Gate::Go;
        }
        // Makes the close send a reset, even without unread input.
        let _ = SockRef::from(&connection.stream).set_linger(Some(Duration::ZERO));
        Gate::Close
    }
}

struct ClosesAfter {
    limit: Duration,
}

impl Hooks for ClosesAfter {
    fn step(&mut self, connection: &mut Connection) -> Gate {
        let due = connection.last_read + self.limit;
        if Instant::now() >= due {
            return Gate::Close;
        }
        connection.wake_at = Some(due);
        Gate::Go
    }
}

/// Fails once the server has run for `limit`, even if it was idle.
struct OnceUp {
    since: Instant,
    limit: Duration,
    /// Whether it loses reads. Otherwise it stops accepting clients.
    loses: bool,
}

impl Hooks for OnceUp {
    fn may_accept(&mut self, _open: usize) -> bool {
        self.loses || self.since.elapsed() < self.limit
    }

    fn received(&mut self, connection: &mut Connection) {
        if self.loses && self.since.elapsed() >= self.limit {
            connection.pending.truncate(connection.fresh);
        }
    }
}

struct Cliff {
    silence: Duration,
    last: Option<Instant>,
}

impl Hooks for Cliff {
    fn received(&mut self, _connection: &mut Connection) {
        if self.last.is_some_and(|last| last.elapsed() >= self.silence) {
            std::thread::sleep(LATE);
        }
        self.last = Some(Instant::now());
    }
}

/// The delay of [`Cliff`] and [`SlowAfter`].
const LATE: Duration = Duration::from_secs(2);

/// `mark` is 1 while bytes wait that came after a silence.
struct SlowAfter {
    silence: Duration,
}

impl Hooks for SlowAfter {
    fn may_read(&mut self, connection: &mut Connection) -> Gate {
        if !connection.pending.is_empty() {
            return Gate::Wait;
        }
        connection.mark = u64::from(connection.last_read.elapsed() >= self.silence);
        Gate::Go
    }

    fn may_write(&mut self, connection: &mut Connection) -> Gate {
        let due = connection.last_read + LATE;
        let waits = connection.mark == 1 && Instant::now() < due;
        if waits { Gate::Until(due) } else { Gate::Go }
    }
}

struct ForgetsAfterFin {
    limit: Duration,
}

impl Hooks for ForgetsAfterFin {
    fn step(&mut self, connection: &mut Connection) -> Gate {
        let Some(since) = connection.blocked_since.filter(|_| connection.ready.read_closed) else {
            return Gate::Go;
        };
        let due = since + self.limit;
        if Instant::now() < due {
            connection.wake_at = Some(due);
            return Gate::Go;
        }
        connection.drop_pending();
        connection.blocked_since = None;
        Gate::Go
    }
}

struct GivesUp {
    limit: Duration,
    forgets: bool,
}

impl Hooks for GivesUp {
    fn step(&mut self, connection: &mut Connection) -> Gate {
        let Some(since) = connection.blocked_since else { return Gate::Go };
        let due = since + self.limit;
        if Instant::now() < due {
            connection.wake_at = Some(due);
            return Gate::Go;
        }
        if !self.forgets {
            return Gate::Close;
        }
        connection.drop_pending();
        connection.blocked_since = None;
        Gate::Go
    }
}

#[derive(Default)]
struct DropsRepeated {
    last: Option<(Client, Vec<u8>)>,
}

impl DatagramHooks for DropsRepeated {
    fn received(&mut self, datagram: Datagram) -> Vec<Datagram> {
        let this = Some((datagram.client.clone(), datagram.bytes.clone()));
        let is_repeated = datagram.bytes.len() >= 4 && self.last == this;
        self.last = this;
        if is_repeated { Vec::new() } else { vec![datagram] }
    }
}

/// Drops datagrams for which the function returns true.
struct Dropping(fn(&[u8]) -> bool);

impl DatagramHooks for Dropping {
    fn received(&mut self, datagram: Datagram) -> Vec<Datagram> {
        if (self.0)(&datagram.bytes) { Vec::new() } else { vec![datagram] }
    }
}
