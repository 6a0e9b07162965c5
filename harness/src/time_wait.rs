//! Client ports in TIME_WAIT. The end of a TCP connection that closes first keeps its port for a
//! while (RFC 9293, section 3.6). A row of the matrix opens 20,000 connections, and macOS has
//! 16,384 client ports, so the judge waits before it uses up the ports of the host.

use std::collections::VecDeque;
use std::sync::{LazyLock, Mutex, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use crate::deadline::Deadline;
use crate::host::{ephemeral_ports, time_wait};

static CLOSED: Mutex<VecDeque<Instant>> = Mutex::new(VecDeque::new());

/// How many ports may be in TIME_WAIT when a cell begins, and how long each stays there.
static LIMIT: LazyLock<Limit> = LazyLock::new(|| {
    let ports = ephemeral_ports()
        .map_or(USUAL_PORTS, |(first, last)| usize::from(last).saturating_sub(first.into()) + 1);
    // The other half is for the cells that run at the same time.
    Limit { ports: ports / 2, rest: time_wait() }
});

/// The ports that clients get if the system does not report them (RFC 6335, section 6).
const USUAL_PORTS: usize = 16_384;

#[derive(Clone, Copy, Debug)]
struct Limit {
    ports: usize,
    rest: Duration,
}

/// Whether one row of the matrix could use up the client ports of this host, as on macOS and
/// Windows.
#[must_use]
pub fn are_ports_few() -> bool {
    2 * LIMIT.ports <= USUAL_PORTS
}

/// Notes that a client has closed its TCP connection in order.
pub fn note_closed() {
    CLOSED.lock().unwrap_or_else(PoisonError::into_inner).push_back(Instant::now());
}

/// Waits until at most half of the host's client ports are in TIME_WAIT because of this process, at
/// most for twice as long as a port stays there.
pub fn await_ports() {
    let deadline = Deadline::after(2 * LIMIT.rest);
    while !deadline.is_over() {
        let wait = {
            let mut closed = CLOSED.lock().unwrap_or_else(PoisonError::into_inner);
            wait_needed(&mut closed, *LIMIT, Instant::now())
        };
        match wait {
            Some(wait) => thread::sleep(wait),
            None => return,
        }
    }
}

/// How long to wait until enough of the ports that were closed at these times are free again.
fn wait_needed(closed: &mut VecDeque<Instant>, limit: Limit, now: Instant) -> Option<Duration> {
    let age = |at: &Instant| now.saturating_duration_since(*at);
    while closed.front().is_some_and(|at| age(at) >= limit.rest) {
        closed.pop_front();
    }
    let excess = closed.len().saturating_sub(limit.ports);
    let last = closed.get(excess.checked_sub(1)?)?;
    Some(limit.rest.saturating_sub(age(last)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ports_above_the_limit_are_waited_for() {
        let start = Instant::now();
        let second = Duration::from_secs(1);
        let limit = Limit { ports: 2, rest: 30 * second };
        let mut closed: VecDeque<_> = [0, 1, 2, 3].map(|n| start + n * second).into();
        // Two are too many: the second one is free 30 s after it was closed.
        assert_eq!(wait_needed(&mut closed, limit, start + 10 * second), Some(21 * second));
        assert_eq!(wait_needed(&mut closed, limit, start + 31 * second), None);
        assert_eq!(closed.len(), 2);
    }
}
