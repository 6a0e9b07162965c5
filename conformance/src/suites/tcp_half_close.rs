//! Half-close: the client has sent everything and FIN, and still expects the rest of its echo. An
//! endpoint that has sent FIN still receives until its peer sends FIN (RFC 9293, section 3.6).

use std::time::Duration;

use harness::process::Process;
use report::{Failure, FailureKind, Question};

use crate::case::{Case, CaseResult, Feature, Need, Observation, Suite};
use crate::client::connection::{BACKLOG_LIMIT, Connection, Setup};
use crate::client::duplex::{Flow, exchange};
use crate::client::peer::Peer;
use crate::client::ping_pong::percentile_planned;
use crate::expectation::{DescriptorBaseline, expect_low_cpu};

pub(super) const SUITE: Suite = Suite {
    name: "tcp-half-close",
    about: "A client that has sent FIN still gets every byte of its echo.",
    question: Question::Bytes,
    cases: &[
        Case::must(
            "echo-then-fin",
            "All bytes that a client sends before FIN come back, then the server's FIN.",
        )
        .sizes(64 * 1024, 64 * 1024, 64 * 1024)
        .relies_on(&[Feature::HalfClose])
        .wire(echo_then_fin),
        Case::must("empty", "A client that sends FIN and no byte gets FIN and no byte.")
            .wire(empty),
        Case::must(
            "large-backlog",
            "A client that has read nothing before its FIN still gets every byte.",
        )
        .sizes(200, 500, 500)
        .relies_on(&[Feature::HalfClose])
        .wire(large_backlog),
        Case::must(
            "unread-for-long",
            "A client that starts to read a long time after its FIN gets every byte, then FIN.",
        )
        .sizes(1000, 6000, 75_000)
        .reports_reach()
        .relies_on(&[Feature::HalfClose, Feature::SilentClients])
        .wire(unread_for_long),
        Case::must(
            "data-and-fin-together",
            "Bytes that arrive together with FIN come back before the server's FIN.",
        )
        .sizes(60, 200, 1000)
        .relies_on(&[Feature::HalfClose])
        .wire(data_and_fin_together),
        Case::must(
            "fin-after-pause",
            "After a silence, the server answers FIN with FIN within 1 s.",
        )
        .sizes(300, 1000, 1000)
        .wire(fin_after_pause),
        Case::must(
            "backlog-beside-others",
            "Clients that have sent FIN and do not read delay no other client, and still get every \
             byte.",
        )
        .sizes(600, 1200, 3000)
        .relies_on(&[Feature::HalfClose])
        .wire(backlog_beside_others),
        Case::must(
            "no-spin",
            "While a half-closed client does not read, the server uses at most 10 % of a core.",
        )
        .sizes(1000, 2000, 2000)
        .needs(&[Need::CpuTime, Need::SocketQueues])
        .answers(Question::Resources)
        .answering_failures(&[FailureKind::Cpu])
        .relies_on(&[Feature::HalfClose])
        .tcp_only()
        .process(no_spin),
        Case::must("many", "Clients that send FIN at the same time all get the server's FIN.")
            .sizes(200, 200, 200)
            .needs(&[Need::DescriptorCount, Need::Descriptors(200)])
            .process(closes_many_after_fin),
    ],
};

/// How long the kernel must take nothing before a writer counts as blocked.
const BLOCK_TIME: Duration = Duration::from_millis(200);
/// How long bytes must stay unread before a server counts as busy writing.
const UNREAD_TIME: Duration = Duration::from_millis(20);

fn echo_then_fin(peer: &Peer) -> CaseResult {
    const STREAM_BYTES: u64 = 1024 * 1024;
    let mut connection = peer.connect()?;
    connection.send(peer.size())?;
    connection.finish_sending()?;
    connection.expect_end()?;
    // After a longer stream, the server may have other work to do before it answers FIN.
    let mut stream = peer.connect()?;
    exchange(&mut [Flow::new(&mut stream, STREAM_BYTES, peer.seed())], peer.clock())?;
    stream.finish_sending()?;
    stream.expect_end_within(Duration::from_secs(1))?;
    Observation::met()
}

fn empty(peer: &Peer) -> CaseResult {
    let mut connection = peer.connect()?;
    connection.finish_sending()?;
    connection.expect_end_within(Duration::from_secs(2))?;
    Observation::met()
}

fn large_backlog(peer: &Peer) -> CaseResult {
    let mut connection = peer.connect_with(Setup::small_buffers())?;
    connection.send_until_unread(BLOCK_TIME, BACKLOG_LIMIT)?;
    connection.finish_sending()?;
    // The case tests these pauses: the server notices FIN while it still owes bytes.
    std::thread::sleep(Duration::from_millis(peer.size()));
    // FIN may wait behind the bytes in the client's small send buffer. Reading a little more than
    // these lets FIN through to a server that is still blocked.
    read_slowly(&mut connection, 8, peer)?;
    connection.expect_end()?;
    Observation::met()
}

