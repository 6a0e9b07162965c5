//! Which I/O driver a server really uses, seen from outside its process (Linux: what it holds, and
//! the completion counters of its rings).

use report::host::Host;
use report::outside;
use report::{Attestation, Failure, FailureKind, Outside};

use crate::process::Process;

/// Messages whose completions are counted.
const MESSAGES: u64 = 4;

/// Compares the declared driver with what the process holds and does. `exchange` sends the server
/// this many messages, one after the other, and waits for the echo of each.
///
/// # Errors
/// `driver` on a mismatch; what an exchange of messages may fail with.
pub fn attest(
    driver: &Outside,
    host: &Host,
    process: &Process,
    exchange: impl FnMut(u64) -> Result<(), Failure>,
) -> Result<Attestation, Failure> {
    if host.os != "linux" {
        let reason = outside!("what another process holds is not read on {}", host.os);
        return Ok(Attestation::NotAttested { reason });
    }
    attest_process(driver, process, MESSAGES, exchange)
}

/// As [`attest`] on Linux, with a ping-pong of so many messages.
///
/// # Errors
/// As [`attest`].
pub fn attest_process(
    driver: &Outside,
    process: &Process,
    messages: u64,
    exchange: impl FnMut(u64) -> Result<(), Failure>,
) -> Result<Attestation, Failure> {
    let before = process.rings()?;
    if driver.is("io_uring") {
        if before.count == 0 {
            return Err(mismatch("a ring", "no ring"));
        }
        return attest_ring(process, messages, exchange);
    }
    if before.count > 0 {
        return Err(mismatch("no ring", &format!("{} rings", before.count)));
    }
    if driver.is("epoll") && !process.has_epoll()? {
        return Err(mismatch("an epoll instance", "none"));
    }
    Ok(Attestation::Attested { seen: outside!("no ring; {}", driver) })
}

/// The rings must post at least one completion for each message of a ping-pong.
///
/// # Errors
/// `driver` when they post fewer.
pub fn attest_ring(
    process: &Process,
    messages: u64,
    mut exchange: impl FnMut(u64) -> Result<(), Failure>,
) -> Result<Attestation, Failure> {
    // The first one may have to connect.
    exchange(1)?;
    let before = process.rings()?;
    exchange(messages)?;
    let after = process.rings()?;
    // The kernel's counters are 32 bits wide and wrap.
    let posted = after.completions.wrapping_sub(before.completions) & 0xffff_ffff;
    if posted < messages {
        let expected = format!("at least {messages} completions for {messages} messages");
        return Err(mismatch(&expected, &format!("{posted} completions")));
    }
    Ok(Attestation::Attested {
        seen: "a ring that completes at least once a message".to_owned().into(),
    })
}

/// What is seen of a server that declares no driver.
#[must_use]
pub fn not_declared(host: &Host, process: &Process) -> Attestation {
    let held = match (process.rings(), process.has_epoll()) {
        (Ok(rings), _) if rings.count > 0 => format!("the process holds {} rings", rings.count),
        (Ok(_), Ok(true)) => "the process holds an epoll instance and no ring".to_owned(),
        (Ok(_), Ok(false)) => "the process holds neither a ring nor an epoll instance".to_owned(),
        (_, _) => format!("what another process holds is not read on {}", host.os.on_terminal()),
    };
    Attestation::NotAttested { reason: format!("no driver is declared; {held}").into() }
}

fn mismatch(expected: &str, actual: &str) -> Failure {
    Failure::new(FailureKind::Driver, expected, actual)
}
