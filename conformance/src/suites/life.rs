//! A server's process: how it starts, what it announces, and whether one server survives many
//! cases.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use harness::announcement::Announcement;
use harness::attest::{Closeness, attest_process};
use harness::launcher::{Attempt, Captured, DRAIN, Ended, Launch, Server, Start};
use harness::process::{Process, Signal};
use harness::schedule::Company;
use report::{Attestation, Failure, FailureKind, Grade, Outside, Question, outside};

use crate::case::{Body, Case, CaseResult, Need, Observation, Suite};
use crate::client::connection::Connection;
use crate::client::peer::Peer;
use crate::client::streams::Streams;
use crate::clock::PROGRESS_LIMIT;
use crate::expectation::{GRACE_BEYOND_DRAIN, expect_graceful_end, expect_survival};
use crate::lifecycle::Lifecycle;
use crate::suites::exposure::{descriptors_not_inherited, only_its_address};
use crate::suites::hardship::{
    expect_message, expect_silent_error, few_descriptors, memlock_tiny, no_ipv6,
    no_standard_streams, stderr_closed, uring_denied, without_threads,
};
use crate::suites::{tcp_echo, tcp_half_close, tcp_reset};

/// The table.
pub(super) const SUITE: Suite = Suite {
    name: "life",
    about: "A server starts as it was asked to, says truly what it is, and keeps nothing.",
    question: Question::Start,
    cases: &[
        Case::must(
            "all-on-one-server",
            "No state of an old connection reaches a new one, in whatever order the cases come.",
        )
        .sizes(1, 2, 6)
        .needs(&[Need::Descriptors(CONNECTIONS)])
        .lifecycle(all_on_one_server),
        Case::must("ready-means-ready", "A client that connects at the ready line is served.")
            .sizes(5, 20, 100)
            .lifecycle(ready_means_ready),
        Case::must("port-zero", "Each listener on port 0 gets a port of its own and reports it.")
            .lifecycle(port_zero),
        Case::must(
            "port-in-use",
            "A second server on a live port ends with an error, and the first keeps every client.",
        )
        .sizes(50, 50, 50)
        .lifecycle(port_in_use),
        Case::should("bad-arguments", "Bad arguments end the server with a message and status 2.")
            .lifecycle(bad_arguments),
        Case::must(
            "unsupported-is-69",
            "A server that is asked for what it does not offer says so and exits with 69.",
        )
        .lifecycle(unsupported_is_69),
        Case::must(
            "backend-is-what-it-says",
            "The process holds and uses the I/O driver that the server announces.",
        )
        .sizes(50, 200, 2000)
        .needs(&[Need::Attestation])
        .lifecycle(backend_is_what_it_says),
        Case::should("stdout-clean", "Standard output has the announcement and nothing else.")
            .lifecycle(stdout_clean),
        Case::must(
            "uring-denied",
            "Where io_uring is denied, a server says so and exits with 69, or serves with the \
             driver that it announces.",
        )
        .needs(&[Need::DeniedCalls, Need::Attestation])
        .lifecycle(uring_denied),
        Case::should(
            "memlock-tiny",
            "With next to no locked memory, a server serves, or says why not and exits with 69.",
        )
        .needs(&[Need::LockedMemoryLimit, Need::Attestation])
        .lifecycle(memlock_tiny),
        Case::should(
            "few-descriptors",
            "With too few descriptors to start, a server ends with a message and status 1.",
        )
        .needs(&[Need::DescriptorLimit])
        .lifecycle(few_descriptors),
        Case::must(
            "no-ipv6",
            "Without IPv6, a server serves IPv4, and ends with a message on an IPv6 address.",
        )
        .needs(&[Need::DeniedCalls])
        .lifecycle(no_ipv6),
        Case::should(
            "stderr-closed",
            "A server to which nobody listens any more lives and serves.",
        )
        .needs(&[Need::DescriptorLimit, Need::DescriptorCount])
        .lifecycle(stderr_closed),
        Case::should(
            "no-standard-streams",
            "A server without standard input and standard error serves, and its clients get \
             nothing but their echo.",
        )
        .needs(&[Need::DescriptorLimit, Need::DescriptorCount])
        .answers(Question::Bytes)
        .lifecycle(no_standard_streams),
        Case::should(
            "without-threads",
            "When the kernel refuses threads, a server serves the clients that it has, waits \
             quietly, recovers, and can be stopped.",
        )
        .sizes(3, 10, 50)
        .needs(&[Need::ThreadLimit, Need::CpuTime])
        .answers(Question::Limits)
        .from_grade(Grade::Command)
        .lifecycle(without_threads),
        Case::should(
            "descriptors-not-inherited",
            "Every descriptor of a server but the standard streams is closed on exec.",
        )
        .sizes(4, 4, 4)
        .needs(&[Need::DescriptorCount])
        .answers(Question::Resources)
        .from_grade(Grade::Command)
        .lifecycle(descriptors_not_inherited),
        Case::must(
            "only-its-address",
            "A server that was given an address listens there, and nowhere else.",
        )
        .told_its_address()
        .answers(Question::Limits)
        .from_grade(Grade::Command)
        .of_tcp_alone()
        .lifecycle(only_its_address),
        Case::should("stop-continue", "A server that is suspended for a while loses nothing.")
            .sizes(500, 700, 2000)
            .needs(&[Need::Signals, Need::Threads])
            .answers(Question::Bytes)
            .process(stop_continue),
        Case::should("signal-noise", "Interrupted system calls harm no connection.")
            .sizes(300, 500, 2000)
            .needs(&[Need::Signals, Need::Threads])
            .answers(Question::Bytes)
            .process(signal_noise),
        Case::should("restart-loop", "Each of many starts on one port serves, and ends with 0.")
            .sizes(3, 5, 50)
            .lifecycle(restart_loop),
    ],
};

