//! Faults that need two things at once, or one thing long after another. The server handles each
//! thing alone correctly.

use std::collections::HashSet;
use std::io::Write as _;
use std::thread;
use std::time::{Duration, Instant};

use mio::net::TcpStream;
use socket2::SockRef;

use super::Fault;
use super::unfair::Hot;
use crate::connection::{Connection, End, Phase};
use crate::hooks::{Admission, Gate, Hooks};

pub(super) const FAULTS: &[Fault] = &[
    Fault::new(
        "lingers-at-close",
        "Blocks in close(2) for up to 2 s until the client has received every byte (SO_LINGER)",
        || Box::new(LingersAtClose),
    ),
    Fault::new(
        "blocks-at-fin",
        "Blocks in write(2) for up to 1 s if a client has sent FIN and does not read",
        || Box::new(BlocksAtFin),
    ),
    Fault::new(
        "misses-fin-beside-hot",
        "Overlooks a FIN while three connections stream at full speed",
        || Box::new(FinBesideHot { hot: Hot::default(), answer: FinAnswer::None }),
    ),
    Fault::new(
        "resets-at-fin-beside-hot",
        "Answers a FIN with a reset while three connections stream at full speed",
        || Box::new(FinBesideHot { hot: Hot::default(), answer: FinAnswer::Reset }),
    ),
    Fault::new(
        "late-fin-beside-hot",
        "Answers a FIN 6 s late while three connections stream at full speed",
        || {
            let answer = FinAnswer::Late(Duration::from_secs(6));
            Box::new(FinBesideHot { hot: Hot::default(), answer })
        },
    ),
    Fault::settable(
        "misses-fin-after-10-s",
        "Overlooks a FIN that arrives after 10 s (settable) of silence",
        10,
        |at| Box::new(FinAfter { silence: Duration::from_secs(at), answer: Gate::Wait }),
    ),
    Fault::settable(
        "resets-at-fin-after-10-s",
        "Answers a FIN with a reset after 10 s (settable) of silence",
        10,
        |at| Box::new(FinAfter { silence: Duration::from_secs(at), answer: Gate::Close }),
    ),
    Fault::new(
        "misses-input-beside-room",
        "Overlooks input that the poller reports in the same event as room for a blocked write",
        || Box::new(MissesInputBesideRoom),
    ),
    Fault::new(
        "drops-up-to-urgent",
        "Discards the bytes before a byte of urgent data (Linux only)",
        || Box::new(DropsAtUrgent { keeps_before: false }),
    ),
    Fault::new(
        "drops-behind-urgent",
        "Discards the bytes after a byte of urgent data (Linux only)",
        || Box::new(DropsAtUrgent { keeps_before: true }),
    ),
    Fault::new(
        "loses-events-behind-reset",
        "Loses the events that follow a reset in the same poll",
        || Box::new(LosesBehind::reset()),
    ),
    Fault::new(
        "misses-resets-behind-fin",
        "Overlooks the resets that follow a FIN in the same poll",
        || Box::new(LosesBehind::fin()),
    ),
    Fault::settable(
        "sleeps-each-100th",
        "Sleeps 20 ms in the loop at every 100th message (settable)",
        100,
        |at| Box::new(Stalls::each(at, Duration::from_millis(20))),
    ),
    Fault::settable(
        "stalls-each-100th",
        "Delays every 100th message (settable) by 200 ms",
        100,
        |at| Box::new(Slower { each: at, ..Slower::by(200, 200, |_, _| false) }),
    ),
    Fault::settable(
        "sleeps-each-900th",
        "Sleeps 60 ms in the loop at every 900th message (settable)",
        900,
        |at| Box::new(Stalls::each(at, Duration::from_millis(60))),
    ),
    Fault::settable(
        "sleeps-each-50th-client",
        "Sleeps 25 ms in the loop at every 50th client (settable)",
        50,
        |at| Box::new(Stalls { of_clients: true, ..Stalls::each(at, Duration::from_millis(25)) }),
    ),
    Fault::new(
        "slow-and-slower-beside-many",
        "Delays every 20th message by 80 ms, and by 150 ms if more than 400 other connections are \
         open",
        || Box::new(Slower::by(80, 150, |_, connection| connection.beside > 400)),
    ),
    Fault::new(
        "slow-and-slower-beside-blocked",
        "Delays every 20th message by 40 ms, and by 150 ms while a connection's write is blocked",
        || Box::new(Slower::by(40, 150, |blocked, _| !blocked.is_empty())),
    ),
];

