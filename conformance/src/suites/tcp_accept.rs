//! Accepting: the server serves every client that connects: in a burst, next to busy connections,
//! after a silence, and when it has no free descriptor.

use std::thread;
use std::time::{Duration, Instant};

use harness::launcher::{Server, Start};
use harness::process::{Process, Signal};
use harness::restrict::Restrictions;
use harness::wait::{Interest, wait_any};
use report::{Failure, FailureKind, Grade, Level, Question};

use crate::case::{Case, CaseResult, Need, Observation, Suite};
use crate::client::connection::Connection;
use crate::client::duplex::{Flow, Pieces, exchange, exchange_until_first_done};
use crate::client::peer::{PROBE_LIMIT, Peer};
use crate::client::ping_pong::p99_planned;
use crate::clock::CellClock;
use crate::expectation::{
    DescriptorBaseline, descriptors_at_rest, expect_low_cpu, expect_survival,
};
use crate::lifecycle::Lifecycle;

pub(super) const SUITE: Suite = Suite {
    name: "tcp-accept",
    about: "The server serves every client that connects, whatever else happens.",
    question: Question::Bytes,
    cases: &[
        Case::must(
            "burst",
            "When 500 clients connect at the same time, the server serves all of them within 10 s.",
        )
        .sizes(500, 500, 500)
        .needs(&[Need::Descriptors(500), Need::AcceptQueue(500)])
        .level_below_contract(Level::Should)
        .answers(Question::Promptness)
        .wire(burst),
        Case::must(
            "sequential-churn",
            "The server serves hundreds of clients that connect one after another, and leaks no \
             descriptor.",
        )
        .sizes(500, 500, 5000)
        .process(sequential_churn),
        Case::must(
            "while-hot",
            "With streams at full speed, the server answers a new client and its FIN within 1 s.",
        )
        .sizes(5, 20, 20)
        .wire(while_hot),
        Case::must(
            "emfile-survives",
            "A server that has no free descriptor keeps serving its connected clients.",
        )
        .sizes(3, 10, 50)
        .needs(&[Need::DescriptorLimit, Need::DescriptorCount])
        .answers(Question::Limits)
        .lowest_grade(Grade::Command)
        .lifecycle(emfile_survives),
        Case::must(
            "emfile-no-spin",
            "A server that has no free descriptor uses at most 20 % of a core.",
        )
        .sizes(500, 1000, 2000)
        .needs(&[Need::DescriptorLimit, Need::DescriptorCount, Need::CpuTime])
        .answers(Question::Limits)
        .answering_failures(&[FailureKind::Cpu])
        .lowest_grade(Grade::Command)
        .lifecycle(emfile_no_spin),
        Case::must(
            "emfile-existing-progress",
            "While clients wait for a free descriptor, 99 % of the other clients' rounds take at \
             most 250 ms.",
        )
        .sizes(700, 1400, 5000)
        .needs(&[Need::DescriptorLimit, Need::DescriptorCount])
        .answers(Question::Limits)
        .answering_failures(&[FailureKind::Slow])
        .lowest_grade(Grade::Command)
        .lifecycle(emfile_existing_progress),
        Case::must(
            "emfile-recovers",
            "Once descriptors are free, the server serves the waiting clients, even if no new \
             client connects.",
        )
        .sizes(2, 3, 10)
        .needs(&[Need::DescriptorLimit, Need::DescriptorCount, Need::QueueAtLimit])
        .answers(Question::Limits)
        .lowest_grade(Grade::Command)
        .lifecycle(emfile_recovers),
        Case::must(
            "emfile-queues",
            "When the server has no free descriptor, a new client waits in the accept queue and is \
             not closed.",
        )
        .needs(&[Need::DescriptorLimit, Need::DescriptorCount, Need::QueueAtLimit])
        .answers(Question::Limits)
        .lifecycle(emfile_queues),
        Case::must(
            "idle-connections",
            "A server with a thousand idle clients still serves new clients.",
        )
        .sizes(1000, 1000, 1000)
        .needs(&[Need::Descriptors(1010)])
        .wire(idle_connections),
        Case::must(
            "after-quiet",
            "After a long silence, the server serves a new client within 1 s.",
        )
        .sizes(2500, 3000, 50_000)
        .wire(after_quiet),
        Case::must(
            "slow-handler-start",
            "The server serves all clients that connected and sent bytes while it was suspended.",
        )
        .sizes(1000, 1000, 1000)
        .needs(&[Need::Signals, Need::Descriptors(1000), Need::AcceptQueue(1000)])
        .level_below_contract(Level::Should)
        .answers(Question::Promptness)
        .process(slow_handler_start),
    ],
};

