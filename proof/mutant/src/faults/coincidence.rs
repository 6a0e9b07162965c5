//! Faults that take two things at once, or one after a long time of another: each alone is served
//! well.

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

/// The table.
pub(super) const FAULTS: &[Fault] = &[
    Fault::new(
        "lingers-at-close",
        "Waits in close for up to 2 s until the client has taken all (SO_LINGER)",
        || Box::new(LingersAtClose),
    ),
    Fault::new(
        "blocks-at-fin",
        "Waits in write for up to 1 s for a client that does not read and has sent FIN",
        || Box::new(BlocksAtFin),
    ),
    Fault::new("misses-fin-beside-hot", "Overlooks FIN beside three streams at full speed", || {
        Box::new(FinBesideHot { hot: Hot::default(), answer: FinAnswer::None })
    }),
    Fault::new(
        "resets-at-fin-beside-hot",
        "Answers FIN with a reset beside three streams at full speed",
        || Box::new(FinBesideHot { hot: Hot::default(), answer: FinAnswer::Reset }),
    ),
    Fault::new(
        "late-fin-beside-hot",
        "Answers FIN 6 s late beside three streams at full speed",
        || {
            let answer = FinAnswer::Late(Duration::from_secs(6));
            Box::new(FinBesideHot { hot: Hot::default(), answer })
        },
    ),
    Fault::at(
        "misses-fin-after-10-s",
        "Overlooks FIN after 10 s (settable) of silence",
        10,
        |at| Box::new(FinAfter { silence: Duration::from_secs(at), answer: Gate::Wait }),
    ),
    Fault::at(
        "resets-at-fin-after-10-s",
        "Answers FIN with a reset after 10 s (settable) of silence",
        10,
        |at| Box::new(FinAfter { silence: Duration::from_secs(at), answer: Gate::Close }),
    ),
    Fault::new(
        "misses-input-beside-room",
        "Overlooks the input that comes in one event with the room that a blocked write waits for",
        || Box::new(MissesInputBesideRoom),
    ),
    Fault::new(
        "drops-up-to-urgent",
        "Discards what has come before a byte of urgent data (Linux only)",
        || Box::new(DropsAtUrgent { keeps_before: false }),
    ),
    Fault::new(
        "drops-behind-urgent",
        "Discards what has come behind a byte of urgent data (Linux only)",
        || Box::new(DropsAtUrgent { keeps_before: true }),
    ),
    Fault::new(
        "loses-events-behind-reset",
        "Loses the events behind a reset that the same poll returned",
        || Box::new(LosesBehind::reset()),
    ),
    Fault::new(
        "misses-resets-behind-fin",
        "Overlooks the resets behind a FIN that the same poll returned",
        || Box::new(LosesBehind::fin()),
    ),
    Fault::at("sleeps-each-100th", "Sleeps 20 ms at each 100th message (settable)", 100, |at| {
        Box::new(Stalls::each(at, Duration::from_millis(20)))
    }),
    Fault::at(
        "stalls-each-100th",
        "Lets each 100th message (settable) wait for 200 ms",
        100,
        |at| Box::new(Slower { each: at, ..Slower::by(200, 200, |_, _| false) }),
    ),
    Fault::at("sleeps-each-900th", "Sleeps 60 ms at each 900th message (settable)", 900, |at| {
        Box::new(Stalls::each(at, Duration::from_millis(60)))
    }),
    Fault::at("sleeps-each-50th-client", "Sleeps 25 ms at each 50th client (settable)", 50, |at| {
        Box::new(Stalls { of_clients: true, ..Stalls::each(at, Duration::from_millis(25)) })
    }),
    Fault::new(
        "slow-and-slower-beside-many",
        "Lets each 20th message wait for 80 ms, and for 150 ms beside more than 400 connections",
        || Box::new(Slower::by(80, 150, |_, connection| connection.beside > 400)),
    ),
    Fault::new(
        "slow-and-slower-beside-blocked",
        "Lets each 20th message wait for 40 ms, and for 150 ms beside a blocked connection",
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

/// What is done about a FIN.
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
            // The poller tells of it once, and no call will.
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
        // A read ends at the mark, so that these are the bytes before it.
        if std::mem::take(&mut connection.ready.urgent) {
            if self.keeps_before {
                connection.discard_input();
            } else {
                connection.pending.truncate(connection.fresh);
            }
        }
    }
}

/// Events of one look of which those behind a certain one are lost.
struct LosesBehind {
    /// The one.
    behind: fn(&Connection) -> bool,
    /// Which of the others are lost.
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

/// A loop that sleeps now and then.
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

/// Some messages wait, and longer beside something.
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
        // `last_read` is set behind the hook that marks it, and before this one.
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
