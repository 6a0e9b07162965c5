//! Opens the connections before the load begins. Only some are opened at a time, so that no backlog
//! overflows, and an idle connection gets one echo first.

use std::io;
use std::time::Duration;

use mio::Events;
use report::Transport;

use super::{EVENTS, LONGEST_WAIT, LoadLoop};
use crate::clock::SECOND;
use crate::connection::State;
use crate::plan::Plan;
use crate::shared::Stop;

/// How many connections of a thread may be pending at a time. Several threads together must not
/// fill the accept queue of macOS, which has room for 128 by default.
const PENDING: usize = 32;

/// Why the connections of a thread are not open.
#[derive(Debug)]
pub(crate) enum OpenError {
    /// The load was stopped, or the server does not accept the connections.
    Stopped(Stop),
    /// The generator cannot work on this host.
    Failed(anyhow::Error),
}

/// The connections of a thread while they are being opened.
struct Opening<'l, 'a> {
    load: &'l mut LoadLoop<'a>,
    /// Index of the first connection that is opened before the load begins.
    first: usize,
    /// When opening began.
    start: u64,
    /// Index of the next connection to open.
    next: usize,
    /// `first`, plus the number of connections that are ready.
    ready: usize,
}

impl LoadLoop<'_> {
    /// Opens all connections. With churn, it opens only the idle ones, because each of the others
    /// is opened for its message.
    pub(super) fn open_connections(&mut self) -> Result<(), Stop> {
        let first = if self.plan.workload.churn { self.carriers } else { 0 };
        let start = self.clock.now();
        Opening { load: self, first, start, next: first, ready: first }.run()
    }
}

impl Opening<'_, '_> {
    fn run(&mut self) -> Result<(), Stop> {
        let mut events = Events::with_capacity(EVENTS);
        self.load.last_progress = self.start;
        while self.ready < self.load.connections.len() {
            let has_room = self.begin_connections()?;
            if self.next == self.ready {
                // The next connection is not due yet, so there is no stall.
                self.load.last_progress = self.load.clock.now();
            }
            let wait = if has_room { Duration::from_millis(1) } else { LONGEST_WAIT };
            match self.load.poll.poll(&mut events, Some(wait)) {
                Err(error) if error.kind() != io::ErrorKind::Interrupted => {
                    return Err(Stop::GivenUp(format!("waiting for sockets: {error}")));
                }
                Err(_) | Ok(()) => {}
            }
            for event in events.iter() {
                if self.on_event(event.token().0)? {
                    self.ready += 1;
                    self.load.last_progress = self.load.clock.now();
                }
            }
            if self.load.shared.is_stopped() {
                return Err(Stop::Asked);
            }
            if self.load.clock.now() - self.load.last_progress > self.load.plan.patience_ns {
                return Err(Stop::GivenUp(format!(
                    "{} of {} connections were open, and no more for {} s",
                    self.ready,
                    self.load.connections.len(),
                    self.load.plan.patience_ns / SECOND
                )));
            }
        }
        Ok(())
    }

    /// Begins to open as many connections as may be pending. Returns whether more may follow soon.
    fn begin_connections(&mut self) -> Result<bool, Stop> {
        let Plan { workload, threads, .. } = self.load.plan;
        let rate = workload.connect_rate.map(|rate| rate / *threads as f64);
        while self.next < self.load.connections.len() && self.next - self.ready < PENDING {
            let due = rate.map_or(0, |rate| {
                self.start + ((self.next - self.first) as f64 / rate * SECOND as f64) as u64
            });
            if self.load.clock.now() < due {
                return Ok(true);
            }
            match self.load.begin_connecting(self.next) {
                Ok(()) => self.next += 1,
                // The backlog of a Unix listener is full until its server accepts.
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Ok(true),
                Err(error) if self.may_be_full(&error) => return Ok(true),
                Err(error) => return Err(self.refusal(self.next, &error.to_string())),
            }
        }
        Ok(false)
    }

    /// On macOS and the BSDs, a Unix listener refuses when its backlog is full, as a server that is
    /// gone does everywhere. If others were accepted before, the backlog may be the reason; if the
    /// server is gone, the patience ends the wait.
    fn may_be_full(&self, error: &io::Error) -> bool {
        let is_path = self.load.plan.workload.target.transport == Transport::Unix;
        let refuses = cfg!(not(target_os = "linux"));
        let is_refused = error.kind() == io::ErrorKind::ConnectionRefused;
        refuses && is_path && is_refused && self.next > self.first
    }

    /// Handles an event of one connection. Returns whether it has just become ready.
    fn on_event(&mut self, index: usize) -> Result<bool, Stop> {
        let was_open = self.load.connections[index].is_open();
        match self.load.is_established(index) {
            Err(error) => return Err(self.refusal(index, &error.text)),
            Ok(false) => return Ok(false),
            Ok(true) => {}
        }
        if index < self.load.carriers {
            return Ok(!was_open);
        }
        let now = self.load.clock.now();
        if !was_open {
            self.load.connections[index].admit(now);
            self.load.flush(index, now);
            return Ok(false);
        }
        let before = self.load.connections[index].in_flight();
        self.load.receive(index, true);
        let connection = &self.load.connections[index];
        if matches!(connection.state, State::Ended) {
            let said = self.load.tally.notes.last().cloned().unwrap_or_default();
            return Err(self.refusal(index, &said));
        }
        Ok(before == 1 && connection.in_flight() == 0)
    }

    fn refusal(&self, index: usize, error: &str) -> Stop {
        let count = self.load.connections.len();
        let address = self.load.plan.workload.target.words().on_terminal();
        Stop::GivenUp(format!(
            "cannot open connection {} of {count} to {address}: {error}",
            index + 1
        ))
    }
}
