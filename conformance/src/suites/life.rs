//! A server's process: how it starts, what it announces, and whether one server survives many
//! cases.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use harness::announcement::Announcement;
use harness::attest::{Depth, attest_process};
use harness::launcher::{Attempt, CapturedOutput, DRAIN_TIME, Launch, Server, ServerExit, Start};
use harness::process::{Process, Signal};
use harness::schedule::Sharing;
use report::{Attestation, Failure, FailureKind, Grade, Outside, Question, outside};

use crate::case::{Body, Case, CaseResult, Need, Observation, Suite};
use crate::client::connection::Connection;
use crate::client::peer::Peer;
use crate::client::streams::Streams;
use crate::clock::PROGRESS_LIMIT;
use crate::expectation::{GRACE_BEYOND_DRAIN, expect_graceful_end, expect_survival};
use crate::lifecycle::Lifecycle;
use crate::suites::exposure::{descriptors_not_inherited, only_its_address};
use crate::suites::restricted::{
    expect_message, expect_silent_error, few_descriptors, memlock_tiny, no_ipv6,
    no_standard_streams, stderr_closed, uring_denied, without_threads,
};
use crate::suites::{tcp_echo, tcp_half_close, tcp_reset};

pub(super) const SUITE: Suite = Suite {
    name: "life",
    about: "The server starts as asked, describes itself correctly, and keeps no old state.",
    question: Question::Start,
    cases: &[
        Case::must(
            "all-on-one-server",
            "No state of an old connection reaches a new connection, whatever the old connection \
             did.",
        )
        .sizes(1, 1, 6)
        .needs(&[Need::Descriptors(CONNECTIONS)])
        .lifecycle(all_on_one_server),
        Case::must(
            "ready-means-ready",
            "A client that connects right after the announcement is served.",
        )
        .sizes(5, 20, 100)
        .lifecycle(ready_means_ready),
        Case::must(
            "port-zero",
            "Each listener on port 0 gets its own port, and the server announces that port.",
        )
        .lifecycle(port_zero),
        Case::must(
            "port-in-use",
            "A second server on the same port exits with an error, and the first server keeps \
             every client.",
        )
        .sizes(50, 50, 50)
        .lifecycle(port_in_use),
        Case::should(
            "bad-arguments",
            "With bad arguments, the server prints a message and exits with status 2.",
        )
        .lifecycle(bad_arguments),
        Case::must(
            "unsupported-is-69",
            "A server that lacks a requested capability says so and exits with status 69.",
        )
        .lifecycle(unsupported_is_69),
        Case::must("backend-is-what-it-says", "The server uses the I/O driver that it announces.")
            .sizes(50, 200, 2000)
            .needs(&[Need::Attestation])
            .lifecycle(backend_is_what_it_says),
        Case::should("stdout-clean", "Standard output contains the announcement and nothing else.")
            .lifecycle(stdout_clean),
        Case::must(
            "uring-denied",
            "If io_uring is denied, the server says so and exits with status 69, or serves with \
             the driver that it announces.",
        )
        .needs(&[Need::DeniedCalls, Need::Attestation])
        .lifecycle(uring_denied),
        Case::should(
            "memlock-tiny",
            "With a tiny limit on locked memory, the server serves, or says why it cannot and \
             exits with status 69.",
        )
        .needs(&[Need::LockedMemoryLimit, Need::Attestation])
        .lifecycle(memlock_tiny),
        Case::should(
            "few-descriptors",
            "A server with too few descriptors to start says so and exits with status 1 or 69.",
        )
        .needs(&[Need::DescriptorLimit])
        .lifecycle(few_descriptors),
        Case::must(
            "no-ipv6",
            "Without IPv6, the server serves IPv4, and exits with a message if it is given an IPv6 \
             address.",
        )
        .needs(&[Need::DeniedCalls])
        .lifecycle(no_ipv6),
        Case::should("stderr-closed", "A server whose standard error is closed keeps serving.")
            .needs(&[Need::DescriptorLimit, Need::DescriptorCount])
            .lifecycle(stderr_closed),
        Case::should(
            "no-standard-streams",
            "A server without standard input and standard error still serves, and sends its \
             clients nothing but their echo.",
        )
        .needs(&[Need::DescriptorLimit, Need::DescriptorCount])
        .answers(Question::Bytes)
        .lifecycle(no_standard_streams),
        Case::should(
            "without-threads",
            "When the kernel refuses threads, the server keeps serving its clients, does not spin, \
             recovers, and can be stopped.",
        )
        .sizes(3, 10, 50)
        .needs(&[Need::ThreadLimit, Need::CpuTime])
        .answers(Question::Limits)
        .lowest_grade(Grade::Command)
        .lifecycle(without_threads),
        Case::should(
            "descriptors-not-inherited",
            "All descriptors of the server except the standard streams are close-on-exec.",
        )
        .sizes(4, 4, 4)
        .needs(&[Need::DescriptorCount])
        .answers(Question::Resources)
        .lowest_grade(Grade::Command)
        .lifecycle(descriptors_not_inherited),
        Case::must(
            "only-its-address",
            "The server listens on the address that it was given, and on no other.",
        )
        .requires_given_address()
        .answers(Question::Limits)
        .lowest_grade(Grade::Command)
        .tcp_only()
        .lifecycle(only_its_address),
        Case::should("stop-continue", "A server that is suspended and continued loses no byte.")
            .sizes(500, 700, 2000)
            .needs(&[Need::Signals, Need::Threads])
            .answers(Question::Bytes)
            .process(stop_continue),
        Case::should("signal-noise", "Signals that interrupt system calls harm no connection.")
            .sizes(300, 500, 2000)
            .needs(&[Need::Signals, Need::Threads])
            .answers(Question::Bytes)
            .process(signal_noise),
        Case::should(
            "restart-loop",
            "A server that is restarted many times on one port serves each time, and exits with 0.",
        )
        .sizes(3, 5, 50)
        .lifecycle(restart_loop),
    ],
};

