//! Unix stream sockets: the echo of TCP, on a path that can outlive its server.

use std::fs;
use std::path::Path;
use std::time::Duration;

use harness::launcher::{Attempt, DRAIN, Ended, Launch, Server, Start};
use harness::place::Place;
use harness::process::{Process, Signal};
use report::{Failure, FailureKind, Level, Question, Transport};

use crate::case::{Case, CaseResult, Feature, Need, Observation, Suite};
use crate::client::connection::{BACKLOG_LIMIT, Setup};
use crate::client::content;
use crate::client::duplex::{Flow, Pauses, Pieces, exchange};
use crate::client::passing::{Copies, pair};
use crate::client::peer::Peer;
use crate::expectation::{
    AtRest, FREED_WITHIN, expect_graceful_end, expect_obedience, expect_quiet, expect_survival,
};
use crate::lifecycle::Lifecycle;
use crate::suites::res::memory_after_either_end;
use crate::suites::tcp_content::exchange_each;

/// The table.
pub(super) const SUITE: Suite = Suite {
    name: "unix",
    about: "A Unix stream socket echoes as TCP does, and its path belongs to a live server.",
    question: Question::Bytes,
    cases: &[
        Case::must("echo-basic", "What a client sends to a path comes back.")
            .sizes(128 * 1024, 1024 * 1024, 64 * 1024 * 1024)
            .needs(&[Need::UnixSockets])
            .over(Transport::Unix)
            .wire(echo_basic),
        Case::must("content", "What the bytes look like, or mean elsewhere, changes nothing.")
            .sizes(32 * 1024, 128 * 1024, 1024 * 1024)
            .needs(&[Need::UnixSockets])
            .over(Transport::Unix)
            .wire(content),
        Case::must("large-backpressure", "A client that pauses its reads loses nothing.")
            .sizes(2 * 1024 * 1024, 8 * 1024 * 1024, 32 * 1024 * 1024)
            .needs(&[Need::UnixSockets])
            .over(Transport::Unix)
            .wire(large_backpressure),
        Case::must("half-close", "A client that ends its side gets all its bytes, then the end.")
            .sizes(64 * 1024, 64 * 1024, 64 * 1024)
            .needs(&[Need::UnixSockets])
            .over(Transport::Unix)
            .relies_on(&[Feature::HalfClose])
            .wire(half_close),
        Case::must("write-then-shutdown-race", "Bytes and the end may arrive together.")
            .sizes(100, 500, 2000)
            .needs(&[Need::UnixSockets])
            .over(Transport::Unix)
            .relies_on(&[Feature::HalfClose])
            .wire(write_then_shutdown_race),
        Case::must(
            "peer-close-hup-no-spin",
            "A client that goes while the server still has bytes for it is let go, and quietly.",
        )
        .sizes(200, 500, 2000)
        .needs(&[Need::UnixSockets, Need::DescriptorCount, Need::CpuTime])
        .over(Transport::Unix)
        .answers(Question::Resources)
        .process(peer_close_hup_no_spin),
        Case::must("memory", "Connections that have ended leave neither memory nor descriptors.")
            .sizes(16_000, 16_000, 100_000)
            .needs(&[Need::UnixSockets, Need::ResidentMemory, Need::DescriptorCount])
            .judges(&[FailureKind::Memory, FailureKind::Descriptors])
            .over(Transport::Unix)
            .answers(Question::Resources)
            .process(memory_after_either_end),
        Case::must("close-with-unread", "A client that closes with an unread echo harms nobody.")
            .sizes(5, 20, 200)
            .needs(&[Need::UnixSockets])
            .over(Transport::Unix)
            .wire(close_with_unread),
        Case::must("queue", "Clients that connect all at once find room in the queue of a path.")
            .sizes(1000, 1000, 1000)
            .needs(&[
                Need::UnixSockets,
                Need::Signals,
                Need::Threads,
                Need::Descriptors(1000),
                Need::AcceptQueue(1000),
            ])
            .below_contract(Level::Should)
            .answers(Question::Promptness)
            .over(Transport::Unix)
            .process(queue),
        Case::must(
            "passed-descriptors",
            "Descriptors that a client passes with its bytes are closed, and the bytes come back.",
        )
        .sizes(5, 20, 200)
        .needs(&[Need::UnixSockets])
        .over(Transport::Unix)
        .relies_on(&[Feature::HalfClose])
        .wire(passed_descriptors),
        Case::should("stale-path", "The path of a killed server does not hold up the next one.")
            .needs(&[Need::UnixSockets])
            .over(Transport::Unix)
            .lifecycle(stale_path),
        Case::must("live-path-in-use", "A second server on a live path ends, and takes nothing.")
            .needs(&[Need::UnixSockets])
            .over(Transport::Unix)
            .lifecycle(live_path_in_use),
        Case::must("path-is-a-file", "A server ends if its path is a file, and leaves the file.")
            .needs(&[Need::UnixSockets])
            .over(Transport::Unix)
            .lifecycle(path_is_a_file),
        Case::should("path-removed-on-exit", "A server that ends takes its path with it.")
            .needs(&[Need::UnixSockets])
            .over(Transport::Unix)
            .lifecycle(path_removed_on_exit),
        Case::must("successor-keeps-path", "A server that drains leaves its path to the next one.")
            .needs(&[Need::UnixSockets])
            .over(Transport::Unix)
            .lifecycle(successor_keeps_path),
        Case::should("path-too-long", "A path that is too long ends the start with a message.")
            .needs(&[Need::UnixSockets])
            .over(Transport::Unix)
            .lifecycle(path_too_long),
        Case::info("abstract-name", "Whether a server can have a name that is in no file system.")
            .needs(&[Need::AbstractNames])
            .over(Transport::Unix)
            .lifecycle(abstract_name),
    ],
};

