//! Endurance: the server serves the thousandth client, message and second as well as the first.
//! Narrow counters overflow, tables fill up, and timeouts fire, each at a number that a short test
//! does not reach. Cases that need tens of thousands of clients or messages run in profile `full`
//! only.

use std::thread;
use std::time::{Duration, Instant};

use report::{Failure, Question, Transport, outside};

use crate::case::{Case, CaseResult, Feature, Need, Observation, Suite};
use crate::client::connection::{Connection, Setup};
use crate::client::datagrams::Datagrams;
use crate::client::peer::Peer;

/// The table.
pub(super) const SUITE: Suite = Suite {
    name: "endurance",
    about: "The server is right after any number of clients, messages and seconds.",
    question: Question::Limits,
    cases: &[
        Case::must("2000-at-once", "Two thousand clients at once are all served, again and again.")
            .sizes(1200, 2000, 2000)
            .needs(&[Need::Descriptors(2000), Need::ClientPorts(2000)])
            .wire(at_once),
        Case::should("10000-at-once", "Ten thousand clients at once are all served.")
            .sizes(200, 1200, 10_000)
            .only_in_full()
            .needs(&[Need::Descriptors(10_000), Need::ClientPorts(10_000)])
            .wire(at_once),
        Case::must("in-sequence", "Thousands of clients, one after another, are all served.")
            .sizes(1000, 3300, 70_000)
            .up_to_its_size()
            .needs(&[Need::ClientPorts(5000)])
            .wire(in_sequence),
        Case::must("65536-rounds", "More messages than 16 bits can count are all echoed.")
            .sizes(1000, 3000, 70_000)
            .only_in_full()
            .answers(Question::Bytes)
            .wire(rounds),
        Case::must("65536-datagrams", "More datagrams than 16 bits can count are all echoed.")
            .sizes(1000, 3000, 70_000)
            .only_in_full()
            .over(Transport::Udp)
            .answers(Question::Bytes)
            .datagrams(datagrams),
        Case::must("unread", "A client that does not read for a long time loses nothing by it.")
            .sizes(1000, 12_000, 75_000)
            .up_to_its_size()
            .answers(Question::Bytes)
            .relies_on(&[Feature::SilentClients])
            .wire(unread),
        Case::should(
            "first-after-silence",
            "The first message after a silence is echoed as promptly as any other.",
        )
        .sizes(1000, 6000, 70_000)
        .up_to_its_size()
        .answers(Question::Promptness)
        .relies_on(&[Feature::SilentClients])
        .wire(first_after_silence),
    ],
};

/// Clients that are served before the next ones come, and that leave together.
const BATCH: u64 = 100;

fn at_once(peer: &Peer) -> CaseResult {
    let mut connections: Vec<Connection> = Vec::new();
    while (connections.len() as u64) < peer.size() {
        let count = BATCH.min(peer.size() - connections.len() as u64);
        let first = connections.len();
        connections.extend(peer.connect_many(count)?);
        exchange_all(&mut connections[first..]).map_err(|found| beside(first, found))?;
    }
    // The first ones are not forgotten over the last.
    let count = connections.len();
    exchange_all(&mut connections).map_err(|found| beside(count, found))?;
    while !connections.is_empty() {
        // Nothing waits for them when their port is free at once.
        let rest = connections.len().saturating_sub(BATCH as usize);
        connections.drain(rest..).for_each(Connection::reset);
        peer.serves()?;
    }
    Observation::met()
}

fn exchange_all(connections: &mut [Connection]) -> Result<(), Failure> {
    for connection in connections.iter_mut() {
        connection.send(16)?;
    }
    connections.iter_mut().try_for_each(|connection| connection.receive(16))
}

fn beside(count: usize, found: Failure) -> Failure {
    let expected = outside!("{}, beside {} other clients", found.expected, count);
    Failure { expected, ..found }
}

fn in_sequence(peer: &Peer) -> CaseResult {
    for number in 0..peer.size() {
        let client = || {
            let mut connection = peer.connect()?;
            connection.exchange(16)?;
            // An end by FIN leaves a port in TIME_WAIT: tens of thousands would use them up.
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
    peer.serves()?;
    Observation::met()
}

fn rounds(peer: &Peer) -> CaseResult {
    let mut connection = peer.connect()?;
    for _ in 0..peer.size() {
        connection.exchange(1)?;
    }
    // What the server counts for all of its clients together has run over, too.
    peer.connect()?.exchange(1)?;
    peer.serves()?;
    Observation::met()
}

fn datagrams(server: &Datagrams) -> CaseResult {
    let mut client = server.client()?;
    for _ in 0..server.size() {
        client.exchange(1)?;
    }
    server.serves()?;
    Observation::met()
}

fn unread(peer: &Peer) -> CaseResult {
    /// More than the buffers between a blocked server and a client that does not read.
    const BYTES: u64 = 4 * 1024 * 1024;
    /// Less than any buffer: the server can write it, and the client finds it later.
    const FEW: u64 = 1024;
    let mut stalled = peer.connect_with(Setup::tight())?;
    let mut lazy = peer.connect()?;
    let mut talker = peer.connect()?;
    stalled.send_until_blocked(BLOCKED, BYTES)?;
    lazy.send(FEW)?;
    let start = Instant::now();
    while start.elapsed() < Duration::from_millis(peer.size()) {
        talker.exchange(16)?;
        // That nobody reads for so long is the case.
        thread::sleep(PACE);
    }
    lazy.receive_all()?;
    stalled.receive_all()?;
    for connection in [&mut stalled, &mut lazy] {
        connection.exchange(1000)?;
    }
    Observation::met()
}

/// A server that takes no byte for so long is blocked.
const BLOCKED: Duration = Duration::from_millis(100);
/// How often a client speaks beside others that are silent.
const PACE: Duration = Duration::from_millis(200);

fn first_after_silence(peer: &Peer) -> CaseResult {
    /// What an idle server needs, and a busy host may add.
    const LIMIT: Duration = Duration::from_millis(400);
    let mut silent = peer.connect_many(2)?;
    let mut quiet = peer.connect_many(3)?;
    for connection in &mut quiet {
        connection.exchange(64)?;
    }
    // The silence is the case. It is that of all clients: another one would wake up the server.
    for connection in quiet.iter_mut().take(1) {
        connection.expect_silence(Duration::from_millis(peer.size()))?;
    }
    // The first message of all is slow where the server had gone to sleep.
    let first = round(peer, &mut quiet[0])?;
    peer.clock().judge_rounds("the first message after the silence", first, LIMIT)?;
    // Where each connection had, all of them are, and not by chance.
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
    Ok(peer.clock().undisturbed(start))
}
