//! UDP: each datagram returns to its sender, whole and alone.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use harness::launcher::{DRAIN, Server, Start};
use harness::place::Place;
use harness::ports::free_address;
use harness::process::Signal;
use report::sockets::Sockets;
use report::{Failure, FailureKind, Grade, Question, Transport};

use crate::case::{Case, CaseResult, Need, Observation, Suite};
use crate::client::content;
use crate::client::datagrams::{Client, Datagrams, Sent};
use crate::client::lengths::landmarks;
use crate::client::ping_pong::p99_planned;
use crate::expectation::{expect_graceful_end, expect_obedience, expect_quiet, expect_survival};
use crate::lifecycle::{Lifecycle, no_port};
use crate::suites::datagrams::receive_own;
use crate::suites::exposure::only_its_udp_address;
use crate::suites::tcp_content::of_content;
use crate::suites::{datagram_memory, datagrams};

/// The table.
pub(super) const SUITE: Suite = Suite {
    name: "udp",
    about: "Each UDP datagram comes back whole and alone, to the client who sent it.",
    question: Question::Bytes,
    cases: &[
        Case::must("echo-basic", "A datagram comes back once, from where it was sent to.")
            .over(Transport::Udp)
            .datagrams(echo_basic),
        Case::must("boundaries", "Datagrams sent back to back are neither merged nor split.")
            .sizes(5, 20, 200)
            .over(Transport::Udp)
            .datagrams(boundaries),
        Case::must("zero-length", "Empty datagrams end nothing: the next one comes back.")
            .sizes(20, 100, 100)
            .over(Transport::Udp)
            .datagrams(zero_length),
        Case::should("zero-length-comes-back", "An empty datagram comes back too.")
            .sizes(20, 100, 100)
            .over(Transport::Udp)
            .datagrams(zero_length_comes_back),
        Case::must("every-length", "Datagrams of every length up to 1500 bytes come back whole.")
            .sizes(1500, 1500, 65_507)
            .over(Transport::Udp)
            .datagrams(every_length),
        Case::must("content", "What a datagram's bytes look like or say means nothing.")
            .sizes(1500, 9000, 60_000)
            .over(Transport::Udp)
            .datagrams(content),
        Case::must("max-size", "The largest datagram of IPv4 comes back whole.")
            .sizes(3, 10, 100)
            .needs(&[Need::UdpBytes(Sockets::UDP_MOST)])
            .over(Transport::Udp)
            .datagrams(max_size),
        Case::must(
            "larger-than-server-buffer",
            "A datagram larger than any of IPv4 harms nobody: the next one comes back.",
        )
        .needs(&[Need::Ipv6, Need::UdpBytes(Sockets::UDP_MOST)])
        .over(Transport::Udp)
        .lifecycle(larger_than_server_buffer),
        Case::must("peer-unreachable", "A client that is gone before its reply harms nobody.")
            .sizes(20, 50, 500)
            .needs(&[Need::Descriptors(500)])
            .over(Transport::Udp)
            .datagrams(peer_unreachable),
        Case::must("source-port-zero", "A datagram that names no port to answer harms nobody.")
            .sizes(20, 20, 100)
            .needs(&[Need::RawSockets])
            .over(Transport::Udp)
            .datagrams(source_port_zero),
        Case::must("errors-no-spin", "What clients that are gone leave behind costs no CPU.")
            .sizes(20, 50, 50)
            .needs(&[Need::CpuTime, Need::Signals, Need::Threads])
            .answers(Question::Resources)
            .judges(&[FailureKind::Cpu])
            .from_grade(Grade::Command)
            .over(Transport::Udp)
            .lifecycle(errors_no_spin),
        Case::must(
            "only-its-address",
            "A server that was given an address receives there, and nowhere else.",
        )
        .told_its_address()
        .answers(Question::Limits)
        .from_grade(Grade::Command)
        .over(Transport::Udp)
        .lifecycle(only_its_udp_address),
        Case::must("same-port", "Clients that have the same port of two addresses are kept apart.")
            .sizes(5, 20, 200)
            .needs(&[Need::LoopbackNetwork, Need::PortOfTwoAddresses, Need::Descriptors(400)])
            .over(Transport::Udp)
            .datagrams(datagrams::same_port),
        Case::must("any-port", "A client is answered, whatever its port is.")
            .over(Transport::Udp)
            .datagrams(datagrams::any_port),
        Case::must("after-silence", "After a long silence, the first datagram comes back.")
            .sizes(1000, 4000, 70_000)
            .up_to_its_size()
            .over(Transport::Udp)
            .datagrams(datagrams::after_silence),
        Case::should("no-rare-stall", "Of thousands of datagrams, none waits for a timer.")
            .sizes(500, 1500, 30_000)
            .answers(Question::Promptness)
            .judges(&[FailureKind::Slow])
            .alone()
            .over(Transport::Udp)
            .datagrams(datagrams::no_rare_stall),
        Case::must("many-peers", "Nobody gets another client's datagram.")
            .sizes(20, 100, 500)
            .needs(&[Need::Descriptors(500)])
            .over(Transport::Udp)
            .datagrams(many_peers),
        Case::must(
            "burst",
            "After more datagrams than fit, the next comes back, and CPU is quiet.",
        )
        .sizes(2000, 10_000, 100_000)
        .needs(&[Need::CpuTime, Need::Descriptors(200)])
        .from_grade(Grade::Command)
        .over(Transport::Udp)
        .lifecycle(burst),
        Case::should(
            "send-pressure",
            "Clients that do not take their large replies do not hold the others up.",
        )
        .sizes(20, 50, 200)
        .alone()
        .over(Transport::Udp)
        .datagrams(send_pressure),
        Case::must(
            "memory",
            "Thousands of datagrams, and thousands of clients that have gone, leave neither \
             memory nor descriptors.",
        )
        .sizes(4000, 4000, 40_000)
        .needs(&[Need::ResidentMemory, Need::DescriptorCount])
        .answers(Question::Resources)
        .judges(&datagram_memory::JUDGED)
        .from_grade(Grade::Command)
        .over(Transport::Udp)
        .lifecycle(datagram_memory::over_udp),
        Case::must("ipv6", "A datagram to ::1 comes back from there.")
            .needs(&[Need::Ipv6])
            .over(Transport::Udp)
            .lifecycle(ipv6),
        Case::should(
            "ipv4-mapped-on-dual-stack",
            "A socket for both families answers an IPv4 client.",
        )
        .needs(&[Need::Ipv6])
        .over(Transport::Udp)
        .lifecycle(ipv4_mapped_on_dual_stack),
        Case::must("shutdown-and-rebind", "A stop while it waits for datagrams frees the port.")
            .over(Transport::Udp)
            .lifecycle(shutdown_and_rebind),
    ],
};

