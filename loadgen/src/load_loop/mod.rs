//! The loop of one thread: it waits until a socket is ready or a message is due, receives,
//! compares, records, and sends. Nothing is allocated for a message.

use std::io;
use std::time::Duration;

use mio::{Events, Poll};

use crate::clock::{Clock, SECOND};
use crate::connection::{Connection, Fault, State};
use crate::payload::Payload;
use crate::plan::Plan;
use crate::schedule::Schedule;
use crate::shared::Shared;
use crate::socket::Socket;
use crate::tally::{Tally, Window};
use crate::usage;

mod messages;
mod opening;

/// Events of one wait.
const EVENTS: usize = 512;
/// Bytes of the buffers in which a thread sends and receives.
const BUFFER_BYTES: usize = 256 * 1024;
/// How long a wait may last, so that an interruption and a stall are noticed.
const LONGEST_WAIT: Duration = Duration::from_millis(100);
/// What a sleep may wake up too late: before a slot the loop spins for so long.
const SPIN_NS: u64 = 1_500_000;
/// A datagram that has not come back after so long is lost.
const DATAGRAM_LIMIT_NS: u64 = SECOND;
/// 1 MB/s: what the last answers may take at the most, beyond twice the patience.
const DRAIN_NS_PER_BYTE: u64 = 1000;
/// Errors after which a thread gives up.
const ERROR_LIMIT: u64 = 1000;

/// One thread of a load.
pub(crate) struct LoadLoop<'a> {
    plan: &'a Plan,
    shared: &'a Shared<'a>,
    /// Which of the threads this is.
    thread: usize,
    clock: Clock,
    poll: Poll,
    /// Those that carry messages, then those that are idle.
    connections: Vec<Connection>,
    /// How many carry messages.
    carriers: usize,
    payload: Payload,
    out: Vec<u8>,
    input: Vec<u8>,
    tally: Tally,
    window: Window,
    schedule: Option<Schedule>,
    /// The next slot of the schedule.
    next_slot: u64,
    /// Messages of the measured part that may still be sent, where their number is the limit.
    allowed: Option<u64>,
    /// Messages in flight on all connections.
    in_flight: usize,
    /// How often nothing was ready when it looked.
    empty_looks: u64,
    last_progress: u64,
    last_look: u64,
    echoed: u64,
}

/// Why a thread stopped early.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Stop {
    /// The user wants it so, or another thread has given up.
    Asked,
    /// It makes no sense to go on.
    GivenUp(String),
}

impl<'a> LoadLoop<'a> {
    /// Opens the connections of one of the threads.
    pub(crate) fn open(
        plan: &'a Plan,
        shared: &'a Shared<'a>,
        clock: Clock,
        thread: usize,
    ) -> anyhow::Result<Result<Self, Stop>> {
        let share = plan.share(thread);
        let pipeline = plan.pipeline;
        let idle_from = plan.workload.connections + share.first_idle;
        let numbers = (share.first_carrier..share.first_carrier + share.carriers)
            .chain(idle_from..idle_from + share.idle);
        let mut this = Self {
            plan,
            shared,
            thread,
            clock,
            poll: Poll::new()?,
            connections: numbers.map(|number| Connection::new(number, pipeline)).collect(),
            carriers: share.carriers as usize,
            payload: plan.payload.clone(),
            out: vec![0; BUFFER_BYTES],
            input: vec![0; BUFFER_BYTES],
            tally: Tally::new()?,
            window: Window::NEVER,
            schedule: None,
            next_slot: 0,
            allowed: None,
            in_flight: 0,
            empty_looks: 0,
            last_progress: 0,
            last_look: 0,
            echoed: 0,
        };
        let opened = this.open_connections();
        Ok(opened.map(|()| this))
    }

    /// The load, from `start` on: warm-up, measured part, and the wait for the last answers.
    pub(crate) fn run(mut self, start: u64) -> (Tally, Option<Stop>) {
        self.window = self.plan.window(start);
        self.schedule =
            Schedule::new(self.plan.workload.arrival, start, self.thread, self.plan.threads);
        self.allowed = self.plan.allowed(self.thread);
        for (index, connection) in self.connections[..self.carriers].iter_mut().enumerate() {
            connection.due.slot = index as u64;
        }
        // Nothing is sent before the start that all threads share.
        std::thread::sleep(Duration::from_nanos(start.saturating_sub(self.clock.now())));
        self.last_progress = self.clock.now();
        let stop = self.load().and_then(|()| self.drain()).err();
        if self.plan.is_counted() {
            self.window.end = self.last_progress.max(self.window.start);
            self.shared.window_over();
        }
        self.finish(stop.as_ref());
        self.tally.window = self.window;
        (self.tally, stop)
    }

    /// Warm-up and measured part.
    fn load(&mut self) -> Result<(), Stop> {
        let mut before = None;
        let mut looks = 0;
        let mut events = Events::with_capacity(EVENTS);
        self.begin();
        let ended = loop {
            let now = self.clock.now();
            if now >= self.window.end || self.allowed == Some(0) {
                break Ok(());
            }
            if before.is_none() && now >= self.window.start {
                before = Some((usage::cpu_seconds(), usage::waits(), now));
                (looks, self.empty_looks) = (0, 0);
            }
            looks += 1;
            if let Err(stop) = self.look_around(now).and_then(|()| self.turn(&mut events, now)) {
                break Err(stop);
            }
        };
        if let Some((cpu, waits, since)) = before {
            let cost = &mut self.tally.cost;
            cost.cpu_seconds = cpu.zip(usage::cpu_seconds()).map(|(before, now)| now - before);
            // An open loop spins instead of waiting.
            cost.waits = if self.plan.is_open_loop() {
                Some(self.empty_looks)
            } else {
                waits.zip(usage::waits()).map(|(before, now)| now - before)
            };
            cost.looks = looks;
            cost.wall_seconds = crate::clock::seconds(self.clock.now() - since);
        }
        if !self.plan.is_counted() {
            let ended = self.window.end.min(self.clock.now());
            self.window.end = ended.max(self.window.start);
        }
        ended
    }

