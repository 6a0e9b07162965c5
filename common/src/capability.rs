//! The optional parts of the contract: messages that cost CPU time, and operations that are
//! cancelled while they wait. Each backend implements those that it offers in its runtime's way.

use std::hint;
use std::str::FromStr;
use std::time::{Duration, Instant};

/// An optional part of the contract.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Capability {
    /// `cpu:` listeners, on which each message costs CPU time before it is echoed.
    Cpu,
    /// `--cancel`, which cancels operations that have waited for some time, and starts them again.
    Cancel,
}

impl Capability {
    /// Every capability.
    pub const ALL: [Self; 2] = [Self::Cpu, Self::Cancel];

    /// Its name in options, announcements and the registry.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Cpu => "cpu",
            Self::Cancel => "cancel",
        }
    }
}

/// What a message on a `cpu:` listener costs before it is echoed: [`burn`] for a time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Work {
    /// Off the threads that do I/O: on the runtime's pool for blocking work, or on another thread.
    Offloaded(Duration),
    /// On the thread that does I/O, to show what that does to the other clients.
    Inline(Duration),
}

impl Work {
    pub(crate) const DEFAULT: Duration = Duration::from_millis(100);
}

/// Keeps the calling thread computing for `time` on the wall clock, without a call that waits.
pub fn burn(time: Duration) {
    // Reading the clock costs tens of nanoseconds; this many rounds cost a few microseconds.
    const ROUNDS: u64 = 4096;

    let start = Instant::now();
    let mut state = 1_u64;
    while start.elapsed() < time {
        for round in 0..ROUNDS {
            state = hint::black_box(state.rotate_left(7) ^ round);
        }
    }
}

/// How long an operation may wait before it is cancelled and started again. `None` is without
/// limit.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Cancel {
    /// Limit of each `accept`.
    pub accept: Option<Duration>,
    /// Limit of each read of a connection that echoes.
    pub read: Option<Duration>,
}

/// One value of `--cancel`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct CancelAfter {
    operation: Operation,
    limit: Duration,
}

/// An operation that `--cancel` knows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Operation {
    Accept,
    Read,
}

impl FromStr for CancelAfter {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let (operation, limit) = match text.split_once('=') {
            Some(("accept", limit)) => (Operation::Accept, limit),
            Some(("read", limit)) => (Operation::Read, limit),
            Some(_) | None => return Err("write accept=1ms or read=1ms".to_owned()),
        };
        Ok(Self { operation, limit: parse_time(limit)? })
    }
}

impl Cancel {
    /// All values of `--cancel` together.
    ///
    /// # Errors
    /// Two values are for the same operation.
    pub(crate) fn from_options(values: &[CancelAfter]) -> Result<Self, String> {
        let mut cancel = Self::default();
        for &CancelAfter { operation, limit } in values {
            let (slot, name) = match operation {
                Operation::Accept => (&mut cancel.accept, "accept"),
                Operation::Read => (&mut cancel.read, "read"),
            };
            if slot.replace(limit).is_some() {
                return Err(format!("two limits for {name}: write `--cancel {name}=...` once"));
            }
        }
        Ok(cancel)
    }
}

/// The shortest time that the timers of all runtimes distinguish from zero.
const SHORTEST: Duration = Duration::from_millis(1);
const LONGEST: Duration = Duration::from_secs(60 * 60);

/// Parses a duration from 1ms to 1h.
pub(crate) fn parse_time(text: &str) -> Result<Duration, String> {
    let wanted = "write a duration from 1ms to 1h, such as 100ms";
    match humantime::parse_duration(text) {
        Ok(time) if (SHORTEST..=LONGEST).contains(&time) => Ok(time),
        Ok(_) => Err(wanted.to_owned()),
        Err(error) => Err(format!("{error}: {wanted}")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MS: Duration = Duration::from_millis(1);

    fn cancel(values: &[&str]) -> Result<Cancel, String> {
        let values: Result<Vec<_>, _> = values.iter().map(|text| text.parse()).collect();
        Cancel::from_options(&values?)
    }

    #[test]
    fn each_operation_has_a_limit_of_its_own() {
        assert_eq!(cancel(&[]), Ok(Cancel::default()));
        assert_eq!(cancel(&["read=1ms"]), Ok(Cancel { accept: None, read: Some(MS) }));
        let both = Cancel { accept: Some(2 * MS), read: Some(1000 * MS) };
        assert_eq!(cancel(&["read=1s", "accept=2ms"]), Ok(both));
    }

    #[test]
    fn what_cannot_be_cancelled_is_refused() {
        for text in ["", "1ms", "write=1ms", "read", "Read=1ms", "accept:1ms"] {
            assert_eq!(cancel(&[text]), Err("write accept=1ms or read=1ms".to_owned()), "{text}");
        }
        assert!(cancel(&["read=1ms", "read=2ms"]).unwrap_err().contains("`--cancel read=...`"));
    }

    #[test]
    fn a_time_is_a_duration_within_limits() {
        assert_eq!(parse_time("100ms"), Ok(100 * MS));
        assert_eq!(parse_time("1h"), Ok(LONGEST));
        for text in ["", "0s", "999us", "61m", "100", "-1s", "soon"] {
            let error = parse_time(text).unwrap_err();
            assert!(error.ends_with("from 1ms to 1h, such as 100ms"), "{text}: {error}");
        }
    }

    #[test]
    fn burning_takes_its_time() {
        let start = Instant::now();
        burn(5 * MS);
        assert!(start.elapsed() >= 5 * MS);
    }
}
