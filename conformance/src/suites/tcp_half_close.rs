//! Half-close: the client has sent everything and FIN, and still expects the rest of its echo (RFC
//! 9293, section 3.6: an endpoint that has sent FIN still receives until its peer sends FIN).

use std::time::Duration;

use harness::process::Process;
use report::{Failure, FailureKind, Question};

use crate::case::{Case, CaseResult, Feature, Need, Observation, Suite};
use crate::client::connection::{BACKLOG_LIMIT, Connection, Setup};
use crate::client::duplex::{Flow, exchange};
use crate::client::peer::Peer;
use crate::client::ping_pong::percentile_planned;
use crate::expectation::{AtRest, expect_quiet};

/// The table.
pub(super) const SUITE: Suite = Suite {
    name: "tcp-half-close",
    about: "The client's FIN ends its sending, not its receiving.",
    question: Question::Bytes,
    cases: &[
        Case::must("echo-then-fin", "Bytes sent before FIN come back, then the server's FIN.")
            .sizes(64 * 1024, 64 * 1024, 64 * 1024)
            .relies_on(&[Feature::HalfClose])
            .wire(echo_then_fin),
        Case::must("empty", "FIN with no bytes before it is answered with FIN and no bytes.")
            .wire(empty),
        Case::must(
            "large-backlog",
            "All bytes that the server took before FIN come back, even when nobody has read yet.",
        )
        .sizes(200, 500, 500)
        .relies_on(&[Feature::HalfClose])
        .wire(large_backlog),
        Case::must(
            "unread-for-long",
            "A client that reads only long after its FIN gets every byte, and then FIN.",
        )
        .sizes(1000, 6000, 75_000)
        .up_to_its_size()
        .relies_on(&[Feature::HalfClose, Feature::SilentClients])
        .wire(unread_for_long),
        Case::must(
            "data-and-fin-together",
            "Bytes that arrive together with FIN come back before the server's FIN.",
        )
        .sizes(50, 200, 1000)
        .relies_on(&[Feature::HalfClose])
        .wire(data_and_fin_together),
        Case::must("fin-after-pause", "FIN after a silence is answered within a second.")
            .sizes(300, 1000, 1000)
            .wire(fin_after_pause),
        Case::must(
            "backlog-beside-others",
            "Clients that have sent FIN and do not read hold up nobody, and still get every byte.",
        )
        .sizes(600, 1200, 3000)
        .relies_on(&[Feature::HalfClose])
        .wire(backlog_beside_others),
        Case::must(
            "no-spin",
            "A server that cannot write to a half-closed peer waits without using CPU.",
        )
        .sizes(1000, 2000, 2000)
        .needs(&[Need::CpuTime, Need::SocketQueues])
        .answers(Question::Resources)
        .judges(&[FailureKind::Cpu])
        .relies_on(&[Feature::HalfClose])
        .of_tcp_alone()
        .process(no_spin),
        Case::must("many", "Connections that finish at the same time all get their FIN.")
            .sizes(200, 200, 200)
            .needs(&[Need::DescriptorCount, Need::Descriptors(200)])
            .process(many),
    ],
};

/// How long the kernel must take nothing before a writer counts as blocked.
const BLOCKED: Duration = Duration::from_millis(200);
/// How long bytes must stay unread before a server counts as busy writing.
const UNREAD: Duration = Duration::from_millis(20);

fn echo_then_fin(peer: &Peer) -> CaseResult {
    const STREAM_BYTES: u64 = 1024 * 1024;
    let mut connection = peer.connect()?;
    connection.send(peer.size())?;
    connection.finish_sending()?;
    connection.expect_end()?;
    // The end of a longer stream may have other work behind it.
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
    let mut connection = peer.connect_with(Setup::tight())?;
    connection.send_until_unread(BLOCKED, BACKLOG_LIMIT)?;
    connection.finish_sending()?;
    // The server is to notice FIN while it still owes bytes: the pauses are the case.
    std::thread::sleep(Duration::from_millis(peer.size()));
    // Where FIN waits behind what the client's small send buffer holds, reading a little more than
    // that lets it through to a server that is blocked as before.
    read_slowly(&mut connection, 8, peer)?;
    connection.expect_end()?;
    Observation::met()
}

/// Reads up to 32 KiB and pauses for 25 ms, this many `times`.
fn read_slowly(connection: &mut Connection, times: u32, peer: &Peer) -> Result<(), Failure> {
    for _ in 0..times {
        connection.receive((connection.sent() - connection.received()).min(32 * 1024))?;
        std::thread::sleep(peer.clock().scaled(Duration::from_millis(25)));
    }
    Ok(())
}

fn unread_for_long(peer: &Peer) -> CaseResult {
    let mut connection = peer.connect_with(Setup::tight())?;
    connection.send_until_unread(BLOCKED, BACKLOG_LIMIT)?;
    connection.finish_sending()?;
    // That nobody reads is the case.
    std::thread::sleep(Duration::from_millis(peer.size()));
    // A server that is out of patience shows it when it has to wait again.
    read_slowly(&mut connection, 8, peer)?;
    connection.expect_end()?;
    peer.serves()?;
    Observation::met()
}

fn backlog_beside_others(peer: &Peer) -> CaseResult {
    /// Rounds of the neighbour are planned this far apart.
    const PACE: Duration = Duration::from_millis(10);
    /// What a server that waits for a client keeps the others waiting for is a multiple of this.
    const LIMIT: Duration = Duration::from_millis(100);
    /// Of the rounds: a busy host is late for some, and a loop that is blocked for a quarter of a
    /// second for more than these.
    const PERCENT: usize = 85;
    /// With some of these the server has written all and the client has not got all, and with
    /// others it is blocked, which depends on the room in between.
    const SENT: [u64; 8] = [32, 64, 128, 256, 512, 1024, 2048, 4096];
    let mut neighbour = peer.connect()?;
    neighbour.exchange(64)?;
    let mut finished = Vec::new();
    for kib in SENT {
        let mut connection = peer.connect_with(Setup::tight())?;
        connection.send_until_unread(UNREAD, kib * 1024)?;
        connection.finish_sending()?;
        finished.push(connection);
    }
    let rounds = u32::try_from(peer.size()).unwrap_or(u32::MAX) / 10;
    let mut beside = |what: &str, rounds| {
        let delay =
            percentile_planned(peer.clock(), PERCENT, rounds, PACE, |_| neighbour.exchange(64))?;
        peer.clock().judge_rounds(what, delay, LIMIT)
    };
    beside("a round beside clients that do not read", rounds)?;
    // Some of them go, and the others do not notice.
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
    /// Clients that come one by one; the others come side by side, for a server that is slow to
    /// close.
    const ALONE: u64 = 20;
    const TOGETHER: u64 = 20;
    let mut random = peer.random(0);
    let mut done = 0;
    while done < peer.size() {
        let count = if done < ALONE { 1 } else { TOGETHER };
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
    connection.send_until_blocked(BLOCKED, BACKLOG_LIMIT)?;
    connection.finish_sending()?;
    // A slow server, or one on a busy host, may still be at what it had got.
    connection.wait_until_untaken(BLOCKED)?;
    expect_quiet(process, Duration::from_millis(peer.size()), 0.10, peer.clock())?;
    connection.expect_end()?;
    Observation::met()
}

fn many(peer: &Peer, process: &Process) -> CaseResult {
    AtRest::now(process, peer, 0, Duration::from_secs(2))?.expect_freed(|| {
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
