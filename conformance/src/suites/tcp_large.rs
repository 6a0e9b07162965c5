//! Large streams, and large and vectored writes. A server cannot see the client's buffers; it sees
//! how much arrives at once, and in which pieces.

use std::time::Duration;

use harness::wait::Interest;
use report::{Failure, Question};

use crate::case::{Case, CaseResult, Observation, Suite};
use crate::client::connection::{Connection, Setup};
use crate::client::duplex::{Flow, exchange};
use crate::client::peer::Peer;

pub(super) const SUITE: Suite = Suite {
    name: "tcp-large",
    about: "Streams and writes that are larger than any buffer come back whole.",
    question: Question::Bytes,
    cases: &[
        Case::must("256-mib", "A long stream comes back whole, byte for byte.")
            .sizes(512 * 1024, 36 * 1024 * 1024, 256 * 1024 * 1024)
            .reports_reach()
            .wire(long_stream),
        Case::must(
            "over-4-gib",
            "Every byte of a stream of more than 4 GiB comes back in its place.",
        )
        .sizes(2 * 1024 * 1024, 40 * 1024 * 1024, 9 << 29)
        .full_profile_only()
        .wire(long_stream),
        Case::must(
            "single-write",
            "A stream that the client writes with one huge call comes back whole.",
        )
        .sizes(512 * 1024, 8 * 1024 * 1024, 64 * 1024 * 1024)
        .wire(single_write),
        Case::must(
            "duplex-no-deadlock",
            "A client that reads only when it cannot write gets its stream back.",
        )
        .sizes(1024 * 1024, 6 * 1024 * 1024, 64 * 1024 * 1024)
        .wire(duplex_no_deadlock),
        Case::must("client-vectored-tiny", "Vectored writes of many tiny pieces come back whole.")
            .sizes(5, 20, 100)
            .wire(client_vectored_tiny),
    ],
};

/// How long the kernel must take nothing before the client counts as blocked. It is short, because
/// `duplex-no-deadlock` also works if the server was only slow.
const BLOCK_TIME: Duration = Duration::from_millis(20);
/// Pieces per vectored call: the lowest limit of any system (`IOV_MAX` on Linux and macOS).
const PIECES_PER_CALL: usize = 1024;

fn long_stream(peer: &Peer) -> CaseResult {
    let mut connection = peer.connect()?;
    exchange(&mut [Flow::new(&mut connection, peer.size(), peer.seed())], peer.clock())?;
    Observation::met()
}

fn single_write(peer: &Peer) -> CaseResult {
    let mut connection = peer.connect()?;
    let bytes = usize::try_from(peer.size()).unwrap_or(usize::MAX);
    connection.exchange_in_one_write(bytes)?;
    Observation::met()
}

fn duplex_no_deadlock(peer: &Peer) -> CaseResult {
    let mut connection = peer.connect_with(Setup::small_buffers())?;
    while connection.sent_bytes() < peer.size() {
        connection.send_until_blocked(BLOCK_TIME, peer.size() - connection.sent_bytes())?;
        // Half stays outstanding, so the client writes again before it has received everything.
        let outstanding = connection.sent_bytes() - connection.received_bytes();
        connection.receive(outstanding / 2)?;
    }
    connection.receive_all()?;
    Observation::met()
}

fn client_vectored_tiny(peer: &Peer) -> CaseResult {
    let mut connection = peer.connect()?;
    for _ in 0..peer.size() {
        for pieces in [5, 1500] {
            send_pieces(&mut connection, pieces, peer)?;
            connection.receive(pieces as u64)?;
        }
    }
    Observation::met()
}

/// Sends `pieces` pieces of one byte each.
fn send_pieces(connection: &mut Connection, pieces: usize, peer: &Peer) -> Result<(), Failure> {
    let mut left = pieces;
    let deadline = peer.clock().progress_deadline();
    while left > 0 {
        left -= connection.try_send_vectored(left.min(PIECES_PER_CALL), 1)?;
        if left > 0 && !peer.clock().wait_for(connection.socket(), Interest::Write, deadline)? {
            return Err(deadline.failure("the server to take bytes"));
        }
    }
    Ok(())
}
