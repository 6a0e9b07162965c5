//! Unix stream sockets: they echo as TCP does, on a path that can outlive its server.

use std::fs;
use std::path::Path;
use std::time::Duration;

use harness::launcher::{Attempt, DRAIN_TIME, Launch, Server, ServerExit, Start};
use harness::place::Place;
use harness::process::{Process, Signal};
use report::{Failure, FailureKind, Level, Question, Transport};

use crate::case::{Case, CaseResult, Feature, Need, Observation, Suite};
use crate::client::connection::{BACKLOG_LIMIT, Setup};
use crate::client::content;
use crate::client::duplex::{Flow, Pauses, Pieces, exchange};
use crate::client::passing::{Copies, open_pair};
use crate::client::peer::Peer;
use crate::expectation::{
    DescriptorBaseline, FREE_TIME_LIMIT, expect_graceful_end, expect_low_cpu, expect_started,
    expect_survival,
};
use crate::lifecycle::Lifecycle;
use crate::suites::res::memory_after_either_end;
use crate::suites::tcp_content::exchange_each;

pub(super) const SUITE: Suite = Suite {
    name: "unix",
    about: "A Unix stream socket echoes as TCP does, and its path leads to a live server.",
    question: Question::Bytes,
    cases: &[
        Case::must("echo-basic", "The server echoes what a client sends to a Unix path.")
            .sizes(128 * 1024, 1024 * 1024, 64 * 1024 * 1024)
            .needs(&[Need::UnixSockets])
            .with_transport(Transport::Unix)
            .wire(echo_basic),
        Case::must("content", "Bytes come back unchanged, whatever they mean in other protocols.")
            .sizes(32 * 1024, 128 * 1024, 1024 * 1024)
            .needs(&[Need::UnixSockets])
            .with_transport(Transport::Unix)
            .wire(content),
        Case::must("large-backpressure", "A client that pauses its reads loses no bytes.")
            .sizes(2 * 1024 * 1024, 8 * 1024 * 1024, 32 * 1024 * 1024)
            .needs(&[Need::UnixSockets])
            .with_transport(Transport::Unix)
            .wire(large_backpressure),
        Case::must(
            "half-close",
            "A client that shuts down its sending side gets all its bytes, then the end of the \
             stream.",
        )
        .sizes(64 * 1024, 64 * 1024, 64 * 1024)
        .needs(&[Need::UnixSockets])
        .with_transport(Transport::Unix)
        .relies_on(&[Feature::HalfClose])
        .wire(half_close),
        Case::must(
            "write-then-shutdown-race",
            "The server echoes bytes that arrive together with the end of the stream.",
        )
        .sizes(100, 500, 2000)
        .needs(&[Need::UnixSockets])
        .with_transport(Transport::Unix)
        .relies_on(&[Feature::HalfClose])
        .wire(write_then_shutdown_race),
        Case::must(
            "peer-close-hup-no-spin",
            "When a client closes while the server is blocked on a write to it, the server frees \
             the connection and does not spin.",
        )
        .sizes(200, 500, 2000)
        .needs(&[Need::UnixSockets, Need::DescriptorCount, Need::CpuTime])
        .with_transport(Transport::Unix)
        .answers(Question::Resources)
        .process(peer_close_hup_no_spin),
        Case::must(
            "memory",
            "The server keeps neither memory nor descriptors for connections that have ended.",
        )
        .sizes(16_000, 16_000, 100_000)
        .needs(&[Need::UnixSockets, Need::ResidentMemory, Need::DescriptorCount])
        .answering_failures(&[FailureKind::Memory, FailureKind::Descriptors])
        .with_transport(Transport::Unix)
        .answers(Question::Resources)
        .process(memory_after_either_end),
        Case::must(
            "close-with-unread",
            "A client that closes with an unread echo does not disturb other clients.",
        )
        .sizes(5, 20, 200)
        .needs(&[Need::UnixSockets])
        .with_transport(Transport::Unix)
        .wire(close_with_unread),
        Case::must(
            "queue",
            "The accept queue of a Unix path has room for a thousand clients that connect at once.",
        )
        .sizes(1000, 1000, 1000)
        .needs(&[
            Need::UnixSockets,
            Need::Signals,
            Need::Threads,
            Need::Descriptors(1000),
            Need::AcceptQueue(1000),
        ])
        .level_below_contract(Level::Should)
        .answers(Question::Promptness)
        .with_transport(Transport::Unix)
        .process(queue),
        Case::must(
            "passed-descriptors",
            "The server closes descriptors that a client passes, and echoes the bytes that come \
             with them.",
        )
        .sizes(5, 20, 200)
        .needs(&[Need::UnixSockets])
        .with_transport(Transport::Unix)
        .relies_on(&[Feature::HalfClose])
        .wire(passed_descriptors),
        Case::should(
            "stale-path",
            "A server can start on the path that a killed server left behind.",
        )
        .needs(&[Need::UnixSockets])
        .with_transport(Transport::Unix)
        .lifecycle(stale_path),
        Case::must(
            "live-path-in-use",
            "A second server on the path of a live server exits, and does not take the path.",
        )
        .needs(&[Need::UnixSockets])
        .with_transport(Transport::Unix)
        .lifecycle(live_path_in_use),
        Case::must(
            "path-is-a-file",
            "A server whose path is a regular file exits, and does not change the file.",
        )
        .needs(&[Need::UnixSockets])
        .with_transport(Transport::Unix)
        .lifecycle(path_is_a_file),
        Case::should("path-removed-on-exit", "A server removes its path when it stops.")
            .needs(&[Need::UnixSockets])
            .with_transport(Transport::Unix)
            .lifecycle(path_removed_on_exit),
        Case::must(
            "successor-keeps-path",
            "A server that drains does not remove the path of the server that replaces it.",
        )
        .needs(&[Need::UnixSockets])
        .with_transport(Transport::Unix)
        .lifecycle(successor_keeps_path),
        Case::should(
            "path-too-long",
            "A server whose path is too long exits with a message that names the path.",
        )
        .needs(&[Need::UnixSockets])
        .with_transport(Transport::Unix)
        .lifecycle(path_too_long),
        Case::info(
            "abstract-name",
            "A server may listen on an abstract name, which is in no file system.",
        )
        .needs(&[Need::AbstractNames])
        .with_transport(Transport::Unix)
        .lifecycle(abstract_name),
    ],
};

