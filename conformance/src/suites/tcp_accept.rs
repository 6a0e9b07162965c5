//! Accepting: every client that connects is served: in a burst, next to busy connections, after a
//! silence, and when the server has no free descriptor.

use std::thread;
use std::time::{Duration, Instant};

use harness::launcher::{Server, Start};
use harness::process::{Process, Signal};
use harness::restrict::Restrictions;
use harness::wait::{Interest, wait_any};
use report::{Failure, FailureKind, Grade, Level, Question};

use crate::case::{Case, CaseResult, Need, Observation, Suite};
use crate::client::connection::Connection;
use crate::client::duplex::{Flow, Pieces, exchange, exchange_first};
use crate::client::peer::{PROBE_LIMIT, Peer};
use crate::client::ping_pong::p99_planned;
use crate::clock::CellClock;
use crate::expectation::{AtRest, descriptors_at_rest, expect_quiet, expect_survival};
use crate::lifecycle::Lifecycle;

/// The table.
pub(super) const SUITE: Suite = Suite {
    name: "tcp-accept",
    about: "Every client that connects is served, whatever else happens.",
    question: Question::Bytes,
    cases: &[
        Case::must("burst", "Clients that connect all at once are all served within 10 s.")
            .sizes(500, 500, 500)
            .needs(&[Need::Descriptors(500), Need::AcceptQueue(500)])
            .below_contract(Level::Should)
            .answers(Question::Promptness)
            .wire(burst),
        Case::must("sequential-churn", "Clients that come one after another are all served.")
            .sizes(500, 500, 5000)
            .process(sequential_churn),
        Case::must(
            "while-hot",
            "Beside streams at full speed, a new client and its FIN are answered within a second.",
        )
        .sizes(5, 20, 20)
        .wire(while_hot),
        Case::must(
            "emfile-survives",
            "Without a free descriptor, the server goes on serving the clients that it has.",
        )
        .sizes(3, 10, 50)
        .needs(&[Need::DescriptorLimit, Need::DescriptorCount])
        .answers(Question::Limits)
        .from_grade(Grade::Command)
        .lifecycle(emfile_survives),
        Case::must(
            "emfile-no-spin",
            "Without a free descriptor, the server waits and uses no CPU.",
        )
        .sizes(500, 1000, 2000)
        .needs(&[Need::DescriptorLimit, Need::DescriptorCount, Need::CpuTime])
        .answers(Question::Limits)
        .judges(&[FailureKind::Cpu])
        .from_grade(Grade::Command)
        .lifecycle(emfile_no_spin),
        Case::must(
            "emfile-existing-progress",
            "Clients that wait for a free descriptor do not slow down those that are served.",
        )
        .sizes(700, 1400, 5000)
        .needs(&[Need::DescriptorLimit, Need::DescriptorCount])
        .answers(Question::Limits)
        .judges(&[FailureKind::Slow])
        .from_grade(Grade::Command)
        .lifecycle(emfile_existing_progress),
        Case::must(
            "emfile-recovers",
            "Once descriptors are free, the waiting clients are served with no new one to wake it.",
        )
        .sizes(2, 3, 10)
        .needs(&[Need::DescriptorLimit, Need::DescriptorCount, Need::QueueAtLimit])
        .answers(Question::Limits)
        .from_grade(Grade::Command)
        .lifecycle(emfile_recovers),
        Case::must(
            "emfile-queues",
            "A client for which there is no descriptor waits in the queue, and is not closed.",
        )
        .needs(&[Need::DescriptorLimit, Need::DescriptorCount, Need::QueueAtLimit])
        .answers(Question::Limits)
        .lifecycle(emfile_queues),
        Case::must("idle-connections", "Beside a thousand idle clients, new ones are served.")
            .sizes(1000, 1000, 1000)
            .needs(&[Need::Descriptors(1010)])
            .wire(idle_connections),
        Case::must("after-quiet", "After a long silence, a new client is served within a second.")
            .sizes(2500, 3000, 50_000)
            .wire(after_quiet),
        Case::must(
            "slow-handler-start",
            "Clients that connected and sent while the server was suspended are all served.",
        )
        .sizes(1000, 1000, 1000)
        .needs(&[Need::Signals, Need::Descriptors(1000), Need::AcceptQueue(1000)])
        .below_contract(Level::Should)
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
        peer.clock().judge_time("the whole burst served", start.elapsed(), limit)
    });
    served.map_err(|failure| peer.blame_queue(peer.size(), failure))?;
    peer.serves()?;
    Observation::met()
}

