//! UDP: each datagram returns to its sender, whole and alone.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use harness::launcher::{DRAIN_TIME, Server, Start};
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
use crate::expectation::{expect_graceful_end, expect_low_cpu, expect_started, expect_survival};
use crate::lifecycle::{Lifecycle, no_port_failure};
use crate::suites::datagrams::receive_own;
use crate::suites::exposure::only_its_udp_address;
use crate::suites::tcp_content::add_content;
use crate::suites::{datagram_memory, datagrams};

pub(super) const SUITE: Suite = Suite {
    name: "udp",
    about: "Each UDP datagram comes back whole, as one datagram, to the client that sent it.",
    question: Question::Bytes,
    cases: &[
        Case::must(
            "echo-basic",
            "A datagram comes back once, from the address to which it was sent.",
        )
        .with_transport(Transport::Udp)
        .datagrams(echo_basic),
        Case::must(
            "boundaries",
            "The server neither merges nor splits datagrams that are sent back to back.",
        )
        .sizes(5, 20, 200)
        .with_transport(Transport::Udp)
        .datagrams(boundaries),
        Case::must("zero-length", "The server keeps serving after empty datagrams.")
            .sizes(20, 100, 100)
            .with_transport(Transport::Udp)
            .datagrams(zero_length),
        Case::should("zero-length-comes-back", "The server echoes empty datagrams.")
            .sizes(20, 100, 100)
            .with_transport(Transport::Udp)
            .datagrams(zero_length_comes_back),
        Case::must("every-length", "Datagrams of every length up to 1500 bytes come back whole.")
            .sizes(1500, 1500, 65_507)
            .with_transport(Transport::Udp)
            .datagrams(every_length),
        Case::must(
            "content",
            "A datagram comes back unchanged, whatever its bytes mean in other protocols.",
        )
        .sizes(1500, 9000, 60_000)
        .with_transport(Transport::Udp)
        .datagrams(content),
        Case::must("max-size", "The longest UDP datagram over IPv4 comes back whole.")
            .sizes(3, 10, 100)
            .needs(&[Need::UdpBytes(Sockets::UDP_MAX_BYTES)])
            .with_transport(Transport::Udp)
            .datagrams(max_size),
        Case::must(
            "larger-than-server-buffer",
            "The server keeps serving after a datagram that is longer than any over IPv4.",
        )
        .needs(&[Need::Ipv6, Need::UdpBytes(Sockets::UDP_MAX_BYTES)])
        .with_transport(Transport::Udp)
        .lifecycle(larger_than_server_buffer),
        Case::must(
            "peer-unreachable",
            "A client that closes before its reply arrives does not disturb other clients.",
        )
        .sizes(20, 50, 500)
        .needs(&[Need::Descriptors(500)])
        .with_transport(Transport::Udp)
        .datagrams(peer_unreachable),
        Case::must(
            "source-port-zero",
            "The server keeps serving after a datagram with source port 0.",
        )
        .sizes(20, 20, 100)
        .needs(&[Need::RawSockets])
        .with_transport(Transport::Udp)
        .datagrams(source_port_zero),
        Case::must(
            "errors-no-spin",
            "The server does not spin on socket errors that closed clients cause.",
        )
        .sizes(20, 50, 50)
        .needs(&[Need::CpuTime, Need::Signals, Need::Threads])
        .answers(Question::Resources)
        .answering_failures(&[FailureKind::Cpu])
        .lowest_grade(Grade::Command)
        .with_transport(Transport::Udp)
        .lifecycle(errors_no_spin),
        Case::must(
            "only-its-address",
            "A server that was given an address receives datagrams only on that address.",
        )
        .requires_given_address()
        .answers(Question::Limits)
        .lowest_grade(Grade::Command)
        .with_transport(Transport::Udp)
        .lifecycle(only_its_udp_address),
        Case::must(
            "same-port",
            "The server tells apart two clients that have the same port at different addresses.",
        )
        .sizes(5, 20, 200)
        .needs(&[Need::LoopbackNetwork, Need::PortOfTwoAddresses, Need::Descriptors(400)])
        .with_transport(Transport::Udp)
        .datagrams(datagrams::same_port),
        Case::must("any-port", "The server answers clients, whatever their port is.")
            .with_transport(Transport::Udp)
            .datagrams(datagrams::any_port),
        Case::must("after-silence", "The first datagram after a long silence comes back.")
            .sizes(1000, 4000, 70_000)
            .reports_reach()
            .with_transport(Transport::Udp)
            .datagrams(datagrams::after_silence),
        Case::should("no-rare-stall", "Among many datagrams, none waits for a timer.")
            .sizes(500, 1500, 30_000)
            .answers(Question::Promptness)
            .answering_failures(&[FailureKind::Slow])
            .exclusive_timed()
            .with_transport(Transport::Udp)
            .datagrams(datagrams::no_rare_stall),
        Case::must("many-peers", "No client gets another client's datagram.")
            .sizes(20, 100, 500)
            .needs(&[Need::Descriptors(500)])
            .with_transport(Transport::Udp)
            .datagrams(many_peers),
        Case::must(
            "burst",
            "After a burst of more datagrams than fit, the server serves new clients and does not \
             spin.",
        )
        .sizes(2000, 10_000, 100_000)
        .needs(&[Need::CpuTime, Need::Descriptors(200)])
        .lowest_grade(Grade::Command)
        .with_transport(Transport::Udp)
        .lifecycle(burst),
        Case::should(
            "send-pressure",
            "Clients that do not read their large replies do not delay other clients.",
        )
        .sizes(20, 50, 200)
        .exclusive_timed()
        .with_transport(Transport::Udp)
        .datagrams(send_pressure),
        Case::must(
            "memory",
            "The server keeps neither memory nor descriptors for thousands of past datagrams and \
             clients.",
        )
        .sizes(4000, 4000, 40_000)
        .needs(&[Need::ResidentMemory, Need::DescriptorCount])
        .answers(Question::Resources)
        .answering_failures(&datagram_memory::ANSWERING_FAILURES)
        .lowest_grade(Grade::Command)
        .with_transport(Transport::Udp)
        .lifecycle(datagram_memory::udp_memory),
        Case::must("ipv6", "A datagram that is sent to ::1 comes back from ::1.")
            .needs(&[Need::Ipv6])
            .with_transport(Transport::Udp)
            .lifecycle(ipv6),
        Case::should(
            "ipv4-mapped-on-dual-stack",
            "A dual-stack socket answers both IPv4 and IPv6 clients.",
        )
        .needs(&[Need::Ipv6])
        .with_transport(Transport::Udp)
        .lifecycle(ipv4_mapped_on_dual_stack),
        Case::must(
            "shutdown-and-rebind",
            "A server that is stopped while it waits for datagrams frees its port.",
        )
        .with_transport(Transport::Udp)
        .lifecycle(shutdown_and_rebind),
    ],
};

