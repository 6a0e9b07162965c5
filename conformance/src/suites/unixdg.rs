//! Unix datagrams: like UDP, but a client may have no path, and its queue can be full.

use std::time::Duration;

use report::sockets::Sockets;
use report::{FailureKind, Grade, Question, Transport};

use crate::case::{Case, CaseResult, Need, Observation, Suite};
use crate::client::datagrams::Datagrams;
use crate::client::lengths::landmarks;
use crate::client::passing::open_pair;
use crate::client::ping_pong::p99_planned;
use crate::expectation::{expect_low_cpu, expect_survival};
use crate::lifecycle::Lifecycle;
use crate::suites::unix::COPIES;
use crate::suites::{datagram_memory, datagrams, udp};

pub(super) const SUITE: Suite = Suite {
    name: "unixdg",
    about: "Each Unix datagram comes back whole, as one datagram, to a client that has a path.",
    question: Question::Bytes,
    cases: &[
        Case::must(
            "echo-bound-peer",
            "A datagram comes back once, to the path of the client that sent it.",
        )
        .needs(&[Need::UnixSockets])
        .with_transport(Transport::Unixgram)
        .datagrams(udp::echo_basic),
        Case::must("many-peers", "No client gets another client's datagram.")
            .sizes(20, 50, 200)
            .needs(&[Need::UnixSockets, Need::Descriptors(200)])
            .with_transport(Transport::Unixgram)
            .datagrams(udp::many_peers),
        Case::must("unnamed-peer", "A client without a path does not disturb other clients.")
            .sizes(5, 20, 200)
            .needs(&[Need::UnixSockets])
            .with_transport(Transport::Unixgram)
            .datagrams(unnamed_peer),
        Case::must(
            "peer-gone",
            "A client that closes before its reply arrives does not disturb other clients.",
        )
        .sizes(5, 20, 200)
        .needs(&[Need::UnixSockets])
        .with_transport(Transport::Unixgram)
        .datagrams(peer_gone),
        Case::must("after-silence", "The first datagram after a long silence comes back.")
            .sizes(1000, 4000, 70_000)
            .reports_reach()
            .needs(&[Need::UnixSockets])
            .with_transport(Transport::Unixgram)
            .datagrams(datagrams::after_silence),
        Case::should("no-rare-stall", "Among many datagrams, none waits for a timer.")
            .sizes(500, 1500, 30_000)
            .answers(Question::Promptness)
            .answering_failures(&[FailureKind::Slow])
            .exclusive_timed()
            .needs(&[Need::UnixSockets])
            .with_transport(Transport::Unixgram)
            .datagrams(datagrams::no_rare_stall),
        Case::must("zero-length", "The server keeps serving after empty datagrams.")
            .sizes(20, 100, 100)
            .needs(&[Need::UnixSockets])
            .with_transport(Transport::Unixgram)
            .datagrams(udp::zero_length),
        Case::must("every-length", "Datagrams of every length up to 1500 bytes come back whole.")
            .sizes(1500, 1500, 1500)
            .needs(&[Need::UnixSockets])
            .with_transport(Transport::Unixgram)
            .datagrams(every_length),
        Case::must(
            "content",
            "A datagram comes back unchanged, whatever its bytes mean in other protocols.",
        )
        .sizes(1500, 2000, 2000)
        .needs(&[Need::UnixSockets])
        .with_transport(Transport::Unixgram)
        .datagrams(udp::content),
        Case::must(
            "memory",
            "The server keeps neither memory nor descriptors for thousands of past datagrams and \
             clients.",
        )
        .sizes(4000, 4000, 40_000)
        .needs(&[Need::UnixSockets, Need::ResidentMemory, Need::DescriptorCount])
        .answers(Question::Resources)
        .answering_failures(&datagram_memory::ANSWERING_FAILURES)
        .lowest_grade(Grade::Command)
        .with_transport(Transport::Unixgram)
        .lifecycle(datagram_memory::unixgram_memory),
        Case::must(
            "longer-than-buffer",
            "The server keeps serving after a datagram that is longer than any UDP datagram.",
        )
        .needs(&[Need::UnixSockets, Need::UnixgramBytes(Sockets::UNIXGRAM_MAX_BYTES)])
        .with_transport(Transport::Unixgram)
        .datagrams(longer_than_buffer),
        Case::must(
            "peer-full-no-spin",
            "While a client does not read its replies, the server serves other clients and does \
             not spin.",
        )
        .sizes(500, 700, 2000)
        .needs(&[Need::UnixSockets, Need::CpuTime])
        .answers(Question::Resources)
        .answering_failures(&[FailureKind::Cpu])
        .lowest_grade(Grade::Command)
        .with_transport(Transport::Unixgram)
        .lifecycle(peer_full_no_spin),
        Case::must(
            "passed-descriptors",
            "The server closes descriptors that come with a datagram, and echoes the datagram.",
        )
        .sizes(5, 20, 200)
        .needs(&[Need::UnixSockets])
        .with_transport(Transport::Unixgram)
        .datagrams(passed_descriptors),
        Case::should("peer-full", "A client that never reads does not delay other clients.")
            .sizes(20, 50, 200)
            .exclusive_timed()
            .passes_on_busy_host()
            .needs(&[Need::UnixSockets])
            .with_transport(Transport::Unixgram)
            .datagrams(peer_full),
    ],
};

