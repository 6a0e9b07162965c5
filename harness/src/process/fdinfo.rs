//! Reads the rings of another process from the `fdinfo` of their descriptors.

use std::collections::BTreeMap;
use std::fs;
use std::io;
use std::thread;
use std::time::{Duration, Instant};

use super::links::{Target, find_descriptors, socket, target};
use super::readings::{RingCounters, RingId};

/// A ring of another process.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Ring {
    /// Its inode; 0 before Linux 5.14, which does not show it.
    inode: u64,
    /// Linux shows them since 5.16.
    pub(super) counters: Option<RingCounters>,
    /// Pending operations that receive as soon as there is input.
    pub(super) pending_receives: usize,
    /// The inodes of the sockets in its file table, whether or not they also have a descriptor.
    pub(super) sockets: Vec<u64>,
}

/// The rings of a process.
pub(super) fn read_rings(pid: u32) -> io::Result<BTreeMap<RingId, Ring>> {
    let mut rings = BTreeMap::new();
    for descriptor in find_descriptors(pid, Target::Ring)? {
        // A runtime may set up a ring only to ask what the kernel offers, and close it again.
        if let Some(ring) = read_ring(pid, descriptor)? {
            rings.insert(RingId { pid, descriptor, inode: ring.inode }, ring);
        }
    }
    Ok(rings)
}

pub(super) fn rings(pid: u32) -> io::Result<BTreeMap<RingId, RingCounters>> {
    let untold = || io::Error::other("this kernel does not count in fdinfo what rings complete");
    let counted = |(id, ring): (_, Ring)| Ok((id, ring.counters.ok_or_else(untold)?));
    read_rings(pid)?.into_iter().map(counted).collect()
}

/// Reads a ring; `None` once it is closed. While the ring's lock is held, fdinfo may show nothing
/// of the ring (`mutex_trylock` in io_uring/fdinfo.c), so this reads it again.
fn read_ring(pid: u32, descriptor: u32) -> io::Result<Option<Ring>> {
    const PATIENCE: Duration = Duration::from_secs(5);
    let start = Instant::now();
    loop {
        let text = match fs::read_to_string(format!("/proc/{pid}/fdinfo/{descriptor}")) {
            Ok(text) => text,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(error),
        };
        match parse(&text) {
            Some(ring) => return Ok(Some(ring)),
            // The number may belong to another file by now.
            None if target(format!("/proc/{pid}/fd/{descriptor}")) != Target::Ring => {
                return Ok(None);
            }
            None if start.elapsed() < PATIENCE => thread::sleep(Duration::from_millis(1)),
            None => return Err(io::Error::other("fdinfo says nothing of a ring")),
        }
    }
}

/// The operations that receive, numbered as in the kernel's `io_uring.h`: READV, READ_FIXED,
/// RECVMSG, READ, RECV, READ_MULTISHOT, RECV_ZC.
const RECEIVES: [u32; 7] = [1, 4, 10, 22, 27, 49, 58];

/// Parses the text of `__io_uring_show_fdinfo` (io_uring/fdinfo.c in the kernel); `None` if it
/// shows nothing of the ring.
fn parse(text: &str) -> Option<Ring> {
    let value = |name: &str| {
        let mut lines = text.lines();
        lines.find_map(|line| line.strip_prefix(name)?.strip_prefix(':')).map(str::trim)
    };
    let number = |name: &str| value(name)?.parse::<u32>().ok();
    let (submissions, completions) = (number("CachedSqHead"), number("CqTail"));
    // Every kernel shows one of these two.
    if completions.is_none() && value("UserFiles").is_none() {
        return None;
    }
    let counters = submissions
        .zip(completions)
        .map(|(submissions, completions)| RingCounters { submissions, completions });
    let armed = |line: &str| line.trim_start().strip_prefix("op=")?.split(',').next()?.parse().ok();
    let pending_receives =
        text.lines().filter_map(armed).filter(|op| RECEIVES.contains(op)).count();
    let of_file = |line: &str| socket(line.split_once(':').map(|(_, file)| file.trim())?);
    let sockets = text.lines().skip_while(|line| !line.starts_with("UserFiles:")).skip(1);
    let sockets = sockets.take_while(|line| line.starts_with(' ')).filter_map(of_file).collect();
    let inode = value("ino").and_then(|inode| inode.parse().ok()).unwrap_or(0);
    Some(Ring { inode, counters, pending_receives, sockets })
}

#[cfg(test)]
mod tests {
    use std::os::fd::AsRawFd as _;
    use std::sync::atomic::{AtomicBool, Ordering};

    use super::*;

    /// As Linux 6.18 writes it.
    const TOLD: &str = "pos:\t0\nflags:\t02000002\nmnt_id:\t17\nino:\t302132\nSqMask:\t0xff\n\
                        SqHead:\t22590\nSqTail:\t22599\nCachedSqHead:\t22596\nCqMask:\t0xfff\n\
                        CqHead:\t22580\nCqTail:\t22589\nCachedCqTail:\t22588\nSQEs:\t0\n\
                        CQEs:\t0\nSqThread:\t-1\nUserFiles:\t3\n    0: socket:[77]\n\
                        \u{20}   2: /dev/null\n    7: socket:[78]\nUserBufs:\t0\nPollList:\n\
                        \u{20} op=27, task_works=0\n  op=13, task_works=0\nCqOverflowList:\n";

    /// As Linux 5.10 writes it, without counters.
    const OLD: &str = "pos:\t0\nflags:\t02000002\nmnt_id:\t13\nSqThread:\t-1\n\
                       SqThreadCpu:\t-1\nUserFiles:\t0\nUserBufs:\t0\nPollList:\n\
                       \u{20} op=22, task_works=0\n";

    #[test]
    fn a_ring_is_read_only_when_something_is_told_of_it() {
        let counters = Some(RingCounters { submissions: 22_596, completions: 22_589 });
        let ring = Ring { inode: 302_132, counters, pending_receives: 1, sockets: vec![77, 78] };
        assert_eq!(parse(TOLD), Some(ring));
        let busy = TOLD.split_once("SqMask").map(|(before, _)| before);
        assert_eq!(busy.and_then(parse), None);
    }

    #[test]
    fn a_kernel_that_does_not_count_still_tells_of_rings() {
        assert_eq!(parse(OLD), Some(Ring { pending_receives: 1, ..Ring::default() }));
    }

    #[test]
    fn a_ring_without_work_is_a_ring() {
        // If no ring can be set up, there is nothing to test.
        let Ok(ring) = io_uring::IoUring::new(2) else { return };
        let all = read_rings(std::process::id()).unwrap();
        // Other tests have rings too.
        let descriptor = ring.as_raw_fd().unsigned_abs();
        let own = all.iter().find(|(id, _)| id.descriptor == descriptor);
        let (id, ring_seen) = own.unwrap();
        assert!(ring_seen.pending_receives == 0 && id.inode != 0, "{own:?}");
    }

    #[test]
    fn a_ring_that_is_closed_meanwhile_is_no_error() {
        let ended = AtomicBool::new(false);
        thread::scope(|scope| {
            // If no ring can be set up, the other thread just sees none.
            scope.spawn(|| {
                while !ended.load(Ordering::Relaxed) {
                    drop(io_uring::IoUring::new(2));
                }
            });
            let looks: Vec<_> = (0..2000).map(|_| read_rings(std::process::id())).collect();
            ended.store(true, Ordering::Relaxed);
            assert!(looks.iter().all(Result::is_ok), "{looks:?}");
        });
    }
}
