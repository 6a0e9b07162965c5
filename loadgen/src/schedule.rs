//! When the messages of an open loop are due. Slots at equal intervals are assigned to the threads
//! in turn, and by each thread to its connections in turn.

use report::load::Arrival;

use crate::clock::SECOND;

/// The slots of one thread.
#[derive(Debug)]
pub(crate) struct Slots {
    start: u64,
    interval: f64,
    first: u64,
    step: u64,
    /// Index of the slot that is assigned next.
    next: u64,
    /// What each connection was assigned and has not taken.
    queues: Vec<DueQueue>,
}

/// Messages that are due on a connection, but not admitted to it yet.
#[derive(Clone, Copy, Debug)]
struct DueQueue {
    messages: u64,
    /// Slot of the first of these messages.
    slot: u64,
    /// When the connection last got room for another message.
    free_since: u64,
}

/// A message that a connection takes from the schedule.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Due {
    pub(crate) planned: u64,
    /// Time from when the message was due and the connection had room for it until it is sent.
    pub(crate) lag: u64,
}

impl Slots {
    /// The slots of thread number `thread`; `None` in a closed loop.
    pub(crate) fn new(
        arrival: Arrival,
        start: u64,
        thread: usize,
        threads: usize,
        connections: usize,
    ) -> Option<Self> {
        let queue = |index| DueQueue { messages: 0, slot: index as u64, free_since: 0 };
        match arrival {
            Arrival::Closed => None,
            Arrival::Open { messages_per_second } => Some(Self {
                start,
                interval: SECOND as f64 / messages_per_second,
                first: thread as u64,
                step: threads as u64,
                next: 0,
                queues: (0..connections).map(queue).collect(),
            }),
        }
    }

    /// The time of the slot that is assigned next.
    #[inline]
    pub(crate) fn next_planned(&self) -> u64 {
        self.planned(self.next)
    }

    /// Assigns the next slot to the connection whose turn it is, and returns its index.
    pub(crate) fn assign_next(&mut self) -> usize {
        let index = usize::try_from(self.next % self.queues.len() as u64).unwrap_or(0);
        self.next += 1;
        self.queues[index].messages += 1;
        index
    }

    pub(crate) fn has_due(&self, index: usize) -> bool {
        self.queues[index].messages > 0
    }

    /// Takes the next message that is due on a connection, to be sent at `now`.
    pub(crate) fn take(&mut self, index: usize, now: u64) -> Option<Due> {
        let connections = self.queues.len() as u64;
        let queue = &mut self.queues[index];
        let (slot, free_since) = (queue.take(connections)?, queue.free_since);
        let planned = self.planned(slot);
        Some(Due { planned, lag: now.saturating_sub(planned.max(free_since)) })
    }

    /// Records that a connection has room for another message from `now` on.
    pub(crate) fn note_room(&mut self, index: usize, now: u64) {
        self.queues[index].free_since = now;
    }

    /// Assigns all slots before `end`. Calls `unsent` with the time of each message that no
    /// connection has taken.
    pub(crate) fn close(&mut self, end: u64, mut unsent: impl FnMut(u64)) {
        while self.next_planned() < end {
            self.assign_next();
        }
        let connections = self.queues.len() as u64;
        for index in 0..self.queues.len() {
            while let Some(slot) = self.queues[index].take(connections) {
                unsent(self.planned(slot));
            }
        }
    }

    /// The time of a slot. It is a product and not a running sum, so that errors do not accumulate.
    #[inline]
    fn planned(&self, slot: u64) -> u64 {
        self.start + ((self.first + slot * self.step) as f64 * self.interval) as u64
    }
}

impl DueQueue {
    /// Takes the first message and returns its slot. The slot of the next is `connections` higher.
    fn take(&mut self, connections: u64) -> Option<u64> {
        let slot = self.slot;
        self.messages = self.messages.checked_sub(1)?;
        self.slot += connections;
        Some(slot)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const THOUSAND: Arrival = Arrival::Open { messages_per_second: 1000.0 };

    #[test]
    fn threads_share_the_slots() {
        let planned = |thread, slot| {
            Slots::new(THOUSAND, 5, thread, 2, 1).map(|schedule| schedule.planned(slot))
        };
        assert_eq!(planned(0, 0), Some(5));
        assert_eq!(planned(1, 0), Some(1_000_005));
        assert_eq!(planned(0, 1), Some(2_000_005));
        assert_eq!(planned(1, 499_999), Some(999_999_000_005));
        assert!(Slots::new(Arrival::Closed, 0, 0, 1, 1).is_none());
    }

    #[test]
    fn connections_take_their_slots_in_turn_and_lag_only_since_they_have_room() {
        let mut schedule = Slots::new(THOUSAND, 0, 0, 1, 2).unwrap();
        let dealt: Vec<usize> = (0..5).map(|_| schedule.assign_next()).collect();
        assert_eq!(dealt, [0, 1, 0, 1, 0]);
        assert_eq!(schedule.take(1, 1_000_001), Some(Due { planned: 1_000_000, lag: 1 }));
        schedule.note_room(1, 5_000_000);
        assert_eq!(schedule.take(1, 5_000_002), Some(Due { planned: 3_000_000, lag: 2 }));
        assert_eq!(schedule.take(1, 5_000_002), None);
        assert!(schedule.has_due(0));
        let mut unsent = Vec::new();
        schedule.close(6_000_000, |planned| unsent.push(planned));
        assert_eq!(unsent, [0, 2_000_000, 4_000_000, 5_000_000]);
        assert_eq!(schedule.next_planned(), 6_000_000);
    }
}
