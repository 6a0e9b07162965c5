//! What the signs of a look prove: pure functions, with one rule per driver.

use report::{Attestation, Failure, Outside};

use super::{attested, mismatch};
use crate::process::{Sight, Watched};

/// What follows from a look at a server that waits for its client.
#[derive(Debug, PartialEq)]
pub(super) enum Ruling {
    /// It is as the server says; what was seen.
    Attested(String),
    /// What was seen fits another driver, too.
    Doubt {
        seen: String,
        reason: String,
        /// What is wrong unless a closer look shows the contrary.
        otherwise: Option<Failure>,
    },
    /// It is not as the server says.
    Mismatch(Failure),
}

impl Ruling {
    /// The same of a server that never came to rest: what it may yet do is not held against it.
    pub(super) fn in_motion(self) -> Self {
        let (seen, reason) = match self {
            Self::Mismatch(failure) => {
                (failure.actual.on_terminal(), "its threads do not rest".to_owned())
            }
            Self::Doubt { seen, reason, .. } => (seen, reason),
            attested @ Self::Attested(_) => return attested,
        };
        Self::Doubt { seen, reason, otherwise: None }
    }
}

/// What follows from what was seen after `messages`, for which its rings `completed` so many
/// operations, as far as the kernel tells.
pub(super) fn rule(
    driver: &Outside,
    sight: &Sight,
    completed: Option<u64>,
    messages: u64,
) -> Ruling {
    let seen = seen(sight, completed, messages);
    if driver.is("epoll") {
        epoll(sight, completed, messages, seen)
    } else if driver.is("io_uring") {
        io_uring(sight, completed, messages, seen)
    } else if driver.is("threads") {
        threads(sight, completed, messages, seen)
    } else {
        Ruling::Mismatch(mismatch("a driver that Linux has", &seen))
    }
}

fn epoll(sight: &Sight, completed: Option<u64>, messages: u64, seen: String) -> Ruling {
    if !sight.in_epoll {
        return Ruling::Mismatch(mismatch("the client's socket in an epoll instance", &seen));
    }
    if !sight.waits_in_epoll {
        let reason = "no thread was seen to wait in the epoll instance of the client's socket";
        return doubt(seen, reason);
    }
    beside_rings(sight, completed, messages, seen)
}

fn threads(sight: &Sight, completed: Option<u64>, messages: u64, seen: String) -> Ruling {
    if sight.in_epoll {
        return Ruling::Mismatch(mismatch("the client's socket in no epoll instance", &seen));
    }
    if sight.polls_many {
        return Ruling::Mismatch(mismatch("a thread for each client", &seen));
    }
    if !sight.reads && !sight.polls {
        return doubt(seen, "no thread was seen to wait for the client's socket");
    }
    beside_rings(sight, completed, messages, seen)
}

/// Rings next to another driver are no contradiction: files may be read by them, or epoll
/// instances filled. What completes less than once a message does not carry the messages.
fn beside_rings(sight: &Sight, completed: Option<u64>, messages: u64, seen: String) -> Ruling {
    if sight.waits_in_hidden_ring {
        return doubt(seen, "a thread waits in a ring that has no descriptor");
    }
    match completed {
        Some(completed) if completed < messages => Ruling::Attested(seen),
        Some(_) => doubt(seen, "its rings complete at least one operation a message"),
        None => doubt(seen, UNCOUNTED),
    }
}

const UNCOUNTED: &str = "this kernel does not tell what a ring completes";

fn io_uring(sight: &Sight, completed: Option<u64>, messages: u64, seen: String) -> Ruling {
    if sight.in_epoll {
        return Ruling::Mismatch(mismatch("the client's socket in no epoll instance", &seen));
    }
    if sight.reads || sight.polls {
        return Ruling::Mismatch(mismatch("a client's socket that only a ring waits for", &seen));
    }
    if sight.rings.is_empty() && !sight.waits_in_hidden_ring {
        let otherwise = Some(mismatch("a ring", &seen));
        return Ruling::Doubt { seen, reason: "no ring was seen".to_owned(), otherwise };
    }
    if sight.waits_in_hidden_ring {
        return Ruling::Attested(seen);
    }
    match completed {
        Some(completed) if completed < messages => {
            let expected = format!("at least {messages} completions for {messages} messages");
            let otherwise = Some(mismatch(&expected, &seen));
            let reason = "rings complete less than one operation a message".to_owned();
            Ruling::Doubt { seen, reason, otherwise }
        }
        Some(_) if sight.receives > 0 || sight.is_ring_served => Ruling::Attested(seen),
        Some(_) => doubt(seen, "no ring was seen to wait for input"),
        None => doubt(seen, UNCOUNTED),
    }
}