/// Reads up to 32 KiB and then pauses for 25 ms, `times` times.
fn read_slowly(connection: &mut Connection, times: u32, peer: &Peer) -> Result<(), Failure> {
    for _ in 0..times {
        connection
            .receive((connection.sent_bytes() - connection.received_bytes()).min(32 * 1024))?;
        std::thread::sleep(peer.clock().scale(Duration::from_millis(25)));
    }
    Ok(())
}

fn unread_for_long(peer: &Peer) -> CaseResult {
    let mut connection = peer.connect_with(Setup::small_buffers())?;
    connection.send_until_unread(BLOCK_TIME, BACKLOG_LIMIT)?;
    connection.finish_sending()?;
    // The case tests that nobody reads.
    std::thread::sleep(Duration::from_millis(peer.size()));
    // A server whose timeout has expired shows it when it has to wait again.
    read_slowly(&mut connection, 8, peer)?;
    connection.expect_end()?;
    peer.expect_service()?;
    Observation::met()
}

fn backlog_beside_others(peer: &Peer) -> CaseResult {
    /// The interval between planned rounds of the neighbour.
    const PACE: Duration = Duration::from_millis(10);
    /// A server that waits for one client delays the others by a multiple of this.
    const LIMIT: Duration = Duration::from_millis(100);
    /// The percentile that is judged. A busy host delays fewer than 15 % of the rounds; a loop that
    /// is blocked for a quarter of a second delays more.
    const PERCENT: usize = 85;
    /// KiB that each client sends. After some of these amounts the server has written everything
    /// and the client has not received it; after others the server is blocked. Which ones depends
    /// on the buffers between the two.
    const SENT_KIB: [u64; 8] = [32, 64, 128, 256, 512, 1024, 2048, 4096];
    let mut neighbour = peer.connect()?;
    neighbour.exchange(64)?;
    let mut finished = Vec::new();
    for kib in SENT_KIB {
        let mut connection = peer.connect_with(Setup::small_buffers())?;
        connection.send_until_unread(UNREAD_TIME, kib * 1024)?;
        connection.finish_sending()?;
        finished.push(connection);
    }
    let rounds = u32::try_from(peer.size()).unwrap_or(u32::MAX) / 10;
    let mut beside = |what: &str, rounds| {
        let delay =
            percentile_planned(peer.clock(), PERCENT, rounds, PACE, |_| neighbour.exchange(64))?;
        peer.clock().judge_rounds(what, delay, LIMIT)
    };
    beside("a round next to clients that do not read", rounds)?;
    // Some clients reset, which must not affect the others.
    let mut staying = Vec::new();
    for (number, connection) in finished.into_iter().enumerate() {
        match number % 4 {
            3 => connection.reset(),
            _ => staying.push(connection),
        }
    }
    beside("a round after some of them were reset", rounds / 2)?;
    staying.iter_mut().try_for_each(Connection::expect_end)?;
    Observation::met()
}

fn data_and_fin_together(peer: &Peer) -> CaseResult {
    /// How many clients connect one by one. The others connect together, because a server may be
    /// slow to close.
    const SINGLE_CLIENTS: u64 = 20;
    const GROUP: u64 = 20;
    let mut random = peer.random(0);
    let mut done = 0;
    while done < peer.size() {
        let count = if done < SINGLE_CLIENTS { 1 } else { GROUP };
        let mut connections = Vec::new();
        for _ in 0..count {
            let mut connection = peer.connect()?;
            connection.send(random.u64(1..200))?;
            connection.finish_sending()?;
            connections.push(connection);
        }
        connections.iter_mut().try_for_each(Connection::expect_end)?;
        done += count;
    }
    Observation::met()
}

fn fin_after_pause(peer: &Peer) -> CaseResult {
    let mut connection = peer.connect()?;
    connection.exchange(1024)?;
    connection.expect_silence(Duration::from_millis(peer.size()))?;
    connection.finish_sending()?;
    connection.expect_end_within(Duration::from_secs(1))?;
    Observation::met()
}

fn no_spin(peer: &Peer, process: &Process) -> CaseResult {
    let mut connection = peer.connect()?;
    connection.send_until_blocked(BLOCK_TIME, BACKLOG_LIMIT)?;
    connection.finish_sending()?;
    // A slow server, or one on a busy host, may still work on what it has read.
    connection.wait_until_reads_stop(BLOCK_TIME)?;
    expect_low_cpu(process, Duration::from_millis(peer.size()), 0.10, peer.clock())?;
    connection.expect_end()?;
    Observation::met()
}

fn closes_many_after_fin(peer: &Peer, process: &Process) -> CaseResult {
    DescriptorBaseline::measure(process, peer, 0, Duration::from_secs(2))?.expect_freed(|| {
        let mut connections = peer.connect_many(peer.size())?;
        for connection in &mut connections {
            connection.exchange(64)?;
        }
        for connection in &mut connections {
            connection.finish_sending()?;
        }
        connections.iter_mut().try_for_each(Connection::expect_end)
    })?;
    Observation::met()
}
