//! Opening the connections before the load begins, some at a time so that no accept queue
//! overflows, and the echo that an idle connection has first.

use std::io;
use std::time::Duration;

use mio::Events;
use report::Transport;

use super::{EVENTS, LONGEST_WAIT, LoadLoop};
use crate::clock::SECOND;
use crate::connection::State;
use crate::plan::Plan;
use crate::shared::Stop;

/// Connections on their way at a time.
const PENDING: usize = 128;

/// Why the connections of a thread are not open.
#[derive(Debug)]
pub(crate) enum OpenError {
    /// The load is over, or the server does not take them.
    Stopped(Stop),
    /// This host does not let the generator work.
    Failed(anyhow::Error),
}

/// The connections of a thread on their way.
struct Opening<'l, 'a> {
    load: &'l mut LoadLoop<'a>,
    /// The first that is opened before the load begins.
    first: usize,
    /// When the first was begun.
    start: u64,
    /// How many are begun, and how many of them ready.
    begun: usize,
    ready: usize,
}

impl LoadLoop<'_> {
    /// Opens all connections. With churn only the idle ones: the others come one by one.
    pub(super) fn open_connections(&mut self) -> Result<(), Stop> {
        let first = if self.plan.workload.churn { self.carriers } else { 0 };
        let start = self.clock.now();
        Opening { load: self, first, start, begun: first, ready: first }.run()
    }
}

impl Opening<'_, '_> {
    fn run(&mut self) -> Result<(), Stop> {
        let mut events = Events::with_capacity(EVENTS);
        self.load.last_progress = self.start;
        while self.ready < self.load.connections.len() {
            let has_room = self.begin_some()?;
            if self.begun == self.ready {
                // Nobody is waited for: the next one is not due yet.
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

    /// Begins as many as may be on their way. Says whether there could be more soon.
    fn begin_some(&mut self) -> Result<bool, Stop> {
        let Plan { workload, threads, .. } = self.load.plan;
        let rate = workload.connect_rate.map(|rate| rate / *threads as f64);
        while self.begun < self.load.connections.len() && self.begun - self.ready < PENDING {
            let due = rate.map_or(0, |rate| {
                self.start + ((self.begun - self.first) as f64 / rate * SECOND as f64) as u64
            });
            if self.load.clock.now() < due {
                return Ok(true);
            }
            match self.load.begin_connecting(self.begun) {
                Ok(()) => self.begun += 1,
                // A Unix listener's queue is full: its server takes some first.
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Ok(true),
                Err(error) if self.may_be_full(&error) => return Ok(true),
                Err(error) => return Err(self.refusal(self.begun, &error.to_string())),
            }
        }
        Ok(false)
    }

    /// A full queue of a Unix listener refuses on macOS and the BSDs, as a server that is gone does
    /// everywhere. One that took others before may only be full: if it is gone, nothing more opens.
    fn may_be_full(&self, error: &io::Error) -> bool {
        let is_path = self.load.plan.workload.target.transport == Transport::Unix;
        let refuses = cfg!(not(target_os = "linux"));
        let is_refused = error.kind() == io::ErrorKind::ConnectionRefused;
        refuses && is_path && is_refused && self.begun > self.first
    }

    /// Goes on with one connection. Says whether it has become ready just now.
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

    /// Why a connection cannot be opened.
    fn refusal(&self, index: usize, error: &str) -> Stop {
        let count = self.load.connections.len();
        let address = self.load.plan.workload.target.words().on_terminal();
        Stop::GivenUp(format!(
            "cannot open connection {} of {count} to {address}: {error}",
            index + 1
        ))
    }
}