fn sequential_churn(peer: &Peer, process: &Process) -> CaseResult {
    let churn = || {
        for number in 0..peer.size() {
            let mut connection = peer.connect()?;
            connection.exchange(64)?;
            // An end by FIN leaves the judge's port in TIME_WAIT, and thousands would use them up
            // (async-io#123); one by reset does not.
            if number % 4 == 0 {
                connection.finish_sending()?;
                connection.expect_end()?;
            } else {
                connection.reset();
            }
        }
        peer.serves()
    };
    if !Process::IS_TOLD {
        churn()?;
        return Observation::of("descriptors are not counted on this system");
    }
    AtRest::now(process, peer, 0, Duration::from_secs(2))?.expect_freed(churn)?;
    Observation::met()
}

fn while_hot(peer: &Peer) -> CaseResult {
    /// More than a stream can move while one client waits: none gets to its end and cools down.
    const ENDLESS: u64 = 1 << 40;
    let mut streams = peer.connect_many(4)?;
    for number in 0..peer.size() {
        let mut fresh = peer.connect()?;
        let deadline = peer.clock().within(PROBE_LIMIT);
        let flow = Flow::new(&mut fresh, 1024, peer.seed());
        let mut flows = vec![if number % 2 == 0 { flow } else { flow.ends() }];
        flows.extend(streams.iter_mut().map(|stream| {
            let pieces = Pieces::Of(8 * 1024);
            Flow::new(stream, ENDLESS, peer.seed()).writes(pieces).window(256 * 1024)
        }));
        exchange_first(&mut flows, 1, deadline)?;
        peer.clock().judge_time("a new client served", deadline.elapsed(), PROBE_LIMIT)?;
        fresh.reset();
    }
    let mut rest: Vec<Flow> =
        streams.iter_mut().map(|stream| Flow::new(stream, 0, peer.seed())).collect();
    exchange(&mut rest, peer.clock())?;
    Observation::met()
}

fn emfile_survives(lifecycle: &Lifecycle) -> CaseResult {
    at_the_limit(lifecycle, |_, _, crowd| {
        for _ in 0..lifecycle.size() {
            for connection in &mut crowd.served {
                connection.exchange(1024)?;
            }
        }
        Observation::met()
    })
}

fn emfile_no_spin(lifecycle: &Lifecycle) -> CaseResult {
    at_the_limit(lifecycle, |_, process, crowd| {
        expect_quiet(process, Duration::from_millis(lifecycle.size()), 0.20, lifecycle.clock())?;
        for connection in &mut crowd.served {
            connection.exchange(64)?;
        }
        Observation::met()
    })
}