struct LingersAtClose;

impl Hooks for LingersAtClose {
    fn peer_ended(&mut self, connection: &mut Connection) -> Gate {
        let _ = SockRef::from(&connection.stream).set_linger(Some(Duration::from_secs(2)));
        Gate::Go
    }
}

struct BlocksAtFin;

impl Hooks for BlocksAtFin {
    fn step(&mut self, connection: &mut Connection) -> Gate {
        let is_behind = connection.phase == Phase::Open && connection.blocked_since.is_some();
        if connection.mark == 0 && connection.ready.read_closed && is_behind {
            connection.mark = 1;
            let socket = SockRef::from(&connection.stream);
            let second = Some(Duration::from_secs(1));
            let _ = socket.set_nonblocking(false).and_then(|()| socket.set_write_timeout(second));
            let rest = &connection.pending[connection.written..];
            connection.written += (&connection.stream).write(rest).unwrap_or(0);
            let _ = SockRef::from(&connection.stream).set_nonblocking(true);
            if connection.written == connection.pending.len() {
                connection.drop_pending();
            }
        }
        Gate::Go
    }
}

/// What the server does about a FIN.
#[derive(Clone, Copy, Debug)]
enum FinAnswer {
    None,
    Reset,
    Late(Duration),
}

struct FinBesideHot {
    hot: Hot,
    answer: FinAnswer,
}

impl Hooks for FinBesideHot {
    fn received(&mut self, connection: &mut Connection) {
        if connection.bytes_read > 64 * 1024 {
            self.hot.insert(connection.slot);
        }
    }

    fn peer_ended(&mut self, connection: &mut Connection) -> Gate {
        let is_missed = connection.mark > 0 || self.hot.slots().count() >= 3;
        if !is_missed {
            return Gate::Go;
        }
        connection.mark = 1;
        match self.answer {
            FinAnswer::None => Gate::Wait,
            FinAnswer::Reset => {
                let _ = SockRef::from(&connection.stream).set_linger(Some(Duration::ZERO));
                Gate::Close
            }
            FinAnswer::Late(late) if connection.last_read.elapsed() >= late => Gate::Go,
            FinAnswer::Late(late) => Gate::Until(connection.last_read + late),
        }
    }

    fn closed(&mut self, connection: &mut Connection, _end: End) {
        self.hot.forget(connection.slot);
    }
}

struct FinAfter {
    silence: Duration,
    answer: Gate,
}

impl Hooks for FinAfter {
    fn peer_ended(&mut self, connection: &mut Connection) -> Gate {
        if connection.last_read.elapsed() < self.silence {
            return Gate::Go;
        }
        if self.answer == Gate::Close {
            let _ = SockRef::from(&connection.stream).set_linger(Some(Duration::ZERO));
        }
        self.answer
    }
}

struct MissesInputBesideRoom;

impl Hooks for MissesInputBesideRoom {
    fn step(&mut self, connection: &mut Connection) -> Gate {
        let has_room = connection.blocked_since.is_some() && connection.ready.writable;
        if has_room {
            // The edge-triggered poller has reported this input, and will not report it again.
            connection.ready.readable = false;
        }
        Gate::Go
    }
}

struct DropsAtUrgent {
    keeps_before: bool,
}

impl Hooks for DropsAtUrgent {
    #[cfg(target_os = "linux")]
    fn interest(&self) -> mio::Interest {
        mio::Interest::READABLE | mio::Interest::WRITABLE | mio::Interest::PRIORITY
    }

