//! Endurance: the server serves the thousandth client, message and second as well as the first.
//! Counters overflow, tables fill up and timeouts fire at numbers that a short test does not reach.
//! Cases that need tens of thousands of clients or messages run in profile `full` only.

use std::thread;
use std::time::{Duration, Instant};

use report::{Failure, Question, Transport, outside};

use crate::case::{Case, CaseResult, Feature, Need, Observation, Suite};
use crate::client::connection::{Connection, Setup};
use crate::client::datagrams::Datagrams;
use crate::client::peer::Peer;

pub(super) const SUITE: Suite = Suite {
    name: "endurance",
    about: "The server stays correct after any number of clients, messages and seconds.",
    question: Question::Limits,
    cases: &[
        Case::must(
            "2000-at-once",
            "The server serves two thousand concurrent clients, and serves each of them again.",
        )
        .sizes(1200, 2000, 2000)
        .needs(&[Need::Descriptors(2000), Need::ClientPorts(2000)])
        .wire(at_once),
        Case::should("10000-at-once", "The server serves ten thousand concurrent clients.")
            .sizes(200, 1200, 10_000)
            .full_profile_only()
            .needs(&[Need::Descriptors(10_000), Need::ClientPorts(10_000)])
            .wire(at_once),
        Case::must(
            "in-sequence",
            "The server serves thousands of clients that connect one after another.",
        )
        .sizes(1000, 3300, 70_000)
        .reports_reach()
        .needs(&[Need::ClientPorts(5000)])
        .wire(in_sequence),
        Case::must(
            "65536-rounds",
            "The server echoes more messages on one connection than 16 bits can count.",
        )
        .sizes(1000, 3000, 70_000)
        .full_profile_only()
        .answers(Question::Bytes)
        .wire(rounds),
        Case::must("65536-datagrams", "The server echoes more datagrams than 16 bits can count.")
            .sizes(1000, 3000, 70_000)
            .full_profile_only()
            .with_transport(Transport::Udp)
            .answers(Question::Bytes)
            .datagrams(datagrams),
        Case::must("unread", "A client that does not read for a long time loses no bytes.")
            .sizes(1000, 12_000, 75_000)
            .reports_reach()
            .answers(Question::Bytes)
            .relies_on(&[Feature::SilentClients])
            .wire(unread),
        Case::should(
            "first-after-silence",
            "The server echoes the first message after a silence as promptly as any other.",
        )
        .sizes(1000, 6000, 70_000)
        .reports_reach()
        .answers(Question::Promptness)
        .relies_on(&[Feature::SilentClients])
        .wire(first_after_silence),
    ],
};

/// This many clients are served before the next ones connect, and as many leave at a time.
const BATCH: u64 = 100;

fn at_once(peer: &Peer) -> CaseResult {
    let mut connections: Vec<Connection> = Vec::new();
    while (connections.len() as u64) < peer.size() {
        let count = BATCH.min(peer.size() - connections.len() as u64);
        let first = connections.len();
        connections.extend(peer.connect_many(count)?);
        exchange_all(&mut connections[first..])
            .map_err(|found| name_other_clients(first, found))?;
    }
    // The server still serves the first clients after the last ones.
    let count = connections.len();
    exchange_all(&mut connections).map_err(|found| name_other_clients(count, found))?;
    while !connections.is_empty() {
        // A reset frees the client's port at once, without TIME_WAIT.
        let rest = connections.len().saturating_sub(BATCH as usize);
        connections.drain(rest..).for_each(Connection::reset);
        peer.expect_service()?;
    }
    Observation::met()
}

fn exchange_all(connections: &mut [Connection]) -> Result<(), Failure> {
    for connection in connections.iter_mut() {
        connection.send(16)?;
    }
    connections.iter_mut().try_for_each(|connection| connection.receive(16))
}

fn name_other_clients(count: usize, found: Failure) -> Failure {
    let expected = outside!("{}, beside {} other clients", found.expected, count);
    Failure { expected, ..found }
}

