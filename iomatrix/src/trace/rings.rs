//! The counters of a process's rings (`io_uring`). They show how many operations a call carried,
//! because the call does not name them.

use std::collections::BTreeMap;

use harness::process::{self, RingCounters, RingId};
use report::trace::Operations;

/// The counters of each ring, or why they cannot be read.
pub(super) type RingReading = Result<BTreeMap<RingId, RingCounters>, String>;

/// Reads what the rings of a process have done so far.
pub(super) fn read(pid: u32) -> RingReading {
    process::rings(pid).map_err(|e| format!("rings of process {pid}: {e}"))
}

/// What went through the rings between two readings.
pub(super) fn operations(before: &RingReading, after: &RingReading) -> Operations {
    let (before, after) = match (before, after) {
        (Ok(before), Ok(after)) => (before, after),
        (Err(reason), _) | (_, Err(reason)) => {
            return Operations::NotTold { reason: reason.clone().into() };
        }
    };
    if before.is_empty() && after.is_empty() {
        return Operations::NoRing;
    }
    let (mut submissions, mut completions) = (0, 0);
    for (ring, now) in after {
        let then = before.get(ring).copied().unwrap_or_default();
        submissions += u64::from(now.submissions.wrapping_sub(then.submissions));
        completions += u64::from(now.completions.wrapping_sub(then.completions));
    }
    Operations::Counted { submissions, completions }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rings(all: &[(u32, u32, u32)]) -> RingReading {
        let ring = |&(descriptor, submissions, completions): &(u32, u32, u32)| {
            (RingId { pid: 7, descriptor, inode: 1 }, RingCounters { submissions, completions })
        };
        Ok(all.iter().map(ring).collect())
    }

    #[test]
    fn counters_are_summed_over_rings_and_wrap() {
        let (before, after) = (rings(&[(5, u32::MAX, 7)]), rings(&[(5, 1, 9), (6, 3, 3)]));
        let expected = Operations::Counted { submissions: 5, completions: 5 };
        assert_eq!(operations(&before, &after), expected);
        assert_eq!(operations(&rings(&[]), &rings(&[])), Operations::NoRing);
        let untold = operations(&Err("no".to_owned()), &after);
        assert_eq!(untold, Operations::NotTold { reason: "no".to_owned().into() });
    }
}
