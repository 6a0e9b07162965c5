//! Orderly ends: the client closes; the server frees what it held and sends no reset.

use std::time::Duration;

use harness::process::Process;
use report::{FailureKind, Question};

use crate::case::{Case, CaseResult, Need, Observation, Suite};
use crate::client::peer::Peer;
use crate::expectation::{AtRest, FREED_WITHIN};

/// The table.
pub(super) const SUITE: Suite = Suite {
    name: "tcp-close",
    about: "A connection that the client closes is closed by the server too, without a reset.",
    question: Question::Bytes,
    cases: &[
        Case::must("idle", "The descriptors of closed idle connections are freed.")
            .sizes(100, 100, 100)
            .needs(&[Need::DescriptorCount, Need::Descriptors(100)])
            .answers(Question::Resources)
            .judges(&[FailureKind::Descriptors])
            .process(idle),
        Case::must("no-rst-after-fin", "A client that finishes first gets FIN, never a reset.")
            .sizes(5, 20, 100)
            .of_tcp_alone()
            .wire(no_rst_after_fin),
        Case::must(
            "with-unread-echo",
            "A client that closes without reading costs its own connection only.",
        )
        .sizes(1, 3, 10)
        .needs(&[Need::DescriptorCount])
        .process(with_unread_echo),
        Case::must(
            "connect-close-storm",
            "Many connections that close at once and in silence harm nobody.",
        )
        .sizes(200, 500, 1000)
        .needs(&[Need::DescriptorCount])
        .process(connect_close_storm),
    ],
};

/// What a client sends and does not read.
const UNREAD_BYTES: u64 = 1024 * 1024;
/// How long the kernel must take nothing before a writer counts as blocked.
const BLOCKED: Duration = Duration::from_millis(50);

fn idle(peer: &Peer, process: &Process) -> CaseResult {
    AtRest::now(process, peer, 0, FREED_WITHIN)?.expect_freed(|| {
        let connections = peer.connect_many(peer.size())?;
        // A later client that is served shows that the earlier ones were accepted.
        peer.serves()?;
        drop(connections);
        Ok(())
    })?;
    peer.serves()?;
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
    AtRest::now(process, peer, 0, FREED_WITHIN)?.expect_freed(|| {
        for _ in 0..peer.size() {
            let mut connection = peer.connect()?;
            connection.send_until_blocked(BLOCKED, UNREAD_BYTES)?;
            neighbour.send(8 * 1024)?;
            // With bytes that nobody has read, an orderly close sends a reset (RFC 9293, 3.6.1).
            drop(connection);
            neighbour.receive(8 * 1024)?;
        }
        Ok(())
    })?;
    peer.serves()?;
    Observation::met()
}

fn connect_close_storm(peer: &Peer, process: &Process) -> CaseResult {
    let mut neighbour = peer.connect()?;
    neighbour.exchange(64)?;
    AtRest::now(process, peer, 0, FREED_WITHIN)?.expect_freed(|| {
        for _ in 0..peer.size() {
            drop(peer.connect()?);
        }
        neighbour.exchange(8 * 1024)
    })?;
    peer.serves()?;
    Observation::met()
}
