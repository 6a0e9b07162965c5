//! What happens to messages: received and compared, planned and sent.

use std::io;

use mio::event::Event;
use report::load::ErrorKind;

use super::{DATAGRAM_LIMIT_NS, LoadLoop};
use crate::connection::{Fault, State};
use crate::socket::Socket;

/// A read that leaves room in its buffer has emptied the socket (epoll(7)), and the next bytes are
/// a change that the poller tells of. On Windows mio tells of it only after a read that would have
/// to wait.
const SHORT_READ_EMPTIES: bool = cfg!(unix);

impl LoadLoop<'_> {
    /// In a closed loop, the first messages of each connection.
    pub(super) fn begin(&mut self) {
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
    pub(super) fn on_event(&mut self, event: &Event) {
        let index = event.token().0;
        match self.connections[index].state {
            State::Open(_) => {}
            State::Connecting(..) => match self.is_established(index) {
                Ok(false) => return,
                Ok(true) => {
                    let now = self.clock.now();
                    self.flush(index, now);
                }
                Err(fault) => return self.fault(index, fault),
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
    pub(super) fn receive(&mut self, index: usize, is_closing: bool) {
        let is_datagram = self.is_datagram();
        loop {
            let State::Open(socket) = &mut self.connections[index].state else { return };
            let received = match socket.receive(&mut self.input) {
                Ok(0) if !is_datagram => {
                    let number = self.connections[index].number;
                    return self.fault(index, Fault::closed(number));
                }
                Ok(received) => received,
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
                Err(error) => return self.fault(index, Fault::of(&error)),
            };
            let now = self.clock.now();
            self.last_progress = now;
            let (completed, compared) = self.compare(index, received, now);
            if index < self.carriers {
                self.in_flight -= completed;
            }
            if let Err(fault) = compared {
                self.fault(index, fault);
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
    fn compare(&mut self, index: usize, received: usize, now: u64) -> (usize, Result<(), Fault>) {
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
        let got = &input[..received];
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
        if self.schedule.is_some() {
            let connection = &mut self.connections[index];
            if connection.in_flight() + completed == self.plan.pipeline {
                connection.due.free_since = now;
            }
            if connection.due.messages > 0 {
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
                Err(error) => self.fault(index, Fault::connect(&error)),
            }
            return;
        }
        self.flush(index, now);
    }

    pub(super) fn flush(&mut self, index: usize, now: u64) {
        let Self { payload, out, connections, .. } = self;
        if let Err(fault) = connections[index].flush(payload, out, now) {
            self.fault(index, fault);
        }
    }

    /// Sends what has become due, each message on the connection whose turn it is.
    #[inline]
    pub(super) fn send_due(&mut self, now: u64) {
        let Some(schedule) = self.schedule else { return };
        loop {
            let planned = schedule.planned(self.next_slot);
            if planned > now || planned >= self.window.end {
                return;
            }
            let index = self.deal();
            self.offer(index);
        }
    }

    /// Gives the next slot to the connection whose turn it is.
    fn deal(&mut self) -> usize {
        let index = usize::try_from(self.next_slot % self.carriers as u64).unwrap_or(0);
        self.next_slot += 1;
        self.connections[index].due.messages += 1;
        index
    }

    /// Sends what is due on a connection, as far as it may have messages in flight.
    fn offer(&mut self, index: usize) {
        let Some(schedule) = self.schedule else { return };
        let churn = self.plan.workload.churn;
        let is_lost = |state: &State| !churn && matches!(state, State::Ended);
        if is_lost(&self.connections[index].state) {
            return;
        }
        let now = self.clock.now();
        let mut sent = false;
        while self.connections[index].due.messages > 0
            && self.connections[index].in_flight() < self.plan.pipeline
            && self.allowed != Some(0)
        {
            let due = &mut self.connections[index].due;
            let planned = schedule.planned(due.slot);
            let lag = now.saturating_sub(planned.max(due.free_since));
            due.slot += self.carriers as u64;
            due.messages -= 1;
            if self.window.contains(planned) {
                self.tally.histograms.send_lag.saturating_record(lag);
            }
            self.admit(index, 1, planned);
            sent = true;
        }
        if sent {
            self.go_on(index, now);
        }
    }

    /// Messages that were due and could not be sent by the end: the server did not keep up. They
    /// are recorded with the time that they have waited, which is less than their answers would
    /// have taken.
    pub(super) fn count_unsent(&mut self) {
        let Some(schedule) = self.schedule else { return };
        let end = self.window.end.min(self.clock.now());
        while schedule.planned(self.next_slot) < end {
            self.deal();
        }
        for connection in &mut self.connections[..self.carriers] {
            for _ in 0..std::mem::take(&mut connection.due.messages) {
                let planned = schedule.planned(connection.due.slot);
                connection.due.slot += self.carriers as u64;
                if self.window.contains(planned) {
                    self.tally.unsent += 1;
                    let waited = end.saturating_sub(planned);
                    self.tally.histograms.response.saturating_record(waited);
                }
            }
        }
    }

    /// After an interruption: what is due, and what is on its way.
    pub(super) fn count_unanswered(&mut self) {
        self.count_unsent();
        let now = self.clock.now();
        for connection in &self.connections[..self.carriers] {
            for stamps in connection.unanswered() {
                self.tally.given_up(&self.window, stamps, now, self.plan.is_open_loop());
            }
        }
    }

    /// Once every message is back, nothing else may come.
    pub(super) fn expect_silence(&mut self) {
        for index in 0..self.connections.len() {
            self.expect_nothing(index);
        }
    }

    fn expect_nothing(&mut self, index: usize) {
        let State::Open(socket) = &mut self.connections[index].state else { return };
        if let Ok(n @ 1..) = socket.receive(&mut self.input) {
            let fault = self.connections[index].surplus(&self.payload, &self.input[..n]);
            self.tally.fault(fault);
        }
    }

    /// Datagrams that have not come back in time are lost; in a closed loop others follow.
    pub(super) fn give_up_datagrams(&mut self, now: u64) {
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
                self.connections[index].due.free_since = now;
                if self.schedule.is_none() {
                    self.admit(index, lost, now);
                    self.go_on(index, now);
                } else {
                    self.offer(index);
                }
            }
        }
    }

    /// A connection that has gone wrong ends, and with it what was in flight on it.
    pub(super) fn fault(&mut self, index: usize, fault: Fault) {
        let is_datagram = self.is_datagram();
        let is_lost = fault.kind == ErrorKind::Lost;
        self.tally.fault(fault);
        if is_datagram {
            return;
        }
        let lost = self.connections[index].end();
        if index >= self.carriers {
            return;
        }
        self.in_flight -= lost;
        // The fault itself is about one of them.
        self.tally.lost((lost as u64).saturating_sub(u64::from(is_lost)));
        if self.plan.workload.churn && self.schedule.is_none() {
            let now = self.clock.now();
            // It is sent at the next look around: a server that refuses is not asked in a hurry.
            self.admit(index, 1, now);
        }
    }

    /// Messages whose connection could not be had get another.
    pub(super) fn try_again(&mut self, now: u64) {
        for index in 0..self.carriers {
            self.go_on(index, now);
        }
    }
}
