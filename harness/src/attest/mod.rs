//! Which I/O driver a server really uses, seen from outside its process. A look follows one
//! connection of a client: where its socket is waited for, in which system call threads sleep
//! meanwhile, what rings complete, and, in the closest look, which system calls take its bytes.

mod rules;

use std::net::SocketAddr;
use std::thread;
use std::time::Duration;

use report::host::Host;
use report::{Attestation, Failure, FailureKind, Outside, outside};

use crate::deadline::Deadline;
use crate::process::{Process, Sight};
use crate::sock_diag;
use rules::Ruling;

/// Messages whose completions are counted.
const MESSAGES: u64 = 4;
/// Messages during which system calls are watched: each call stops its thread twice.
const MOST_WATCHED: u64 = 50;
/// How long a server may take until it waits for the client again.
const PATIENCE: Duration = Duration::from_secs(2);
/// A server is at rest once no thread was seen to run so many times in a row: for 100 ms, since it
/// may have a timer have it wait for the client again.
const LOOKS: u32 = 20;
/// Between two looks.
const PAUSE: Duration = Duration::from_millis(5);

/// A client's connection, by the addresses of its ends, and what was echoed on it.
#[derive(Clone, Copy, Debug)]
pub struct Exchanged {
    /// The server's end.
    pub server: SocketAddr,
    /// The client's end.
    pub client: SocketAddr,
    /// Bytes that were sent and came back.
    pub bytes: u64,
}

/// Sends the server this many messages, one after the other, and waits for the echo of each.
pub type Exchange<'a> = &'a mut dyn FnMut(u64) -> Result<Exchanged, Failure>;

/// How closely a server is looked at.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Closeness {
    /// What it holds and where it sleeps; its system calls are watched only if that leaves a doubt.
    Glance,
    /// Its system calls are watched in any case, which stops its threads and interrupts its waits.
    Watch,
}

/// Compares the declared driver with what the process holds and does. `exchange` sends the server
/// this many messages, one after the other, always on one connection, and waits for the echo of
/// each.
///
/// # Errors
/// `driver` on a mismatch; what an exchange of messages may fail with.
pub fn attest(
    driver: &Outside,
    host: &Host,
    process: &Process,
    exchange: impl FnMut(u64) -> Result<Exchanged, Failure>,
) -> Result<Attestation, Failure> {
    if host.os != "linux" {
        let reason = outside!("what another process holds is not read on {}", host.os);
        return Ok(Attestation::Announced { reason });
    }
    attest_process(driver, process, MESSAGES, Closeness::Glance, exchange)
}

/// As [`attest`] on Linux, with a ping-pong of this many messages.
///
/// # Errors
/// As [`attest`].
pub fn attest_process(
    driver: &Outside,
    process: &Process,
    messages: u64,
    closeness: Closeness,
    mut exchange: impl FnMut(u64) -> Result<Exchanged, Failure>,
) -> Result<Attestation, Failure> {
    // The first message may have to connect.
    let first = exchange(1)?;
    let socket = match sock_diag::socket_end(first.server, first.client) {
        Ok(end) => end.inode,
        Err(e) => {
            let reason =
                format!("the kernel does not tell of the server's end of a connection: {e}");
            return Ok(Attestation::Announced { reason: reason.into() });
        }
    };
    let look = || process.sight(socket);
    let Ok(before) = look() else { return Ok(unseen(look())) };
    exchange(messages)?;
    let rule = |sight: &Sight| rules::rule(driver, sight, sight.completed_since(&before), messages);
    let (sight, ruling) = match settle(look, rule) {
        Ok(settled) => settled,
        Err(error) => return Ok(unseen(Err(error))),
    };
    let (seen, doubt) = match ruling {
        Ruling::Mismatch(failure) => return Err(failure),
        Ruling::Attested(seen) if closeness == Closeness::Glance => return Ok(attested(seen)),
        Ruling::Attested(seen) => (seen, None),
        Ruling::Doubt { seen, reason, otherwise } => (seen, Some((reason, otherwise))),
    };
    let mut bytes = 0;
    let watched = process.watch(socket, || {
        exchange(messages.min(MOST_WATCHED)).map(|exchanged| bytes = exchanged.bytes)
    });
    match (watched, doubt) {
        (Ok(watched), _) => rules::rule_watched(driver, &sight, watched?, bytes, &seen),
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

/// What is seen once the server waits for the client again. A look while it still runs proves
/// nothing against it.
fn settle(
    look: impl Fn() -> std::io::Result<Sight>,
    rule: impl Fn(&Sight) -> Ruling,
) -> std::io::Result<(Sight, Ruling)> {
    let deadline = Deadline::after(PATIENCE);
    let mut at_rest = 0;
    loop {
        let sight = look()?;
        let ruling = rule(&sight);
        at_rest = if sight.is_at_rest { at_rest + 1 } else { 0 };
        if matches!(ruling, Ruling::Attested(_)) || at_rest == LOOKS {
            return Ok((sight, ruling));
        }
        if deadline.is_over() {
            return Ok((sight, ruling.in_motion()));
        }
        thread::sleep(PAUSE);
    }
}

/// What is seen of a server that declares no driver.
#[must_use]
pub fn not_declared(host: &Host, process: &Process) -> Attestation {
    // No socket has this inode.
    let held = match process.sight(0) {
        Ok(sight) if !sight.rings.is_empty() => {
            format!("the process holds {} rings", sight.rings.len())
        }
        Ok(sight) if sight.epolls > 0 => {
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

fn unseen(look: std::io::Result<Sight>) -> Attestation {
    let error = look.err().map_or_else(|| "it ended".to_owned(), |error| error.to_string());
    let reason = format!("the system does not let the server's process be seen: {error}");
    Attestation::Announced { reason: reason.into() }
}

fn mismatch(expected: &str, actual: &str) -> Failure {
    Failure::new(FailureKind::Driver, expected, actual)
}
