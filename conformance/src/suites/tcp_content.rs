//! Content: bytes have no meaning to an echo server. Other suites send streams of encrypted stamps
//! (`client::payload`), which look random, so they never contain what is sent here.

use report::{Failure, Question, outside};

use crate::case::{Case, CaseResult, Observation, Suite};
use crate::client::content::{self, Content};
use crate::client::duplex::{Flow, Pieces, exchange};
use crate::client::peer::Peer;

pub(super) const SUITE: Suite = Suite {
    name: "tcp-content",
    about: "Bytes come back unchanged, whatever they mean in other protocols.",
    question: Question::Bytes,
    cases: &[
        Case::must("monotonous", "Long runs of one byte and repeated pages come back whole.")
            .sizes(128 * 1024, 1280 * 1024, 8 * 1024 * 1024)
            .wire(monotonous),
        Case::must(
            "textual",
            "Text comes back byte for byte, whatever its line endings and its encoding.",
        )
        .sizes(128 * 1024, 256 * 1024, 4 * 1024 * 1024)
        .wire(textual),
        Case::must(
            "words",
            "Commands and control sequences that other servers obey come back whole.",
        )
        .sizes(64 * 1024, 256 * 1024, 4 * 1024 * 1024)
        .wire(words),
        Case::must(
            "structured",
            "The server does not take bytes that look like a length for a length.",
        )
        .sizes(64 * 1024, 256 * 1024, 4 * 1024 * 1024)
        .wire(structured),
        Case::must("unstamped", "Bytes that are purely random come back whole.")
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

/// Sends each content on connections of its own.
pub(super) fn exchange_each(peer: &Peer, contents: &[Content]) -> Result<(), Failure> {
    for (number, content) in contents.iter().enumerate() {
        let messages = content.messages(&mut peer.random(number as u64));
        let found = exchange_one(peer, &messages);
        found.map_err(|found| add_content(content, found))?;
    }
    Ok(())
}

/// Sends the messages one by one, so that the server reads each of them alone, and then as a stream
/// in writes of random sizes.
fn exchange_one(peer: &Peer, messages: &[Vec<u8>]) -> Result<(), Failure> {
    let stream = content::stream(messages);
    let mut connection = peer.connect()?;
    connection.use_content(stream.clone());
    for message in messages {
        connection.exchange(message.len() as u64)?;
    }
    let mut connection = peer.connect()?;
    connection.use_content(stream);
    let flow = Flow::new(&mut connection, peer.size(), peer.seed());
    exchange(&mut [flow.writes(Pieces::RandomUpTo(64 * 1024))], peer.clock())
}

/// Adds the name of the content to a failure.
pub(super) fn add_content(content: &Content, found: Failure) -> Failure {
    let expected = outside!("{}: {}", content.name, found.expected);
    Failure { expected, ..found }
}
