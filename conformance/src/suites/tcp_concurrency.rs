//! Many connections at once: the server serves each as if it were the only one.

use std::iter::once;
use std::net::SocketAddr;
use std::thread;
use std::time::Duration;

use harness::process::{Cpu, Process, Signal};
use report::{Failure, FailureKind, Question};

use crate::case::{Case, CaseResult, Feature, Need, Observation, Suite};
use crate::client::SECOND_LOOPBACK;
use crate::client::connection::Connection;
use crate::client::duplex::{Flow, Pieces, exchange, exchange_until_first_done};
use crate::client::peer::{PROBE_LIMIT, Peer};
use crate::expectation::{DescriptorBaseline, FREE_TIME_LIMIT};

pub(super) const SUITE: Suite = Suite {
    name: "tcp-concurrency",
    about: "The server serves many connections at the same time, and none disturbs another.",
    question: Question::Bytes,
    cases: &[
        Case::must("not-serial", "A client that stays silent does not delay the other clients.")
            .wire(not_serial),
        Case::must(
            "100-exact",
            "A hundred concurrent streams in writes of random sizes come back whole.",
        )
        .sizes(32 * 1024, 128 * 1024, 1024 * 1024)
        .needs(&[Need::Descriptors(100)])
        .wire(hundred_exact),
        Case::must(
            "1000-active",
            "A thousand clients that all send at the same time all get their echo.",
        )
        .sizes(1, 3, 10)
        .needs(&[Need::Descriptors(1000)])
        .wire(thousand_active),
        Case::must(
            "all-at-once",
            "The server handles bytes, FIN, resets and new clients that arrive all at once as if \
             each arrived alone.",
        )
        .sizes(3, 8, 60)
        .needs(&[Need::Signals, Need::Threads, Need::DescriptorCount, Need::Descriptors(100)])
        .relies_on(&[Feature::HalfClose])
        .process(all_at_once),
        Case::must(
            "churn-beside-stable",
            "Streams come back whole while many other connections come and go.",
        )
        .sizes(200, 300, 2000)
        .wire(churn_beside_stable),
        Case::must(
            "same-port",
            "Clients that reuse a port, or have the same port at two addresses, get only their own \
             bytes.",
        )
        .sizes(10, 30, 300)
        .needs(&[Need::LoopbackNetwork])
        .tcp_only()
        .wire(same_port),
        Case::info(
            "10k-idle",
            "What do ten thousand idle clients cost the server and its active clients?",
        )
        .sizes(200, 1200, 10_000)
        .full_profile_only()
        .needs(&[
            Need::CpuTime,
            Need::ResidentMemory,
            Need::Descriptors(10_060),
            Need::ClientPorts(10_060),
        ])
        .exclusive_timed()
        .process(ten_thousand_idle),
    ],
};

/// Clients that talk: this many connect before the idle clients, and as many after them.
const TALKING_CLIENTS: u64 = 25;

fn not_serial(peer: &Peer) -> CaseResult {
    let mut silent = peer.connect()?;
    let mut second = peer.connect()?;
    second.send(100)?;
    second.receive_within(100, PROBE_LIMIT)?;
    // A client that has spoken and is silent now delays nobody, either.
    let mut third = peer.connect()?;
    third.send(100)?;
    third.receive_within(100, PROBE_LIMIT)?;
    silent.send(100)?;
    silent.receive_within(100, PROBE_LIMIT)?;
    second.exchange(100)?;
    Observation::met()
}

fn hundred_exact(peer: &Peer) -> CaseResult {
    let mut connections = peer.connect_many(100)?;
    let mut flows: Vec<Flow> = connections
        .iter_mut()
        .map(|connection| {
            // A small window, so that every connection has bytes in flight all the time.
            let flow = Flow::new(connection, peer.size(), peer.seed());
            flow.writes(Pieces::RandomUpTo(16 * 1024)).window(16 * 1024)
        })
        .collect();
    exchange(&mut flows, peer.clock())?;
    Connection::release_all(connections);
    Observation::met()
}

