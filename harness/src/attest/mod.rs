//! Finds out from outside which I/O driver a server really uses. Takes snapshots while one client
//! sends messages: which epoll instance or ring waits for the client's socket, where threads sleep,
//! how many completions rings have posted. If that leaves a doubt, traces who reads the bytes.

mod rules;

use std::net::SocketAddr;
use std::thread;
use std::time::Duration;

use report::host::Host;
use report::{Attestation, Failure, FailureKind, Outside, outside};

use crate::deadline::Deadline;
use crate::process::{Process, Snapshot};
use crate::sock_diag;
use rules::Ruling;

/// How many messages are sent while completions are counted.
const MESSAGES: u64 = 4;
/// At most this many messages are sent while system calls are traced, because tracing stops a
/// thread twice per call.
const TRACED_MESSAGES_LIMIT: u64 = 50;
/// How long a server may take, after a message, until it waits for the client's next one.
const PATIENCE: Duration = Duration::from_secs(2);
/// A server is at rest once this many looks in a row (100 ms) have seen no thread run. A shorter
/// rest proves nothing: a timer may still make the server start its next wait for the client.
const REST_LOOKS: u32 = 20;
/// The pause between two looks.
const LOOK_INTERVAL: Duration = Duration::from_millis(5);

/// A client's connection, by the addresses of its ends, and what was echoed on it.
#[derive(Clone, Copy, Debug)]
pub struct EchoedConnection {
    /// The server's end.
    pub server: SocketAddr,
    /// The client's end.
    pub client: SocketAddr,
    /// Bytes that were sent and echoed.
    pub bytes: u64,
}

/// Sends the server this many messages, one after the other, and waits for the echo of each.
pub type Exchange<'a> = &'a mut dyn FnMut(u64) -> Result<EchoedConnection, Failure>;

/// How closely a server is looked at.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Depth {
    /// Looks at what the server holds and where it sleeps. Traces its system calls only if that
    /// leaves a doubt.
    Glance,
    /// Always traces its system calls, which stops its threads and interrupts its waits.
    Trace,
}

/// Compares the declared driver with what the process holds and does. `exchange` sends the server
/// this many messages, one after the other, always on the same connection, and waits for the echo
/// of each.
///
/// # Errors
/// `driver` on a mismatch; otherwise the failure of an exchange.
pub fn attest(
    driver: &Outside,
    host: &Host,
    process: &Process,
    exchange: impl FnMut(u64) -> Result<EchoedConnection, Failure>,
) -> Result<Attestation, Failure> {
    if host.os != "linux" {
        let reason = outside!("what another process holds is not read on {}", host.os);
        return Ok(Attestation::Announced { reason });
    }
    attest_process(driver, process, MESSAGES, Depth::Glance, exchange)
}

/// Like [`attest`] on Linux, with this many messages.
///
/// # Errors
/// See [`attest`].
pub fn attest_process(
    driver: &Outside,
    process: &Process,
    messages: u64,
    depth: Depth,
    mut exchange: impl FnMut(u64) -> Result<EchoedConnection, Failure>,
) -> Result<Attestation, Failure> {
    // The first exchange may open the connection.
    let first = exchange(1)?;
    let socket = match sock_diag::socket_end(first.server, first.client) {
        Ok(end) => end.inode,
        Err(e) => {
            let reason =
                format!("the kernel does not tell of the server's end of a connection: {e}");
            return Ok(Attestation::Announced { reason: reason.into() });
        }
    };
    let look = || process.snapshot(socket);
    let before = match look() {
        Ok(before) => before,
        Err(error) => return Ok(attest_unseen(&error)),
    };
    exchange(messages)?;
    let rule = |snapshot: &Snapshot| {
        rules::rule(driver, snapshot, snapshot.completed_since(&before), messages)
    };
    let (snapshot, ruling) = match settle(look, rule) {
        Ok(settled) => settled,
        Err(error) => return Ok(attest_unseen(&error)),
    };
    let (seen, doubt) = match ruling {
        Ruling::Mismatch(failure) => return Err(failure),
        Ruling::Attested(seen) if depth == Depth::Glance => return Ok(attested(seen)),
        Ruling::Attested(seen) => (seen, None),
        Ruling::Doubt { seen, reason, suspicion } => (seen, Some((reason, suspicion))),
    };
    let mut bytes = 0;
    let watched = process.trace_calls(socket, || {
        exchange(messages.min(TRACED_MESSAGES_LIMIT)).map(|exchanged| bytes = exchanged.bytes)
    });
    match (watched, doubt) {
        (Ok(watched), _) => rules::rule_on_calls(driver, &snapshot, watched?, bytes, &seen),
        (Err(error), None) => {
            Ok(attested(format!("{seen}; its system calls cannot be watched: {error}")))
        }
        (Err(_), Some((_, Some(failure)))) => Err(failure),
        (Err(error), Some((reason, None))) => {
            let reason = format!("{reason}, and its system calls cannot be watched: {error}");
            Ok(Attestation::Announced { reason: reason.into() })
        }
    }
}

/// Looks until the server waits for the client again. A look at a server that still runs proves
/// nothing against it.
fn settle(
    look: impl Fn() -> std::io::Result<Snapshot>,
    rule: impl Fn(&Snapshot) -> Ruling,
) -> std::io::Result<(Snapshot, Ruling)> {
    let deadline = Deadline::after(PATIENCE);
    let mut at_rest = 0;
    loop {
        let snapshot = look()?;
        let ruling = rule(&snapshot);
        at_rest = if snapshot.is_at_rest { at_rest + 1 } else { 0 };
        if matches!(ruling, Ruling::Attested(_)) || at_rest == REST_LOOKS {
            return Ok((snapshot, ruling));
        }
        if deadline.is_over() {
            return Ok((snapshot, ruling.downgrade_mismatch()));
        }
        thread::sleep(LOOK_INTERVAL);
    }
}

/// What is seen of a server that declares no driver.
#[must_use]
pub fn attest_undeclared(host: &Host, process: &Process) -> Attestation {
    // No socket has this inode.
    let held = match process.snapshot(0) {
        Ok(snapshot) if !snapshot.rings.is_empty() => {
            format!("the process holds {} rings", snapshot.rings.len())
        }
        Ok(snapshot) if snapshot.epolls > 0 => {
            "the process holds an epoll instance and no ring".to_owned()
        }
        Ok(_) => "the process holds neither a ring nor an epoll instance".to_owned(),
        Err(_) => format!("what another process holds is not read on {}", host.os.on_terminal()),
    };
    Attestation::NotAttested { reason: format!("no driver is declared; {held}").into() }
}

fn attested(seen: String) -> Attestation {
    Attestation::Attested { seen: seen.into() }
}

fn attest_unseen(error: &std::io::Error) -> Attestation {
    let reason = format!("the system does not let the server's process be seen: {error}");
    Attestation::Announced { reason: reason.into() }
}

fn mismatch(expected: &str, actual: &str) -> Failure {
    Failure::new(FailureKind::Driver, expected, actual)
}