/// Long enough for a second reply to arrive, if there is one.
const SILENCE: Duration = Duration::from_millis(200);

/// How soon a client sends again where a short queue may have dropped its datagram.
const AGAIN: Duration = Duration::from_millis(20);

/// The most bytes of payload that UDP carries over IPv4.
const LARGEST: usize = Sockets::UDP_MAX_BYTES as usize;
/// The most bytes of payload that UDP carries over IPv6, whose header does not count towards the
/// length (RFC 8200, section 3).
const LARGEST_V6: usize = 65_527;

/// The longest datagram that this host sends, and at most the longest of UDP.
pub(super) fn longest_udp_datagram(server: &Datagrams) -> usize {
    server.longest_datagram().min(LARGEST)
}

pub(super) fn echo_basic(server: &Datagrams) -> CaseResult {
    let mut client = server.client()?;
    client.exchange(64)?;
    client.expect_silence(SILENCE)?;
    Observation::met()
}

fn boundaries(server: &Datagrams) -> CaseResult {
    /// Few enough to fit into the receive queue of most hosts.
    const GROUP: usize = 20;
    /// The queue was tried with datagrams of 512 bytes. These are longer, and take less than twice
    /// the memory.
    const TIMES_SHORT: usize = 2;
    let group = (server.queue_capacity() / TIMES_SHORT).clamp(1, GROUP);
    let mut random = server.random(0);
    let mut client = server.client()?;
    for _ in 0..server.size() {
        let sent = (0..group).map(|_| client.send(random.usize(1..1400)));
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
        // Paced by the replies, if any come: a full receive queue would drop later datagrams.
        client.receive_any(&mut sent, Duration::from_millis(1))?;
    }
    client.receive_any(&mut sent, SILENCE)?;
    client.exchange(64)?;
    server.expect_service()?;
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
    let longest = longest_udp_datagram(server);
    let every = usize::try_from(server.size()).unwrap_or(longest).min(longest);
    let lengths = landmarks(longest as u64, &mut server.random(0));
    let lengths: Vec<usize> = lengths.into_iter().map(|length| length as usize).collect();
    let mut client = server.client()?;
    for length in (1..=every).chain(lengths.into_iter().filter(|length| *length > every)) {
        client.exchange(length)?;
    }
    exchange_in_groups(&mut client, every.min(1500))
}