fn doubt(seen: String, reason: &str) -> Ruling {
    Ruling::Doubt { seen, reason: reason.to_owned(), otherwise: None }
}

/// What was seen, in words.
fn seen(sight: &Sight, completed: Option<u64>, messages: u64) -> String {
    let place = match (sight.in_epoll, sight.waits_in_epoll) {
        (true, true) => "the client's socket is in an epoll instance in which a thread sleeps",
        (true, false) => "the client's socket is in an epoll instance",
        (false, _) => "the client's socket is in no epoll instance",
    };
    let rings = match (sight.rings.len(), completed) {
        (0, _) => "no ring has a descriptor".to_owned(),
        (count, None) => format!("{count} rings"),
        (_, Some(0)) => "no ring completed anything".to_owned(),
        (_, Some(completed)) if completed < messages => {
            "rings completed less than one operation a message".to_owned()
        }
        (_, Some(_)) if sight.receives > 0 => {
            "a ring waits for input, and completes at least one operation a message".to_owned()
        }
        (_, Some(_)) => "rings complete at least one operation a message".to_owned(),
    };
    let sleeps = [
        (sight.reads, "a thread sleeps in a read of the client's socket"),
        (sight.polls, "a thread sleeps in poll or select on the client's socket"),
        (sight.polls_many, "it does so on the sockets of several clients"),
        (sight.waits_in_ring, "a thread sleeps in io_uring_enter"),
        (sight.waits_in_hidden_ring, "a thread sleeps in a ring that has no descriptor"),
    ];
    let sleeps = sleeps.into_iter().filter(|(is_seen, _)| *is_seen).map(|(_, words)| words);
    let parts = [place].into_iter().chain(sleeps).chain([rings.as_str()]);
    parts.collect::<Vec<_>>().join("; ")
}

