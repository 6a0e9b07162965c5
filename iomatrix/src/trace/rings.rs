//! The counters of a process's rings (`io_uring`), which say what went through a call that names
//! none of it. The kernel shows them beside the descriptor (io_uring/fdinfo.c).

use std::collections::BTreeMap;
use std::fs;
use std::io;
use std::thread;
use std::time::Duration;

use harness::deadline::Deadline;
use report::trace::Operations;

/// What the descriptor of a ring is a link to.
const RING: &str = "anon_inode:[io_uring]";

/// The counters of each ring, by its descriptor, or why there are none.
pub(super) type RingCounters = Result<BTreeMap<String, Counters>, String>;

/// How many entries have gone through a ring. The kernel's numbers are 32 bits wide and wrap.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Counters {
    submissions: u32,
    completions: u32,
}

/// What the rings of a process have done so far.
pub(super) fn look(pid: u32, deadline: Deadline) -> RingCounters {
    let unknown = |e: io::Error| format!("descriptors of process {pid}: {e}");
    let mut rings = BTreeMap::new();
    for entry in fs::read_dir(format!("/proc/{pid}/fd")).map_err(unknown)? {
        let entry = entry.map_err(unknown)?;
        if fs::read_link(entry.path()).is_ok_and(|link| link.as_os_str() == RING) {
            let number = entry.file_name().to_string_lossy().into_owned();
            let counters = counters(&format!("/proc/{pid}/fdinfo/{number}"), deadline)?;
            rings.insert(number, counters);
        }
    }
    Ok(rings)
}

/// While the kernel works on a ring it tells nothing of it (`mutex_trylock`), so it is asked again.
fn counters(path: &str, deadline: Deadline) -> Result<Counters, String> {
    loop {
        let text = fs::read_to_string(path).map_err(|e| format!("{path}: {e}"))?;
        if let Some(counters) = Counters::parse(&text) {
            return Ok(counters);
        }
        if deadline.is_over() {
            return Err(format!("{path} has no CachedSqHead and CqTail"));
        }
        thread::sleep(Duration::from_millis(1));
    }
}

impl Counters {
    fn parse(text: &str) -> Option<Self> {
        let number =
            |name: &str| text.lines().find_map(|line| line.strip_prefix(name)?.trim().parse().ok());
        Some(Self { submissions: number("CachedSqHead:")?, completions: number("CqTail:")? })
    }
}

/// What went through the rings from one look to another.
pub(super) fn operations(before: &RingCounters, after: &RingCounters) -> Operations {
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
    for (number, now) in after {
        let then = before.get(number).copied().unwrap_or_default();
        submissions += u64::from(now.submissions.wrapping_sub(then.submissions));
        completions += u64::from(now.completions.wrapping_sub(then.completions));
    }
    Operations::Counted { submissions, completions }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rings(all: &[(&str, u32, u32)]) -> RingCounters {
        let ring = |&(number, submissions, completions): &(&str, u32, u32)| {
            (number.to_owned(), Counters { submissions, completions })
        };
        Ok(all.iter().map(ring).collect())
    }

    #[test]
    fn counters_are_summed_over_rings_and_wrap() {
        let (before, after) = (rings(&[("5", u32::MAX, 7)]), rings(&[("5", 1, 9), ("6", 3, 3)]));
        let expected = Operations::Counted { submissions: 5, completions: 5 };
        assert_eq!(operations(&before, &after), expected);
        assert_eq!(operations(&rings(&[]), &rings(&[])), Operations::NoRing);
        let untold = operations(&Err("no".to_owned()), &after);
        assert_eq!(untold, Operations::NotTold { reason: "no".to_owned().into() });
    }

    #[test]
    fn a_ring_that_is_worked_on_tells_nothing() {
        let text =
            "pos:\t0\nSqTail:\t2\nCachedSqHead:\t2\nCqHead:\t0\nCqTail:\t4\nCachedCqTail:\t4\n";
        assert_eq!(Counters::parse(text), Some(Counters { submissions: 2, completions: 4 }));
        assert_eq!(Counters::parse("pos:\t0\nSqHead:\t2\n"), None);
    }
}