/// Exchanges datagrams of every length up to `longest`, several in flight at a time.
pub(super) fn exchange_in_groups(client: &mut Client, longest: usize) -> CaseResult {
    /// Few enough to fit into any receive queue of Linux.
    const GROUP: usize = 8;
    /// What a Unix datagram socket of macOS has room for by default
    /// (`net.local.dgram.recvspace`). A server drops a reply for which there is no room.
    const ROOM: usize = if cfg!(target_os = "linux") { usize::MAX } else { 4096 };
    /// The sender's address is stored with each datagram.
    const ADDRESS: usize = 128;

    let mut length = 1;
    while length <= longest {
        let fitting = (ROOM / (length + GROUP + ADDRESS)).clamp(1, GROUP);
        let end = (length + fitting).min(longest + 1);
        let sent = (length..end).map(|length| client.send(length));
        let sent = sent.collect::<Result<Vec<Sent>, Failure>>()?;
        client.receive(sent)?;
        length = end;
    }
    Observation::met()
}

pub(super) fn content(server: &Datagrams) -> CaseResult {
    let longest =
        usize::try_from(server.size()).unwrap_or(LARGEST).min(longest_udp_datagram(server));
    let mut client = server.client()?;
    for (number, content) in content::ALL.into_iter().flatten().enumerate() {
        let mut random = server.random(number as u64);
        for message in content.messages(&mut random) {
            let message = &message[..message.len().min(longest)];
            // Sent twice: a datagram that equals the one before is another datagram.
            for _ in 0..2 {
                client.exchange_literal(message).map_err(|found| add_content(content, found))?;
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
    server.expect_service()?;
    Observation::met()
}

fn larger_than_server_buffer(lifecycle: &Lifecycle) -> CaseResult {
    let (server, datagrams) = start_on_ipv6(lifecycle)?;
    let found = send_long_datagrams(&datagrams, LARGEST_V6);
    expect_survival(&server, found, lifecycle.clock())
}

/// Sends datagrams that the server may truncate or drop, and expects it to keep serving.
pub(super) fn send_long_datagrams(server: &Datagrams, length: usize) -> CaseResult {
    for _ in 0..3 {
        // The long datagram has its own socket, because its reply is not checked. The socket is
        // closed in each round: a Unix server has room for two such replies, and sends none while
        // they wait.
        let mut long = server.client()?;
        long.grow_send_buffer()?;
        long.send(length)?;
        let mut client = server.client()?;
        client.exchange_behind_long(server, &mut Vec::new(), 64, AGAIN)?;
    }
    server.expect_service()?;
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
        if number.is_multiple_of(server.queue_capacity() as u64) {
            // This reply shows that the server has taken the datagrams before it.
            second.exchange(64)?;
        }
    }
    second.exchange(64)?;
    // A client that has gone may come back, unless another process has its port by now.
    for gone in left {
        if let Some(mut back) = server.successor(gone)? {
            back.exchange(64)?;
        }
    }
    server.expect_service()?;
    Observation::met()
}

fn source_port_zero(server: &Datagrams) -> CaseResult {
    if !server.is_on_ipv4_loopback() {
        return datagrams::not_on_ipv4_loopback();
    }
    let mut client = server.client()?;
    for number in 1..=server.size() {
        server.send_from_no_port(64)?;
        if number.is_multiple_of(server.queue_capacity() as u64) {
            client.exchange(64)?;
        }
    }
    client.exchange(64)?;
    server.expect_service()?;
    Observation::met()
}

fn errors_no_spin(lifecycle: &Lifecycle) -> CaseResult {
    let server = lifecycle.start_with(&lifecycle.start_with_listener(Transport::Udp)?)?;
    let datagrams = lifecycle.datagrams(Transport::Udp, &server)?;
    let process = server.process();
    let found = datagrams.client().and_then(|mut second| {
        second.exchange(64)?;
        // Suspended, so that the server sees the datagrams only after their senders have gone.
        process.stop(lifecycle.clock().progress_deadline())?;
        let left = (0..lifecycle.size()).try_for_each(|_| {
            let mut gone = datagrams.brief_client()?;
            gone.send(64).map(drop)
        });
        process.signal(Signal::Continue)?;
        left?;
        second.exchange(64)?;
        // Some servers take an empty datagram for the end of input.
        let empty = (0..3).map(|_| second.send(0)).collect::<Result<Vec<Sent>, Failure>>();
        let mut empty = empty?;
        second.receive_any(&mut empty, SILENCE)?;
        // Errors that the kernel has queued for those clients stay until the server reads them.
        expect_low_cpu(&process, Duration::from_secs(1), 0.10, lifecycle.clock())?;
        second.exchange_with_pending(&mut empty, 64)
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
        for clients in clients.chunks_mut(server.queue_capacity()) {
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
    let server = lifecycle.start_with(&lifecycle.start_with_listener(Transport::Udp)?)?;
    let datagrams = lifecycle.datagrams(Transport::Udp, &server)?;
    let process = server.process();
    let found = (|| {
        // This client does not read, and stays open.
        let mut deaf = datagrams.client()?;
        deaf.shrink_receive_buffer()?;
        for _ in 0..datagrams.queue_capacity() {
            deaf.send(longest_udp_datagram(&datagrams).min(8 * 1024))?;
        }
        let mut client = datagrams.client()?;
        let mut sent = Vec::new();
        for number in 0..lifecycle.size() {
            sent.push(client.send(64)?);
            // Replies are checked every 500 datagrams. What has not arrived by then counts as lost.
            if number % 500 == 499 {
                client.receive_any(&mut sent, Duration::ZERO)?;
                sent.clear();
                client = datagrams.client()?;
            }
        }
        datagrams.expect_service()?;
        expect_low_cpu(&process, Duration::from_millis(500), 0.10, lifecycle.clock())?;
        datagrams.expect_service()
    })();
    expect_survival(&server, found, lifecycle.clock())?;
    Observation::met()
}

fn send_pressure(server: &Datagrams) -> CaseResult {
    const LIMIT: Duration = Duration::from_millis(250);
    const PACE: Duration = Duration::from_millis(2);
    let mut neighbour = server.client()?;
    neighbour.exchange(64)?;
    let mut due = Vec::new();
    let mut deaf: Vec<Client> = (0..4).map(|_| server.client()).collect::<Result<_, _>>()?;
    deaf.iter().try_for_each(Client::shrink_receive_buffer)?;
    let rounds = u32::try_from(server.size()).unwrap_or(u32::MAX);
    let p99 = p99_planned(server.clock(), rounds, PACE, |_| {
        for client in &mut deaf {
            client.send(longest_udp_datagram(server).min(32 * 1024))?;
        }
        neighbour.exchange_behind_long(server, &mut due, 64, AGAIN)
    })?;
    server.clock().judge_rounds("p99 of a round next to clients that take nothing", p99, LIMIT)?;
    Observation::met()
}

fn ipv6(lifecycle: &Lifecycle) -> CaseResult {
    let (server, datagrams) = start_on_ipv6(lifecycle)?;
    let found = echo_basic(&datagrams);
    expect_survival(&server, found, lifecycle.clock())
}

fn start_on_ipv6(lifecycle: &Lifecycle) -> Result<(Server, Datagrams), Failure> {
    let server = lifecycle.start_with(&Start::with_listeners(&["udp:[::1]:0"]))?;
    let datagrams = lifecycle.datagrams(Transport::Udp, &server)?;
    Ok((server, datagrams))
}

fn ipv4_mapped_on_dual_stack(lifecycle: &Lifecycle) -> CaseResult {
    let start = Start::with_listeners(&["udp:[::]:0"]).with_argument("--dual-stack");
    let server = expect_started(lifecycle.launch(&start)?)?;
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
    // No client of another cell can get this port between the two servers.
    let address = free_address(Transport::Udp).map_err(|e| no_port_failure(&e))?;
    let udp = format!("udp:{address}");
    let server = lifecycle.start_with(&Start::with_listeners(&["tcp:127.0.0.1:0", &udp]))?;
    let datagrams = lifecycle.datagrams(Transport::Udp, &server)?;
    let found = datagrams.client().and_then(|mut client| client.exchange(64));
    expect_survival(&server, found, lifecycle.clock())?;
    server.ask_to_stop()?;
    expect_graceful_end(&server, DRAIN_TIME, lifecycle.clock())?;
    let next = lifecycle.start_with(&Start::with_listeners(&[&udp]))?;
    let found = lifecycle.datagrams(Transport::Udp, &next).and_then(|next| next.expect_service());
    expect_survival(&next, found, lifecycle.clock())?;
    Observation::met()
}