/// The most connections that a case on the shared server opens at once.
const CONNECTIONS: u64 = 200;
/// No case starts later: by then, even a slow server has had enough connections.
const TIME_LIMIT: Duration = Duration::from_secs(20);
/// The suites whose wire cases share one server.
const SHARED_SUITES: [&Suite; 3] = [&tcp_echo::SUITE, &tcp_half_close::SUITE, &tcp_reset::SUITE];

fn all_on_one_server(lifecycle: &Lifecycle) -> CaseResult {
    let mut cases: Vec<(&Suite, &Case)> = SHARED_SUITES
        .into_iter()
        .flat_map(|suite| suite.cases.iter().map(move |case| (suite, case)))
        .filter(|(_, case)| is_shareable(case))
        .collect();
    let server = lifecycle.start()?;
    let address = lifecycle.peer(&server)?.address()?;
    let mut random = lifecycle.random(0);
    let start = Instant::now();
    for _ in 0..lifecycle.size() {
        random.shuffle(&mut cases);
        for (suite, case) in cases.iter().take_while(|_| start.elapsed() < TIME_LIMIT) {
            let Body::Wire(function) = case.body else { continue };
            let size = case.sizes.for_profile(crate::profile::Profile::Quick);
            let part = Peer::new(address, Arc::new(lifecycle.context().quick_part(size)));
            let found = function(&part).map_err(|e| Failure {
                expected: outside!("{}/{}: {}", suite.name, case.name, e.expected),
                ..e
            });
            expect_survival(&server, found, lifecycle.clock())?;
        }
    }
    let found = lifecycle.peer(&server)?.expect_service();
    expect_survival(&server, found, lifecycle.clock())?;
    Observation::met()
}

/// Whether a case can run on the shared server: it needs only a connection and at most
/// [`CONNECTIONS`] descriptors, and other cells may run next to it. `every-length` is left out: it
/// sends thousands of messages one by one, and takes longer than all the others if the server waits
/// 5 ms before each echo.
fn is_shareable(case: &Case) -> bool {
    let needs_little = case
        .needs
        .iter()
        .all(|need| matches!(need, Need::Descriptors(count) if *count <= CONNECTIONS));
    let is_short = case.name != tcp_echo::EVERY_LENGTH;
    matches!(case.body, Body::Wire(_))
        && case.sharing == Sharing::Shared
        && needs_little
        && is_short
}

fn ready_means_ready(lifecycle: &Lifecycle) -> CaseResult {
    for _ in 0..lifecycle.size() {
        let server = lifecycle.start()?;
        let found = lifecycle.peer(&server)?.connect().and_then(|mut client| client.exchange(64));
        expect_survival(&server, found, lifecycle.clock())?;
    }
    Observation::met()
}