/// A server that takes no byte for this long counts as blocked.
const BLOCK_TIME: Duration = Duration::from_millis(100);

fn echo_basic(peer: &Peer) -> CaseResult {
    let mut connection = peer.connect()?;
    connection.exchange(1)?;
    let flow = Flow::new(&mut connection, peer.size(), peer.seed());
    exchange(
        &mut [flow.writes(Pieces::RandomUpTo(65_536)).reads(Pieces::RandomUpTo(65_536))],
        peer.clock(),
    )?;
    Observation::met()
}

fn content(peer: &Peer) -> CaseResult {
    content::ALL.into_iter().try_for_each(|contents| exchange_each(peer, contents))?;
    Observation::met()
}

fn large_backpressure(peer: &Peer) -> CaseResult {
    let mut connection = peer.connect_with(Setup::small_buffers())?;
    let flow = Flow::new(&mut connection, peer.size(), peer.seed());
    exchange(
        &mut [flow.pauses(Pauses { reads_per_pause: 50, longest: Duration::from_millis(20) })],
        peer.clock(),
    )?;
    connection.send_until_blocked(BLOCK_TIME, BACKLOG_LIMIT)?;
    connection.receive_all()?;
    peer.expect_service()?;
    Observation::met()
}

fn half_close(peer: &Peer) -> CaseResult {
    let mut connection = peer.connect()?;
    connection.send_and_receive(peer.size())?;
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
    DescriptorBaseline::measure(process, peer, 0, FREE_TIME_LIMIT)?.expect_freed(|| {
        let mut connection = peer.connect()?;
        connection.send_until_blocked(BLOCK_TIME, BACKLOG_LIMIT)?;
        drop(connection);
        Ok(())
    })?;
    expect_low_cpu(process, Duration::from_millis(peer.size()), 0.10, peer.clock())?;
    neighbour.exchange(64)?;
    peer.expect_service()?;
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
    peer.expect_service()?;
    Observation::met()
}

fn queue(peer: &Peer, process: &Process) -> CaseResult {
    peer.expect_service()?;
    process.stop(peer.clock().progress_deadline())?;
    let connected = peer.connect_without_waiting(peer.size()).and_then(|mut clients| {
        // One byte takes one read, however small the server's buffer is.
        clients.iter_mut().try_for_each(|client| client.send(1))?;
        Ok(clients)
    });
    process.signal(Signal::Continue)?;
    for client in &mut connected? {
        client.receive(1)?;
    }
    peer.expect_service()?;
    Observation::met()
}

