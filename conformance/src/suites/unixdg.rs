//! Unix datagrams: as UDP, but a client may have a path or none, and its queue can be full.

use std::time::Duration;

use report::sockets::Sockets;
use report::{FailureKind, Grade, Question, Transport};

use crate::case::{Case, CaseResult, Need, Observation, Suite};
use crate::client::datagrams::Datagrams;
use crate::client::lengths::landmarks;
use crate::client::passing::pair;
use crate::client::ping_pong::p99_planned;
use crate::expectation::{expect_quiet, expect_survival};
use crate::lifecycle::Lifecycle;
use crate::suites::unix::COPIES;
use crate::suites::{datagram_memory, datagrams, udp};

/// The table.
pub(super) const SUITE: Suite = Suite {
    name: "unixdg",
    about: "Each Unix datagram comes back whole and alone, to clients that can be answered.",
    question: Question::Bytes,
    cases: &[
        Case::must("echo-bound-peer", "A datagram comes back once, to the client's own path.")
            .needs(&[Need::UnixSockets])
            .over(Transport::Unixgram)
            .datagrams(udp::echo_basic),
        Case::must("many-peers", "Nobody gets another client's datagram.")
            .sizes(20, 50, 200)
            .needs(&[Need::UnixSockets, Need::Descriptors(200)])
            .over(Transport::Unixgram)
            .datagrams(udp::many_peers),
        Case::must("unnamed-peer", "A client that cannot be answered harms nobody.")
            .sizes(5, 20, 200)
            .needs(&[Need::UnixSockets])
            .over(Transport::Unixgram)
            .datagrams(unnamed_peer),
        Case::must("peer-gone", "A client whose path is gone before its reply harms nobody.")
            .sizes(5, 20, 200)
            .needs(&[Need::UnixSockets])
            .over(Transport::Unixgram)
            .datagrams(peer_gone),
        Case::must("after-silence", "After a long silence, the first datagram comes back.")
            .sizes(1000, 4000, 70_000)
            .up_to_its_size()
            .needs(&[Need::UnixSockets])
            .over(Transport::Unixgram)
            .datagrams(datagrams::after_silence),
        Case::should("no-rare-stall", "Of thousands of datagrams, none waits for a timer.")
            .sizes(500, 1500, 30_000)
            .answers(Question::Promptness)
            .judges(&[FailureKind::Slow])
            .alone()
            .needs(&[Need::UnixSockets])
            .over(Transport::Unixgram)
            .datagrams(datagrams::no_rare_stall),
        Case::must("zero-length", "Empty datagrams end nothing: the next one comes back.")
            .sizes(20, 100, 100)
            .needs(&[Need::UnixSockets])
            .over(Transport::Unixgram)
            .datagrams(udp::zero_length),
        Case::must("every-length", "Datagrams of every length up to 1500 bytes come back whole.")
            .sizes(1500, 1500, 1500)
            .needs(&[Need::UnixSockets])
            .over(Transport::Unixgram)
            .datagrams(every_length),
        Case::must("content", "What a datagram's bytes look like or say means nothing.")
            .sizes(1500, 2000, 2000)
            .needs(&[Need::UnixSockets])
            .over(Transport::Unixgram)
            .datagrams(udp::content),
        Case::must(
            "memory",
            "Thousands of datagrams, and thousands of clients that have gone, leave neither \
             memory nor descriptors.",
        )
        .sizes(4000, 4000, 40_000)
        .needs(&[Need::UnixSockets, Need::ResidentMemory, Need::DescriptorCount])
        .answers(Question::Resources)
        .judges(&datagram_memory::JUDGED)
        .from_grade(Grade::Command)
        .over(Transport::Unixgram)
        .lifecycle(datagram_memory::over_a_path),
        Case::must("longer-than-buffer", "A datagram longer than any of UDP harms nobody.")
            .needs(&[Need::UnixSockets, Need::UnixgramBytes(Sockets::UNIXGRAM_MOST)])
            .over(Transport::Unixgram)
            .datagrams(longer_than_buffer),
        Case::must(
            "peer-full-no-spin",
            "While a client does not read, the server waits for datagrams and uses no CPU.",
        )
        .sizes(500, 700, 2000)
        .needs(&[Need::UnixSockets, Need::CpuTime])
        .answers(Question::Resources)
        .judges(&[FailureKind::Cpu])
        .from_grade(Grade::Command)
        .over(Transport::Unixgram)
        .lifecycle(peer_full_no_spin),
        Case::must(
            "passed-descriptors",
            "Descriptors that come with a datagram are closed, and the datagram comes back.",
        )
        .sizes(5, 20, 200)
        .needs(&[Need::UnixSockets])
        .over(Transport::Unixgram)
        .datagrams(passed_descriptors),
        Case::should("peer-full", "A client that never reads does not hold the others up.")
            .sizes(20, 50, 200)
            .alone()
            .needs(&[Need::UnixSockets])
            .over(Transport::Unixgram)
            .datagrams(peer_full),
    ],
};

