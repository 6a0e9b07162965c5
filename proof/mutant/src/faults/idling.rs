//! Faults of a server that has nothing to do: it wakes up, stalls, or closes silent connections.

use std::time::{Duration, Instant};

use super::{Fault, limit};
use crate::connection::Connection;
use crate::hooks::{Gate, Hooks};

pub(super) const FAULTS: &[Fault] = &[
    Fault::settable("stops-each-10-s", "Sleeps 2 s in the loop every 10 s (settable)", 10, |at| {
        Box::new(StopsEach { each: Duration::from_secs(at), last: Instant::now() })
    }),
    Fault::new("closes-silent", "Closes a connection that has been silent for 1 s", || {
        Box::new(ClosesSilent)
    }),
    Fault::new("polls-when-idle", "Polls without a pause while no connection is open", || {
        Box::new(PollsWhenIdle)
    }),
    Fault::settable(
        "scans-connections",
        "Looks at every connection each millisecond while more than 256 (settable) are open",
        256,
        |at| Box::new(Scans { beyond: limit(at) }),
    ),
    Fault::new(
        "reads-on-at-fin",
        "Reads again and again after a FIN that follows 100 ms of silence",
        || Box::new(ReadsOnAtFin),
    ),
    Fault::new("wakes-each-ms", "Wakes up every millisecond", || Box::new(WakesEachMs)),
];

/// How often a server wakes up that should wait for events.
const TICK: Duration = Duration::from_millis(1);

struct ClosesSilent;

impl ClosesSilent {
    const LIMIT: Duration = Duration::from_secs(1);
}

impl Hooks for ClosesSilent {
    fn step(&mut self, connection: &mut Connection) -> Gate {
        if connection.last_read.elapsed() >= Self::LIMIT {
            return Gate::Close;
        }
        // One timer per second of the connection's life, and not one per read.
        let second = connection.opened.elapsed().as_secs();
        if connection.mark <= second {
            connection.mark = second + 1;
            connection.wake_at = Some(connection.opened + Self::LIMIT * (second as u32 + 1));
        }
        Gate::Go
    }
}

struct PollsWhenIdle;

impl Hooks for PollsWhenIdle {
    fn sleep(
        &mut self,
        planned: Option<Duration>,
        connections: &[Option<Connection>],
    ) -> Option<Duration> {
        if connections.iter().all(Option::is_none) { Some(Duration::ZERO) } else { planned }
    }
}

struct Scans {
    beyond: usize,
}

impl Hooks for Scans {
    fn sleep(
        &mut self,
        planned: Option<Duration>,
        connections: &[Option<Connection>],
    ) -> Option<Duration> {
        if connections.iter().flatten().count() <= self.beyond {
            return planned;
        }
        let waiting = connections.iter().flatten().filter(|connection| connection.input_waits());
        let next = if waiting.count() > 0 { Duration::ZERO } else { TICK };
        Some(planned.map_or(next, |planned| planned.min(next)))
    }
}

struct ReadsOnAtFin;

impl Hooks for ReadsOnAtFin {
    fn peer_ended(&mut self, connection: &mut Connection) -> Gate {
        let was_silent = connection.last_read.elapsed() >= Duration::from_millis(100);
        if was_silent { Gate::Again } else { Gate::Go }
    }
}

struct WakesEachMs;

impl Hooks for WakesEachMs {
    fn sleep(
        &mut self,
        planned: Option<Duration>,
        _connections: &[Option<Connection>],
    ) -> Option<Duration> {
        Some(planned.map_or(TICK, |planned| planned.min(TICK)))
    }
}

struct StopsEach {
    each: Duration,
    last: Instant,
}

impl Hooks for StopsEach {
    fn sleep(
        &mut self,
        planned: Option<Duration>,
        _connections: &[Option<Connection>],
    ) -> Option<Duration> {
        if self.last.elapsed() >= self.each {
            std::thread::sleep(Duration::from_secs(2));
            self.last = Instant::now();
        }
        let left = self.each.saturating_sub(self.last.elapsed());
        Some(planned.map_or(left, |planned| planned.min(left)))
    }
}