/// As many connections at once as the cases that share one server make.
const CONNECTIONS: u64 = 200;
/// No case begins later: a slow server has met enough connections by then.
const ENOUGH: Duration = Duration::from_secs(20);
/// The suites whose wire cases share one server.
const SHARED_SUITES: [&Suite; 3] = [&tcp_echo::SUITE, &tcp_half_close::SUITE, &tcp_reset::SUITE];

fn all_on_one_server(lifecycle: &Lifecycle) -> CaseResult {
    let mut cases: Vec<(&Suite, &Case)> = SHARED_SUITES
        .into_iter()
        .flat_map(|suite| suite.cases.iter().map(move |case| (suite, case)))
        .filter(|(_, case)| runs_beside_others(case))
        .collect();
    let server = lifecycle.start()?;
    let address = lifecycle.peer(&server)?.address()?;
    let mut random = lifecycle.random(0);
    let start = Instant::now();
    for _ in 0..lifecycle.size() {
        random.shuffle(&mut cases);
        for (suite, case) in cases.iter().take_while(|_| start.elapsed() < ENOUGH) {
            let Body::Wire(function) = case.body else { continue };
            let size = case.sizes.of(crate::profile::Profile::Quick);
            let part = Peer::new(address, Arc::new(lifecycle.context().quick_part(size)));
            let found = function(&part).map_err(|e| Failure {
                expected: outside!("{}/{}: {}", suite.name, case.name, e.expected),
                ..e
            });
            expect_survival(&server, found, lifecycle.clock())?;
        }
    }
    let found = lifecycle.peer(&server)?.serves();
    expect_survival(&server, found, lifecycle.clock())?;
    Observation::met()
}

/// A wire case that needs no more than this suite's own case has, and judges no latency. Not
/// `every-length`, which sends thousands of messages one by one: for a server that waits 5 ms
/// before each echo it takes longer than all the others.
fn runs_beside_others(case: &Case) -> bool {
    let needs_little = case
        .needs
        .iter()
        .all(|need| matches!(need, Need::Descriptors(count) if *count <= CONNECTIONS));
    let is_short = case.name != tcp_echo::EVERY_LENGTH;
    matches!(case.body, Body::Wire(_))
        && case.company == Company::Shared
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
        let found = Peer::new(*address, Arc::clone(lifecycle.context())).serves();
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
    let second = lifecycle.attempt(&Start::on(peer.address()?))?;
    expect_silent_error(&second, 1)?;
    expect_message(&second, &peer.address()?.port().to_string())?;
    let found = (0..lifecycle.size()).try_for_each(|_| peer.serves());
    expect_survival(&first, found.and_then(|()| old.exchange(64)), lifecycle.clock())?;
    Observation::met()
}