    fn received(&mut self, connection: &mut Connection) {
        // A read ends at the urgent mark, so these are the bytes before it.
        if std::mem::take(&mut connection.ready.urgent) {
            if self.keeps_before {
                connection.discard_input();
            } else {
                connection.pending.truncate(connection.fresh);
            }
        }
    }
}

/// Loses events of one poll that follow a certain event.
struct LosesBehind {
    /// The event after which others are lost.
    behind: fn(&Connection) -> bool,
    /// Which of the later events are lost.
    loses: fn(&Connection) -> bool,
    has_met: bool,
}

impl LosesBehind {
    fn reset() -> Self {
        Self { behind: |c| c.ready.error, loses: |c| !c.ready.error, has_met: false }
    }

    fn fin() -> Self {
        let is_fin = |c: &Connection| c.ready.read_closed && !c.ready.error;
        Self { behind: is_fin, loses: |c| c.ready.error, has_met: false }
    }
}

impl Hooks for LosesBehind {
    fn woke(&mut self, _quiet: Duration) {
        self.has_met = false;
    }

    fn step(&mut self, connection: &mut Connection) -> Gate {
        if (self.behind)(connection) {
            self.has_met = true;
        }
        let is_lost = self.has_met && (self.loses)(connection) && connection.phase == Phase::Open;
        if is_lost && connection.ready.readable {
            connection.ready = Default::default();
            connection.ready.writable = true;
            return Gate::Wait;
        }
        Gate::Go
    }
}

/// Sleeps in the loop at every Nth message or client.
struct Stalls {
    each: u64,
    time: Duration,
    of_clients: bool,
    count: u64,
}

impl Stalls {
    fn each(each: u64, time: Duration) -> Self {
        Self { each, time, of_clients: false, count: 0 }
    }

    fn count(&mut self) {
        self.count += 1;
        if self.count.is_multiple_of(self.each) {
            thread::sleep(self.time);
        }
    }
}

impl Hooks for Stalls {
    fn accepted(&mut self, _stream: &mut TcpStream, _open: usize) -> Admission {
        if self.of_clients {
            self.count();
        }
        Admission::Serve
    }

    fn received(&mut self, _connection: &mut Connection) {
        if !self.of_clients {
            self.count();
        }
    }
}

/// Delays every Nth message, and by more while a condition holds.
struct Slower {
    each: u64,
    waits: [Duration; 2],
    is_slower: fn(&HashSet<usize>, &Connection) -> bool,
    count: u64,
    blocked: HashSet<usize>,
}

impl Slower {
    fn by(
        always_ms: u64,
        beside_ms: u64,
        is_slower: fn(&HashSet<usize>, &Connection) -> bool,
    ) -> Self {
        let waits = [always_ms, beside_ms].map(Duration::from_millis);
        Self { each: 20, waits, is_slower, count: 0, blocked: HashSet::new() }
    }
}

impl Hooks for Slower {
    fn received(&mut self, connection: &mut Connection) {
        self.count += 1;
        connection.mark = u64::from(self.count.is_multiple_of(self.each));
    }

    fn may_write(&mut self, connection: &mut Connection) -> Gate {
        if connection.mark == 0 {
            return Gate::Go;
        }
        let is_slower = (self.is_slower)(&self.blocked, connection);
        // `last_read` is set after the hook that sets `mark`, and before this hook.
        let due = connection.last_read + self.waits[usize::from(is_slower)];
        if Instant::now() < due {
            return Gate::Until(due);
        }
        connection.mark = 0;
        Gate::Go
    }

    fn blocked(&mut self, connection: &mut Connection) -> Gate {
        self.blocked.insert(connection.slot);
        Gate::Wait
    }

    fn wrote(&mut self, connection: &mut Connection) {
        self.blocked.remove(&connection.slot);
    }

    fn closed(&mut self, connection: &mut Connection, _end: End) {
        self.blocked.remove(&connection.slot);
    }
}