fn port_zero(lifecycle: &Lifecycle) -> CaseResult {
    let asked = ["tcp:127.0.0.1:0", "127.0.0.1:0", "tcp:127.0.0.1:0"];
    let listen = asked.map(str::to_owned).to_vec();
    let server = lifecycle.start_with(&Start { listen, ..Start::default() })?;
    let ready = server.ready()?;
    let mut addresses = ready.tcp_addresses()?;
    if addresses.len() != asked.len() {
        return Err(ready.wrong_listeners("three TCP addresses"));
    }
    for address in &addresses {
        let found = Peer::new(*address, Arc::clone(lifecycle.context())).expect_service();
        expect_survival(&server, found, lifecycle.clock())?;
    }
    addresses.sort_unstable();
    addresses.dedup();
    if addresses.len() != asked.len() {
        return Err(ready.wrong_listeners("addresses that differ"));
    }
    Observation::met()
}

fn port_in_use(lifecycle: &Lifecycle) -> CaseResult {
    let first = lifecycle.start()?;
    let peer = lifecycle.peer(&first)?;
    let mut old = peer.connect()?;
    old.exchange(64)?;
    let second = lifecycle.attempt(&Start::listening_on(peer.address()?))?;
    expect_silent_error(&second, 1)?;
    expect_message(&second, &peer.address()?.port().to_string())?;
    let found = (0..lifecycle.size()).try_for_each(|_| peer.expect_service());
    expect_survival(&first, found.and_then(|()| old.exchange(64)), lifecycle.clock())?;
    Observation::met()
}

fn bad_arguments(lifecycle: &Lifecycle) -> CaseResult {
    let option = format!("--no-such-option-{}", lifecycle.random(0).u32(..));
    let on = |address: &str| Start { listen: vec![address.to_owned()], ..Start::default() };
    let starts = [
        Start::default().with_argument(option),
        Start::default().with_argument("no-such-operand"),
        on("tcp:999.0.0.1:0"),
        on("tcp:127.0.0.1:65536"),
        on("tcp:127.0.0.1"),
        on(""),
    ];
    for start in starts {
        let attempt = lifecycle.attempt(&start)?;
        expect_silent_error(&attempt, 2)?;
    }
    Observation::met()
}

fn unsupported_is_69(lifecycle: &Lifecycle) -> CaseResult {
    let capability = format!("no-such-capability-{}", lifecycle.random(0).u32(..));
    let start = Start::default().with_argument("--capability").with_argument(&capability);
    let launch = lifecycle.launch_judged(&start)?;
    let expected = format!("{{\"unsupported\":...}} and exit 69 for --capability {capability}");
    match launch {
        Launch::Declined(Announcement::Unsupported(_)) => Observation::met(),
        Launch::Declined(other) => {
            Err(Failure::new(FailureKind::Announcement, expected, format!("{other:?}")))
        }
        Launch::Ready(_) => Err(Failure::new(FailureKind::NotRefused, expected, "ready")),
        Launch::Ended(Attempt { exit: ServerExit::Code(69), stdout, .. }) => {
            let actual = format!("exit 69 after writing {stdout:?}");
            Err(Failure::new(FailureKind::Announcement, expected, actual))
        }
        Launch::Ended(attempt) => {
            Err(Failure::new(FailureKind::ExitStatus, expected, format!("it {}", attempt.exit)))
        }
    }
}

const MODELS: [(&str, &str); 6] = [
    ("epoll", "readiness"),
    ("kqueue", "readiness"),
    ("afd", "readiness"),
    ("io_uring", "completion"),
    ("iocp", "completion"),
    ("threads", "blocking"),
];

fn backend_is_what_it_says(lifecycle: &Lifecycle) -> CaseResult {
    let server = lifecycle.start()?;
    let ready = server.ready()?;
    let known = MODELS.iter().find(|(driver, _)| ready.driver.equals(driver));
    let Some((_, model)) = known else {
        let unknown = ready.driver.clone();
        return Err(Failure::new(FailureKind::Announcement, "a known driver", unknown));
    };
    if !ready.model.equals(model) {
        let expected = outside!("{}, which is what {} is", model, ready.driver);
        return Err(Failure::new(FailureKind::Announcement, expected, ready.model.clone()));
    }
    let found = attest_repeatedly(lifecycle, &server, &ready.driver);
    Observation::attested(expect_survival(&server, found, lifecycle.clock())?)
}

/// Attests the driver before, during and after other connections.
fn attest_repeatedly(
    lifecycle: &Lifecycle,
    server: &Server,
    driver: &Outside,
) -> Result<Attestation, Failure> {
    let peer = lifecycle.peer(server)?;
    let process = server.process();
    let look = |closeness| {
        let size = lifecycle.size();
        peer.with_exchange(|exchange| attest_process(driver, &process, size, closeness, exchange))
    };
    look(Depth::Glance)?;
    let mut others = peer.connect_many(20)?;
    others.iter_mut().try_for_each(|other| other.exchange(16 * 1024))?;
    look(Depth::Glance)?;
    others.into_iter().for_each(Connection::reset);
    look(Depth::Trace)
}

