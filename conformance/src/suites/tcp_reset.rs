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
    AtRest, FREED_WITHIN, descriptors_at_rest, expect_descriptors, expect_quiet,
};

/// The table.
pub(super) const SUITE: Suite = Suite {
    name: "tcp-reset",
    about: "A reset ends its own connection and nothing else.",
    question: Question::Bytes,
    cases: &[
        Case::must("idle", "Idle connections that are reset are freed.")
            .sizes(2, 10, 100)
            .needs(&[Need::DescriptorCount])
            .answers(Question::Resources)
            .judges(&[FailureKind::Descriptors])
            .of_tcp_alone()
            .process(idle),
        Case::must("mid-echo", "Resets amid the echo leave the other streams exact.")
            .sizes(5, 20, 100)
            .of_tcp_alone()
            .wire(mid_echo),
        Case::must(
            "while-write-blocked",
            "A reset frees a connection whose write is blocked, and costs no CPU.",
        )
        .sizes(200, 500, 1000)
        .needs(&[Need::DescriptorCount, Need::CpuTime])
        .of_tcp_alone()
        .process(while_write_blocked),
        Case::must(
            "before-accept",
            "Connections that are reset before they are accepted do not end the listener.",
        )
        .sizes(100, 200, 200)
        .of_tcp_alone()
        .wire(before_accept),
        Case::must("burst-under-load", "Many resets beside busy streams leave these exact.")
            .sizes(100, 500, 500)
            .of_tcp_alone()
            .wire(burst_under_load),
        Case::must(
            "during-shutdown",
            "A reset while the server answers FIN ends nothing but the connection.",
        )
        .sizes(50, 200, 500)
        .relies_on(&[Feature::HalfClose])
        .of_tcp_alone()
        .wire(during_shutdown),
        Case::must(
            "then-descriptor-reuse",
            "A new connection sees nothing of a reset one whose descriptor it got.",
        )
        .sizes(100, 400, 2000)
        .of_tcp_alone()
        .wire(then_descriptor_reuse),
        Case::info("data-delivery", "What becomes of bytes that came right before a reset?")
            .needs(&[Need::Signals, Need::SocketQueues, Need::DescriptorCount])
            .of_tcp_alone()
            .process(data_delivery),
    ],
};

/// How long the kernel must take nothing before a writer counts as blocked.
const BLOCKED: Duration = Duration::from_millis(100);
/// How long bytes must stay unread before a server counts as busy writing.
const UNREAD: Duration = Duration::from_millis(20);
/// Resets between two looks at the streams beside them.
const BURST: u64 = 25;

fn idle(peer: &Peer, process: &Process) -> CaseResult {
    let mut neighbour = peer.connect()?;
    neighbour.exchange(64)?;
    AtRest::now(process, peer, 0, FREED_WITHIN)?.expect_freed(|| {
        let mut connections = peer.connect_many(peer.size())?;
        for connection in connections.iter_mut().step_by(2) {
            connection.exchange(64)?;
        }
        // Idle is what they are to be: the pause is the case.
        neighbour.expect_silence(Duration::from_millis(100))?;
        connections.into_iter().for_each(Connection::reset);
        Ok(())
    })?;
    neighbour.exchange(64)?;
    peer.serves()?;
    Observation::met()
}

fn mid_echo(peer: &Peer) -> CaseResult {
    let mut bystanders = Bystanders::open(peer, 5)?;
    for round in 0..peer.size() {
        let mut connection;
        if round % 2 == 0 {
            connection = peer.connect()?;
            connection.send_until_blocked(BLOCKED, 1024 * 1024)?;
            connection.receive(10 * 1024)?;
        } else {
            // So little room at the client leaves the server in the middle of a write. Nothing is
            // received after that: the kernel tries a full client again only after as long as it
            // has been full.
            connection = peer.connect_with(Setup::tight())?;
            connection.exchange(10 * 1024)?;
            connection.send_until_unread(UNREAD, 1024 * 1024)?;
        }
        bystanders.send(16 * 1024)?;
        connection.reset();
        bystanders.receive()?;
    }
    peer.serves()?;
    Observation::met()
}