fn burst(peer: &Peer) -> CaseResult {
    let limit = Duration::from_secs(10);
    let start = Instant::now();
    let served = peer.connect_burst(peer.size()).and_then(|mut connections| {
        for connection in &mut connections {
            connection.send(256)?;
        }
        for connection in &mut connections {
            connection.receive(256)?;
        }
        peer.clock().judge_time("the whole burst served", start.elapsed(), limit)?;
        Connection::release_all(connections);
        Ok(())
    });
    served.map_err(|failure| peer.attribute_to_accept_queue(peer.size(), failure))?;
    peer.expect_service()?;
    Observation::met()
}

fn sequential_churn(peer: &Peer, process: &Process) -> CaseResult {
    let churn = || {
        for number in 0..peer.size() {
            let mut connection = peer.connect()?;
            connection.exchange(64)?;
            // Closing with FIN leaves the judge's port in TIME_WAIT, and thousands would use up the
            // ports (async-io#123). A reset does not.
            if number % 4 == 0 {
                connection.finish_sending()?;
                connection.expect_end()?;
            } else {
                connection.reset();
            }
        }
        peer.expect_service()
    };
    if !Process::IS_SUPPORTED {
        churn()?;
        return Observation::recorded("descriptors are not counted on this system");
    }
    DescriptorBaseline::measure(process, peer, 0, Duration::from_secs(2))?.expect_freed(churn)?;
    Observation::met()
}

fn while_hot(peer: &Peer) -> CaseResult {
    /// More than a stream can move while one client waits, so that no stream ends early.
    const ENDLESS_BYTES: u64 = 1 << 40;
    let mut streams = peer.connect_many(4)?;
    for number in 0..peer.size() {
        let mut fresh = peer.connect()?;
        let deadline = peer.clock().deadline_after(PROBE_LIMIT);
        let flow = Flow::new(&mut fresh, 1024, peer.seed());
        let mut flows = vec![if number % 2 == 0 { flow } else { flow.with_fin() }];
        flows.extend(streams.iter_mut().map(|stream| {
            let pieces = Pieces::Fixed(8 * 1024);
            Flow::new(stream, ENDLESS_BYTES, peer.seed()).writes(pieces).window(256 * 1024)
        }));
        exchange_until_first_done(&mut flows, 1, deadline)?;
        peer.clock().judge_time("a new client served", deadline.elapsed(), PROBE_LIMIT)?;
        fresh.reset();
    }
    let mut rest: Vec<Flow> =
        streams.iter_mut().map(|stream| Flow::new(stream, 0, peer.seed())).collect();
    exchange(&mut rest, peer.clock())?;
    Observation::met()
}

fn emfile_survives(lifecycle: &Lifecycle) -> CaseResult {
    run_without_descriptors(lifecycle, |_, _, crowd| {
        for _ in 0..lifecycle.size() {
            for connection in &mut crowd.served {
                connection.exchange(1024)?;
            }
        }
        Observation::met()
    })
}

fn emfile_no_spin(lifecycle: &Lifecycle) -> CaseResult {
    run_without_descriptors(lifecycle, |_, process, crowd| {
        expect_low_cpu(process, Duration::from_millis(lifecycle.size()), 0.20, lifecycle.clock())?;
        for connection in &mut crowd.served {
            connection.exchange(64)?;
        }
        Observation::met()
    })
}

