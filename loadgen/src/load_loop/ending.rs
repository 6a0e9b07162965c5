//! The end of a load: waits for the last answers, and counts the messages that have none.

use mio::Events;

use super::{EVENTS, LoadLoop};
use crate::shared::Stop;

/// The last answers may take twice the patience, and this time per byte (1 MB/s).
const DRAIN_NS_PER_BYTE: u64 = 1000;

impl LoadLoop<'_> {
    /// Waits for the answers to what was sent.
    pub(super) fn drain(&mut self) -> Result<(), Stop> {
        if self.remaining_messages != Some(0) {
            self.count_unsent();
        }
        self.schedule = None;
        self.remaining_messages = Some(0);
        // A trickle counts as progress, so the wait is also bounded in total.
        let bytes = self.in_flight as u64 * u64::from(self.plan.workload.sizes.longest());
        let ends = self.clock.now() + 2 * self.plan.patience_ns + bytes * DRAIN_NS_PER_BYTE;
        let mut events = Events::with_capacity(EVENTS);
        while self.in_flight > 0 {
            let now = self.clock.now();
            if now >= ends {
                return Err(Stop::GivenUp("the last answers took too long".to_owned()));
            }
            self.check_progress(now)?;
            self.poll_once(&mut events, now)?;
        }
        Ok(())
    }

    /// Closes all connections. Messages in flight are lost if the load was given up. After an
    /// interruption they count with the time that they have taken so far.
    pub(super) fn finish(&mut self, stop: Option<&Stop>) {
        match stop {
            None => self.expect_silence(),
            Some(Stop::Asked) => self.count_unanswered(),
            Some(Stop::GivenUp(_)) => {}
        }
        for connection in &mut self.connections {
            let lost = connection.end() as u64;
            if matches!(stop, Some(Stop::GivenUp(_))) {
                self.tally.add_lost(lost);
            }
        }
    }

    /// Counts the messages that were due but could not be sent by the end, because the server did
    /// not keep up. Each is recorded with the time that it has waited, which is less than its
    /// answer would have taken.
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

    /// Counts, after an interruption, the messages that are due and those in flight.
    fn count_unanswered(&mut self) {
        self.count_unsent();
        let now = self.clock.now();
        for connection in &self.connections[..self.carriers] {
            for stamps in connection.unanswered_stamps() {
                self.tally.record_given_up(&self.window, stamps, now, self.plan.is_open_loop());
            }
        }
    }

    /// Reports bytes that came although every message is back.
    fn expect_silence(&mut self) {
        for index in 0..self.connections.len() {
            self.expect_nothing(index);
        }
    }
}
