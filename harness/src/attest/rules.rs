//! What a look proves: pure functions, with one rule per driver.

use report::{Attestation, Failure, Outside};

use super::{attested, mismatch};
use crate::process::{Snapshot, TracedCalls};

/// What a look at a server that waits for its client proves.
#[derive(Debug, PartialEq)]
pub(super) enum Ruling {
    /// The server uses the declared driver; the text is what was seen.
    Attested(String),
    /// What was seen also fits another driver.
    Doubt {
        seen: String,
        reason: String,
        /// The failure, unless a closer look shows the contrary.
        suspicion: Option<Failure>,
    },
    /// The server does not use the declared driver.
    Mismatch(Failure),
}

impl Ruling {
    /// The ruling if the server did not come to rest in time: it may still start to use the
    /// declared driver, so a mismatch becomes a doubt.
    pub(super) fn downgrade_mismatch(self) -> Self {
        let (seen, reason) = match self {
            Self::Mismatch(failure) => {
                (failure.actual.on_terminal(), "its threads do not rest".to_owned())
            }
            Self::Doubt { seen, reason, .. } => (seen, reason),
            attested @ Self::Attested(_) => return attested,
        };
        Self::Doubt { seen, reason, suspicion: None }
    }
}

/// Rules on what was seen after `messages`. `completed` is how many operations its rings completed
/// for them, if the kernel reports it.
pub(super) fn rule(
    driver: &Outside,
    snapshot: &Snapshot,
    completed: Option<u64>,
    messages: u64,
) -> Ruling {
    let seen = describe(snapshot, completed, messages);
    if driver.equals("epoll") {
        rule_epoll(snapshot, completed, messages, seen)
    } else if driver.equals("io_uring") {
        rule_io_uring(snapshot, completed, messages, seen)
    } else if driver.equals("threads") {
        rule_threads(snapshot, completed, messages, seen)
    } else {
        Ruling::Mismatch(mismatch("a driver that Linux has", &seen))
    }
}

fn rule_epoll(snapshot: &Snapshot, completed: Option<u64>, messages: u64, seen: String) -> Ruling {
    if !snapshot.in_epoll {
        return Ruling::Mismatch(mismatch("the client's socket in an epoll instance", &seen));
    }
    if !snapshot.waits_in_epoll {
        let reason = "no thread was seen to wait in the epoll instance of the client's socket";
        return doubt(seen, reason);
    }
    rule_out_rings(snapshot, completed, messages, seen)
}

fn rule_threads(
    snapshot: &Snapshot,
    completed: Option<u64>,
    messages: u64,
    seen: String,
) -> Ruling {
    if snapshot.in_epoll {
        return Ruling::Mismatch(mismatch("the client's socket in no epoll instance", &seen));
    }
    if snapshot.polls_several_clients {
        return Ruling::Mismatch(mismatch("a thread for each client", &seen));
    }
    if !snapshot.reads && !snapshot.polls {
        return doubt(seen, "no thread was seen to wait for the client's socket");
    }
    rule_out_rings(snapshot, completed, messages, seen)
}

/// A process with another driver may still have rings: to read files, or to change epoll interest
/// lists (IORING_OP_EPOLL_CTL, as libuv does). Rings with fewer than one completion per message do
/// not carry the messages.
fn rule_out_rings(
    snapshot: &Snapshot,
    completed: Option<u64>,
    messages: u64,
    seen: String,
) -> Ruling {
    if snapshot.waits_in_hidden_ring {
        return doubt(seen, "a thread waits in a ring that has no descriptor");
    }
    match completed {
        Some(completed) if completed < messages => Ruling::Attested(seen),
        Some(_) => doubt(seen, "its rings complete at least one operation a message"),
        None => doubt(seen, UNCOUNTED_REASON),
    }
}

const UNCOUNTED_REASON: &str = "this kernel does not tell what a ring completes";