fn while_write_blocked(peer: &Peer, process: &Process) -> CaseResult {
    let mut neighbour = peer.connect()?;
    neighbour.exchange(64)?;
    AtRest::now(process, peer, 0, FREED_WITHIN)?.expect_freed(|| {
        let mut connection = peer.connect()?;
        connection.send_until_blocked(BLOCKED, BACKLOG_LIMIT)?;
        connection.reset();
        Ok(())
    })?;
    expect_quiet(process, Duration::from_millis(peer.size()), 0.10, peer.clock())?;
    neighbour.exchange(64)?;
    peer.serves()?;
    Observation::met()
}

fn before_accept(peer: &Peer) -> CaseResult {
    let mut neighbour = peer.connect()?;
    neighbour.exchange(64)?;
    for _ in 0..peer.size() {
        peer.start_established()?.reset();
    }
    peer.serves()?;
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
    peer.serves()?;
    Observation::met()
}

fn during_shutdown(peer: &Peer) -> CaseResult {
    let mut neighbour = peer.connect()?;
    for round in 0..peer.size() {
        let mut connection = peer.connect()?;
        connection.send(100)?;
        connection.finish_sending()?;
        // The reset meets the server before its echo, or between its echo and its FIN.
        if round % 2 == 0 {
            connection.receive(100)?;
        }
        connection.reset();
    }
    neighbour.exchange(64)?;
    peer.serves()?;
    Observation::met()
}

fn then_descriptor_reuse(peer: &Peer) -> CaseResult {
    let mut random = peer.random(0);
    let mut open = peer.connect_many(8)?;
    let mut replaced = 0;
    while replaced < peer.size() {
        // The reset ones leave an echo under way, which must not reach their successors.
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

/// While the server is stopped, bytes and a reset reach its end of a connection. What it makes of
/// them cannot be seen on the wire, which is cut, but in that end, of which the judge has a
/// duplicate: a read takes the bytes, and the first call that fails takes the error.
fn data_delivery(peer: &Peer, process: &Process) -> CaseResult {
    const PAYLOAD_BYTES: usize = 1024;
    let base = descriptors_at_rest(process, peer)?;
    let mut connection = peer.connect()?;
    connection.exchange(1)?;
    let judge_port = connection.local_address()?.port();
    let mut end = match process.duplicate_end(peer.address()?.port(), judge_port) {
        Ok(end) => end,
        Err(e) => return Observation::of(outside!("not seen: {}", e.actual)),
    };
    // Between its write and its next read it would not notice the reset first, however it looks.
    process.wait_asleep(peer.clock().progress())?;
    process.stop(peer.clock().progress())?;
    connection.send(PAYLOAD_BYTES as u64)?;
    connection.reset();
    // A busy kernel delivers even to itself later; a socket without a peer has seen the reset.
    let deadline = peer.clock().progress();
    while end.peer_addr().is_ok() {
        if deadline.is_over() {
            return Err(deadline.failure("the reset to arrive"));
        }
        thread::sleep(Duration::from_millis(1));
    }
    process.signal(Signal::Continue)?;
    expect_descriptors(process, base, FREED_WITHIN, peer.clock())?;
    let is_met = matches!(end.take_error(), Ok(None));
    let unread = end.read(&mut [0; 2 * PAYLOAD_BYTES]).unwrap_or(0);
    peer.serves()?;
    Observation::of(match (unread < PAYLOAD_BYTES, is_met) {
        (true, true) => "the bytes were read, then the reset was met: an echo was attempted",
        (true, false) => "the bytes were read, and no echo was attempted",
        (false, _) => "the bytes were not read",
    })
}

/// Connections that must stay exact beside what is done to other connections.
struct Bystanders(Vec<Connection>);

impl Bystanders {
    fn open(peer: &Peer, count: u64) -> Result<Self, Failure> {
        let mut bystanders = Self(peer.connect_many(count)?);
        bystanders.send(1024)?;
        Ok(bystanders)
    }

    /// Puts so many bytes under way on each.
    fn send(&mut self, bytes: u64) -> Result<(), Failure> {
        self.0.iter_mut().try_for_each(|stream| stream.send(bytes))
    }

    /// Receives all that is under way.
    fn receive(&mut self) -> Result<(), Failure> {
        self.0.iter_mut().try_for_each(Connection::receive_all)
    }
}
