//! Resets: when a client resets a connection (RST), that connection ends, and nothing else does.

use std::io::Read as _;
use std::thread;
use std::time::Duration;

use harness::process::{Process, Signal};
use report::{Failure, FailureKind, Question, outside};

use crate::case::{Case, CaseResult, Feature, Need, Observation, Suite};
use crate::client::connection::{BACKLOG_LIMIT, Connection, Setup};
use crate::client::peer::Peer;
use crate::expectation::{
    DescriptorBaseline, FREE_TIME_LIMIT, descriptors_at_rest, expect_descriptors, expect_low_cpu,
};

pub(super) const SUITE: Suite = Suite {
    name: "tcp-reset",
    about: "When a client resets its connection, that connection ends and nothing else does.",
    question: Question::Bytes,
    cases: &[
        Case::must("idle", "The server frees idle connections that their clients reset.")
            .sizes(2, 10, 100)
            .needs(&[Need::DescriptorCount])
            .answers(Question::Resources)
            .answering_failures(&[FailureKind::Descriptors])
            .tcp_only()
            .process(idle),
        Case::must("mid-echo", "Clients that reset during their echo do not damage other streams.")
            .sizes(5, 20, 100)
            .tcp_only()
            .wire(mid_echo),
        Case::must(
            "while-write-blocked",
            "After a reset, the server frees a connection whose write is blocked, and does not \
             spin.",
        )
        .sizes(200, 500, 1000)
        .needs(&[Need::DescriptorCount, Need::CpuTime])
        .tcp_only()
        .process(while_write_blocked),
        Case::must(
            "before-accept",
            "A connection that is reset before it is accepted does not end the listener.",
        )
        .sizes(100, 200, 200)
        .tcp_only()
        .wire(before_accept),
        Case::must("burst-under-load", "Many resets do not damage the streams of other clients.")
            .sizes(100, 500, 500)
            .tcp_only()
            .wire(burst_under_load),
        Case::must(
            "during-shutdown",
            "A reset while the server answers FIN ends only that connection.",
        )
        .sizes(50, 200, 500)
        .relies_on(&[Feature::HalfClose])
        .tcp_only()
        .wire(during_shutdown),
        Case::must(
            "then-descriptor-reuse",
            "A new connection gets no byte of a reset connection whose descriptor number it \
             reuses.",
        )
        .sizes(100, 400, 2000)
        .tcp_only()
        .wire(then_descriptor_reuse),
        Case::info("data-delivery", "Does the server read bytes that arrive right before a reset?")
            .needs(&[Need::Signals, Need::SocketQueues, Need::DescriptorCount])
            .tcp_only()
            .process(data_delivery),
    ],
};

/// How long the kernel must take nothing before a writer counts as blocked.
const BLOCK_TIME: Duration = Duration::from_millis(100);
/// How long bytes must stay unread before a server counts as busy writing.
const UNREAD_TIME: Duration = Duration::from_millis(20);
/// Resets between two exchanges with the bystanders.
const BURST: u64 = 25;

fn idle(peer: &Peer, process: &Process) -> CaseResult {
    let mut neighbour = peer.connect()?;
    neighbour.exchange(64)?;
    DescriptorBaseline::measure(process, peer, 0, FREE_TIME_LIMIT)?.expect_freed(|| {
        let mut connections = peer.connect_many(peer.size())?;
        for connection in connections.iter_mut().step_by(2) {
            connection.exchange(64)?;
        }
        // The case tests idle connections, so it pauses.
        neighbour.expect_silence(Duration::from_millis(100))?;
        connections.into_iter().for_each(Connection::reset);
        Ok(())
    })?;
    neighbour.exchange(64)?;
    peer.expect_service()?;
    Observation::met()
}

fn mid_echo(peer: &Peer) -> CaseResult {
    let mut bystanders = Bystanders::open(peer, 5)?;
    for round in 0..peer.size() {
        let mut connection;
        if round % 2 == 0 {
            connection = peer.connect()?;
            connection.send_until_blocked(BLOCK_TIME, 1024 * 1024)?;
            connection.receive(10 * 1024)?;
        } else {
            // The client has so little room that the server stays in the middle of a write. The
            // client then receives nothing: TCP probes a full window at doubling intervals, so the
            // next bytes could take as long to arrive as the window was full before.
            connection = peer.connect_with(Setup::small_buffers())?;
            connection.exchange(10 * 1024)?;
            connection.send_until_unread(UNREAD_TIME, 1024 * 1024)?;
        }
        bystanders.send(16 * 1024)?;
        connection.reset();
        bystanders.receive()?;
    }
    peer.expect_service()?;
    Observation::met()
}

fn while_write_blocked(peer: &Peer, process: &Process) -> CaseResult {
    let mut neighbour = peer.connect()?;
    neighbour.exchange(64)?;
    DescriptorBaseline::measure(process, peer, 0, FREE_TIME_LIMIT)?.expect_freed(|| {
        let mut connection = peer.connect()?;
        connection.send_until_blocked(BLOCK_TIME, BACKLOG_LIMIT)?;
        connection.reset();
        Ok(())
    })?;
    expect_low_cpu(process, Duration::from_millis(peer.size()), 0.10, peer.clock())?;
    neighbour.exchange(64)?;
    peer.expect_service()?;
    Observation::met()
}

