//! When the messages of an open loop are due: slots at equal distances, dealt out to threads and,
//! within a thread, to its connections in turn.

use report::load::Arrival;

use crate::clock::SECOND;

/// The slots of one thread.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Schedule {
    start: u64,
    interval: f64,
    first: u64,
    step: u64,
}

impl Schedule {
    /// The slots of a thread of so many; none in a closed loop.
    pub(crate) fn new(arrival: Arrival, start: u64, thread: usize, threads: usize) -> Option<Self> {
        match arrival {
            Arrival::Closed => None,
            Arrival::Open { messages_per_second } => Some(Self {
                start,
                interval: SECOND as f64 / messages_per_second,
                first: thread as u64,
                step: threads as u64,
            }),
        }
    }

    /// The time of a slot. Multiplied and not added up, so that no error accumulates.
    #[inline]
    pub(crate) fn planned(&self, slot: u64) -> u64 {
        self.start + ((self.first + slot * self.step) as f64 * self.interval) as u64
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn threads_share_the_slots() {
        let arrival = Arrival::Open { messages_per_second: 1000.0 };
        let planned = |thread, slot| {
            Schedule::new(arrival, 5, thread, 2).map(|schedule| schedule.planned(slot))
        };
        assert_eq!(planned(0, 0), Some(5));
        assert_eq!(planned(1, 0), Some(1_000_005));
        assert_eq!(planned(0, 1), Some(2_000_005));
        assert_eq!(planned(1, 499_999), Some(999_999_000_005));
        assert!(Schedule::new(Arrival::Closed, 0, 0, 1).is_none());
    }
}