/// A server that takes no byte for so long is blocked.
const BLOCKED: Duration = Duration::from_millis(100);

fn echo_basic(peer: &Peer) -> CaseResult {
    let mut connection = peer.connect()?;
    connection.exchange(1)?;
    let flow = Flow::new(&mut connection, peer.size(), peer.seed());
    exchange(&mut [flow.writes(Pieces::UpTo(65_536)).reads(Pieces::UpTo(65_536))], peer.clock())?;
    Observation::met()
}

fn content(peer: &Peer) -> CaseResult {
    content::ALL.into_iter().try_for_each(|contents| exchange_each(peer, contents))?;
    Observation::met()
}

fn large_backpressure(peer: &Peer) -> CaseResult {
    let mut connection = peer.connect_with(Setup::tight())?;
    let flow = Flow::new(&mut connection, peer.size(), peer.seed());
    exchange(
        &mut [flow.pauses(Pauses { one_in: 50, at_most: Duration::from_millis(20) })],
        peer.clock(),
    )?;
    connection.send_until_blocked(BLOCKED, BACKLOG_LIMIT)?;
    connection.receive_all()?;
    peer.serves()?;
    Observation::met()
}

fn half_close(peer: &Peer) -> CaseResult {
    let mut connection = peer.connect()?;
    connection.send(peer.size())?;
    connection.finish_sending()?;
    connection.expect_end()?;
    Observation::met()
}

fn write_then_shutdown_race(peer: &Peer) -> CaseResult {
    let mut random = peer.random(0);
    for _ in 0..peer.size() {
        let mut connection = peer.connect()?;
        connection.send(random.u64(1..2048))?;
        connection.finish_sending()?;
        connection.expect_end()?;
    }
    Observation::met()
}

fn peer_close_hup_no_spin(peer: &Peer, process: &Process) -> CaseResult {
    let mut neighbour = peer.connect()?;
    neighbour.exchange(64)?;
    AtRest::now(process, peer, 0, FREED_WITHIN)?.expect_freed(|| {
        let mut connection = peer.connect()?;
        connection.send_until_blocked(BLOCKED, BACKLOG_LIMIT)?;
        drop(connection);
        Ok(())
    })?;
    expect_quiet(process, Duration::from_millis(peer.size()), 0.10, peer.clock())?;
    neighbour.exchange(64)?;
    peer.serves()?;
    Observation::met()
}

fn close_with_unread(peer: &Peer) -> CaseResult {
    let mut neighbour = peer.connect()?;
    neighbour.exchange(64)?;
    for _ in 0..peer.size() {
        let mut connection = peer.connect()?;
        connection.send_until_blocked(Duration::ZERO, BACKLOG_LIMIT)?;
        drop(connection);
        let mut connection = peer.connect()?;
        connection.exchange(1)?;
        connection.send(4096)?;
        drop(connection);
    }
    neighbour.exchange(64)?;
    peer.serves()?;
    Observation::met()
}

