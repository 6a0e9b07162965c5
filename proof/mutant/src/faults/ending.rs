//! Faults at the end of a connection: FIN, resets, and what the connection leaves behind.

use std::io::{self, PipeReader, PipeWriter};
use std::time::{Duration, Instant};

use mio::net::TcpStream;
use socket2::SockRef;

use super::{Burst, Fault};
use crate::connection::{Connection, End, Over, Ready};
use crate::hooks::{Admission, Gate, Hooks};

pub(super) const FAULTS: &[Fault] = &[
    Fault::new(
        "repeats-last-chunk",
        "Repeats the last read at FIN, if the client has sent 48 to 64 KiB",
        || Box::new(RepeatsLastChunk),
    ),
    Fault::new(
        "closes-unflushed",
        "Closes a connection at FIN, even if bytes wait behind a blocked write",
        || Box::new(ClosesUnflushed),
    ),
    Fault::new("drops-data-with-fin", "Drops bytes that arrive together with FIN", || {
        Box::new(DropsDataWithFin)
    }),
    Fault::new("never-sends-fin", "Never sends FIN to a client that has sent nothing", || {
        Box::new(NeverSendsFin)
    }),
    Fault::new("misses-late-fin", "Overlooks a FIN after 500 ms of silence", || {
        Box::new(MissesLateFin)
    }),
    Fault::settable(
        "forgets-fin-in-batch",
        "Overlooks FINs when more than 16 (settable) arrive within 100 ms",
        16,
        |at| Box::new(ForgetsFinInBatch::new(at)),
    ),
    Fault::new(
        "resets-after-fin",
        "Answers a FIN that arrives alone with a reset, if the client has sent 20 to 64 KiB",
        || Box::new(ResetsAfterFin),
    ),
    Fault::new(
        "leaks-idle-on-fin",
        "Leaks the descriptor of a connection that ends without having sent a byte",
        || Box::new(Leaks::when(idle_fin)),
    ),
    Fault::settable(
        "leaks-unix-sockets",
        "Leaks the descriptor of every 20th Unix connection (settable) that ends",
        20,
        |at| Box::new(Leaks::when(|c, _| c.over == Over::Unix).each(at)),
    ),
    Fault::new("leaks-pipes", "Leaks a pipe for each connection that ends after an echo", || {
        Box::new(LeaksPipes::default())
    }),
    Fault::new(
        "frees-at-next-accept",
        "Closes the socket of a client that sent nothing only at the next `accept`",
        || Box::new(FreesAtNextAccept::default()),
    ),
    Fault::new(
        "leaks-after-broken-echo",
        "Leaks the descriptor of a connection that fails after at least 4 KiB",
        || Box::new(Leaks::when(broken_echo)),
    ),
    Fault::new(
        "leaks-on-idle-reset",
        "Leaks the descriptor of an idle connection that is reset",
        || Box::new(Leaks::when(idle_reset)),
    ),
    Fault::new(
        "leaks-on-blocked-reset",
        "Leaks the descriptor of a connection that is reset while its write is blocked",
        || Box::new(Leaks::when(blocked_reset)),
    ),
    Fault::new(
        "leaks-on-blocked-fin",
        "Leaks the descriptor of a connection that sends FIN while its write is blocked, and is \
         then reset",
        || Box::new(LeaksOnBlockedFin::default()),
    ),
    Fault::new("late-fin-after-stream", "Answers a FIN 6 s late after at least 1 MiB", || {
        Box::new(LateFinAfterStream)
    }),
    Fault::new(
        "checks-error-first",
        "Closes a connection that has an error, and does not read the bytes that arrived before it",
        || Box::new(ChecksErrorFirst),
    ),
    Fault::settable(
        "leaks-after-fin",
        "Leaks the descriptor of every 20th connection (settable) that ends cleanly",
        20,
        |at| Box::new(Leaks::when(fin).each(at)),
    ),
    Fault::settable(
        "leaks-after-reset",
        "Leaks the descriptor of every 20th connection (settable) that fails",
        20,
        |at| Box::new(Leaks::when(reset).each(at)),
    ),
    Fault::settable(
        "leaks-aborted-accept",
        "Leaks the descriptor of every 10th connection (settable) that ends within 20 ms and \
         without a byte",
        10,
        |at| Box::new(Leaks::when(at_once).each(at)),
    ),
];

struct RepeatsLastChunk;

impl Hooks for RepeatsLastChunk {
    fn received(&mut self, connection: &mut Connection) {
        connection.kept = connection.fresh().to_vec();
    }

    fn peer_ended(&mut self, connection: &mut Connection) -> Gate {
        if (48 * 1024..=64 * 1024).contains(&connection.bytes_read) {
            connection.pending = std::mem::take(&mut connection.kept);
        }
        Gate::Go
    }
}

struct ClosesUnflushed;

impl Hooks for ClosesUnflushed {
    fn step(&mut self, connection: &mut Connection) -> Gate {
        if !connection.ready.read_closed || connection.mark == 0 {
            return Gate::Go;
        }
        // Closing with unread input would send a reset.
        connection.discard_input();
        Gate::Close
    }

    fn blocked(&mut self, connection: &mut Connection) -> Gate {
        connection.mark = 1;
        Gate::Wait
    }
}

struct DropsDataWithFin;

impl Hooks for DropsDataWithFin {
    fn step(&mut self, connection: &mut Connection) -> Gate {
        if connection.ready.read_closed && connection.bytes_read == 0 {
            connection.discard_input();
        }
        Gate::Go
    }
}

struct NeverSendsFin;