fn before_accept(peer: &Peer) -> CaseResult {
    let mut neighbour = peer.connect()?;
    neighbour.exchange(64)?;
    for _ in 0..peer.size() {
        peer.start_established()?.reset();
    }
    peer.expect_service()?;
    neighbour.exchange(64)?;
    Observation::met()
}

fn burst_under_load(peer: &Peer) -> CaseResult {
    let mut random = peer.random(0);
    let mut bystanders = Bystanders::open(peer, 20)?;
    for number in 0..peer.size() {
        if number % BURST == 0 {
            bystanders.receive()?;
            bystanders.send(16 * 1024)?;
        }
        let mut connection = peer.connect()?;
        match random.u8(0..3) {
            0 => {}
            1 => connection.send(random.u64(1..4096))?,
            _ => connection.exchange(random.u64(1..4096))?,
        }
        connection.reset();
    }
    bystanders.receive()?;
    peer.expect_service()?;
    Observation::met()
}

fn during_shutdown(peer: &Peer) -> CaseResult {
    let mut neighbour = peer.connect()?;
    for round in 0..peer.size() {
        let mut connection = peer.connect()?;
        connection.send(100)?;
        connection.finish_sending()?;
        // The reset arrives before the server's echo, or between its echo and its FIN.
        if round % 2 == 0 {
            connection.receive(100)?;
        }
        connection.reset();
    }
    neighbour.exchange(64)?;
    peer.expect_service()?;
    Observation::met()
}

fn then_descriptor_reuse(peer: &Peer) -> CaseResult {
    let mut random = peer.random(0);
    let mut open = peer.connect_many(8)?;
    let mut replaced = 0;
    while replaced < peer.size() {
        // Each reset connection leaves an echo in flight, which must not reach its successor.
        for mut connection in open.drain(..4) {
            connection.send(random.u64(1..2048))?;
            connection.reset();
        }
        open.extend(peer.connect_many(4)?);
        replaced += 4;
        for connection in &mut open {
            connection.send(random.u64(1..2048))?;
        }
        for connection in &mut open {
            connection.receive_all()?;
        }
    }
    Observation::met()
}

/// Sends bytes and a reset while the server is suspended. The wire does not show what the server
/// does with them, so the judge looks at a duplicate of the server's socket: a read takes the
/// bytes, and the first call that fails takes the error.
fn data_delivery(peer: &Peer, process: &Process) -> CaseResult {
    const PAYLOAD_BYTES: usize = 1024;
    let base = descriptors_at_rest(process, peer)?;
    let mut connection = peer.connect()?;
    connection.exchange(1)?;
    let judge_port = connection.local_address()?.port();
    let mut end = match process.duplicate_end(peer.address()?.port(), judge_port) {
        Ok(end) => end,
        Err(e) => return Observation::recorded(outside!("not seen: {}", e.actual)),
    };
    // The server must be waiting: between its write and its next read, it would read the bytes
    // before it could notice the reset.
    process.wait_asleep(peer.clock().progress_deadline())?;
    process.stop(peer.clock().progress_deadline())?;
    connection.send(PAYLOAD_BYTES as u64)?;
    connection.reset();
    // On a busy host, even loopback delivers late. A socket without a peer has seen the reset.
    let deadline = peer.clock().progress_deadline();
    while end.peer_addr().is_ok() {
        if deadline.is_over() {
            return Err(deadline.failure("the reset to arrive"));
        }
        thread::sleep(Duration::from_millis(1));
    }
    process.signal(Signal::Continue)?;
    expect_descriptors(process, base, FREE_TIME_LIMIT, peer.clock())?;
    let is_met = matches!(end.take_error(), Ok(None));
    let unread = end.read(&mut [0; 2 * PAYLOAD_BYTES]).unwrap_or(0);
    peer.expect_service()?;
    Observation::recorded(match (unread < PAYLOAD_BYTES, is_met) {
        (true, true) => "the bytes were read, then a call of the server met the reset",
        (true, false) => "the bytes were read, and no echo was attempted",
        (false, _) => "the bytes were not read",
    })
}

/// Connections that must stay exact, whatever happens to other connections.
struct Bystanders(Vec<Connection>);

impl Bystanders {
    fn open(peer: &Peer, count: u64) -> Result<Self, Failure> {
        let mut bystanders = Self(peer.connect_many(count)?);
        bystanders.send(1024)?;
        Ok(bystanders)
    }

    fn send(&mut self, bytes: u64) -> Result<(), Failure> {
        self.0.iter_mut().try_for_each(|stream| stream.send(bytes))
    }

    fn receive(&mut self) -> Result<(), Failure> {
        self.0.iter_mut().try_for_each(Connection::receive_all)
    }
}
