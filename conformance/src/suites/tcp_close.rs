//! Orderly ends: when a client closes, the server frees what it held and sends no reset.

use std::time::Duration;

use harness::process::Process;
use report::{FailureKind, Question};

use crate::case::{Case, CaseResult, Need, Observation, Suite};
use crate::client::peer::Peer;
use crate::expectation::{DescriptorBaseline, FREE_TIME_LIMIT};

pub(super) const SUITE: Suite = Suite {
    name: "tcp-close",
    about: "When a client closes its connection, the server closes it too, without a reset.",
    question: Question::Bytes,
    cases: &[
        Case::must(
            "idle",
            "The server frees the descriptors of idle connections that the clients have closed.",
        )
        .sizes(100, 100, 100)
        .needs(&[Need::DescriptorCount, Need::Descriptors(100)])
        .answers(Question::Resources)
        .answering_failures(&[FailureKind::Descriptors])
        .process(idle),
        Case::must(
            "no-rst-after-fin",
            "A client that sends FIN first gets the server's FIN, never a reset.",
        )
        .sizes(5, 20, 100)
        .tcp_only()
        .wire(no_rst_after_fin),
        Case::must(
            "with-unread-echo",
            "A client that closes with an unread echo ends only its own connection.",
        )
        .sizes(1, 3, 10)
        .needs(&[Need::DescriptorCount])
        .process(with_unread_echo),
        Case::must(
            "connect-close-storm",
            "Many clients that connect and close without sending a byte do not disturb other \
             clients.",
        )
        .sizes(200, 500, 1000)
        .needs(&[Need::DescriptorCount])
        .process(connect_close_storm),
    ],
};

/// Bytes that a client sends and whose echo it does not read.
const UNREAD_BYTES: u64 = 1024 * 1024;
/// How long the kernel must take nothing before a writer counts as blocked.
const BLOCK_TIME: Duration = Duration::from_millis(50);

fn idle(peer: &Peer, process: &Process) -> CaseResult {
    DescriptorBaseline::measure(process, peer, 0, FREE_TIME_LIMIT)?.expect_freed(|| {
        let connections = peer.connect_many(peer.size())?;
        // A later client that is served shows that the earlier ones were accepted.
        peer.expect_service()?;
        drop(connections);
        Ok(())
    })?;
    peer.expect_service()?;
    Observation::met()
}

fn no_rst_after_fin(peer: &Peer) -> CaseResult {
    let mut random = peer.random(0);
    for _ in 0..peer.size() {
        let mut connection = peer.connect()?;
        connection.exchange(random.u64(1..64 * 1024))?;
        connection.finish_sending()?;
        connection.expect_end()?;
    }
    Observation::met()
}

fn with_unread_echo(peer: &Peer, process: &Process) -> CaseResult {
    let mut neighbour = peer.connect()?;
    neighbour.exchange(64)?;
    DescriptorBaseline::measure(process, peer, 0, FREE_TIME_LIMIT)?.expect_freed(|| {
        for _ in 0..peer.size() {
            let mut connection = peer.connect()?;
            connection.send_until_blocked(BLOCK_TIME, UNREAD_BYTES)?;
            neighbour.send(8 * 1024)?;
            // A close with unread bytes sends a reset (RFC 9293, 3.6.1).
            drop(connection);
            neighbour.receive(8 * 1024)?;
        }
        Ok(())
    })?;
    peer.expect_service()?;
    Observation::met()
}

fn connect_close_storm(peer: &Peer, process: &Process) -> CaseResult {
    let mut neighbour = peer.connect()?;
    neighbour.exchange(64)?;
    DescriptorBaseline::measure(process, peer, 0, FREE_TIME_LIMIT)?.expect_freed(|| {
        for _ in 0..peer.size() {
            drop(peer.connect()?);
        }
        neighbour.exchange(8 * 1024)
    })?;
    peer.expect_service()?;
    Observation::met()
}