/// How long the server is watched after a client that did not read has gone.
const AFTERWARDS: Duration = Duration::from_millis(300);

fn every_length(server: &Datagrams) -> CaseResult {
    let longest = usize::try_from(server.size()).unwrap_or(usize::MAX);
    let mut client = server.client()?;
    for length in 1..=longest {
        client.exchange(length)?;
    }
    for length in landmarks(udp::longest(server) as u64, &mut server.random(0)) {
        client.exchange(usize::try_from(length).unwrap_or(usize::MAX))?;
    }
    udp::exchange_together(&mut client, longest)
}

fn unnamed_peer(server: &Datagrams) -> CaseResult {
    let mut named = server.client()?;
    let mut unnamed = server.unnamed()?;
    for _ in 0..server.size() {
        unnamed.send(64)?;
        named.exchange(64)?;
    }
    server.serves()?;
    Observation::met()
}

fn peer_gone(server: &Datagrams) -> CaseResult {
    let mut second = server.client()?;
    let mut left = Vec::new();
    for number in 0..server.size() {
        let mut gone = server.client()?;
        if number % 2 == 0 {
            gone.remove_path()?;
        }
        gone.send(64)?;
        // Its path may stay behind, without a socket.
        left.push(gone.leave());
        second.exchange(64)?;
    }
    // Who was gone may come back.
    for gone in left {
        if let Some(mut back) = server.successor(gone)? {
            back.exchange(64)?;
        }
    }
    server.serves()?;
    Observation::met()
}

fn longer_than_buffer(server: &Datagrams) -> CaseResult {
    udp::survives_long(server, Sockets::UNIXGRAM_MOST as usize)
}

fn peer_full_no_spin(lifecycle: &Lifecycle) -> CaseResult {
    /// More replies than any queue of a Unix socket holds (net.unix.max_dgram_qlen).
    const DATAGRAMS: usize = 2000;
    let server = lifecycle.start_with(&lifecycle.over(Transport::Unixgram)?)?;
    let datagrams = lifecycle.datagrams(Transport::Unixgram, &server)?;
    let process = server.process();
    let found = (|| {
        let mut neighbour = datagrams.client()?;
        let mut full = datagrams.client()?;
        for number in 0..DATAGRAMS {
            full.try_send(64)?;
            if number % 100 == 99 {
                neighbour.exchange(64)?;
            }
        }
        // Some servers take an empty datagram for the end of something.
        let mut empty = vec![neighbour.send(0)?];
        neighbour.receive_any(&mut empty, AFTERWARDS)?;
        expect_quiet(&process, Duration::from_millis(lifecycle.size()), 0.10, lifecycle.clock())?;
        neighbour.exchange_beside(&mut empty, 64)?;
        // It may go, and its replies with it.
        drop(full);
        expect_quiet(&process, AFTERWARDS, 0.10, lifecycle.clock())?;
        // Another one reads at last, and is answered like anybody else from then on.
        let mut late = datagrams.client()?;
        let mut sent = Vec::new();
        for _ in 0..DATAGRAMS {
            sent.extend(late.try_send(64)?);
        }
        neighbour.exchange_beside(&mut empty, 64)?;
        late.receive_any(&mut sent, AFTERWARDS)?;
        late.exchange_beside(&mut sent, 64)?;
        datagrams.serves()
    })();
    expect_survival(&server, found, lifecycle.clock())?;
    Observation::met()
}

fn passed_descriptors(server: &Datagrams) -> CaseResult {
    let mut client = server.client()?;
    let mut unnamed = server.unnamed()?;
    for _ in 0..server.size() {
        for copies in COPIES {
            let (kept, passed) = pair()?;
            let sent = client.send_passing(100, passed, copies)?;
            client.receive(vec![sent])?;
            kept.expect_alone(server.clock())?;
        }
        let (kept, passed) = pair()?;
        unnamed.send_passing(100, passed, COPIES[0])?;
        kept.expect_alone(server.clock())?;
    }
    server.serves()?;
    Observation::met()
}

fn peer_full(server: &Datagrams) -> CaseResult {
    const LIMIT: Duration = Duration::from_millis(250);
    const PACE: Duration = Duration::from_millis(2);
    let mut neighbour = server.client()?;
    neighbour.exchange(64)?;
    let mut full = server.client()?;
    let rounds = u32::try_from(server.size()).unwrap_or(u32::MAX);
    let p99 = p99_planned(server.clock(), rounds, PACE, |_| {
        for _ in 0..20 {
            full.try_send(64)?;
        }
        neighbour.exchange(64)
    })?;
    server.clock().judge_rounds("p99 of a round beside a client that never reads", p99, LIMIT)?;
    Observation::met()
}