fn rule_io_uring(
    snapshot: &Snapshot,
    completed: Option<u64>,
    messages: u64,
    seen: String,
) -> Ruling {
    if snapshot.in_epoll {
        return Ruling::Mismatch(mismatch("the client's socket in no epoll instance", &seen));
    }
    if snapshot.reads || snapshot.polls {
        return Ruling::Mismatch(mismatch("a client's socket that only a ring waits for", &seen));
    }
    if snapshot.rings.is_empty() && !snapshot.waits_in_hidden_ring {
        let suspicion = Some(mismatch("a ring", &seen));
        return Ruling::Doubt { seen, reason: "no ring was seen".to_owned(), suspicion };
    }
    if snapshot.waits_in_hidden_ring {
        return Ruling::Attested(seen);
    }
    match completed {
        Some(completed) if completed < messages => {
            let expected = format!("at least {messages} completions for {messages} messages");
            let suspicion = Some(mismatch(&expected, &seen));
            let reason = "rings complete less than one operation a message".to_owned();
            Ruling::Doubt { seen, reason, suspicion }
        }
        Some(_) if snapshot.pending_receives > 0 || snapshot.is_ring_served => {
            Ruling::Attested(seen)
        }
        Some(_) => doubt(seen, "no ring was seen to wait for input"),
        None => doubt(seen, UNCOUNTED_REASON),
    }
}

fn doubt(seen: String, reason: &str) -> Ruling {
    Ruling::Doubt { seen, reason: reason.to_owned(), suspicion: None }
}

fn describe(snapshot: &Snapshot, completed: Option<u64>, messages: u64) -> String {
    let place = match (snapshot.in_epoll, snapshot.waits_in_epoll) {
        (true, true) => "the client's socket is in an epoll instance in which a thread sleeps",
        (true, false) => "the client's socket is in an epoll instance",
        (false, _) => "the client's socket is in no epoll instance",
    };
    let rings = match (snapshot.rings.len(), completed) {
        (0, _) => "no ring has a descriptor".to_owned(),
        (count, None) => format!("{count} rings"),
        (_, Some(0)) => "no ring completed anything".to_owned(),
        (_, Some(completed)) if completed < messages => {
            "rings completed less than one operation a message".to_owned()
        }
        (_, Some(_)) if snapshot.pending_receives > 0 => {
            "a ring waits for input, and completes at least one operation a message".to_owned()
        }
        (_, Some(_)) => "rings complete at least one operation a message".to_owned(),
    };
    let sleeps = [
        (snapshot.reads, "a thread sleeps in a read of the client's socket"),
        (snapshot.polls, "a thread sleeps in poll or select on the client's socket"),
        (snapshot.polls_several_clients, "it does so on the sockets of several clients"),
        (snapshot.waits_in_ring, "a thread sleeps in io_uring_enter"),
        (snapshot.waits_in_hidden_ring, "a thread sleeps in a ring that has no descriptor"),
    ];
    let sleeps = sleeps.into_iter().filter(|(is_seen, _)| *is_seen).map(|(_, words)| words);
    let parts = [place].into_iter().chain(sleeps).chain([rings.as_str()]);
    parts.collect::<Vec<_>>().join("; ")
}