fn stdout_clean(lifecycle: &Lifecycle) -> CaseResult {
    let server = lifecycle.start()?;
    let found = mixed_traffic(&lifecycle.peer(&server)?);
    expect_survival(&server, found, lifecycle.clock())?;
    server.ask_to_stop()?;
    expect_graceful_end(&server, DRAIN_TIME + PROGRESS_LIMIT, lifecycle.clock())?;
    let deadline = lifecycle.clock().progress_deadline();
    let closed = |out: &CapturedOutput| {
        out.is_closed().then(|| (out.first_line(), out.total_bytes(), out.text()))
    };
    let Some((line, total, text)) = server.stdout().wait(deadline, closed) else {
        return Err(deadline.failure("the end of standard output"));
    };
    let announced = line.map_or(0, |line| line.len() as u64);
    if total == announced {
        return Observation::met();
    }
    Err(Failure::new(FailureKind::Output, "one line on standard output", format!("{text:?}")))
}

/// Connections that end with FIN, with a reset, or without a byte.
fn mixed_traffic(peer: &Peer) -> Result<(), Failure> {
    for _ in 0..10 {
        let mut finished = peer.connect()?;
        finished.exchange(1024)?;
        finished.finish_sending()?;
        finished.expect_end()?;
        let mut abandoned = peer.connect()?;
        abandoned.send(64 * 1024)?;
        abandoned.reset();
        drop(peer.connect()?);
    }
    peer.expect_service()
}

fn stop_continue(peer: &Peer, process: &Process) -> CaseResult {
    let mut streams = Streams::start(peer, 8)?;
    streams.run(Duration::from_millis(100))?;
    process.stop(peer.clock().progress_deadline())?;
    // The case tests this suspension. The kernel keeps taking bytes for the server meanwhile.
    let suspended = streams.run(Duration::from_millis(peer.size()));
    process.signal(Signal::Continue)?;
    suspended?;
    streams.run(Duration::from_millis(200))?;
    streams.finish(peer.clock())?;
    peer.expect_service()?;
    Observation::met()
}

fn signal_noise(peer: &Peer, process: &Process) -> CaseResult {
    /// Between two suspensions: 500 per second.
    const PAUSE: Duration = Duration::from_millis(2);
    /// Suspensions of an idle server.
    const IDLE_STOPS: usize = 10;
    peer.expect_service()?;
    // An idle server is interrupted while it waits.
    for _ in 0..IDLE_STOPS {
        process.wait_asleep(peer.clock().progress_deadline())?;
        process.stop(peer.clock().progress_deadline())?;
        process.signal(Signal::Continue)?;
    }
    let mut streams = Streams::start(peer, 4)?;
    let stop = AtomicBool::new(false);
    let noise = || {
        while !stop.load(Ordering::Relaxed) {
            process.signal(Signal::Stop)?;
            process.signal(Signal::Continue)?;
            thread::sleep(PAUSE);
        }
        Ok(())
    };
    thread::scope(|scope| {
        let noise = scope.spawn(|| {
            let _counted = peer.clock().count_this_thread();
            noise()
        });
        let found = streams.run(Duration::from_millis(peer.size()));
        stop.store(true, Ordering::Relaxed);
        noise.join().unwrap_or_else(|_| {
            Err(Failure::new(FailureKind::Harness, "a thread that sends signals", "its panic"))
        })?;
        found
    })?;
    streams.finish(peer.clock())?;
    peer.expect_service()?;
    Observation::met()
}

fn restart_loop(lifecycle: &Lifecycle) -> CaseResult {
    let mut server = lifecycle.start_on_reusable_port()?;
    let address = lifecycle.peer(&server)?.address()?;
    for _ in 0..lifecycle.size() {
        let mut client = lifecycle.peer(&server)?.connect()?;
        client.exchange(64)?;
        server.ask_to_stop()?;
        client.expect_end()?;
        drop(client);
        expect_graceful_end(&server, DRAIN_TIME + GRACE_BEYOND_DRAIN, lifecycle.clock())?;
        server = lifecycle.launch_judged(&Start::listening_on(address))?.expect_ready()?;
    }
    let found = lifecycle.peer(&server)?.expect_service();
    expect_survival(&server, found, lifecycle.clock())?;
    Observation::met()
}
