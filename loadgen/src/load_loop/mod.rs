//! The loop of one thread: it waits until a socket is ready or a message is due, receives,
//! compares, records and sends. It allocates nothing per message.

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

/// Largest number of events per poll.
const EVENTS: usize = 512;
/// Size of the buffers in which a thread sends and receives.
const BUFFER_BYTES: usize = 256 * 1024;
/// The longest wait of one poll, so that the loop notices an interruption and a stall.
const LONGEST_WAIT: Duration = Duration::from_millis(100);
/// A sleep may end this much too late, so the loop spins for this long before a slot.
const SPIN_NS: u64 = 1_500_000;
/// A datagram that has not come back after this time is lost.
const DATAGRAM_LIMIT_NS: u64 = SECOND;
/// Number of errors after which a thread gives up.
const ERROR_LIMIT: u64 = 1000;
/// A read that does not fill its buffer has emptied the socket (epoll(7)), and the poller reports
/// the next bytes. On Windows, mio reports them only after a read that returned `WouldBlock`.
const SHORT_READ_EMPTIES: bool = cfg!(unix);

/// One thread of a load.
pub(crate) struct LoadLoop<'a> {
    plan: &'a Plan,
    shared: &'a Shared<'a>,
    /// Index of this thread.
    thread: usize,
    clock: Clock,
    poll: Poll,
    /// The connections that carry messages, then the idle ones.
    connections: Vec<Connection>,
    /// How many connections carry messages.
    carriers: usize,
    payload: Payload,
    out: Vec<u8>,
    input: Vec<u8>,
    tally: Tally,
    window: Window,
    /// When messages are due; `None` in a closed loop.
    schedule: Option<Slots>,
    /// How many messages of the measured part may still be sent, if their number ends the load.
    remaining_messages: Option<u64>,
    /// Messages in flight on all connections that carry messages.
    in_flight: usize,
    /// How many polls returned no event.
    empty_polls: u64,
    last_progress: u64,
    last_check: u64,
    echoed: u64,
}