fn queue(peer: &Peer, process: &Process) -> CaseResult {
    peer.serves()?;
    process.stop(peer.clock().progress())?;
    let connected = peer.connect_without_waiting(peer.size()).and_then(|mut clients| {
        // One byte: it takes one read, however small a server's reads are.
        clients.iter_mut().try_for_each(|client| client.send(1))?;
        Ok(clients)
    });
    process.signal(Signal::Continue)?;
    for client in &mut connected? {
        client.receive(1)?;
    }
    peer.serves()?;
    Observation::met()
}

/// How many descriptors come with a message: one, some, and as many as a few servers have room for.
pub(super) const COPIES: [Copies; 3] = [Copies(1), Copies(3), Copies(64)];

fn passed_descriptors(peer: &Peer) -> CaseResult {
    let mut open = peer.connect()?;
    open.exchange(64)?;
    for number in 0..peer.size() {
        for copies in COPIES {
            let (kept, passed) = pair()?;
            open.send_passing(100, passed, copies)?;
            open.receive(100)?;
            // The connection is open still, which is no reason to keep them.
            kept.expect_alone(peer.clock())?;
        }
        let (kept, passed) = pair()?;
        let mut brief = peer.connect()?;
        brief.send_passing(100, passed, COPIES[number as usize % COPIES.len()])?;
        match number % 2 {
            0 => brief.finish_sending().and_then(|()| brief.expect_end())?,
            _ => drop(brief),
        }
        kept.expect_alone(peer.clock())?;
    }
    open.exchange(64)?;
    peer.serves()?;
    Observation::met()
}

fn stale_path(lifecycle: &Lifecycle) -> CaseResult {
    let start = lifecycle.over(Transport::Unix)?;
    let first = lifecycle.start_with(&start)?;
    lifecycle.peer_over(Transport::Unix, &first)?.serves()?;
    first.kill()?;
    let path = lifecycle.path(Transport::Unix)?;
    if fs::symlink_metadata(&path).is_err() {
        return Err(Failure::new(FailureKind::Harness, "the path of a killed server", "none"));
    }
    // The kernel takes a ring apart in its own time, and with it the listener.
    let limit = Duration::from_secs(2);
    let stopwatch = lifecycle.stopwatch();
    let mut next = lifecycle.launch_judged(&start)?;
    while matches!(next, Launch::Ended(_)) && stopwatch.elapsed() < lifecycle.clock().scaled(limit)
    {
        next = lifecycle.launch_judged(&start)?;
    }
    let next = expect_obedience(next)?;
    expect_service(lifecycle, &next)
}

fn live_path_in_use(lifecycle: &Lifecycle) -> CaseResult {
    let first = lifecycle.start_with(&lifecycle.over(Transport::Unix)?)?;
    let peer = lifecycle.peer_over(Transport::Unix, &first)?;
    let mut old = peer.connect()?;
    old.exchange(64)?;
    let path = lifecycle.path(Transport::Unix)?;
    expect_refusal(&lifecycle.attempt(&at(&path))?, &path)?;
    let found = peer.serves().and_then(|()| old.exchange(64));
    expect_survival(&first, found, lifecycle.clock())?;
    Observation::met()
}

fn path_is_a_file(lifecycle: &Lifecycle) -> CaseResult {
    const TEXT: &[u8] = b"not a socket\n";
    let path = lifecycle.folder()?.join("file");
    fs::write(&path, TEXT).map_err(|e| trouble(&e))?;
    expect_refusal(&lifecycle.attempt(&at(&path))?, &path)?;
    match fs::read(&path) {
        Ok(text) if text == TEXT => Observation::met(),
        Ok(_) => Err(Failure::new(FailureKind::Output, "the file as it was", "another text")),
        Err(e) => Err(Failure::new(FailureKind::Output, "the file as it was", e.to_string())),
    }
}

fn path_removed_on_exit(lifecycle: &Lifecycle) -> CaseResult {
    let server = lifecycle.start_with(&lifecycle.over(Transport::Unix)?)?;
    expect_service(lifecycle, &server)?;
    server.ask_to_stop()?;
    expect_graceful_end(&server, DRAIN, lifecycle.clock())?;
    let path = lifecycle.path(Transport::Unix)?;
    if fs::symlink_metadata(&path).is_ok() {
        return Err(Failure::new(FailureKind::Output, "no path after the end", "the socket's"));
    }
    Observation::met()
}

