//! Counts the submissions of a server: entries that the kernel has taken from its submission
//! queues.

use std::collections::BTreeMap;

use report::Failure;

use super::readings::RingId;
use super::{Process, system};

/// How many entries the kernel has taken from each ring of a server so far.
#[derive(Clone, Debug, Default)]
pub struct Submissions(BTreeMap<RingId, u32>);

impl Process {
    /// The submissions of the server's rings so far. A ring is not seen if a registered descriptor
    /// has replaced its descriptor (`IORING_SETUP_REGISTERED_FD_ONLY`).
    ///
    /// # Errors
    /// `harness` if the system does not report them.
    pub fn submissions(&self) -> Result<Submissions, Failure> {
        let rings = self.read_each("its submissions", system::rings)?.into_iter().flatten();
        Ok(Submissions(rings.map(|(ring, counters)| (ring, counters.submissions)).collect()))
    }
}

impl Submissions {
    /// The submissions since `before`; `None` if there has been no ring. The number is right as
    /// long as no ring gets 2^32 entries meanwhile. A ring that was closed meanwhile counts
    /// nothing; one that was set up meanwhile counts all its submissions.
    #[must_use]
    pub fn since(&self, before: &Self) -> Option<u64> {
        if self.0.is_empty() && before.0.is_empty() {
            return None;
        }
        let handed = |(ring, now): (&RingId, &u32)| {
            // The kernel's counters are 32 bits wide. A busy ring's counter wraps within an hour.
            u64::from(now.wrapping_sub(before.0.get(ring).copied().unwrap_or(0)))
        };
        Some(self.0.iter().map(handed).sum())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn submissions(each: &[(u32, u64, u32)]) -> Submissions {
        let ring = |&(descriptor, inode, taken)| (RingId { pid: 7, descriptor, inode }, taken);
        Submissions(each.iter().map(ring).collect())
    }

    #[test]
    fn each_ring_overflows_by_itself() {
        let before = submissions(&[(3, 1, u32::MAX - 9), (4, 2, 100)]);
        let now = submissions(&[(3, 1, 20), (4, 2, 105)]);
        assert_eq!(now.since(&before), Some(30 + 5));
        assert_eq!(before.since(&before), Some(0));
    }

    #[test]
    fn a_descriptor_that_is_another_ring_by_now_starts_anew() {
        let now = submissions(&[(3, 2, 50)]);
        assert_eq!(now.since(&submissions(&[(3, 1, 1000)])), Some(50));
    }

    #[test]
    fn no_ring_is_not_zero() {
        let none = Submissions::default();
        assert_eq!(none.since(&none), None);
        assert_eq!(submissions(&[(3, 1, 5)]).since(&none), Some(5));
        assert_eq!(none.since(&submissions(&[(3, 1, 5)])), Some(0));
    }
}
