//! The optional parts of the contract: messages that cost CPU time, and operations that are
//! cancelled while they wait.

use std::str::FromStr;
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

/// What every message costs before it is echoed.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) struct Work {
    pub(crate) time: Duration,
    pub(crate) worker: Worker,
}

#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Worker {
    /// A thread that is started for the message.
    Thread,
    /// The loop, which does nothing else meanwhile.
    Loop,
    /// Nobody: the message gets no answer.
    Nobody,
    /// Nobody: the answer waits for as long as the work would take.
    Clock,
}

/// Work that has begun for a message.
pub(crate) enum Job {
    Runs(JoinHandle<()>),
    Forgotten,
    Waits(Instant),
}

impl Work {
    /// Starts the work. `None` means that the loop has already done it.
    pub(crate) fn begin(self) -> Option<Job> {
        let time = self.time;
        match self.worker {
            Worker::Thread => match thread::Builder::new().spawn(move || burn(time)) {
                Ok(job) => Some(Job::Runs(job)),
                Err(_) => {
                    burn(time);
                    None
                }
            },
            Worker::Loop => {
                burn(time);
                None
            }
            Worker::Nobody => Some(Job::Forgotten),
            Worker::Clock => Some(Job::Waits(Instant::now() + time)),
        }
    }
}

impl Job {
    /// How often a connection checks whether its job is done.
    pub(crate) const LOOK_EVERY: Duration = Duration::from_millis(1);

    pub(crate) fn is_done(&self) -> bool {
        match self {
            Self::Runs(thread) => thread.is_finished(),
            Self::Forgotten => false,
            Self::Waits(end) => Instant::now() >= *end,
        }
    }
}

fn burn(time: Duration) {
    let start = Instant::now();
    let mut state = 1_u64;
    while start.elapsed() < time {
        for round in 0..4096 {
            state = std::hint::black_box(state.wrapping_mul(31) ^ round);
        }
    }
}

/// A value of `--cancel`: which operation is cancelled, and after how long.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Cancel {
    Accept(Duration),
    Read(Duration),
}

impl FromStr for Cancel {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let (operation, limit) = text.split_once('=').unwrap_or((text, ""));
        let limit = humantime::parse_duration(limit);
        match (operation, limit) {
            ("accept", Ok(limit)) if !limit.is_zero() => Ok(Self::Accept(limit)),
            ("read", Ok(limit)) if !limit.is_zero() => Ok(Self::Read(limit)),
            (_, _) => Err("write accept=1ms or read=1ms".to_owned()),
        }
    }
}

/// An operation that waits, in repeated attempts. With a limit, each attempt is cancelled after
/// that time: the server stops waiting for readiness and makes the system call again.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Attempts {
    limit: Option<Duration>,
    began: Option<Instant>,
}

/// How late within its limit an attempt has succeeded.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Moment {
    Early,
    /// In the second half of the limit.
    Late,
}

impl Attempts {
    pub(crate) fn within(limit: Option<Duration>) -> Self {
        Self { limit, began: None }
    }

    /// When to cancel the current attempt. Starts an attempt if there is none.
    pub(crate) fn cancelled_at(&mut self) -> Option<Instant> {
        let limit = self.limit?;
        Some(*self.began.get_or_insert_with(Instant::now) + limit)
    }

    /// Cancels the attempt if its limit has passed, and returns whether it has.
    pub(crate) fn cancel_if_over(&mut self) -> bool {
        let is_over = self.cancelled_at().is_some_and(|moment| moment <= Instant::now());
        if is_over {
            self.began = None;
        }
        is_over
    }

    /// Ends an attempt that has succeeded.
    pub(crate) fn complete(&mut self) -> Moment {
        let waited = self.began.take().map_or(Duration::ZERO, |began| began.elapsed());
        match self.limit {
            Some(limit) if 2 * waited > limit => Moment::Late,
            Some(_) | None => Moment::Early,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_attempt_without_limit_is_never_cancelled_nor_late() {
        let mut attempts = Attempts::within(None);
        assert_eq!(attempts.cancelled_at(), None);
        assert!(!attempts.cancel_if_over());
        assert_eq!(attempts.complete(), Moment::Early);
    }

    #[test]
    fn an_attempt_is_cancelled_at_its_limit_and_late_before() {
        let mut attempts = Attempts::within(Some(Duration::from_millis(20)));
        assert!(!attempts.cancel_if_over());
        thread::sleep(Duration::from_millis(21));
        assert_eq!(attempts.complete(), Moment::Late);
        attempts.cancelled_at();
        thread::sleep(Duration::from_millis(21));
        assert!(attempts.cancel_if_over());
        assert_eq!(attempts.complete(), Moment::Early);
    }

    #[test]
    fn work_is_done_where_it_is_said() {
        let work = |worker| Work { time: Duration::from_millis(1), worker };
        assert!(work(Worker::Loop).begin().is_none());
        assert!(!work(Worker::Nobody).begin().unwrap().is_done());
        match work(Worker::Thread).begin() {
            Some(Job::Runs(thread)) => thread.join().unwrap(),
            Some(Job::Forgotten | Job::Waits(_)) | None => panic!("no thread"),
        }
    }

    #[test]
    fn only_accept_and_read_can_be_cancelled() {
        let ms = Duration::from_millis(1);
        assert_eq!("accept=1ms".parse(), Ok(Cancel::Accept(ms)));
        assert_eq!("read=1ms".parse(), Ok(Cancel::Read(ms)));
        for text in ["", "read", "read=", "read=0s", "write=1ms"] {
            assert!(text.parse::<Cancel>().is_err(), "{text}");
        }
    }
}
