//! The loop of one thread: it waits until a socket is ready or a message is due, receives,
//! compares, records, and sends. Nothing is allocated for a message.

use std::io;
use std::time::Duration;

use mio::event::Event;
use mio::{Events, Poll};
use report::load::ErrorKind;

use crate::clock::{Clock, SECOND};
use crate::connection::{Connection, LoadError, State};
use crate::payload::Payload;
use crate::plan::Plan;
use crate::schedule::{Due, Slots};
use crate::shared::{Shared, Stop};
use crate::socket::Socket;
use crate::tally::{Tally, Window};
use crate::usage::Meter;

mod ending;
mod opening;

pub(crate) use opening::OpenError;

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
/// Errors after which a thread gives up.
const ERROR_LIMIT: u64 = 1000;
/// A read that leaves room in its buffer has emptied the socket (epoll(7)), and the next bytes are
/// a change that the poller tells of. On Windows mio tells of it only after a read that would have
/// to wait.
const SHORT_READ_EMPTIES: bool = cfg!(unix);

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
    /// In an open loop, when messages are due.
    schedule: Option<Slots>,
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

impl<'a> LoadLoop<'a> {
    /// Opens the connections of one of the threads.
    pub(crate) fn open(
        plan: &'a Plan,
        shared: &'a Shared<'a>,
        clock: Clock,
        thread: usize,
    ) -> Result<Self, OpenError> {
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
            poll: Poll::new().map_err(|error| OpenError::Failed(error.into()))?,
            connections: numbers.map(|number| Connection::new(number, pipeline)).collect(),
            carriers: share.carriers as usize,
            payload: plan.payload.clone(),
            out: vec![0; BUFFER_BYTES],
            input: vec![0; BUFFER_BYTES],
            tally: Tally::new().map_err(OpenError::Failed)?,
            window: Window::NEVER,
            schedule: None,
            allowed: None,
            in_flight: 0,
            empty_looks: 0,
            last_progress: 0,
            last_look: 0,
            echoed: 0,
        };
        this.open_connections().map_err(OpenError::Stopped)?;
        Ok(this)
    }

    /// The load, from `start` on: warm-up, measured part, and the wait for the last answers.
    pub(crate) fn run(mut self, start: u64) -> (Tally, Option<Stop>) {
        self.window = self.plan.window(start);
        let Plan { workload, threads, .. } = self.plan;
        self.schedule = Slots::new(workload.arrival, start, self.thread, *threads, self.carriers);
        self.allowed = self.plan.allowed(self.thread);
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
        let mut meter = None;
        let mut looks = 0;
        let mut events = Events::with_capacity(EVENTS);
        self.begin();
        let ended = loop {
            let now = self.clock.now();
            if now >= self.window.end || self.allowed == Some(0) {
                break Ok(());
            }
            if meter.is_none() && now >= self.window.start {
                meter = Some(Meter::start(now));
                (looks, self.empty_looks) = (0, 0);
            }
            looks += 1;
            if let Err(stop) = self.look_around(now).and_then(|()| self.turn(&mut events, now)) {
                break Err(stop);
            }
        };
        if let Some(meter) = meter {
            // An open loop spins instead of waiting.
            let empty_looks = self.plan.is_open_loop().then_some(self.empty_looks);
            self.tally.cost = meter.stop(self.clock, looks, empty_looks);
        }
        if !self.plan.is_counted() {
            let ended = self.window.end.min(self.clock.now());
            self.window.end = ended.max(self.window.start);
        }
        ended
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
        let next = schedule.next_planned().min(self.window.end);
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

    /// In a closed loop, the first messages of each connection.
    fn begin(&mut self) {
        if self.schedule.is_some() {
            return;
        }
        for index in 0..self.carriers {
            let now = self.clock.now();
            self.admit(index, self.plan.pipeline, now);
            self.go_on(index, now);
        }
    }

    /// What the poller told of one connection.
    #[inline]
    fn on_event(&mut self, event: &Event) {
        let index = event.token().0;
        match self.connections[index].state {
            State::Open(_) => {}
            State::Connecting(..) => match self.is_established(index) {
                Ok(false) => return,
                Ok(true) => {
                    let now = self.clock.now();
                    self.flush(index, now);
                }
                Err(error) => return self.fail(index, &error),
            },
            // An event of the same batch has ended it.
            State::Ended => return,
        }
        if event.is_writable() && self.connections[index].has_unsent() {
            let now = self.clock.now();
            self.flush(index, now);
        }
        if event.is_readable() || event.is_read_closed() || event.is_error() {
            self.receive(index, event.is_read_closed());
        }
    }

    /// Receives what is there, and sends what may follow.
    fn receive(&mut self, index: usize, is_closing: bool) {
        let is_datagram = self.is_datagram();
        loop {
            let State::Open(socket) = &mut self.connections[index].state else { return };
            let received = match socket.receive(&mut self.input) {
                Ok(0) if !is_datagram => {
                    let number = self.connections[index].number;
                    return self.fail(index, &LoadError::closed(number));
                }
                Ok(received) => received,
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
                Err(error) => return self.fail(index, &LoadError::of(&error)),
            };
            let now = self.clock.now();
            self.last_progress = now;
            let (completed, compared) = self.compare(index, received, now);
            if index < self.carriers {
                self.in_flight -= completed;
            }
            if let Err(error) = compared {
                self.fail(index, &error);
                if is_datagram {
                    // Others may be there behind it, of which the poller has told already.
                    continue;
                }
                return;
            }
            if completed > 0 {
                self.answered(index, completed, now);
            }
            let is_emptied = if is_datagram {
                self.connections[index].in_flight() == 0
            } else {
                received < self.input.len()
            };
            if SHORT_READ_EMPTIES && is_emptied && !is_closing {
                return;
            }
        }
    }

    /// Compares what was received, and records the messages that are complete: so many.
    #[inline]
    fn compare(&mut self, index: usize, n: usize, now: u64) -> (usize, Result<(), LoadError>) {
        let Self { tally, window, payload, input, plan, .. } = self;
        let is_open_loop = plan.is_open_loop();
        let connection = &mut self.connections[index];
        let mut completed = 0;
        let done = |stamps, length| {
            completed += 1;
            tally.came(window, stamps, length, now);
            if is_open_loop {
                tally.responded(window, stamps, now);
            }
        };
        let got = &input[..n];
        let compared = if matches!(connection.state, State::Open(Socket::Udp(_))) {
            connection.take_datagram(payload, got, done)
        } else {
            connection.take(payload, got, done)
        };
        (completed, compared)
    }

    /// So many messages have come back: there is room for more.
    fn answered(&mut self, index: usize, completed: usize, now: u64) {
        if index >= self.carriers {
            return;
        }
        self.echoed += completed as u64;
        self.shared.count(self.thread, self.echoed);
        if self.plan.workload.churn {
            // What has come by now belongs to nobody.
            self.expect_nothing(index);
            self.connections[index].end();
        }
        if let Some(schedule) = &mut self.schedule {
            if self.connections[index].in_flight() + completed == self.plan.pipeline {
                schedule.note_room(index, now);
            }
            if schedule.has_due(index) {
                self.offer(index);
            }
        } else if self.window.end > now {
            self.admit(index, completed, now);
            self.go_on(index, now);
        }
    }

    /// Gives a connection messages, as many as are still allowed.
    fn admit(&mut self, index: usize, messages: usize, planned: u64) {
        let is_measured = self.window.contains(planned);
        let mut messages = messages;
        if let Some(allowed) = &mut self.allowed {
            // During the warm-up messages do not count, and are sent as ever.
            if is_measured {
                messages = messages.min(usize::try_from(*allowed).unwrap_or(usize::MAX));
                *allowed -= messages as u64;
            } else if *allowed == 0 {
                messages = 0;
            }
        }
        for _ in 0..messages {
            self.connections[index].admit(planned);
        }
        if self.in_flight == 0 && self.schedule.is_some() {
            // Nobody has waited for an answer up to now.
            self.last_progress = self.last_progress.max(planned);
        }
        self.in_flight += messages;
        self.tally.traffic.sent += if is_measured { messages as u64 } else { 0 };
    }

    /// Sends what a connection was given; with churn, once there is a connection.
    fn go_on(&mut self, index: usize, now: u64) {
        let connection = &self.connections[index];
        let is_missing = matches!(connection.state, State::Ended) && connection.in_flight() > 0;
        if self.plan.workload.churn && is_missing {
            match self.begin_connecting(index) {
                Ok(()) => {}
                // A Unix listener's queue is full: it is tried again at the next look around.
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                Err(error) => self.fail(index, &LoadError::connect(&error)),
            }
            return;
        }
        self.flush(index, now);
    }

    fn flush(&mut self, index: usize, now: u64) {
        let Self { payload, out, connections, .. } = self;
        if let Err(error) = connections[index].flush(payload, out, now) {
            self.fail(index, &error);
        }
    }

    /// Sends what has become due, each message on the connection whose turn it is.
    #[inline]
    fn send_due(&mut self, now: u64) {
        while let Some(schedule) = &mut self.schedule {
            let planned = schedule.next_planned();
            if planned > now || planned >= self.window.end {
                return;
            }
            let index = schedule.deal();
            self.offer(index);
        }
    }

    /// Sends what is due on a connection, as far as it may have messages in flight.
    fn offer(&mut self, index: usize) {
        let is_lost = |state: &State| matches!(state, State::Ended);
        if !self.plan.workload.churn && is_lost(&self.connections[index].state) {
            return;
        }
        let now = self.clock.now();
        let mut is_sent = false;
        while self.connections[index].in_flight() < self.plan.pipeline
            && self.allowed != Some(0)
            && let Some(schedule) = &mut self.schedule
            && let Some(Due { planned, lag }) = schedule.take(index, now)
        {
            if self.window.contains(planned) {
                self.tally.histograms.send_lag.saturating_record(lag);
            }
            self.admit(index, 1, planned);
            is_sent = true;
        }
        if is_sent {
            self.go_on(index, now);
        }
    }

    fn expect_nothing(&mut self, index: usize) {
        let State::Open(socket) = &mut self.connections[index].state else { return };
        if let Ok(n @ 1..) = socket.receive(&mut self.input) {
            let error = self.connections[index].surplus(&self.payload, &self.input[..n]);
            self.tally.error(&error);
        }
    }

    /// Datagrams that have not come back in time are lost; in a closed loop others follow.
    fn give_up_datagrams(&mut self, now: u64) {
        if !self.is_datagram() {
            return;
        }
        for index in 0..self.carriers {
            let Self { connections, tally, window, plan, .. } = self;
            let lost =
                connections[index].give_up(now.saturating_sub(DATAGRAM_LIMIT_NS), |stamps| {
                    tally.given_up(window, stamps, now, plan.is_open_loop());
                });
            if lost > 0 {
                tally.lost(lost as u64);
                self.in_flight -= lost;
                if let Some(schedule) = &mut self.schedule {
                    schedule.note_room(index, now);
                    self.offer(index);
                } else {
                    self.admit(index, lost, now);
                    self.go_on(index, now);
                }
            }
        }
    }

    /// A connection that has gone wrong ends, and with it what was in flight on it.
    fn fail(&mut self, index: usize, error: &LoadError) {
        let is_datagram = self.is_datagram();
        let is_lost = error.kind == ErrorKind::Lost;
        self.tally.error(error);
        if is_datagram {
            return;
        }
        let lost = self.connections[index].end();
        if index >= self.carriers {
            return;
        }
        self.in_flight -= lost;
        // The error itself is about one of them.
        self.tally.lost((lost as u64).saturating_sub(u64::from(is_lost)));
        if self.plan.workload.churn && self.schedule.is_none() {
            let now = self.clock.now();
            // It is sent at the next look around: a server that refuses is not asked in a hurry.
            self.admit(index, 1, now);
        }
    }

    /// Messages whose connection could not be had get another.
    fn try_again(&mut self, now: u64) {
        for index in 0..self.carriers {
            self.go_on(index, now);
        }
    }

    fn is_datagram(&self) -> bool {
        matches!(self.plan.address, crate::socket::Address::Udp(_))
    }

    /// Begins to connect one of the connections.
    fn begin_connecting(&mut self, index: usize) -> io::Result<()> {
        let now = self.clock.now();
        let (address, registry) = (&self.plan.address, self.poll.registry());
        self.connections[index].connect(address, registry, mio::Token(index), now)
    }

    /// Looks whether a connection stands by now, and notes how long that took.
    fn is_established(&mut self, index: usize) -> Result<bool, LoadError> {
        let is_datagram = self.is_datagram();
        let Self { plan, clock, window, tally, .. } = self;
        self.connections[index].is_established(|since| {
            let now = clock.now();
            if !is_datagram && (!plan.workload.churn || window.contains(now)) {
                tally.histograms.connect.saturating_record(now - since);
            }
        })
    }
}