fn emfile_existing_progress(lifecycle: &Lifecycle) -> CaseResult {
    /// The interval between planned rounds.
    const PACE: Duration = Duration::from_millis(10);
    run_without_descriptors(lifecycle, |_, _, crowd| {
        let clock = lifecycle.clock();
        let served = crowd.served.len();
        let rounds = u32::try_from(lifecycle.size()).unwrap_or(u32::MAX) / 10;
        let p99 = p99_planned(clock, rounds, PACE, |round| {
            crowd.served[round as usize % served].exchange(64)
        })?;
        clock.judge_rounds("p99 of a round", p99, Duration::from_millis(250))?;
        Observation::met()
    })
}

fn emfile_recovers(lifecycle: &Lifecycle) -> CaseResult {
    let limit = Duration::from_secs(3);
    run_without_descriptors(lifecycle, |peer, _, crowd| {
        for episode in 0..lifecycle.size() {
            if episode > 0 {
                crowd.fill_up(peer)?;
            }
            // A server's pool may take two more descriptors per client, as Go's does for splice(2).
            let freed = crowd.min_unserved.min(crowd.served.len());
            let least = freed.div_ceil(4);
            crowd.served.drain(..freed);
            let deadline = lifecycle.clock().deadline_after(limit);
            let owed = crowd.waiting.len().saturating_sub(least);
            while crowd.waiting.len() > owed {
                if !crowd.take_served(deadline.left())? && deadline.is_over() {
                    let missing = crowd.waiting.len() - owed;
                    return Err(deadline.failure(&format!("{missing} more of the waiting clients")));
                }
            }
            lifecycle.clock().judge_time("all served", deadline.elapsed(), limit)?;
            // Each served client leaves, which makes room for others.
            crowd.served.clear();
            while !crowd.waiting.is_empty() {
                let deadline = lifecycle.clock().deadline_after(limit);
                if !crowd.take_served(deadline.left())? && deadline.is_over() {
                    let missing = crowd.waiting.len();
                    return Err(deadline.failure(&format!("the last {missing} waiting clients")));
                }
                crowd.served.clear();
            }
            // No new client before this point: its arrival would hide that the listener missed an
            // event.
            crowd.expect_room(peer, limit)?;
        }
        Observation::met()
    })
}

fn emfile_queues(lifecycle: &Lifecycle) -> CaseResult {
    run_without_descriptors(lifecycle, |_, _, crowd| match crowd.turned_away_count {
        0 => Observation::met(),
        count => {
            let expected = "clients that wait until they are served";
            let actual = format!("{count} of them closed");
            Err(Failure::new(FailureKind::Closed, expected, actual))
        }
    })
}

fn idle_connections(peer: &Peer) -> CaseResult {
    let mut idle = peer.connect_many(peer.size())?;
    for _ in 0..10 {
        peer.expect_service()?;
    }
    for connection in &mut idle {
        connection.send(16)?;
    }
    for connection in &mut idle {
        connection.receive(16)?;
    }
    Connection::release_all(idle);
    Observation::met()
}

fn after_quiet(peer: &Peer) -> CaseResult {
    peer.expect_service()?;
    // The silence is the case.
    thread::sleep(Duration::from_millis(peer.size()));
    peer.expect_service()?;
    Observation::met()
}

fn slow_handler_start(peer: &Peer, process: &Process) -> CaseResult {
    process.signal(Signal::Stop)?;
    let connected = peer.connect_burst(peer.size()).and_then(|mut connections| {
        for connection in &mut connections {
            connection.send(1024)?;
        }
        Ok(connections)
    });
    process.signal(Signal::Continue)?;
    let served = connected.and_then(|mut connections| {
        connections.iter_mut().try_for_each(|connection| connection.receive(1024))?;
        Connection::release_all(connections);
        Ok(())
    });
    served.map_err(|failure| peer.attribute_to_accept_queue(peer.size(), failure))?;
    peer.expect_service()?;
    Observation::met()
}

/// How many descriptors more than at rest a server may have in the cases that exhaust them. The
/// number at rest is not judged: the runtimes of some languages need many.
const SPARE: u64 = 32;

/// Runs a case on a server that has used up its descriptors.
fn run_without_descriptors(
    lifecycle: &Lifecycle,
    case: impl FnOnce(&Peer, &Process, &mut Crowd) -> CaseResult,
) -> CaseResult {
    run_restricted_without_descriptors(lifecycle, &Restrictions::default(), case)
}