fn in_sequence(peer: &Peer) -> CaseResult {
    for number in 0..peer.size() {
        let client = || {
            let mut connection = peer.connect()?;
            connection.exchange(16)?;
            // Closing with FIN leaves the port in TIME_WAIT; tens of thousands would use up the
            // ports.
            if number % 16 == 0 {
                drop(connection)
            } else {
                connection.reset()
            }
            Ok(())
        };
        client().map_err(|found: Failure| {
            let expected = outside!("{}, after {} clients", found.expected, number);
            Failure { expected, ..found }
        })?;
    }
    peer.expect_service()?;
    Observation::met()
}

fn rounds(peer: &Peer) -> CaseResult {
    let mut connection = peer.connect()?;
    for _ in 0..peer.size() {
        connection.exchange(1)?;
    }
    // By now, counters that all clients share have overflowed, too.
    peer.connect()?.exchange(1)?;
    peer.expect_service()?;
    Observation::met()
}

fn datagrams(server: &Datagrams) -> CaseResult {
    let mut client = server.client()?;
    for _ in 0..server.size() {
        client.exchange(1)?;
    }
    server.expect_service()?;
    Observation::met()
}

fn unread(peer: &Peer) -> CaseResult {
    /// More than fits between a blocked server and a client that does not read.
    const BYTES: u64 = 4 * 1024 * 1024;
    /// Fits into any socket buffer: the server can write it, and the client reads it later.
    const SMALL_BYTES: u64 = 1024;
    let mut stalled = peer.connect_with(Setup::small_buffers())?;
    let mut lazy = peer.connect()?;
    let mut talker = peer.connect()?;
    stalled.send_until_blocked(BLOCK_TIME, BYTES)?;
    lazy.send(SMALL_BYTES)?;
    let start = Instant::now();
    while start.elapsed() < Duration::from_millis(peer.size()) {
        talker.exchange(16)?;
        // The case tests that nobody reads for this long.
        thread::sleep(PACE);
    }
    lazy.receive_all()?;
    stalled.receive_all()?;
    for connection in [&mut stalled, &mut lazy] {
        connection.exchange(1000)?;
    }
    Observation::met()
}

/// A server that takes no byte for this long counts as blocked.
const BLOCK_TIME: Duration = Duration::from_millis(100);
/// How often one client sends while others are silent.
const PACE: Duration = Duration::from_millis(200);

fn first_after_silence(peer: &Peer) -> CaseResult {
    /// What an idle server needs, plus what a busy host may add.
    const LIMIT: Duration = Duration::from_millis(400);
    let mut silent = peer.connect_many(2)?;
    let mut quiet = peer.connect_many(3)?;
    for connection in &mut quiet {
        connection.exchange(64)?;
    }
    // The case tests this silence. All clients keep it: a message of any client would wake the
    // server.
    for connection in quiet.iter_mut().take(1) {
        connection.expect_silence(Duration::from_millis(peer.size()))?;
    }
    // If the whole server has gone to sleep, the first message of all is slow.
    let first = round(peer, &mut quiet[0])?;
    peer.clock().judge_rounds("the first message after the silence", first, LIMIT)?;
    // If each connection has gone to sleep on its own, all of them are slow. The fastest is judged,
    // so that a pause of the host convicts nobody.
    let mut rounds =
        quiet[1..].iter_mut().map(|one| round(peer, one)).collect::<Result<Vec<_>, _>>()?;
    rounds.sort_unstable();
    let mut unspoken =
        silent.iter_mut().map(|one| round(peer, one)).collect::<Result<Vec<_>, _>>()?;
    unspoken.sort_unstable();
    for (what, time) in [
        ("the first message of a quiet client", rounds[0]),
        ("the first message of a client at all", unspoken[0]),
    ] {
        peer.clock().judge_rounds(what, time, LIMIT)?;
    }
    Observation::met()
}

fn round(peer: &Peer, connection: &mut Connection) -> Result<Duration, Failure> {
    let start = Instant::now();
    connection.exchange(64)?;
    Ok(peer.clock().elapsed_without_held_back(start))
}
