//! When the messages of an open loop are due: slots at equal distances, dealt out to threads and,
//! within a thread, to its connections in turn.

use report::load::Arrival;

use crate::clock::SECOND;

/// The slots of one thread.
#[derive(Debug)]
pub(crate) struct Slots {
    start: u64,
    interval: f64,
    first: u64,
    step: u64,
    /// The slot that is dealt next.
    next: u64,
    /// What each connection was dealt and has not taken.
    hands: Vec<Hand>,
}

/// Messages that are due on a connection and not given to it yet.
#[derive(Clone, Copy, Debug)]
struct Hand {
    /// How many.
    messages: u64,
    /// Slot of the first of them.
    slot: u64,
    /// When the connection last got room for another message.
    free_since: u64,
}

/// A message that a connection takes from the schedule.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Due {
    pub(crate) planned: u64,
    /// How much later than it could have it is sent.
    pub(crate) lag: u64,
}

impl Slots {
    /// The slots of a thread of so many, for so many connections; none in a closed loop.
    pub(crate) fn new(
        arrival: Arrival,
        start: u64,
        thread: usize,
        threads: usize,
        connections: usize,
    ) -> Option<Self> {
        let hand = |index| Hand { messages: 0, slot: index as u64, free_since: 0 };
        match arrival {
            Arrival::Closed => None,
            Arrival::Open { messages_per_second } => Some(Self {
                start,
                interval: SECOND as f64 / messages_per_second,
                first: thread as u64,
                step: threads as u64,
                next: 0,
                hands: (0..connections).map(hand).collect(),
            }),
        }
    }

    /// The time of the slot that is dealt next.
    #[inline]
    pub(crate) fn next_planned(&self) -> u64 {
        self.planned(self.next)
    }

    /// Gives the next slot to the connection whose turn it is, and says which one that is.
    pub(crate) fn deal(&mut self) -> usize {
        let index = usize::try_from(self.next % self.hands.len() as u64).unwrap_or(0);
        self.next += 1;
        self.hands[index].messages += 1;
        index
    }

    /// Whether a message is due on a connection.
    pub(crate) fn has_due(&self, index: usize) -> bool {
        self.hands[index].messages > 0
    }

    /// The next message that is due on a connection, which is sent `now`.
    pub(crate) fn take(&mut self, index: usize, now: u64) -> Option<Due> {
        let connections = self.hands.len() as u64;
        let hand = &mut self.hands[index];
        let (slot, free_since) = (hand.take(connections)?, hand.free_since);
        let planned = self.planned(slot);
        Some(Due { planned, lag: now.saturating_sub(planned.max(free_since)) })
    }

    /// Notes that a connection has room for another message.
    pub(crate) fn note_room(&mut self, index: usize, now: u64) {
        self.hands[index].free_since = now;
    }

    /// Deals out all slots before `end`, and tells `unsent` of the time of each message that no
    /// connection has taken.
    pub(crate) fn close(&mut self, end: u64, mut unsent: impl FnMut(u64)) {
        while self.next_planned() < end {
            self.deal();
        }
        let connections = self.hands.len() as u64;
        for index in 0..self.hands.len() {
            while let Some(slot) = self.hands[index].take(connections) {
                unsent(self.planned(slot));
            }
        }
    }

    /// The time of a slot. Multiplied and not added up, so that no error accumulates.
    #[inline]
    fn planned(&self, slot: u64) -> u64 {
        self.start + ((self.first + slot * self.step) as f64 * self.interval) as u64
    }
}

impl Hand {
    /// The slot of the first message; the next one is as many slots on as there are connections.
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
        let dealt: Vec<usize> = (0..5).map(|_| schedule.deal()).collect();
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