/// How long the server is watched after a client that did not read has gone.
const WATCH_TIME: Duration = Duration::from_millis(300);

fn every_length(server: &Datagrams) -> CaseResult {
    let longest = usize::try_from(server.size()).unwrap_or(usize::MAX);
    let mut client = server.client()?;
    for length in 1..=longest {
        client.exchange(length)?;
    }
    for length in landmarks(udp::longest_udp_datagram(server) as u64, &mut server.random(0)) {
        client.exchange(usize::try_from(length).unwrap_or(usize::MAX))?;
    }
    udp::exchange_in_groups(&mut client, longest)
}

fn unnamed_peer(server: &Datagrams) -> CaseResult {
    let mut named = server.client()?;
    let mut unnamed = server.unnamed_client()?;
    for _ in 0..server.size() {
        unnamed.send(64)?;
        named.exchange(64)?;
    }
    server.expect_service()?;
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
        // The client's path may stay behind without a socket.
        left.push(gone.leave());
        second.exchange(64)?;
    }
    // A client that has gone may come back.
    for gone in left {
        if let Some(mut back) = server.successor(gone)? {
            back.exchange(64)?;
        }
    }
    server.expect_service()?;
    Observation::met()
}

fn longer_than_buffer(server: &Datagrams) -> CaseResult {
    udp::send_long_datagrams(server, Sockets::UNIXGRAM_MAX_BYTES as usize)
}

fn peer_full_no_spin(lifecycle: &Lifecycle) -> CaseResult {
    /// More replies than the queue of any Unix socket holds (net.unix.max_dgram_qlen).
    const DATAGRAMS: usize = 2000;
    let server = lifecycle.start_with(&lifecycle.start_with_listener(Transport::Unixgram)?)?;
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
        // Some servers take an empty datagram for the end of input.
        let mut empty = vec![neighbour.send(0)?];
        neighbour.receive_any(&mut empty, WATCH_TIME)?;
        expect_low_cpu(&process, Duration::from_millis(lifecycle.size()), 0.10, lifecycle.clock())?;
        neighbour.exchange_with_pending(&mut empty, 64)?;
        // The client leaves, and its replies with it.
        drop(full);
        expect_low_cpu(&process, WATCH_TIME, 0.10, lifecycle.clock())?;
        // Another client fills its queue and then reads. From then on, the server must answer it as
        // usual.
        let mut late = datagrams.client()?;
        let mut sent = Vec::new();
        for _ in 0..DATAGRAMS {
            sent.extend(late.try_send(64)?);
        }
        neighbour.exchange_with_pending(&mut empty, 64)?;
        late.receive_any(&mut sent, WATCH_TIME)?;
        late.exchange_with_pending(&mut sent, 64)?;
        datagrams.expect_service()
    })();
    expect_survival(&server, found, lifecycle.clock())?;
    Observation::met()
}

fn passed_descriptors(server: &Datagrams) -> CaseResult {
    let mut client = server.client()?;
    let mut unnamed = server.unnamed_client()?;
    for _ in 0..server.size() {
        for copies in COPIES {
            let (kept, passed) = open_pair()?;
            let sent = client.send_with_descriptors(100, passed, copies)?;
            client.receive(vec![sent])?;
            kept.expect_peer_closed(server.clock())?;
        }
        let (kept, passed) = open_pair()?;
        unnamed.send_with_descriptors(100, passed, COPIES[0])?;
        kept.expect_peer_closed(server.clock())?;
    }
    server.expect_service()?;
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
    server.clock().judge_rounds("p99 of a round next to a client that never reads", p99, LIMIT)?;
    Observation::met()
}
