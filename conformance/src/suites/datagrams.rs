//! Datagram cases that `udp` and `unixdg` share, except those of memory, and cases about the
//! addresses of UDP clients.

use std::net::{Ipv4Addr, SocketAddr};
use std::thread;
use std::time::Duration;

use report::{Failure, FailureKind};

use crate::case::{CaseResult, Observation};
use crate::client::SECOND_LOOPBACK;
use crate::client::datagrams::{Client, Datagrams, Sent};
use crate::clock::CellClock;
use crate::suites::stalls;

pub(super) fn after_silence(server: &Datagrams) -> CaseResult {
    let mut old = server.client()?;
    old.exchange(64)?;
    // The case tests this silence.
    thread::sleep(Duration::from_millis(server.size()));
    old.exchange(64)?;
    server.client()?.exchange(64)?;
    Observation::met()
}

/// Like `tcp-echo/no-rare-stall`, with one client.
pub(super) fn no_rare_stall(server: &Datagrams) -> CaseResult {
    let mut client = server.client()?;
    for _ in 0..10 {
        client.exchange(5)?;
    }
    stalls::expect_few_stalls("rounds", server.size(), server.clock(), || client.exchange(5))?;
    Observation::met()
}

pub(super) fn same_port(server: &Datagrams) -> CaseResult {
    if !server.is_on_ipv4_loopback() {
        return not_on_ipv4_loopback();
    }
    let mut pairs = 0;
    for _ in 0..server.size() {
        let first = server.client()?;
        let port = first.address().map_or(0, |address| address.port());
        // Rarely, another process has this port at the second address.
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

pub(super) fn any_port(server: &Datagrams) -> CaseResult {
    if !server.is_on_ipv4_loopback() {
        return not_on_ipv4_loopback();
    }
    let mut asked = 0;
    for port in PORTS {
        if let Some(mut client) = client_near(server, port)? {
            client.exchange(64)?;
            asked += 1;
        }
    }
    if asked < PORTS.len() / 2 {
        let actual = format!("{asked} of {}", PORTS.len());
        return Err(Failure::new(FailureKind::Harness, "free ports", actual));
    }
    server.expect_service()?;
    Observation::met()
}

/// For cases in which clients choose their addresses, which only 127.0.0.0/8 allows.
pub(super) fn not_on_ipv4_loopback() -> CaseResult {
    Observation::reason_not_asked("the server is not on 127.0.0.0/8")
}

/// Low ports that need no privilege, ports between the ephemeral ranges of two systems, and one
/// near the top.
const PORTS: [u16; 6] = [1100, 5353, 20_000, 32_700, 48_000, 65_500];
/// How many consecutive ports are tried; one of them is expected to be free.
const PORTS_TRIED: u16 = 30;

fn client_near(server: &Datagrams, port: u16) -> Result<Option<Client>, Failure> {
    for port in port..port + PORTS_TRIED {
        let client = server.client_from((Ipv4Addr::LOCALHOST, port).into())?;
        if client.is_some() {
            return Ok(client);
        }
    }
    Ok(None)
}

/// How long the judge waits before it polls clients again whose replies are missing.
const LOOK_INTERVAL: Duration = Duration::from_micros(200);

/// Each client receives its own datagram. All clients are polled in turn, so that a reply that went
/// to the wrong client is reported there before it is reported missing here.
pub(super) fn receive_own(
    clients: &mut [Client],
    sent: Vec<Sent>,
    clock: &CellClock,
) -> Result<(), Failure> {
    let mut due: Vec<Vec<Sent>> = sent.into_iter().map(|sent| vec![sent]).collect();
    let deadline = clock.progress_deadline();
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
        // Replies are on their way, and the server may need this processor.
        clock.count_wait(|| thread::sleep(LOOK_INTERVAL));
    }
}