/// Enough for a second reply to arrive, if there is one.
const SILENCE: Duration = Duration::from_millis(200);

/// The most that UDP carries over IPv4.
const LARGEST: usize = Sockets::UDP_MOST as usize;
/// The same of IPv6, whose header is not counted (RFC 8200, section 3).
const LARGEST_V6: usize = 65_527;

/// As long a datagram as this host sends, and not longer than any of UDP.
pub(super) fn longest(server: &Datagrams) -> usize {
    server.longest().min(LARGEST)
}

pub(super) fn echo_basic(server: &Datagrams) -> CaseResult {
    let mut client = server.client()?;
    client.exchange(64)?;
    client.expect_silence(SILENCE)?;
    Observation::met()
}

fn boundaries(server: &Datagrams) -> CaseResult {
    /// Few enough for any receive queue.
    const TOGETHER: usize = 20;
    let mut random = server.random(0);
    let mut client = server.client()?;
    for _ in 0..server.size() {
        let sent = (0..TOGETHER).map(|_| client.send(random.usize(1..1400)));
        let sent = sent.collect::<Result<Vec<Sent>, Failure>>()?;
        client.receive(sent)?;
    }
    client.expect_silence(SILENCE)?;
    Observation::met()
}

pub(super) fn zero_length(server: &Datagrams) -> CaseResult {
    let mut client = server.client()?;
    let mut sent = Vec::new();
    for _ in 0..server.size() {
        sent.push(client.send(0)?);
        // Paced by what comes back, if it does: a full queue would lose the others.
        client.receive_any(&mut sent, Duration::from_millis(1))?;
    }
    client.receive_any(&mut sent, SILENCE)?;
    client.exchange(64)?;
    server.serves()?;
    Observation::met()
}

fn zero_length_comes_back(server: &Datagrams) -> CaseResult {
    let mut client = server.client()?;
    for _ in 0..server.size() {
        client.exchange(0)?;
    }
    client.expect_silence(SILENCE)?;
    Observation::met()
}

fn every_length(server: &Datagrams) -> CaseResult {
    let longest = longest(server);
    let every = usize::try_from(server.size()).unwrap_or(longest).min(longest);
    let lengths = landmarks(longest as u64, &mut server.random(0));
    let lengths: Vec<usize> = lengths.into_iter().map(|length| length as usize).collect();
    let mut client = server.client()?;
    for length in (1..=every).chain(lengths.into_iter().filter(|length| *length > every)) {
        client.exchange(length)?;
    }
    exchange_together(&mut client, every.min(1500))
}