/// How many descriptors come with a message: one, some, and more than most servers have room for.
pub(super) const COPIES: [Copies; 3] = [Copies(1), Copies(3), Copies(64)];

fn passed_descriptors(peer: &Peer) -> CaseResult {
    let mut open = peer.connect()?;
    open.exchange(64)?;
    for number in 0..peer.size() {
        for copies in COPIES {
            let (kept, passed) = open_pair()?;
            open.send_with_descriptors(100, passed, copies)?;
            open.receive(100)?;
            // The connection is still open, which is no reason to keep the descriptors.
            kept.expect_peer_closed(peer.clock())?;
        }
        let (kept, passed) = open_pair()?;
        let mut brief = peer.connect()?;
        brief.send_with_descriptors(100, passed, COPIES[number as usize % COPIES.len()])?;
        match number % 2 {
            0 => brief.finish_sending().and_then(|()| brief.expect_end())?,
            _ => drop(brief),
        }
        kept.expect_peer_closed(peer.clock())?;
    }
    open.exchange(64)?;
    peer.expect_service()?;
    Observation::met()
}

fn stale_path(lifecycle: &Lifecycle) -> CaseResult {
    let start = lifecycle.start_with_listener(Transport::Unix)?;
    let first = lifecycle.start_with(&start)?;
    lifecycle.peer_with_transport(Transport::Unix, &first)?.expect_service()?;
    first.kill()?;
    let path = lifecycle.listener_path(Transport::Unix)?;
    if fs::symlink_metadata(&path).is_err() {
        return Err(Failure::new(FailureKind::Harness, "the path of a killed server", "none"));
    }
    // The kernel tears down a ring, and its listener, some time after its process has ended.
    let limit = Duration::from_secs(2);
    let stopwatch = lifecycle.stopwatch();
    let mut next = lifecycle.launch_judged(&start)?;
    while matches!(next, Launch::Ended(_)) && stopwatch.elapsed() < lifecycle.clock().scale(limit) {
        next = lifecycle.launch_judged(&start)?;
    }
    let next = expect_started(next)?;
    expect_service(lifecycle, &next)
}

fn live_path_in_use(lifecycle: &Lifecycle) -> CaseResult {
    let first = lifecycle.start_with(&lifecycle.start_with_listener(Transport::Unix)?)?;
    let peer = lifecycle.peer_with_transport(Transport::Unix, &first)?;
    let mut old = peer.connect()?;
    old.exchange(64)?;
    let path = lifecycle.listener_path(Transport::Unix)?;
    expect_refusal(&lifecycle.attempt(&start_on_path(&path))?, &path)?;
    let found = peer.expect_service().and_then(|()| old.exchange(64));
    expect_survival(&first, found, lifecycle.clock())?;
    Observation::met()
}

fn path_is_a_file(lifecycle: &Lifecycle) -> CaseResult {
    const TEXT: &[u8] = b"not a socket\n";
    let path = lifecycle.folder()?.join("file");
    fs::write(&path, TEXT).map_err(|e| file_failure(&e))?;
    expect_refusal(&lifecycle.attempt(&start_on_path(&path))?, &path)?;
    match fs::read(&path) {
        Ok(text) if text == TEXT => Observation::met(),
        Ok(_) => Err(Failure::new(FailureKind::Output, "the file as it was", "another text")),
        Err(e) => Err(Failure::new(FailureKind::Output, "the file as it was", e.to_string())),
    }
}

fn path_removed_on_exit(lifecycle: &Lifecycle) -> CaseResult {
    let server = lifecycle.start_with(&lifecycle.start_with_listener(Transport::Unix)?)?;
    expect_service(lifecycle, &server)?;
    server.ask_to_stop()?;
    expect_graceful_end(&server, DRAIN_TIME, lifecycle.clock())?;
    let path = lifecycle.listener_path(Transport::Unix)?;
    if fs::symlink_metadata(&path).is_ok() {
        return Err(Failure::new(FailureKind::Output, "no path after the end", "the socket's"));
    }
    Observation::met()
}