/// Rules on the system calls that were seen while `bytes` were echoed.
///
/// # Errors
/// `driver` if they belong to another driver.
pub(super) fn rule_on_calls(
    driver: &Outside,
    snapshot: &Snapshot,
    watched: TracedCalls,
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
    if driver.equals("io_uring") {
        let has_ring = !snapshot.rings.is_empty() || snapshot.waits_in_hidden_ring;
        // System calls may read a few bytes: a server may try to read before it lets a ring wait.
        return if watched.bytes_read > bytes / 2 {
            Err(mismatch("bytes of the client's that a ring receives", &all))
        } else if has_ring || snapshot.is_ring_served || watched.ring_calls > 0 {
            Ok(attested(all))
        } else {
            let reason = format!("neither a ring nor a system call was seen to receive: {all}");
            Ok(Attestation::Announced { reason: reason.into() })
        };
    }
    if !is_read {
        return Err(mismatch("bytes of the client's that system calls receive", &all));
    }
    if driver.equals("epoll") && watched.epoll_waits == 0 {
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

    fn ring(completed: Option<u32>) -> Snapshot {
        let id = RingId { pid: 7, descriptor: 3, inode: 9 };
        Snapshot { rings: [(id, completed)].into(), is_at_rest: true, ..Snapshot::default() }
    }

    fn ruling(driver: &str, snapshot: &Snapshot, completed: Option<u64>) -> &'static str {
        match rule(&driver.into(), snapshot, completed, MESSAGES) {
            Ruling::Attested(_) => "attested",
            Ruling::Doubt { suspicion: None, .. } => "doubt",
            Ruling::Doubt { suspicion: Some(_), .. } => "unlikely",
            Ruling::Mismatch(_) => "mismatch",
        }
    }

    #[test]
    fn epoll_is_where_the_clients_socket_is_waited_for() {
        let served = Snapshot { in_epoll: true, waits_in_epoll: true, ..Snapshot::default() };
        assert_eq!(ruling("epoll", &served, Some(0)), "attested");
        assert_eq!(ruling("epoll", &Snapshot { epolls: 1, ..ring(Some(9)) }, Some(9)), "mismatch");
        assert_eq!(ruling("epoll", &Snapshot { in_epoll: true, ..served.clone() }, None), "doubt");
        // Like libuv, which fills its epoll instance through a ring.
        let filled = Snapshot { rings: ring(Some(3)).rings, ..served.clone() };
        assert_eq!(ruling("epoll", &filled, Some(3)), "attested");
        assert_eq!(ruling("epoll", &filled, Some(4)), "doubt");
        let hidden = Snapshot { waits_in_hidden_ring: true, ..served.clone() };
        assert_eq!(ruling("epoll", &hidden, Some(0)), "doubt");
        for driver in ["threads", "io_uring", "kqueue"] {
            assert_eq!(ruling(driver, &filled, Some(4)), "mismatch", "{driver}");
        }
    }

    #[test]
    fn a_ring_that_is_used_waits_for_input_and_completes_it() {
        let used = Snapshot { pending_receives: 1, waits_in_ring: true, ..ring(Some(8)) };
        assert_eq!(ruling("io_uring", &used, Some(8)), "attested");
        assert_eq!(ruling("io_uring", &used, Some(3)), "unlikely");
        assert_eq!(ruling("io_uring", &used, None), "doubt");
        assert_eq!(ruling("io_uring", &ring(Some(8)), Some(8)), "doubt");
        assert_eq!(ruling("io_uring", &Snapshot { reads: true, ..used }, Some(8)), "mismatch");
        assert_eq!(ruling("io_uring", &Snapshot::default(), Some(0)), "unlikely");
        let hidden = Snapshot { waits_in_hidden_ring: true, ..Snapshot::default() };
        assert_eq!(ruling("io_uring", &hidden, Some(0)), "attested");
    }

    #[test]
    fn threads_sleep_in_reads() {
        let reads = Snapshot { reads: true, ..Snapshot::default() };
        assert_eq!(ruling("threads", &reads, Some(0)), "attested");
        assert_eq!(ruling("threads", &Snapshot::default(), Some(0)), "doubt");
        let polls = Snapshot { polls: true, ..Snapshot::default() };
        assert_eq!(ruling("threads", &polls, Some(0)), "attested");
        assert_eq!(
            ruling("threads", &Snapshot { polls_several_clients: true, ..polls }, Some(0)),
            "mismatch"
        );
    }

    #[test]
    fn system_calls_say_who_takes_the_bytes() {
        let judged = |driver: &str, snapshot: &Snapshot, bytes_read, epoll_waits, ring_calls| {
            let watched = TracedCalls { bytes_read, epoll_waits, ring_calls };
            rule_on_calls(&driver.into(), snapshot, watched, 64, "seen")
        };
        let (ring, none) = (ring(Some(0)), Snapshot::default());
        assert!(judged("epoll", &none, 64, 4, 0).is_ok());
        assert!(judged("epoll", &none, 64, 0, 0).is_err());
        assert!(judged("epoll", &ring, 0, 4, 4).is_err());
        assert!(judged("threads", &ring, 64, 0, 0).is_ok());
        assert!(judged("io_uring", &ring, 64, 0, 4).is_err());
        assert!(matches!(judged("io_uring", &ring, 0, 0, 4), Ok(Attestation::Attested { .. })));
        assert!(matches!(judged("io_uring", &none, 0, 9, 0), Ok(Attestation::Announced { .. })));
    }
}
