//! Cases of datagrams: those that `udp` and `unixdg` share, except those of memory, and those about
//! the addresses of UDP clients.

use std::net::{Ipv4Addr, SocketAddr};
use std::thread;
use std::time::Duration;

use report::{Failure, FailureKind};

use crate::case::{CaseResult, Observation};
use crate::client::SECOND_LOOPBACK;
use crate::client::datagrams::{Client, Datagrams, Sent};
use crate::clock::CellClock;
use crate::suites::stalls;

/// After a silence, the first datagram of an old client and of a new one come back.
pub(super) fn after_silence(server: &Datagrams) -> CaseResult {
    let mut old = server.client()?;
    old.exchange(64)?;
    // The silence is the case.
    thread::sleep(Duration::from_millis(server.size()));
    old.exchange(64)?;
    server.client()?.exchange(64)?;
    Observation::met()
}

/// As `tcp-echo/no-rare-stall`, of one client.
pub(super) fn no_rare_stall(server: &Datagrams) -> CaseResult {
    let mut client = server.client()?;
    for _ in 0..10 {
        client.exchange(5)?;
    }
    stalls::expect_few("rounds", server.size(), server.clock(), || client.exchange(5))?;
    Observation::met()
}

/// Clients that have the same port of two addresses.
pub(super) fn same_port(server: &Datagrams) -> CaseResult {
    if !server.is_on_ipv4_loopback() {
        return not_on_ipv4_loopback();
    }
    let mut pairs = 0;
    for _ in 0..server.size() {
        let first = server.client()?;
        let port = first.address().map_or(0, |address| address.port());
        // Somebody else may have it there, which is rare.
        let Some(second) = server.client_from(SocketAddr::from((SECOND_LOOPBACK, port)))? else {
            continue;
        };
        let mut pair = [first, second];
        pairs += 1;
        for (one, other) in [(64, 96), (96, 64)] {
            let sent = vec![pair[0].send(one)?, pair[1].send(other)?];
            receive_own(&mut pair, sent, server.clock())?;
        }
        pair.iter_mut().try_for_each(|client| client.expect_silence(Duration::ZERO))?;
    }
    if pairs * 2 < server.size() {
        let actual = format!("{pairs} of {}", server.size());
        return Err(Failure::new(FailureKind::Harness, "ports that nobody else has", actual));
    }
    Observation::met()
}

/// Clients at ports from all over the range.
pub(super) fn any_port(server: &Datagrams) -> CaseResult {
    if !server.is_on_ipv4_loopback() {
        return not_on_ipv4_loopback();
    }
    let mut asked = 0;
    for port in PORTS {
        if let Some(mut client) = near(server, port)? {
            client.exchange(64)?;
            asked += 1;
        }
    }
    if asked < PORTS.len() / 2 {
        let actual = format!("{asked} of {}", PORTS.len());
        return Err(Failure::new(FailureKind::Harness, "free ports", actual));
    }
    server.serves()?;
    Observation::met()
}

/// What comes of a case that needs clients with addresses of their own in 127.0.0.0/8.
pub(super) fn not_on_ipv4_loopback() -> CaseResult {
    Observation::not_asked("the server is not on 127.0.0.0/8")
}

/// Low ports that any user may have, some between two systems' ranges for clients, and the highest.
const PORTS: [u16; 6] = [1100, 5353, 20_000, 32_700, 48_000, 65_500];
/// Of this many ports in a row, one is free.
const NEAR: u16 = 30;

fn near(server: &Datagrams, port: u16) -> Result<Option<Client>, Failure> {
    for port in port..port + NEAR {
        let client = server.client_from((Ipv4Addr::LOCALHOST, port).into())?;
        if client.is_some() {
            return Ok(client);
        }
    }
    Ok(None)
}

/// How soon clients whose replies are missing are looked at again.
const LOOK_AGAIN: Duration = Duration::from_micros(200);

/// Each client gets its own datagram. All are looked at, so that one that went to another client is
/// seen there before it is missed here.
pub(super) fn receive_own(
    clients: &mut [Client],
    sent: Vec<Sent>,
    clock: &CellClock,
) -> Result<(), Failure> {
    let mut due: Vec<Vec<Sent>> = sent.into_iter().map(|sent| vec![sent]).collect();
    let deadline = clock.progress();
    loop {
        let is_last_look = deadline.is_over();
        for (client, due) in clients.iter_mut().zip(&mut due) {
            client.receive_any(due, Duration::ZERO)?;
        }
        let missing = due.iter().filter(|due| !due.is_empty()).count();
        if missing == 0 {
            return Ok(());
        }
        if is_last_look {
            return Err(deadline.failure(&format!("the datagrams of {missing} clients")));
        }
        // A reply is on its way, and the server may need this processor.
        clock.waiting(|| thread::sleep(LOOK_AGAIN));
    }
}