fn successor_keeps_path(lifecycle: &Lifecycle) -> CaseResult {
    // Enough for the next one to start meanwhile, on a busy host too.
    let drain = Duration::from_secs(10);
    let start = Start { drain, ..lifecycle.over(Transport::Unix)? };
    let first = lifecycle.start_with(&start)?;
    let peer = lifecycle.peer_over(Transport::Unix, &first)?;
    let mut old = peer.connect()?;
    old.exchange(64)?;
    first.ask_to_stop()?;
    old.expect_end()?;
    expect_no_service(lifecycle, &peer)?;
    let next = match lifecycle.launch(&start)? {
        // Whether it takes a path over by itself is asked by `stale-path`.
        Launch::Ended(_) => {
            fs::remove_file(lifecycle.path(Transport::Unix)?).map_err(|e| trouble(&e))?;
            lifecycle.start_with(&start)?
        }
        launched @ (Launch::Ready(_) | Launch::Declined(_)) => launched.expect_ready()?,
    };
    expect_service(lifecycle, &next)?;
    drop(old);
    expect_graceful_end(&first, drain, lifecycle.clock())?;
    if fs::symlink_metadata(lifecycle.path(Transport::Unix)?).is_err() {
        return Err(Failure::new(FailureKind::Output, "the path of the next server", "none"));
    }
    expect_service(lifecycle, &next)
}

fn path_too_long(lifecycle: &Lifecycle) -> CaseResult {
    // 108 bytes on Linux and 104 on macOS and the BSDs, the zero at the end included (unix(7)).
    let path = lifecycle.folder()?.join("x".repeat(120));
    expect_refusal(&lifecycle.attempt(&at(&path))?, &path)?;
    Observation::met()
}

fn abstract_name(lifecycle: &Lifecycle) -> CaseResult {
    let name = format!("@iomatrix-{:016x}", fastrand::u64(..));
    let server = match lifecycle.launch(&at(Path::new(&name)))? {
        Launch::Ready(server) => server,
        Launch::Ended(_) | Launch::Declined(_) => {
            return Observation::of("it does not start there");
        }
    };
    let peer = Peer::at(Place::Path(name.into()), lifecycle.context().clone());
    match peer.serves() {
        Ok(()) => Observation::of("it serves there"),
        Err(e) if e.kind == FailureKind::Refused => Observation::of("it takes it for a path"),
        Err(e) => expect_survival(&server, Err(e), lifecycle.clock()),
    }
}

fn at(path: &Path) -> Start {
    Start::listening(&[&format!("unix:{}", path.display())])
}

fn expect_service(lifecycle: &Lifecycle, server: &Server) -> CaseResult {
    let found = lifecycle.peer_over(Transport::Unix, server).and_then(|peer| peer.serves());
    expect_survival(server, found, lifecycle.clock())?;
    Observation::met()
}

/// Waits until a server that stops has closed its listener.
fn expect_no_service(lifecycle: &Lifecycle, peer: &Peer) -> Result<(), Failure> {
    let deadline = lifecycle.clock().within(DRAIN);
    while peer.connect().and_then(|mut client| client.exchange(64)).is_ok() {
        if deadline.is_over() {
            let expected = "a new client to be refused or closed during the drain";
            return Err(Failure::new(FailureKind::NotRefused, expected, "its echo"));
        }
    }
    Ok(())
}

/// The end of a server that cannot listen: status 1, no announcement, and a message that names the
/// path.
fn expect_refusal(attempt: &Attempt, path: &Path) -> Result<(), Failure> {
    let path = path.display().to_string();
    let expected = format!("exit 1 and a message that names {path}");
    if attempt.ended != Ended::Code(1) {
        return Err(Failure::new(
            FailureKind::ExitStatus,
            expected,
            format!("it {}", attempt.ended),
        ));
    }
    if !attempt.stdout.is_empty() || !attempt.stderr.iter().any(|line| line.contains(&path)) {
        let actual = format!("{:?}, {:?}", attempt.stdout, attempt.stderr);
        return Err(Failure::new(FailureKind::Output, expected, actual));
    }
    Ok(())
}

fn trouble(error: &std::io::Error) -> Failure {
    Failure::new(FailureKind::Harness, "to write a file", error.to_string())
}