fn successor_keeps_path(lifecycle: &Lifecycle) -> CaseResult {
    // Long enough for the next server to start meanwhile, even on a busy host.
    let drain = Duration::from_secs(10);
    let start = Start { drain, ..lifecycle.start_with_listener(Transport::Unix)? };
    let first = lifecycle.start_with(&start)?;
    let peer = lifecycle.peer_with_transport(Transport::Unix, &first)?;
    let mut old = peer.connect()?;
    old.exchange(64)?;
    first.ask_to_stop()?;
    old.expect_end()?;
    expect_no_service(lifecycle, &peer)?;
    let next = match lifecycle.launch(&start)? {
        // `stale-path` judges whether a server takes over a path by itself.
        Launch::Ended(_) => {
            fs::remove_file(lifecycle.listener_path(Transport::Unix)?)
                .map_err(|e| file_failure(&e))?;
            lifecycle.start_with(&start)?
        }
        launched @ (Launch::Ready(_) | Launch::Declined(_)) => launched.expect_ready()?,
    };
    expect_service(lifecycle, &next)?;
    drop(old);
    expect_graceful_end(&first, drain, lifecycle.clock())?;
    if fs::symlink_metadata(lifecycle.listener_path(Transport::Unix)?).is_err() {
        return Err(Failure::new(FailureKind::Output, "the path of the next server", "none"));
    }
    expect_service(lifecycle, &next)
}

fn path_too_long(lifecycle: &Lifecycle) -> CaseResult {
    // The limit is 108 bytes on Linux and 104 on macOS and the BSDs, including the final zero
    // (unix(7)).
    let path = lifecycle.folder()?.join("x".repeat(120));
    expect_refusal(&lifecycle.attempt(&start_on_path(&path))?, &path)?;
    Observation::met()
}

fn abstract_name(lifecycle: &Lifecycle) -> CaseResult {
    let name = format!("@iomatrix-{:016x}", fastrand::u64(..));
    let server = match lifecycle.launch(&start_on_path(Path::new(&name)))? {
        Launch::Ready(server) => server,
        Launch::Ended(_) | Launch::Declined(_) => {
            return Observation::recorded("it does not start there");
        }
    };
    let peer = Peer::from_place(Place::Path(name.into()), lifecycle.context().clone());
    match peer.expect_service() {
        Ok(()) => Observation::recorded("it serves there"),
        Err(e) if e.kind == FailureKind::Refused => Observation::recorded("it takes it for a path"),
        Err(e) => expect_survival(&server, Err(e), lifecycle.clock()),
    }
}

fn start_on_path(path: &Path) -> Start {
    Start::with_listeners(&[&format!("unix:{}", path.display())])
}

fn expect_service(lifecycle: &Lifecycle, server: &Server) -> CaseResult {
    let found = lifecycle
        .peer_with_transport(Transport::Unix, server)
        .and_then(|peer| peer.expect_service());
    expect_survival(server, found, lifecycle.clock())?;
    Observation::met()
}

/// Waits until a server that is stopping has closed its listener.
fn expect_no_service(lifecycle: &Lifecycle, peer: &Peer) -> Result<(), Failure> {
    let deadline = lifecycle.clock().deadline_after(DRAIN_TIME);
    while peer.connect().and_then(|mut client| client.exchange(64)).is_ok() {
        if deadline.is_over() {
            let expected = "a new client to be refused or closed during the drain";
            return Err(Failure::new(FailureKind::NotRefused, expected, "its echo"));
        }
    }
    Ok(())
}

/// Expects that a server that cannot listen exits with status 1, announces nothing, and names the
/// path in a message.
fn expect_refusal(attempt: &Attempt, path: &Path) -> Result<(), Failure> {
    let path = path.display().to_string();
    let expected = format!("exit 1 and a message that names {path}");
    if attempt.exit != ServerExit::Code(1) {
        return Err(Failure::new(
            FailureKind::ExitStatus,
            expected,
            format!("it {}", attempt.exit),
        ));
    }
    if !attempt.stdout.is_empty() || !attempt.stderr.iter().any(|line| line.contains(&path)) {
        let actual = format!("{:?}, {:?}", attempt.stdout, attempt.stderr);
        return Err(Failure::new(FailureKind::Output, expected, actual));
    }
    Ok(())
}

fn file_failure(error: &std::io::Error) -> Failure {
    Failure::new(FailureKind::Harness, "to write a file", error.to_string())
}
