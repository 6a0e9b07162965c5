//! The end of a load: the wait for the last answers, and what becomes of messages that have none.

use mio::Events;

use super::{EVENTS, LoadLoop};
use crate::shared::Stop;

/// 1 MB/s: what the last answers may take at the most, beyond twice the patience.
const DRAIN_NS_PER_BYTE: u64 = 1000;

impl LoadLoop<'_> {
    /// The wait for the answers to what was sent.
    pub(super) fn drain(&mut self) -> Result<(), Stop> {
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

    /// What is still in flight at the end is lost, or after an interruption counts with the time
    /// that it has taken so far; and connections are closed.
    pub(super) fn finish(&mut self, stop: Option<&Stop>) {
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

    /// Messages that were due and could not be sent by the end: the server did not keep up. They
    /// are recorded with the time that they have waited, which is less than their answers would
    /// have taken.
    fn count_unsent(&mut self) {
        let Some(schedule) = &mut self.schedule else { return };
        let Self { window, tally, .. } = self;
        let end = window.end.min(self.clock.now());
        schedule.close(end, |planned| {
            if window.contains(planned) {
                tally.unsent += 1;
                tally.histograms.response.saturating_record(end.saturating_sub(planned));
            }
        });
    }

    /// After an interruption: what is due, and what is on its way.
    fn count_unanswered(&mut self) {
        self.count_unsent();
        let now = self.clock.now();
        for connection in &self.connections[..self.carriers] {
            for stamps in connection.unanswered() {
                self.tally.given_up(&self.window, stamps, now, self.plan.is_open_loop());
            }
        }
    }

    /// Once every message is back, nothing else may come.
    fn expect_silence(&mut self) {
        for index in 0..self.connections.len() {
            self.expect_nothing(index);
        }
    }
}