fn emfile_existing_progress(lifecycle: &Lifecycle) -> CaseResult {
    /// Rounds are planned this far apart.
    const PACE: Duration = Duration::from_millis(10);
    at_the_limit(lifecycle, |_, _, crowd| {
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
    at_the_limit(lifecycle, |peer, _, crowd| {
        for episode in 0..lifecycle.size() {
            if episode > 0 {
                crowd.fill_up(peer)?;
            }
            // A pool may take two more for each of the next clients, as Go's does for splice(2).
            let freed = crowd.wanted.min(crowd.served.len());
            let least = freed.div_ceil(4);
            crowd.served.drain(..freed);
            let deadline = lifecycle.clock().within(limit);
            let owed = crowd.waiting.len().saturating_sub(least);
            while crowd.waiting.len() > owed {
                if !crowd.take_served(deadline.left())? && deadline.is_over() {
                    let missing = crowd.waiting.len() - owed;
                    return Err(deadline.failure(&format!("{missing} more of the waiting clients")));
                }
            }
            lifecycle.clock().judge_time("all served", deadline.elapsed(), limit)?;
            // Each that is served makes room for others.
            crowd.served.clear();
            while !crowd.waiting.is_empty() {
                let deadline = lifecycle.clock().within(limit);
                if !crowd.take_served(deadline.left())? && deadline.is_over() {
                    let missing = crowd.waiting.len();
                    return Err(deadline.failure(&format!("the last {missing} waiting clients")));
                }
                crowd.served.clear();
            }
            // Only now may a new client come: its arrival would have hidden a deaf listener.
            crowd.expect_room(peer, limit)?;
        }
        Observation::met()
    })
}

fn emfile_queues(lifecycle: &Lifecycle) -> CaseResult {
    at_the_limit(lifecycle, |_, _, crowd| match crowd.turned_away {
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
        peer.serves()?;
    }
    for connection in &mut idle {
        connection.send(16)?;
    }
    for connection in &mut idle {
        connection.receive(16)?;
    }
    Observation::met()
}

fn after_quiet(peer: &Peer) -> CaseResult {
    peer.serves()?;
    // The silence is the case.
    thread::sleep(Duration::from_millis(peer.size()));
    peer.serves()?;
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
        connections.iter_mut().try_for_each(|connection| connection.receive(1024))
    });
    served.map_err(|failure| peer.blame_queue(peer.size(), failure))?;
    peer.serves()?;
    Observation::met()
}

/// So many descriptors more than it has at rest may a server have in the cases that exhaust them.
/// How many it needs for itself is its own affair: a virtual machine has hundreds.
const SPARE: u64 = 32;

/// Runs a case on a server that has used up its descriptors.
fn at_the_limit(
    lifecycle: &Lifecycle,
    case: impl FnOnce(&Peer, &Process, &mut Crowd) -> CaseResult,
) -> CaseResult {
    at_the_limit_under(lifecycle, &Restrictions::default(), case)
}

/// The same on a server from which more is taken than its descriptors.
pub(super) fn at_the_limit_under(
    lifecycle: &Lifecycle,
    taken: &Restrictions,
    case: impl FnOnce(&Peer, &Process, &mut Crowd) -> CaseResult,
) -> CaseResult {
    let (server, crowd) = start_at_the_limit(lifecycle, taken)?;
    // One that has a process for each client, as a server of inetd has.
    let Some(mut crowd) = crowd else {
        return Observation::of("no process of the server ran out of descriptors");
    };
    let found = lifecycle.peer(&server).and_then(|peer| {
        let observation = case(&peer, &server.process(), &mut crowd)?;
        match crowd.turned_away {
            0 => Ok(observation),
            _ => Observation::of("clients that found no descriptor were closed"),
        }
    });
    expect_survival(&server, found, lifecycle.clock())
}

/// A server that has used up its descriptors, and the clients that did that; none if there is no
/// end of them.
pub(super) fn start_at_the_limit(
    lifecycle: &Lifecycle,
    taken: &Restrictions,
) -> Result<(Server, Option<Crowd>), Failure> {
    let open_files = Some(at_rest(lifecycle)? + SPARE);
    let restrictions = Restrictions { open_files, ..taken.clone() };
    let server = lifecycle.start_with(&Start { restrictions, ..Start::default() })?;
    let process = server.process();
    let gathered = lifecycle.peer(&server).and_then(|peer| Crowd::gather(&peer, &process));
    let crowd = expect_survival(&server, gathered, lifecycle.clock())?;
    Ok((server, crowd))
}

/// How many descriptors a server has without clients, once it has served one.
fn at_rest(lifecycle: &Lifecycle) -> Result<u64, Failure> {
    let server = lifecycle.start()?;
    // The limit is that of each process.
    let process = server.process();
    let found = descriptors_at_rest(&process, &lifecycle.peer(&server)?)
        .and_then(|_| process.most_descriptors());
    expect_survival(&server, found.map(|count| count as u64), lifecycle.clock())
}

/// Clients of a server at its descriptor limit: as many as it can serve, and some that wait.
#[derive(Debug, Default)]
pub(super) struct Crowd {
    pub(super) served: Vec<Connection>,
    /// They have sent [`Crowd::HELLO`] bytes and got none of them back.
    waiting: Vec<Connection>,
    /// How many were closed without a byte, instead of being left to wait.
    turned_away: usize,
    /// How many are to wait, or to be turned away.
    wanted: usize,
    /// At most this many times, more clients come.
    batches: usize,
}

impl Crowd {
    /// How many clients are to wait, or to be turned away, if there is room for them.
    const WAITING: usize = 32;
    const HELLO: u64 = 64;
    /// A server that serves nobody for this long has no descriptor left. Backing off cannot look
    /// like that: a server that has descriptors has met no error yet.
    const SETTLED: Duration = Duration::from_millis(200);
    /// Enough for each process of a server that keeps to its limit.
    const CLIENTS: usize = 8 * Self::WAITING;

    /// A crowd of a server that has no descriptor left; none if its clients do not use them up.
    fn gather(peer: &Peer, process: &Process) -> Result<Option<Self>, Failure> {
        // What a server sets up for its first client, such as classes of a JVM, it has then.
        peer.serves()?;
        let processes = process.count()?;
        let room = usize::try_from(peer.queue_room()).unwrap_or(usize::MAX);
        let wanted = Self::WAITING.min(room).max(1);
        let batches = processes * Self::CLIENTS.div_ceil(wanted);
        let mut crowd = Self { wanted, batches, ..Self::default() };
        if crowd.fill_up(peer)? {
            return Ok(Some(crowd));
        }
        // One that has a process for each client, as a server of inetd has, does not run out.
        if process.count()? > processes {
            return Ok(None);
        }
        let actual = format!("all of {} clients served", crowd.served.len());
        Err(Failure::new(FailureKind::Harness, "a server that runs out of descriptors", actual))
    }

    /// Adds clients until some wait. False if all are served.
    fn fill_up(&mut self, peer: &Peer) -> Result<bool, Failure> {
        let before = self.turned_away;
        let not_served = |crowd: &Self| crowd.waiting.len() + crowd.turned_away - before;
        for _ in 0..self.batches {
            let missing = self.wanted.saturating_sub(not_served(self));
            for mut client in peer.connect_many(missing as u64)? {
                match client.send(Self::HELLO) {
                    Ok(()) => self.waiting.push(client),
                    // Over a Unix path the first send shows it already.
                    Err(end) if is_turned_away(&client, &end) => self.turned_away += 1,
                    Err(wrong) => return Err(wrong),
                }
            }
            self.settle(peer.clock())?;
            if not_served(self) >= self.wanted && !self.served.is_empty() {
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
        let expected = "either all clients served, or as many that wait as can be told apart";
        let actual = format!("{} served, {not_served} waiting", self.served.len());
        Err(Failure::new(FailureKind::Harness, expected, actual))
    }

    /// Every client goes, those who wait as well.
    pub(super) fn leave(&mut self) {
        self.served.clear();
        self.waiting.clear();
    }

    /// A new client is served within `limit`. A server that turns clients away may not have noticed
    /// yet that others have left: then one may come again.
    fn expect_room(&self, peer: &Peer, limit: Duration) -> Result<(), Failure> {
        let deadline = peer.clock().within(limit);
        loop {
            let mut late = peer.connect()?;
            let echo = "a new client's echo after all";
            let sent = late.send(Self::HELLO);
            match sent.and_then(|()| late.receive_in(echo, Self::HELLO, limit)) {
                Err(end) if self.turned_away > 0 && is_turned_away(&late, &end) => {
                    if deadline.is_over() {
                        return Err(deadline.failure("a client that is not turned away"));
                    }
                }
                result => return result,
            }
        }
    }

    /// Waits until the server serves nobody else.
    fn settle(&mut self, clock: &CellClock) -> Result<(), Failure> {
        while self.take_served(clock.scaled(Self::SETTLED))? {}
        Ok(())
    }

    /// Waits until waiting clients are served, at most `time`, and moves them over. False if none
    /// is.
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
                // libuv does so, to be rid of the listener's event (joyent/libuv#315).
                Err(end) if is_turned_away(&client, &end) => self.turned_away += 1,
                Err(wrong) => return Err(wrong),
            }
        }
        self.waiting = waiting;
        Ok(answered.contains(&true))
    }
}

/// Whether a client was closed without a byte.
pub(super) fn is_turned_away(client: &Connection, end: &Failure) -> bool {
    client.received() == 0 && matches!(end.kind, FailureKind::Closed | FailureKind::Reset)
}