/// Runs a case on a server that has used up its descriptors and is also restricted by `taken`.
pub(super) fn run_restricted_without_descriptors(
    lifecycle: &Lifecycle,
    taken: &Restrictions,
    case: impl FnOnce(&Peer, &Process, &mut Crowd) -> CaseResult,
) -> CaseResult {
    let (server, crowd) = start_without_descriptors(lifecycle, taken)?;
    // A server with a process per client, like one under inetd, does not run out.
    let Some(mut crowd) = crowd else {
        return Observation::recorded("no process of the server ran out of descriptors");
    };
    let found = lifecycle.peer(&server).and_then(|peer| {
        let observation = case(&peer, &server.process(), &mut crowd)?;
        match crowd.turned_away_count {
            0 => Ok(observation),
            _ => Observation::recorded("clients that found no descriptor were closed"),
        }
    });
    expect_survival(&server, found, lifecycle.clock())
}

/// Starts a server and uses up its descriptors. Returns the clients that did that, or `None` if the
/// descriptors cannot be used up.
pub(super) fn start_without_descriptors(
    lifecycle: &Lifecycle,
    taken: &Restrictions,
) -> Result<(Server, Option<Crowd>), Failure> {
    let open_files = Some(count_resting_descriptors(lifecycle)? + SPARE);
    let restrictions = Restrictions { open_files, ..taken.clone() };
    let server = lifecycle.start_with(&Start { restrictions, ..Start::default() })?;
    let process = server.process();
    let gathered = lifecycle.peer(&server).and_then(|peer| Crowd::gather(&peer, &process));
    let crowd = expect_survival(&server, gathered, lifecycle.clock())?;
    Ok((server, crowd))
}

/// How many descriptors a server has without clients, after it has served one.
fn count_resting_descriptors(lifecycle: &Lifecycle) -> Result<u64, Failure> {
    let server = lifecycle.start()?;
    // The limit holds per process, so the process with the most descriptors counts.
    let process = server.process();
    let found = descriptors_at_rest(&process, &lifecycle.peer(&server)?)
        .and_then(|_| process.most_descriptors());
    expect_survival(&server, found.map(|count| count as u64), lifecycle.clock())
}

/// Clients of a server at its descriptor limit: as many as it can serve, and some that wait.
#[derive(Debug, Default)]
pub(super) struct Crowd {
    pub(super) served: Vec<Connection>,
    /// Clients that have sent [`Crowd::HELLO`] bytes and got none of them back.
    waiting: Vec<Connection>,
    /// How many clients the server closed without a byte instead of letting them wait.
    turned_away_count: usize,
    /// How many clients must wait or be turned away before the server counts as full.
    min_unserved: usize,
    /// The most batches of clients that connect before the server is full.
    batches: usize,
}

impl Crowd {
    /// How many clients must wait or be turned away, if the accept queue has room for them.
    const WAITING_CLIENTS: usize = 32;
    const HELLO: u64 = 64;
    /// A server that serves no new client for this long has no descriptor left. It cannot be
    /// pausing after a failed accept: while descriptors are left, no accept has failed yet.
    const SETTLE_TIME: Duration = Duration::from_millis(200);
    /// Enough clients to use up the descriptors of one process that keeps to its limit.
    const CLIENTS: usize = 8 * Self::WAITING_CLIENTS;

    /// Connects clients until the server has no descriptor left; `None` if they do not use them up.
    fn gather(peer: &Peer, process: &Process) -> Result<Option<Self>, Failure> {
        // The first client makes the server set up what it needs, such as the classes of a JVM.
        peer.expect_service()?;
        let processes = process.count()?;
        let room = usize::try_from(peer.queue_room()).unwrap_or(usize::MAX);
        let min_unserved = Self::WAITING_CLIENTS.min(room).max(1);
        let batches = processes * Self::CLIENTS.div_ceil(min_unserved);
        let mut crowd = Self { min_unserved, batches, ..Self::default() };
        if crowd.fill_up(peer)? {
            return Ok(Some(crowd));
        }
        // A server with a process per client, like one under inetd, does not run out.
        if process.count()? > processes {
            return Ok(None);
        }
        let actual = format!("all of {} clients served", crowd.served.len());
        Err(Failure::new(FailureKind::Harness, "a server that runs out of descriptors", actual))
    }