impl<'a> LoadLoop<'a> {
    /// Opens the connections of thread number `thread`.
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
            remaining_messages: None,
            in_flight: 0,
            empty_polls: 0,
            last_progress: 0,
            last_check: 0,
            echoed: 0,
        };
        this.open_connections().map_err(OpenError::Stopped)?;
        Ok(this)
    }

    /// Runs the load from the time `start`: the warm-up, the measured part, and the wait for the
    /// last answers.
    pub(crate) fn run(mut self, start: u64) -> (Tally, Option<Stop>) {
        self.window = self.plan.window(start);
        let Plan { workload, threads, .. } = self.plan;
        self.schedule = Slots::new(workload.arrival, start, self.thread, *threads, self.carriers);
        self.remaining_messages = self.plan.message_limit(self.thread);
        // No thread sends before the common start.
        std::thread::sleep(Duration::from_nanos(start.saturating_sub(self.clock.now())));
        self.last_progress = self.clock.now();
        let stop = self.load().and_then(|()| self.drain()).err();
        if self.plan.is_counted() {
            self.window.end = self.last_progress.max(self.window.start);
            self.shared.report_window_over();
        }
        self.finish(stop.as_ref());
        self.tally.window = self.window;
        (self.tally, stop)
    }

    /// Runs the warm-up and the measured part.
    fn load(&mut self) -> Result<(), Stop> {
        let mut meter = None;
        let mut polls = 0;
        let mut events = Events::with_capacity(EVENTS);
        self.send_first();
        let ended = loop {
            let now = self.clock.now();
            if now >= self.window.end || self.remaining_messages == Some(0) {
                break Ok(());
            }
            if meter.is_none() && now >= self.window.start {
                meter = Some(Meter::start(now));
                (polls, self.empty_polls) = (0, 0);
            }
            polls += 1;
            if let Err(stop) =
                self.check_progress(now).and_then(|()| self.poll_once(&mut events, now))
            {
                break Err(stop);
            }
        };
        if let Some(meter) = meter {
            // An open loop spins instead of waiting.
            let empty_polls = self.plan.is_open_loop().then_some(self.empty_polls);
            self.tally.cost = meter.stop(self.clock, polls, empty_polls);
        }
        if !self.plan.is_counted() {
            let ended = self.window.end.min(self.clock.now());
            self.window.end = ended.max(self.window.start);
        }
        ended
    }

    /// Sends what is due, waits once, and handles what is ready.
    #[inline]
    fn poll_once(&mut self, events: &mut Events, now: u64) -> Result<(), Stop> {
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
        self.empty_polls += u64::from(events.is_empty());
        for event in events.iter() {
            self.on_event(event);
            if self.schedule.is_some() {
                self.send_due(self.clock.now());
            }
        }
        Ok(())
    }

    /// How long the poll may wait. The poller rounds its timeout up to whole milliseconds, so the
    /// loop spins shortly before a slot.
    #[inline]
    fn longest_wait(&self, now: u64) -> Duration {
        let Some(schedule) = &self.schedule else { return LONGEST_WAIT };
        let next = schedule.next_planned().min(self.window.end);
        let sleep = next.saturating_sub(now).saturating_sub(SPIN_NS);
        Duration::from_millis(sleep / 1_000_000).min(LONGEST_WAIT)
    }

    /// Every 50 ms: gives up lost datagrams, retries connections, and stops the thread after an
    /// interruption, a stall or too many errors.
    fn check_progress(&mut self, now: u64) -> Result<(), Stop> {
        const EVERY_NS: u64 = SECOND / 20;
        if now - self.last_check < EVERY_NS {
            return Ok(());
        }
        self.last_check = now;
        if self.shared.is_stopped() {
            return Err(Stop::Asked);
        }
        self.give_up_datagrams(now);
        if self.plan.workload.churn {
            self.reconnect_pending(now);
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

    /// Sends the first messages of each connection in a closed loop.
    fn send_first(&mut self) {
        if self.schedule.is_some() {
            return;
        }
        for index in 0..self.carriers {
            let now = self.clock.now();
            self.admit(index, self.plan.pipeline, now);
            self.send_or_connect(index, now);
        }
    }

    /// Handles one event of the poller.
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
            // An earlier event of the same batch has ended it.
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

    /// Receives what has arrived, and sends the messages that may follow.
    fn receive(&mut self, index: usize, is_closing: bool) {
        let is_datagram = self.is_datagram();
        loop {
            let State::Open(socket) = &mut self.connections[index].state else { return };
            let received = match socket.receive(&mut self.input) {
                Ok(0) if !is_datagram => {
                    let number = self.connections[index].number;
                    return self.fail(index, &LoadError::closed_by_server(number));
                }
                Ok(received) => received,
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
                Err(error) => return self.fail(index, &LoadError::from_socket_error(&error)),
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
                    // More datagrams may be queued behind it, which the poller does not report
                    // again.
                    continue;
                }
                return;
            }
            if completed > 0 {
                self.on_echoes(index, completed, now);
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

    /// Compares what was received, and records the messages that are complete. Returns their
    /// number.
    #[inline]
    fn compare(&mut self, index: usize, n: usize, now: u64) -> (usize, Result<(), LoadError>) {
        let Self { tally, window, payload, input, plan, .. } = self;
        let is_open_loop = plan.is_open_loop();
        let connection = &mut self.connections[index];
        let mut completed = 0;
        let done = |stamps, length| {
            completed += 1;
            tally.record_echo(window, stamps, length, now);
            if is_open_loop {
                tally.record_response(window, stamps, now);
            }
        };
        let got = &input[..n];
        let compared = if matches!(connection.state, State::Open(Socket::Udp(_))) {
            connection.compare_datagram(payload, got, done)
        } else {
            connection.compare_stream(payload, got, done)
        };
        (completed, compared)
    }

    /// Handles `completed` echoes: the connection has room for more messages.
    fn on_echoes(&mut self, index: usize, completed: usize, now: u64) {
        if index >= self.carriers {
            return;
        }
        self.echoed += completed as u64;
        self.shared.publish_echoed(self.thread, self.echoed);
        if self.plan.workload.churn {
            // The connection carried one message, so any further byte is surplus.
            self.expect_nothing(index);
            self.connections[index].end();
        }
        if let Some(schedule) = &mut self.schedule {
            if self.connections[index].in_flight() + completed == self.plan.pipeline {
                schedule.note_room(index, now);
            }
            if schedule.has_due(index) {
                self.send_due_on(index);
            }
        } else if self.window.end > now {
            self.admit(index, completed, now);
            self.send_or_connect(index, now);
        }
    }

    /// Gives a connection `messages` messages, or as many as are still allowed.
    fn admit(&mut self, index: usize, messages: usize, planned: u64) {
        let is_measured = self.window.contains(planned);
        let mut messages = messages;
        if let Some(allowed) = &mut self.remaining_messages {
            // The limit applies to the measured part only, not to the warm-up.
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
            // No answer was outstanding until now, so the patience begins here.
            self.last_progress = self.last_progress.max(planned);
        }
        self.in_flight += messages;
        self.tally.traffic.sent += if is_measured { messages as u64 } else { 0 };
    }

    /// Sends the messages of a connection. With churn, opens the connection first if there is none.
    fn send_or_connect(&mut self, index: usize, now: u64) {
        let connection = &self.connections[index];
        let is_missing = matches!(connection.state, State::Ended) && connection.in_flight() > 0;
        if self.plan.workload.churn && is_missing {
            match self.begin_connecting(index) {
                Ok(()) => {}
                // The backlog of a Unix listener is full. `check_progress` retries.
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                Err(error) => self.fail(index, &LoadError::connect_failed(&error)),
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

    /// Sends the messages that have become due, each on the connection whose turn it is.
    #[inline]
    fn send_due(&mut self, now: u64) {
        while let Some(schedule) = &mut self.schedule {
            let planned = schedule.next_planned();
            if planned > now || planned >= self.window.end {
                return;
            }
            let index = schedule.assign_next();
            self.send_due_on(index);
        }
    }

    /// Sends what is due on a connection, up to the limit of messages in flight.
    fn send_due_on(&mut self, index: usize) {
        let is_lost = |state: &State| matches!(state, State::Ended);
        if !self.plan.workload.churn && is_lost(&self.connections[index].state) {
            return;
        }
        let now = self.clock.now();
        let mut is_sent = false;
        while self.connections[index].in_flight() < self.plan.pipeline
            && self.remaining_messages != Some(0)
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
            self.send_or_connect(index, now);
        }
    }

    fn expect_nothing(&mut self, index: usize) {
        let State::Open(socket) = &mut self.connections[index].state else { return };
        if let Ok(n @ 1..) = socket.receive(&mut self.input) {
            let error = self.connections[index].surplus_error(&self.payload, &self.input[..n]);
            self.tally.record_error(&error);
        }
    }

    /// Gives up datagrams that have not come back in time. In a closed loop, new ones replace them.
    fn give_up_datagrams(&mut self, now: u64) {
        if !self.is_datagram() {
            return;
        }
        for index in 0..self.carriers {
            let Self { connections, tally, window, plan, .. } = self;
            let lost =
                connections[index].give_up(now.saturating_sub(DATAGRAM_LIMIT_NS), |stamps| {
                    tally.record_given_up(window, stamps, now, plan.is_open_loop());
                });
            if lost > 0 {
                tally.add_lost(lost as u64);
                self.in_flight -= lost;
                if let Some(schedule) = &mut self.schedule {
                    schedule.note_room(index, now);
                    self.send_due_on(index);
                } else {
                    self.admit(index, lost, now);
                    self.send_or_connect(index, now);
                }
            }
        }
    }

    /// Records an error. Closes the connection, unless it is UDP, and counts what was in flight as
    /// lost.
    fn fail(&mut self, index: usize, error: &LoadError) {
        let is_datagram = self.is_datagram();
        let is_lost = error.kind == ErrorKind::Lost;
        self.tally.record_error(error);
        if is_datagram {
            return;
        }
        let lost = self.connections[index].end();
        if index >= self.carriers {
            return;
        }
        self.in_flight -= lost;
        // The error itself already counts one of them.
        self.tally.add_lost((lost as u64).saturating_sub(u64::from(is_lost)));
        if self.plan.workload.churn && self.schedule.is_none() {
            let now = self.clock.now();
            // `check_progress` sends it, so that a server that refuses is not asked again at once.
            self.admit(index, 1, now);
        }
    }

    /// Opens connections for messages that could not get one before.
    fn reconnect_pending(&mut self, now: u64) {
        for index in 0..self.carriers {
            self.send_or_connect(index, now);
        }
    }

    fn is_datagram(&self) -> bool {
        matches!(self.plan.address, crate::socket::Address::Udp(_))
    }

    fn begin_connecting(&mut self, index: usize) -> io::Result<()> {
        let now = self.clock.now();
        let (address, registry) = (&self.plan.address, self.poll.registry());
        self.connections[index].connect(address, registry, mio::Token(index), now)
    }

    /// Returns whether a connection is established, and records how long that took.
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
