//! Opening the connections before the load begins, some at a time so that no accept queue
//! overflows, and the echo that an idle connection has first.

use std::io;
use std::time::Duration;

use mio::Events;

use super::{EVENTS, LONGEST_WAIT, LoadLoop, Stop};
use crate::clock::SECOND;
use crate::connection::State;

/// Connections on their way at a time.
const PENDING: usize = 128;

/// How far the opening has come.
#[derive(Default)]
struct Progress {
    begun: usize,
    ready: usize,
}

impl LoadLoop<'_> {
    /// Opens all connections. With churn only the idle ones: the others come one by one.
    pub(super) fn open_connections(&mut self) -> Result<(), Stop> {
        let first = if self.plan.workload.churn { self.carriers } else { 0 };
        let mut progress = Progress { begun: first, ready: first };
        let mut events = Events::with_capacity(EVENTS);
        let start = self.clock.now();
        self.last_progress = start;
        while progress.ready < self.connections.len() {
            let has_room = self.begin_some(&mut progress, start, first)?;
            if progress.begun == progress.ready {
                // Nobody is waited for: the next one is not due yet.
                self.last_progress = self.clock.now();
            }
            let wait = if has_room { Duration::from_millis(1) } else { LONGEST_WAIT };
            match self.poll.poll(&mut events, Some(wait)) {
                Err(error) if error.kind() != io::ErrorKind::Interrupted => {
                    return Err(Stop::GivenUp(format!("waiting for sockets: {error}")));
                }
                Err(_) | Ok(()) => {}
            }
            for event in events.iter() {
                if self.on_opening(event.token().0)? {
                    progress.ready += 1;
                    self.last_progress = self.clock.now();
                }
            }
            if self.shared.is_stopped() {
                return Err(Stop::Asked);
            }
            if self.clock.now() - self.last_progress > self.plan.patience_ns {
                return Err(Stop::GivenUp(format!(
                    "{} of {} connections were open, and no more for {} s",
                    progress.ready,
                    self.connections.len(),
                    self.plan.patience_ns / SECOND
                )));
            }
        }
        Ok(())
    }

    /// Begins as many as may be on their way. Says whether there could be more soon.
    fn begin_some(
        &mut self,
        progress: &mut Progress,
        start: u64,
        first: usize,
    ) -> Result<bool, Stop> {
        while progress.begun < self.connections.len() && progress.begun - progress.ready < PENDING {
            let rate = self.plan.workload.connect_rate.map(|rate| rate / self.plan.threads as f64);
            let due = rate.map_or(0, |rate| {
                start + ((progress.begun - first) as f64 / rate * SECOND as f64) as u64
            });
            if self.clock.now() < due {
                return Ok(true);
            }
            match self.begin_connecting(progress.begun) {
                Ok(()) => progress.begun += 1,
                // A Unix listener's queue is full: its server takes some first.
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Ok(true),
                Err(error) => return Err(self.cannot_open(progress.begun, &error.to_string())),
            }
        }
        Ok(false)
    }

    /// Goes on with one connection. Says whether it has become ready just now.
    fn on_opening(&mut self, index: usize) -> Result<bool, Stop> {
        let was_open = self.connections[index].is_open();
        match self.is_established(index) {
            Err(fault) => return Err(self.cannot_open(index, &fault.text)),
            Ok(false) => return Ok(false),
            Ok(true) => {}
        }
        if index < self.carriers {
            return Ok(!was_open);
        }
        let now = self.clock.now();
        if !was_open {
            self.connections[index].admit(now);
            self.flush(index, now);
            return Ok(false);
        }
        let before = self.connections[index].in_flight();
        self.receive(index, true);
        let connection = &self.connections[index];
        if matches!(connection.state, State::Ended) {
            let said = self.tally.notes.last().cloned().unwrap_or_default();
            return Err(self.cannot_open(index, &said));
        }
        Ok(before == 1 && connection.in_flight() == 0)
    }

    fn cannot_open(&self, index: usize, error: &str) -> Stop {
        let (count, address) = (self.connections.len(), &self.plan.workload.target);
        Stop::GivenUp(format!(
            "cannot open connection {} of {count} to {address}: {error}",
            index + 1
        ))
    }
}