fn thousand_active(peer: &Peer) -> CaseResult {
    let mut connections = peer.connect_many(1000)?;
    for _ in 0..peer.size() {
        for connection in &mut connections {
            connection.send(64)?;
        }
        for connection in &mut connections {
            connection.receive(64)?;
        }
    }
    Connection::release_all(connections);
    Observation::met()
}

/// What reaches the server's end of a connection while the server is suspended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Event {
    Nothing,
    Bytes,
    Fin,
    BytesAndFin,
    Reset,
    BytesAndReset,
}

impl Event {
    const ALL: [Self; 6] = [
        Self::Nothing,
        Self::Bytes,
        Self::Fin,
        Self::BytesAndFin,
        Self::Reset,
        Self::BytesAndReset,
    ];
    const BYTES: u64 = 1000;

    /// Causes the event. Returns the connection if the client still has it.
    fn cause(self, mut connection: Connection) -> Result<Option<Connection>, Failure> {
        if matches!(self, Self::Bytes | Self::BytesAndFin | Self::BytesAndReset) {
            connection.send(Self::BYTES)?;
        }
        match self {
            Self::Nothing | Self::Bytes => Ok(Some(connection)),
            Self::Fin | Self::BytesAndFin => {
                connection.finish_sending()?;
                Ok(Some(connection))
            }
            Self::Reset | Self::BytesAndReset => {
                connection.reset();
                Ok(None)
            }
        }
    }

    /// Expects what the server must do after the event.
    fn expect_answer(self, connection: &mut Connection) -> Result<(), Failure> {
        match self {
            Self::Nothing | Self::Bytes => {
                connection.receive_all()?;
                connection.exchange(64)
            }
            Self::Fin | Self::BytesAndFin | Self::Reset | Self::BytesAndReset => {
                connection.expect_end()
            }
        }
    }
}

fn all_at_once(peer: &Peer, process: &Process) -> CaseResult {
    /// Connections per event: `OLD_CLIENTS` have exchanged a message before, `NEW_CLIENTS` connect
    /// during the suspension.
    const OLD_CLIENTS: u64 = 8;
    const NEW_CLIENTS: u64 = 4;
    let mut random = peer.random(0);
    // Other cases judge how many clients may wait.
    let room = peer.queue_room();
    DescriptorBaseline::measure(process, peer, 0, FREE_TIME_LIMIT)?.expect_freed(|| {
        for _ in 0..peer.size() {
            let kinds = Event::ALL.len() as u64;
            let mut old = peer.connect_many(OLD_CLIENTS * kinds)?;
            old.iter_mut().try_for_each(|connection| connection.exchange(64))?;
            // When it continues, the server finds all events at once.
            process.stop(peer.clock().progress_deadline())?;
            let happened = peer.connect_many((NEW_CLIENTS * kinds).min(room)).and_then(|new| {
                let mut crowd: Vec<(Connection, Event)> =
                    old.into_iter().chain(new).zip(Event::ALL.into_iter().cycle()).collect();
                random.shuffle(&mut crowd);
                let mut left = Vec::new();
                for (connection, event) in crowd {
                    left.extend(event.cause(connection)?.map(|connection| (connection, event)));
                }
                Ok(left)
            });
            process.signal(Signal::Continue)?;
            for (mut connection, event) in happened? {
                event.expect_answer(&mut connection)?;
            }
        }
        Ok(())
    })?;
    peer.expect_service()?;
    Observation::met()
}