/// Datagrams of every length up to `longest`, several on their way.
pub(super) fn exchange_together(client: &mut Client, longest: usize) -> CaseResult {
    /// Few enough for any receive queue.
    const TOGETHER: usize = 8;
    let lengths: Vec<usize> = (1..=longest).collect();
    for lengths in lengths.chunks(TOGETHER) {
        let sent = lengths.iter().map(|length| client.send(*length));
        let sent = sent.collect::<Result<Vec<Sent>, Failure>>()?;
        client.receive(sent)?;
    }
    Observation::met()
}

pub(super) fn content(server: &Datagrams) -> CaseResult {
    let longest = usize::try_from(server.size()).unwrap_or(LARGEST).min(longest(server));
    let mut client = server.client()?;
    for (number, content) in content::ALL.into_iter().flatten().enumerate() {
        let mut random = server.random(number as u64);
        for message in content.messages(&mut random) {
            let message = &message[..message.len().min(longest)];
            // Once more: a datagram that is equal to the one before is another datagram.
            for _ in 0..2 {
                client.exchange_literal(message).map_err(|found| of_content(content, found))?;
            }
        }
    }
    Observation::met()
}

fn max_size(server: &Datagrams) -> CaseResult {
    let mut client = server.client()?;
    for _ in 0..server.size() {
        client.exchange(LARGEST)?;
        client.exchange(1)?;
    }
    server.serves()?;
    Observation::met()
}

fn larger_than_server_buffer(lifecycle: &Lifecycle) -> CaseResult {
    let (server, datagrams) = on_ipv6(lifecycle)?;
    let found = survives_long(&datagrams, LARGEST_V6);
    expect_survival(&server, found, lifecycle.clock())
}

/// A datagram that the server may cut off or drop, and what comes after it.
pub(super) fn survives_long(server: &Datagrams, length: usize) -> CaseResult {
    for _ in 0..3 {
        // What came of it is not looked at, in a socket of its own. It is closed with that: a Unix
        // server has room for two such replies, and none goes out while they wait.
        let mut long = server.client()?;
        long.send(length)?;
        let mut client = server.client()?;
        client.exchange(64)?;
    }
    server.serves()?;
    Observation::met()
}

fn peer_unreachable(server: &Datagrams) -> CaseResult {
    let mut second = server.client()?;
    second.exchange(64)?;
    let mut left = Vec::new();
    for number in 1..=server.size() {
        let mut gone = server.brief_client()?;
        gone.send(64)?;
        left.push(gone.leave());
        if number.is_multiple_of(server.queued() as u64) {
            // Its reply shows that the server has taken those before it.
            second.exchange(64)?;
        }
    }
    second.exchange(64)?;
    // Who was gone may come back, unless somebody else has the port by now.
    for gone in left {
        if let Some(mut back) = server.successor(gone)? {
            back.exchange(64)?;
        }
    }
    server.serves()?;
    Observation::met()
}

fn source_port_zero(server: &Datagrams) -> CaseResult {
    if !server.is_on_ipv4_loopback() {
        return datagrams::not_on_ipv4_loopback();
    }
    let mut client = server.client()?;
    for number in 1..=server.size() {
        server.send_from_no_port(64)?;
        if number.is_multiple_of(server.queued() as u64) {
            client.exchange(64)?;
        }
    }
    client.exchange(64)?;
    server.serves()?;
    Observation::met()
}

fn errors_no_spin(lifecycle: &Lifecycle) -> CaseResult {
    let server = lifecycle.start_with(&lifecycle.over(Transport::Udp)?)?;
    let datagrams = lifecycle.datagrams(Transport::Udp, &server)?;
    let process = server.process();
    let found = datagrams.client().and_then(|mut second| {
        second.exchange(64)?;
        // It finds them when it goes on, and they are gone: or it might answer each before that.
        process.stop(lifecycle.clock().progress())?;
        let left = (0..lifecycle.size()).try_for_each(|_| {
            let mut gone = datagrams.brief_client()?;
            gone.send(64).map(drop)
        });
        process.signal(Signal::Continue)?;
        left?;
        second.exchange(64)?;
        // Some servers take an empty datagram for the end of something.
        let empty = (0..3).map(|_| second.send(0)).collect::<Result<Vec<Sent>, Failure>>();
        let mut empty = empty?;
        second.receive_any(&mut empty, SILENCE)?;
        // What the kernel has queued about those clients is there until it is read.
        expect_quiet(&process, Duration::from_secs(1), 0.10, lifecycle.clock())?;
        second.exchange_beside(&mut empty, 64)
    });
    expect_survival(&server, found, lifecycle.clock())?;
    Observation::met()
}

