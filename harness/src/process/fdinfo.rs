//! What Linux tells of another process's rings, in the `fdinfo` of their descriptors.

use std::collections::BTreeMap;
use std::fs;
use std::io;
use std::thread;
use std::time::{Duration, Instant};

use super::links::{holding, is_link};
use super::readings::{RingCounters, RingId};

/// What the descriptor of a ring is a link to.
const RING: &str = "anon_inode:[io_uring]";

/// The rings of a process, by their descriptors.
pub(super) fn rings(pid: u32) -> io::Result<BTreeMap<RingId, RingCounters>> {
    let mut rings = BTreeMap::new();
    for number in holding(pid, RING)? {
        // A runtime may set up a ring just to ask what the kernel offers.
        if let Some((inode, counters)) = look(pid, &number)? {
            let descriptor = number.parse().map_err(io::Error::other)?;
            rings.insert(RingId { pid, descriptor, inode }, counters);
        }
    }
    Ok(rings)
}

/// A ring's inode, and what it has had; `None` once it is closed. While the kernel holds the ring's
/// lock, fdinfo lacks the counters (`mutex_trylock` in io_uring/fdinfo.c), so it is read again.
fn look(pid: u32, number: &str) -> io::Result<Option<(u64, RingCounters)>> {
    const PATIENCE: Duration = Duration::from_secs(5);
    let start = Instant::now();
    loop {
        let text = match fs::read_to_string(format!("/proc/{pid}/fdinfo/{number}")) {
            Ok(text) => text,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(error),
        };
        match parse(&text) {
            Some(ring) => return Ok(Some(ring)),
            // Its number may belong to another file by now.
            None if !is_link(format!("/proc/{pid}/fd/{number}"), RING) => return Ok(None),
            None if start.elapsed() < PATIENCE => thread::sleep(Duration::from_millis(1)),
            None => return Err(io::Error::other("fdinfo without CachedSqHead and CqTail")),
        }
    }
}

/// As `__io_uring_show_fdinfo` writes it (io_uring/fdinfo.c in the kernel).
fn parse(text: &str) -> Option<(u64, RingCounters)> {
    let number = |name: &str| {
        let mut lines = text.lines();
        lines.find_map(|line| line.strip_prefix(name)?.strip_prefix(':'))?.trim().parse().ok()
    };
    let counters = RingCounters {
        submissions: u32::try_from(number("CachedSqHead")?).ok()?,
        completions: u32::try_from(number("CqTail")?).ok()?,
    };
    // Linux tells it since 5.14.
    Some((number("ino").unwrap_or(0), counters))
}

#[cfg(test)]
mod tests {
    use std::os::fd::AsRawFd as _;
    use std::sync::atomic::{AtomicBool, Ordering};

    use super::*;

    /// As Linux 6.18 writes it.
    const TOLD: &str = "pos:\t0\nflags:\t02000002\nmnt_id:\t17\nino:\t302132\nSqMask:\t0xff\n\
                        SqHead:\t22590\nSqTail:\t22599\nCachedSqHead:\t22596\nCqMask:\t0xfff\n\
                        CqHead:\t22580\nCqTail:\t22589\nCachedCqTail:\t22588\nSQEs:\t0\n";

    #[test]
    fn a_ring_is_read_only_when_all_of_it_is_told() {
        let counters = RingCounters { submissions: 22_596, completions: 22_589 };
        assert_eq!(parse(TOLD), Some((302_132, counters)));
        let busy = TOLD.split_once("SqMask").map(|(before, _)| before);
        assert_eq!(busy.and_then(parse), None);
    }

    #[test]
    fn a_ring_without_work_is_a_ring() {
        // Where no ring can be set up, there is none to be seen either.
        let Ok(ring) = io_uring::IoUring::new(2) else { return };
        let all = rings(std::process::id()).unwrap();
        // Other tests have rings too.
        let descriptor = ring.as_raw_fd().unsigned_abs();
        let own = all.iter().find(|(id, _)| id.descriptor == descriptor);
        let (id, counters) = own.unwrap();
        assert!(counters.submissions == 0 && id.inode != 0, "{own:?}");
    }

    #[test]
    fn a_ring_that_is_closed_meanwhile_is_no_error() {
        let ended = AtomicBool::new(false);
        thread::scope(|scope| {
            // Where no ring can be set up, there is none to be seen either.
            scope.spawn(|| {
                while !ended.load(Ordering::Relaxed) {
                    drop(io_uring::IoUring::new(2));
                }
            });
            let looks: Vec<_> = (0..2000).map(|_| rings(std::process::id())).collect();
            ended.store(true, Ordering::Relaxed);
            assert!(looks.iter().all(Result::is_ok), "{looks:?}");
        });
    }
}