fn churn_beside_stable(peer: &Peer) -> CaseResult {
    /// Short connections that are open at the same time.
    const BATCH: usize = 10;
    let mut stable = peer.connect_many(10)?;
    for _ in 0..peer.size() / BATCH as u64 {
        let mut short = peer.connect_many(BATCH as u64)?;
        let mut flows: Vec<Flow> = short
            .iter_mut()
            .map(|connection| Flow::new(connection, 100, peer.seed()))
            .chain(
                stable
                    .iter_mut()
                    .map(|stream| Flow::new(stream, 64 * 1024, peer.seed()).window(256 * 1024)),
            )
            .collect();
        // The streams are left midway, so that the short connections end next to bytes in flight.
        exchange_until_first_done(&mut flows, BATCH, peer.clock().progress_deadline())?;
        short.drain(..BATCH / 2).for_each(Connection::reset);
        drop(short);
    }
    for stream in &mut stable {
        stream.receive_all()?;
    }
    Observation::met()
}

fn same_port(peer: &Peer) -> CaseResult {
    /// Long enough for what a server still does after a client has gone.
    const CLEANUP_TIME: Duration = Duration::from_millis(100);
    let home = peer.connect()?.local_address()?.ip();
    let second = (home.is_ipv4() && home.is_loopback()).then_some(SECOND_LOOPBACK.into());
    let mut clients = Vec::new();
    for _ in 0..peer.size() {
        // Binding to port 0 picks a port that nobody uses. A port that connecting picks may be in
        // TIME_WAIT towards another server, and then nobody can bind to it.
        let Some(mut first) = peer.connect_from(SocketAddr::new(home, 0))? else { continue };
        let address = first.local_address()?;
        first.exchange(64)?;
        first.send(64)?;
        // A reset frees the port at once; FIN would leave it in TIME_WAIT.
        first.reset();
        let begin = clients.len();
        for ip in once(home).chain(second) {
            // Rarely, another process has taken the port in between.
            clients.extend(peer.connect_from(SocketAddr::new(ip, address.port()))?);
        }
        for client in &mut clients[begin..] {
            client.send(256)?;
        }
        for client in &mut clients[begin..] {
            client.receive(256)?;
        }
    }
    let homes = 1 + second.iter().len() as u64;
    if clients.len() as u64 <= peer.size() * homes / 2 {
        let actual = format!("{} clients", clients.len());
        return Err(Failure::new(FailureKind::Harness, "ports that nobody else takes", actual));
    }
    thread::sleep(CLEANUP_TIME);
    for client in &mut clients {
        client.exchange(64)?;
    }
    match second {
        None => Observation::recorded("from one address only: the server is not on 127.0.0.0/8"),
        Some(_) => Observation::met(),
    }
}

fn ten_thousand_idle(peer: &Peer, process: &Process) -> CaseResult {
    /// Enough for CPU time that the kernel counts in ticks of 10 ms.
    const ROUNDS: u32 = 400;
    let total = |cpu: Cpu| cpu.user + cpu.system;
    let talk = |clients: &mut [Connection]| -> Result<Duration, Failure> {
        let before = total(process.cpu()?);
        for _ in 0..ROUNDS {
            for client in clients.iter_mut() {
                client.send(1024)?;
            }
            for client in clients.iter_mut() {
                client.receive(1024)?;
            }
        }
        Ok(total(process.cpu()?).saturating_sub(before))
    };
    let mut first = peer.connect_many(TALKING_CLIENTS)?;
    let alone = talk(&mut first)?;
    let before = process.resident_bytes()?;
    let idle = peer.connect_many(peer.size())?;
    let mut last = peer.connect_many(TALKING_CLIENTS)?;
    talk(&mut last)?;
    let growth = process.resident_bytes()?.saturating_sub(before);
    let beside = talk(&mut first)?;
    Connection::release_all(idle);
    peer.expect_service()?;
    // Rounded, so that repeated runs agree.
    let kib = growth as f64 / 1024.0 / peer.size() as f64;
    let times = if beside > alone * 2 { "more than" } else { "at most" };
    Observation::recorded(format!(
        "about {} KiB an idle connection, and {times} twice the CPU time for those who talk",
        kib.max(1.0).log2().round().exp2()
    ))
}
