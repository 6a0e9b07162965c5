//! Content: the bytes mean nothing to an echo server. Stamped streams look random, so they never
//! contain what is sent here.

use report::{Failure, Question, outside};

use crate::case::{Case, CaseResult, Observation, Suite};
use crate::client::content::{self, Content};
use crate::client::duplex::{Flow, Pieces, exchange};
use crate::client::peer::Peer;

/// The table.
pub(super) const SUITE: Suite = Suite {
    name: "tcp-content",
    about: "What bytes look like, or mean elsewhere, changes nothing: they come back as they came.",
    question: Question::Bytes,
    cases: &[
        Case::must("monotonous", "Runs of one byte and pages that repeat come back whole.")
            .sizes(128 * 1024, 1280 * 1024, 8 * 1024 * 1024)
            .wire(monotonous),
        Case::must(
            "textual",
            "Text comes back byte for byte, however its lines and characters end.",
        )
        .sizes(128 * 1024, 256 * 1024, 4 * 1024 * 1024)
        .wire(textual),
        Case::must("words", "Words and control sequences that other servers obey come back whole.")
            .sizes(64 * 1024, 256 * 1024, 4 * 1024 * 1024)
            .wire(words),
        Case::must("structured", "Bytes that look like lengths are not taken for lengths.")
            .sizes(64 * 1024, 256 * 1024, 4 * 1024 * 1024)
            .wire(structured),
        Case::must("unstamped", "Bytes that are random and nothing else come back whole.")
            .sizes(128 * 1024, 256 * 1024, 4 * 1024 * 1024)
            .wire(unstamped),
    ],
};

fn monotonous(peer: &Peer) -> CaseResult {
    exchange_each(peer, content::MONOTONOUS)?;
    Observation::met()
}

fn textual(peer: &Peer) -> CaseResult {
    exchange_each(peer, content::TEXTUAL)?;
    Observation::met()
}

fn words(peer: &Peer) -> CaseResult {
    exchange_each(peer, content::WORDS)?;
    Observation::met()
}

fn structured(peer: &Peer) -> CaseResult {
    exchange_each(peer, content::STRUCTURED)?;
    Observation::met()
}

fn unstamped(peer: &Peer) -> CaseResult {
    exchange_each(peer, content::RANDOM)?;
    Observation::met()
}

/// Sends each content, on connections of its own.
pub(super) fn exchange_each(peer: &Peer, contents: &[Content]) -> Result<(), Failure> {
    for (number, content) in contents.iter().enumerate() {
        let messages = content.messages(&mut peer.random(number as u64));
        let found = exchange_one(peer, &messages);
        found.map_err(|found| of_content(content, found))?;
    }
    Ok(())
}

/// Sends messages one by one, so that the server surely reads each of them alone, and then as a
/// stream in writes of random sizes.
fn exchange_one(peer: &Peer, messages: &[Vec<u8>]) -> Result<(), Failure> {
    let stream = content::stream(messages);
    let mut connection = peer.connect()?;
    connection.carry(stream.clone());
    for message in messages {
        connection.exchange(message.len() as u64)?;
    }
    let mut connection = peer.connect()?;
    connection.carry(stream);
    let flow = Flow::new(&mut connection, peer.size(), peer.seed());
    exchange(&mut [flow.writes(Pieces::UpTo(64 * 1024))], peer.clock())
}

/// A failure that says what was sent.
pub(super) fn of_content(content: &Content, found: Failure) -> Failure {
    let expected = outside!("{}: {}", content.name, found.expected);
    Failure { expected, ..found }
}