fn bad_arguments(lifecycle: &Lifecycle) -> CaseResult {
    let option = format!("--no-such-option-{}", lifecycle.random(0).u32(..));
    let on = |address: &str| Start { listen: vec![address.to_owned()], ..Start::default() };
    let starts = [
        Start::default().with(option),
        Start::default().with("no-such-operand"),
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
    let start = Start::default().with("--capability").with(&capability);
    let launch = lifecycle.launch_judged(&start)?;
    let expected = format!("{{\"unsupported\":...}} and exit 69 for --capability {capability}");
    match launch {
        Launch::Declined(Announcement::Unsupported(_)) => Observation::met(),
        Launch::Declined(other) => {
            Err(Failure::new(FailureKind::Announcement, expected, format!("{other:?}")))
        }
        Launch::Ready(_) => Err(Failure::new(FailureKind::NotRefused, expected, "ready")),
        Launch::Ended(Attempt { ended: Ended::Code(69), stdout, .. }) => {
            let actual = format!("exit 69 after writing {stdout:?}");
            Err(Failure::new(FailureKind::Announcement, expected, actual))
        }
        Launch::Ended(attempt) => {
            Err(Failure::new(FailureKind::ExitStatus, expected, format!("it {}", attempt.ended)))
        }
    }
}

/// The model of each driver.
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
    let known = MODELS.iter().find(|(driver, _)| ready.driver.is(driver));
    let Some((_, model)) = known else {
        let unknown = ready.driver.clone();
        return Err(Failure::new(FailureKind::Announcement, "a known driver", unknown));
    };
    if !ready.model.is(model) {
        let expected = outside!("{}, which is what {} is", model, ready.driver);
        return Err(Failure::new(FailureKind::Announcement, expected, ready.model.clone()));
    }
    let found = attest_at_length(lifecycle, &server, &ready.driver);
    Observation::attested(expect_survival(&server, found, lifecycle.clock())?)
}

/// Looks at the process before, beside and after other connections.
fn attest_at_length(
    lifecycle: &Lifecycle,
    server: &Server,
    driver: &Outside,
) -> Result<Attestation, Failure> {
    let peer = lifecycle.peer(server)?;
    let process = server.process();
    let look = |closeness| {
        let size = lifecycle.size();
        peer.exchanging(|exchange| attest_process(driver, &process, size, closeness, exchange))
    };
    look(Closeness::Glance)?;
    let mut others = peer.connect_many(20)?;
    others.iter_mut().try_for_each(|other| other.exchange(16 * 1024))?;
    look(Closeness::Glance)?;
    others.into_iter().for_each(Connection::reset);
    look(Closeness::Watch)
}

fn stdout_clean(lifecycle: &Lifecycle) -> CaseResult {
    let server = lifecycle.start()?;
    let found = mixed_traffic(&lifecycle.peer(&server)?);
    expect_survival(&server, found, lifecycle.clock())?;
    server.ask_to_stop()?;
    expect_graceful_end(&server, DRAIN + PROGRESS_LIMIT, lifecycle.clock())?;
    let deadline = lifecycle.clock().progress();
    let closed =
        |out: &Captured| out.is_closed().then(|| (out.first_line(), out.total(), out.text()));
    let Some((line, total, text)) = server.stdout().wait(deadline, closed) else {
        return Err(deadline.failure("the end of standard output"));
    };
    let announced = line.map_or(0, |line| line.len() as u64);
    if total == announced {
        return Observation::met();
    }
    Err(Failure::new(FailureKind::Output, "one line on standard output", format!("{text:?}")))
}

/// Connections that end in each way.
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
    peer.serves()
}

fn stop_continue(peer: &Peer, process: &Process) -> CaseResult {
    let mut streams = Streams::start(peer, 8)?;
    streams.run(Duration::from_millis(100))?;
    process.stop(peer.clock().progress())?;
    // How long it is suspended is the case; what the kernel still takes for it goes on meanwhile.
    let suspended = streams.run(Duration::from_millis(peer.size()));
    process.signal(Signal::Continue)?;
    suspended?;
    streams.run(Duration::from_millis(200))?;
    streams.finish(peer.clock())?;
    peer.serves()?;
    Observation::met()
}

fn signal_noise(peer: &Peer, process: &Process) -> CaseResult {
    /// Between two suspensions: five hundred a second.
    const PAUSE: Duration = Duration::from_millis(2);
    /// Suspensions of a server that waits.
    const IDLE_STOPS: usize = 10;
    peer.serves()?;
    // One that has nothing to do is interrupted while it waits.
    for _ in 0..IDLE_STOPS {
        process.wait_asleep(peer.clock().progress())?;
        process.stop(peer.clock().progress())?;
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
    peer.serves()?;
    Observation::met()
}

fn restart_loop(lifecycle: &Lifecycle) -> CaseResult {
    let mut server = lifecycle.start_to_restart()?;
    let address = lifecycle.peer(&server)?.address()?;
    for _ in 0..lifecycle.size() {
        let mut client = lifecycle.peer(&server)?.connect()?;
        client.exchange(64)?;
        server.ask_to_stop()?;
        client.expect_end()?;
        drop(client);
        expect_graceful_end(&server, DRAIN + GRACE_BEYOND_DRAIN, lifecycle.clock())?;
        server = lifecycle.launch_judged(&Start::on(address))?.expect_ready()?;
    }
    let found = lifecycle.peer(&server)?.serves();
    expect_survival(&server, found, lifecycle.clock())?;
    Observation::met()
}