    /// The wait for the answers to what was sent.
    fn drain(&mut self) -> Result<(), Stop> {
        if self.allowed != Some(0) {
            self.count_unsent();
        }
        self.schedule = None;
        self.allowed = Some(0);
        // A byte now and then is progress, and no end.
        let bytes = self.in_flight as u64 * u64::from(self.plan.workload.sizes.longest());
        let ends = self.clock.now() + 2 * self.plan.patience_ns + bytes * DRAIN_NS_PER_BYTE;
        let mut events = Events::with_capacity(EVENTS);
        while self.in_flight > 0 {
            let now = self.clock.now();
            if now >= ends {
                return Err(Stop::GivenUp("the last answers took too long".to_owned()));
            }
            self.look_around(now)?;
            self.turn(&mut events, now)?;
        }
        Ok(())
    }

    /// One wait, and what is ready then.
    #[inline]
    fn turn(&mut self, events: &mut Events, now: u64) -> Result<(), Stop> {
        if self.schedule.is_some() {
            self.send_due(now);
        }
        let wait = self.longest_wait(now);
        match self.poll.poll(events, Some(wait)) {
            Err(error) if error.kind() != io::ErrorKind::Interrupted => {
                return Err(Stop::GivenUp(format!("waiting for sockets: {error}")));
            }
            Err(_) | Ok(()) => {}
        }
        self.empty_looks += u64::from(events.is_empty());
        for event in events.iter() {
            self.on_event(event);
            if self.schedule.is_some() {
                self.send_due(self.clock.now());
            }
        }
        Ok(())
    }

    /// How long there is nothing to send. Poll's limit has the unit of a millisecond and is rounded
    /// up, so shortly before a slot the loop spins.
    #[inline]
    fn longest_wait(&self, now: u64) -> Duration {
        let Some(schedule) = &self.schedule else { return LONGEST_WAIT };
        let next = schedule.planned(self.next_slot).min(self.window.end);
        let sleep = next.saturating_sub(now).saturating_sub(SPIN_NS);
        Duration::from_millis(sleep / 1_000_000).min(LONGEST_WAIT)
    }

    /// Now and then: has the user had enough, does the server still answer?
    fn look_around(&mut self, now: u64) -> Result<(), Stop> {
        const EVERY_NS: u64 = SECOND / 20;
        if now - self.last_look < EVERY_NS {
            return Ok(());
        }
        self.last_look = now;
        if self.shared.is_stopped() {
            return Err(Stop::Asked);
        }
        self.give_up_datagrams(now);
        if self.plan.workload.churn {
            self.try_again(now);
        }
        if self.in_flight > 0 && now - self.last_progress > self.plan.patience_ns {
            let stuck = self.connections.iter().filter(|c| c.in_flight() > 0).count();
            return Err(Stop::GivenUp(format!(
                "no answer for {} s on {stuck} of {} connections",
                self.plan.patience_ns / SECOND,
                self.carriers
            )));
        }
        let errors = self.tally.error_count(self.is_datagram());
        if errors >= ERROR_LIMIT {
            return Err(Stop::GivenUp(format!("{errors} errors")));
        }
        let is_alive = |c: &Connection| !matches!(c.state, State::Ended);
        if !self.plan.workload.churn && !self.connections[..self.carriers].iter().any(is_alive) {
            return Err(Stop::GivenUp("every connection has ended".to_owned()));
        }
        Ok(())
    }

    /// What is still in flight at the end is lost, or after an interruption counts with the time
    /// that it has taken so far; and connections are closed.
    fn finish(&mut self, stop: Option<&Stop>) {
        match stop {
            None => self.expect_silence(),
            Some(Stop::Asked) => self.count_unanswered(),
            Some(Stop::GivenUp(_)) => {}
        }
        for connection in &mut self.connections {
            let lost = connection.end() as u64;
            if matches!(stop, Some(Stop::GivenUp(_))) {
                self.tally.lost(lost);
            }
        }
    }

    fn is_datagram(&self) -> bool {
        matches!(self.plan.address, crate::socket::Address::Udp(_))
    }

    /// Begins to connect one of the connections.
    fn begin_connecting(&mut self, index: usize) -> io::Result<()> {
        let now = self.clock.now();
        let mut socket = Socket::connect(&self.plan.address)?;
        socket.register(self.poll.registry(), mio::Token(index))?;
        self.connections[index].state = State::Connecting(socket, now);
        Ok(())
    }

    /// Looks whether a connection stands by now, and notes how long that took.
    fn is_established(&mut self, index: usize) -> Result<bool, Fault> {
        let is_counted = !self.is_datagram()
            && (!self.plan.workload.churn || self.window.contains(self.clock.now()));
        let connection = &mut self.connections[index];
        let (socket, since) = match std::mem::replace(&mut connection.state, State::Ended) {
            State::Connecting(socket, since) => (socket, since),
            other @ State::Open(_) => {
                connection.state = other;
                return Ok(true);
            }
            State::Ended => return Ok(false),
        };
        let is_established = socket.is_established().map_err(|error| Fault::connect(&error))?;
        connection.state = if is_established {
            if is_counted {
                let took = self.clock.now() - since;
                self.tally.histograms.connect.saturating_record(took);
            }
            State::Open(socket)
        } else {
            State::Connecting(socket, since)
        };
        Ok(is_established)
    }
}