    /// Adds clients until some wait. Returns false if all are served.
    fn fill_up(&mut self, peer: &Peer) -> Result<bool, Failure> {
        let before = self.turned_away_count;
        let not_served = |crowd: &Self| crowd.waiting.len() + crowd.turned_away_count - before;
        for _ in 0..self.batches {
            let missing = self.min_unserved.saturating_sub(not_served(self));
            for mut client in peer.connect_many(missing as u64)? {
                match client.send(Self::HELLO) {
                    Ok(()) => self.waiting.push(client),
                    // Over a Unix path, the first send already shows it.
                    Err(end) if is_turned_away(&client, &end) => self.turned_away_count += 1,
                    Err(wrong) => return Err(wrong),
                }
            }
            self.take_all_served(peer.clock())?;
            if not_served(self) >= self.min_unserved && !self.served.is_empty() {
                return Ok(true);
            }
        }
        let not_served = not_served(self);
        if self.served.is_empty() {
            let actual = format!("none of {not_served} clients");
            return Err(Failure::new(FailureKind::Timeout, "clients that are served", actual));
        }
        if not_served == 0 {
            return Ok(false);
        }
        let expected = format!("all clients served, or at least {} not served", self.min_unserved);
        let actual = format!("{} served, {not_served} waiting", self.served.len());
        Err(Failure::new(FailureKind::Harness, expected, actual))
    }

    /// Closes every client, including those that wait.
    pub(super) fn disconnect_all(&mut self) {
        self.served.clear();
        self.waiting.clear();
    }

    /// Expects a new client to be served within `limit`. A server that turns clients away may not
    /// have noticed yet that others have left, so the client may try again.
    fn expect_room(&self, peer: &Peer, limit: Duration) -> Result<(), Failure> {
        let deadline = peer.clock().deadline_after(limit);
        loop {
            let mut late = peer.connect()?;
            let echo = "a new client's echo after all";
            let sent = late.send(Self::HELLO);
            match sent.and_then(|()| late.receive_and_judge(echo, Self::HELLO, limit)) {
                Err(end) if self.turned_away_count > 0 && is_turned_away(&late, &end) => {
                    if deadline.is_over() {
                        return Err(deadline.failure("a client that is not turned away"));
                    }
                }
                result => return result,
            }
        }
    }

    /// Waits until the server serves no more clients.
    fn take_all_served(&mut self, clock: &CellClock) -> Result<(), Failure> {
        while self.take_served(clock.scale(Self::SETTLE_TIME))? {}
        Ok(())
    }

    /// Waits for at most `time` until waiting clients are served, and moves these to `served`.
    /// Returns false if none was.
    fn take_served(&mut self, time: Duration) -> Result<bool, Failure> {
        let sockets: Vec<_> = self.waiting.iter().map(|c| (c.socket(), Interest::Read)).collect();
        let answered = wait_any(&sockets, time)?;
        let mut waiting = Vec::new();
        for (mut client, is_answered) in
            std::mem::take(&mut self.waiting).into_iter().zip(&answered)
        {
            if !is_answered {
                waiting.push(client);
                continue;
            }
            match client.receive(Self::HELLO) {
                Ok(()) => self.served.push(client),
                // libuv closes such clients, to get rid of the listener's event (joyent/libuv#315).
                Err(end) if is_turned_away(&client, &end) => self.turned_away_count += 1,
                Err(wrong) => return Err(wrong),
            }
        }
        self.waiting = waiting;
        Ok(answered.contains(&true))
    }
}

/// Whether a client was closed without receiving a byte.
pub(super) fn is_turned_away(client: &Connection, end: &Failure) -> bool {
    client.received_bytes() == 0 && matches!(end.kind, FailureKind::Closed | FailureKind::Reset)
}