impl Hooks for NeverSendsFin {
    fn peer_ended(&mut self, connection: &mut Connection) -> Gate {
        if connection.bytes_read == 0 { Gate::Wait } else { Gate::Go }
    }
}

struct MissesLateFin;

impl Hooks for MissesLateFin {
    fn peer_ended(&mut self, connection: &mut Connection) -> Gate {
        let is_late = connection.last_read.elapsed() > Duration::from_millis(500);
        if is_late && connection.bytes_read > 0 { Gate::Wait } else { Gate::Go }
    }
}

struct ForgetsFinInBatch {
    at: usize,
    burst: Burst,
}

impl ForgetsFinInBatch {
    fn new(at: u64) -> Self {
        let at = usize::try_from(at).unwrap_or(usize::MAX);
        Self { at, burst: Burst::new(Duration::from_millis(100)) }
    }
}

impl Hooks for ForgetsFinInBatch {
    fn peer_ended(&mut self, connection: &mut Connection) -> Gate {
        let is_forgotten = connection.mark == 1 || self.burst.count() > self.at;
        connection.mark = u64::from(is_forgotten);
        if is_forgotten { Gate::Wait } else { Gate::Go }
    }
}

struct ResetsAfterFin;

impl Hooks for ResetsAfterFin {
    fn peer_ended(&mut self, connection: &mut Connection) -> Gate {
        let is_mid_sized = (20 * 1024..=64 * 1024).contains(&connection.bytes_read);
        if !is_mid_sized || !connection.was_drained {
            return Gate::Go;
        }
        let _ = SockRef::from(&connection.stream).set_linger(Some(Duration::ZERO));
        Gate::Close
    }
}

struct LateFinAfterStream;

impl Hooks for LateFinAfterStream {
    fn peer_ended(&mut self, connection: &mut Connection) -> Gate {
        let answers_at = connection.last_read + Duration::from_secs(6);
        let is_late = connection.bytes_read >= 1 << 20 && Instant::now() < answers_at;
        if is_late { Gate::Until(answers_at) } else { Gate::Go }
    }
}

/// Leaks a connection that had a blocked write when its FIN arrived, and was then reset.
#[derive(Default)]
struct LeaksOnBlockedFin {
    leaked: Vec<Connection>,
}

impl Hooks for LeaksOnBlockedFin {
    fn step(&mut self, connection: &mut Connection) -> Gate {
        let Ready { read_closed, error, .. } = connection.ready;
        if read_closed && !error && connection.blocked_since.is_some() {
            connection.mark = 1;
        }
        Gate::Go
    }

    fn freed(&mut self, connection: Connection, end: End) -> Option<Connection> {
        if connection.mark == 1 && end != End::Finished {
            self.leaked.push(connection);
            return None;
        }
        Some(connection)
    }
}

struct ChecksErrorFirst;

impl Hooks for ChecksErrorFirst {
    fn step(&mut self, connection: &mut Connection) -> Gate {
        if connection.ready.error { Gate::Close } else { Gate::Go }
    }
}

/// Leaks all or every Nth of the connections that end in a certain way.
struct Leaks {
    leaks: fn(&Connection, End) -> bool,
    each: u64,
    count: u64,
    leaked: Vec<Connection>,
}

impl Leaks {
    fn when(leaks: fn(&Connection, End) -> bool) -> Self {
        Self { leaks, each: 1, count: 0, leaked: Vec::new() }
    }

    fn each(self, each: u64) -> Self {
        Self { each, ..self }
    }
}

impl Hooks for Leaks {
    fn freed(&mut self, connection: Connection, end: End) -> Option<Connection> {
        self.count += u64::from((self.leaks)(&connection, end));
        if (self.leaks)(&connection, end) && self.count.is_multiple_of(self.each) {
            self.leaked.push(connection);
            return None;
        }
        Some(connection)
    }
}

#[derive(Default)]
struct LeaksPipes {
    leaked: Vec<(PipeReader, PipeWriter)>,
}

impl Hooks for LeaksPipes {
    fn closed(&mut self, connection: &mut Connection, _end: End) {
        if connection.bytes_read > 0 {
            // Leaks nothing more once there is no free descriptor.
            self.leaked.extend(io::pipe());
        }
    }
}

#[derive(Default)]
struct FreesAtNextAccept {
    ended: Vec<Connection>,
}

impl Hooks for FreesAtNextAccept {
    fn accepted(&mut self, _stream: &mut TcpStream, _open: usize) -> Admission {
        self.ended.clear();
        Admission::Serve
    }

    fn freed(&mut self, connection: Connection, _end: End) -> Option<Connection> {
        if connection.bytes_read == 0 {
            self.ended.push(connection);
            return None;
        }
        Some(connection)
    }
}

fn fin(_: &Connection, end: End) -> bool {
    end == End::Finished
}

pub(super) fn reset(_: &Connection, end: End) -> bool {
    end != End::Finished
}

fn at_once(connection: &Connection, _: End) -> bool {
    connection.bytes_read == 0 && connection.opened.elapsed() < Duration::from_millis(20)
}

fn idle_fin(connection: &Connection, end: End) -> bool {
    end == End::Finished && connection.bytes_read == 0
}

fn broken_echo(connection: &Connection, end: End) -> bool {
    end != End::Finished && connection.bytes_read >= 4096
}

fn idle_reset(connection: &Connection, end: End) -> bool {
    let is_idle = connection.last_read.elapsed() >= Duration::from_millis(20);
    end == End::ReadFailed && (connection.bytes_read == 0 || is_idle)
}

pub(super) fn blocked_reset(connection: &Connection, end: End) -> bool {
    end != End::Finished && connection.blocked_since.is_some()
}