/// What follows from the system calls that were seen while `bytes` were echoed.
///
/// # Errors
/// `driver` when they are another driver's.
pub(super) fn rule_watched(
    driver: &Outside,
    sight: &Sight,
    watched: Watched,
    bytes: u64,
    seen: &str,
) -> Result<Attestation, Failure> {
    let is_read = watched.bytes_read >= bytes;
    let read = match watched.bytes_read {
        0 => "no system call took its bytes".to_owned(),
        _ if is_read => "system calls took its bytes".to_owned(),
        some => format!("system calls took {some} of its {bytes} bytes"),
    };
    let all = format!("{seen}; {read}");
    if driver.is("io_uring") {
        let has_ring = !sight.rings.is_empty() || sight.waits_in_hidden_ring;
        // A few may be there when a server tries before it has a ring wait for them.
        return if watched.bytes_read > bytes / 2 {
            Err(mismatch("bytes of the client's that a ring receives", &all))
        } else if has_ring || sight.is_ring_served || watched.ring_calls > 0 {
            Ok(attested(all))
        } else {
            let reason = format!("neither a ring nor a system call was seen to receive: {all}");
            Ok(Attestation::Announced { reason: reason.into() })
        };
    }
    if !is_read {
        return Err(mismatch("bytes of the client's that system calls receive", &all));
    }
    if driver.is("epoll") && watched.epoll_waits == 0 {
        let expected = "a wait in the epoll instance of the client's socket";
        return Err(mismatch(expected, &all));
    }
    Ok(attested(all))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::process::RingId;

    const MESSAGES: u64 = 4;

    fn ring(completed: Option<u32>) -> Sight {
        let id = RingId { pid: 7, descriptor: 3, inode: 9 };
        Sight { rings: [(id, completed)].into(), is_at_rest: true, ..Sight::default() }
    }

    fn ruling(driver: &str, sight: &Sight, completed: Option<u64>) -> &'static str {
        match rule(&driver.into(), sight, completed, MESSAGES) {
            Ruling::Attested(_) => "attested",
            Ruling::Doubt { otherwise: None, .. } => "doubt",
            Ruling::Doubt { otherwise: Some(_), .. } => "unlikely",
            Ruling::Mismatch(_) => "mismatch",
        }
    }

    #[test]
    fn epoll_is_where_the_clients_socket_is_waited_for() {
        let served = Sight { in_epoll: true, waits_in_epoll: true, ..Sight::default() };
        assert_eq!(ruling("epoll", &served, Some(0)), "attested");
        assert_eq!(ruling("epoll", &Sight { epolls: 1, ..ring(Some(9)) }, Some(9)), "mismatch");
        assert_eq!(ruling("epoll", &Sight { in_epoll: true, ..served.clone() }, None), "doubt");
        // As libuv, which fills its epoll instance by way of a ring.
        let filled = Sight { rings: ring(Some(3)).rings, ..served.clone() };
        assert_eq!(ruling("epoll", &filled, Some(3)), "attested");
        assert_eq!(ruling("epoll", &filled, Some(4)), "doubt");
        let hidden = Sight { waits_in_hidden_ring: true, ..served.clone() };
        assert_eq!(ruling("epoll", &hidden, Some(0)), "doubt");
        for driver in ["threads", "io_uring", "kqueue"] {
            assert_eq!(ruling(driver, &filled, Some(4)), "mismatch", "{driver}");
        }
    }

    #[test]
    fn a_ring_that_is_used_waits_for_input_and_completes_it() {
        let used = Sight { receives: 1, waits_in_ring: true, ..ring(Some(8)) };
        assert_eq!(ruling("io_uring", &used, Some(8)), "attested");
        assert_eq!(ruling("io_uring", &used, Some(3)), "unlikely");
        assert_eq!(ruling("io_uring", &used, None), "doubt");
        assert_eq!(ruling("io_uring", &ring(Some(8)), Some(8)), "doubt");
        assert_eq!(ruling("io_uring", &Sight { reads: true, ..used }, Some(8)), "mismatch");
        assert_eq!(ruling("io_uring", &Sight::default(), Some(0)), "unlikely");
        let hidden = Sight { waits_in_hidden_ring: true, ..Sight::default() };
        assert_eq!(ruling("io_uring", &hidden, Some(0)), "attested");
    }

    #[test]
    fn threads_sleep_in_reads() {
        let reads = Sight { reads: true, ..Sight::default() };
        assert_eq!(ruling("threads", &reads, Some(0)), "attested");
        assert_eq!(ruling("threads", &Sight::default(), Some(0)), "doubt");
        let polls = Sight { polls: true, ..Sight::default() };
        assert_eq!(ruling("threads", &polls, Some(0)), "attested");
        assert_eq!(ruling("threads", &Sight { polls_many: true, ..polls }, Some(0)), "mismatch");
    }

    #[test]
    fn system_calls_say_who_takes_the_bytes() {
        let judged = |driver: &str, sight: &Sight, bytes_read, epoll_waits, ring_calls| {
            let watched = Watched { bytes_read, epoll_waits, ring_calls };
            rule_watched(&driver.into(), sight, watched, 64, "seen")
        };
        let (ring, none) = (ring(Some(0)), Sight::default());
        assert!(judged("epoll", &none, 64, 4, 0).is_ok());
        assert!(judged("epoll", &none, 64, 0, 0).is_err());
        assert!(judged("epoll", &ring, 0, 4, 4).is_err());
        assert!(judged("threads", &ring, 64, 0, 0).is_ok());
        assert!(judged("io_uring", &ring, 64, 0, 4).is_err());
        assert!(matches!(judged("io_uring", &ring, 0, 0, 4), Ok(Attestation::Attested { .. })));
        assert!(matches!(judged("io_uring", &none, 0, 9, 0), Ok(Attestation::Announced { .. })));
    }
}