pub(super) fn many_peers(server: &Datagrams) -> CaseResult {
    const ROUNDS: usize = 5;
    let mut random = server.random(0);
    let mut clients: Vec<Client> =
        (0..server.size()).map(|_| server.client()).collect::<Result<_, _>>()?;
    for _ in 0..ROUNDS {
        random.shuffle(&mut clients);
        for clients in clients.chunks_mut(server.queued()) {
            let sent = clients.iter_mut().map(|client| client.send(random.usize(16..512)));
            let sent = sent.collect::<Result<Vec<Sent>, Failure>>()?;
            receive_own(clients, sent, server.clock())?;
        }
    }
    for client in &mut clients {
        client.expect_silence(Duration::ZERO)?;
    }
    Observation::met()
}

fn burst(lifecycle: &Lifecycle) -> CaseResult {
    let server = lifecycle.start_with(&lifecycle.over(Transport::Udp)?)?;
    let datagrams = lifecycle.datagrams(Transport::Udp, &server)?;
    let process = server.process();
    let found = (|| {
        // This client does not read, and stays open.
        let mut deaf = datagrams.client()?;
        deaf.shrink()?;
        for _ in 0..datagrams.queued() {
            deaf.send(longest(&datagrams).min(8 * 1024))?;
        }
        let mut client = datagrams.client()?;
        let mut sent = Vec::new();
        for number in 0..lifecycle.size() {
            sent.push(client.send(64)?);
            // What has come back is looked at now and then, and what is behind it was lost.
            if number % 500 == 499 {
                client.receive_any(&mut sent, Duration::ZERO)?;
                sent.clear();
                client = datagrams.client()?;
            }
        }
        datagrams.serves()?;
        expect_quiet(&process, Duration::from_millis(500), 0.10, lifecycle.clock())?;
        datagrams.serves()
    })();
    expect_survival(&server, found, lifecycle.clock())?;
    Observation::met()
}

fn send_pressure(server: &Datagrams) -> CaseResult {
    const LIMIT: Duration = Duration::from_millis(250);
    const PACE: Duration = Duration::from_millis(2);
    let mut neighbour = server.client()?;
    neighbour.exchange(64)?;
    let mut deaf: Vec<Client> = (0..4).map(|_| server.client()).collect::<Result<_, _>>()?;
    deaf.iter().try_for_each(Client::shrink)?;
    let rounds = u32::try_from(server.size()).unwrap_or(u32::MAX);
    let p99 = p99_planned(server.clock(), rounds, PACE, |_| {
        for client in &mut deaf {
            client.send(longest(server).min(32 * 1024))?;
        }
        neighbour.exchange(64)
    })?;
    server.clock().judge_rounds("p99 of a round beside clients that take nothing", p99, LIMIT)?;
    Observation::met()
}

fn ipv6(lifecycle: &Lifecycle) -> CaseResult {
    let (server, datagrams) = on_ipv6(lifecycle)?;
    let found = echo_basic(&datagrams);
    expect_survival(&server, found, lifecycle.clock())
}

fn on_ipv6(lifecycle: &Lifecycle) -> Result<(Server, Datagrams), Failure> {
    let server = lifecycle.start_with(&Start::listening(&["udp:[::1]:0"]))?;
    let datagrams = lifecycle.datagrams(Transport::Udp, &server)?;
    Ok((server, datagrams))
}

fn ipv4_mapped_on_dual_stack(lifecycle: &Lifecycle) -> CaseResult {
    let start = Start::listening(&["udp:[::]:0"]).with("--dual-stack");
    let server = expect_obedience(lifecycle.launch(&start)?)?;
    let Place::Ip(address) = server.place(Transport::Udp)? else {
        return Err(Failure::new(FailureKind::Announcement, "a UDP address", "a path"));
    };
    for ip in [IpAddr::from(Ipv4Addr::LOCALHOST), Ipv6Addr::LOCALHOST.into()] {
        let place = Place::Ip((ip, address.port()).into());
        let context = Arc::clone(lifecycle.context());
        let found = echo_basic(&Datagrams::new(place, PathBuf::new(), context));
        expect_survival(&server, found, lifecycle.clock())?;
    }
    Observation::met()
}

fn shutdown_and_rebind(lifecycle: &Lifecycle) -> CaseResult {
    // A port that no client of another cell gets between the two servers.
    let address = free_address(Transport::Udp).map_err(|e| no_port(&e))?;
    let udp = format!("udp:{address}");
    let server = lifecycle.start_with(&Start::listening(&["tcp:127.0.0.1:0", &udp]))?;
    let datagrams = lifecycle.datagrams(Transport::Udp, &server)?;
    let found = datagrams.client().and_then(|mut client| client.exchange(64));
    expect_survival(&server, found, lifecycle.clock())?;
    server.ask_to_stop()?;
    expect_graceful_end(&server, DRAIN, lifecycle.clock())?;
    let next = lifecycle.start_with(&Start::listening(&[&udp]))?;
    let found = lifecycle.datagrams(Transport::Udp, &next).and_then(|next| next.serves());
    expect_survival(&next, found, lifecycle.clock())?;
    Observation::met()
}
