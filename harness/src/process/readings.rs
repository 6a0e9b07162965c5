//! What a system shows of one process, in the same types on every system.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::time::Duration;

use report::Transport;

/// The kind of descriptors that are sockets.
pub const SOCKETS: &str = "sockets";
/// The kind of sockets that no descriptor stands for: only a ring's file table has them.
pub const SOCKETS_OF_RINGS: &str = "sockets in the file tables of rings";

/// CPU time, by who ran.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Cpu {
    /// The process's own code.
    pub user: Duration,
    /// The kernel on its behalf.
    pub system: Duration,
}

/// How many threads a process has.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Threads {
    /// All of them.
    pub all: usize,
    /// Those that the kernel has put there for a ring: `io_uring`'s workers and pollers.
    pub of_rings: usize,
}

/// How often the threads of a process have given a processor away.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Switches {
    /// To wait for something. macOS does not tell the two apart, and all of them count here.
    pub voluntary: u64,
    /// Because others wanted it.
    pub involuntary: u64,
}

/// CPU time of one process, with that of its threads that have ended.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct CpuTime {
    /// To the nanosecond, what runs at this moment included.
    pub(super) total: Duration,
    /// Who ran, as finely as the system tells: on Linux by samples at its ticks and rounded down
    /// to 10 ms, so that the sum is below `total`.
    pub(super) split: Cpu,
}

/// Why no thread of a process runs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Rest {
    /// They wait for something.
    Asleep,
    /// The process is suspended.
    Stopped,
}

/// What the kernel counts of a ring. Its numbers are 32 bits wide and wrap.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct RingCounters {
    /// Entries that it has taken from the submission queue.
    pub submissions: u32,
    /// Entries that it has posted to the completion queue.
    pub completions: u32,
}

/// One ring. The inode alone would tell it from all others, since Linux 5.16; the rest is for
/// kernels that have one inode for all rings. Through two descriptors, a ring counts twice.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct RingId {
    /// The process that holds it.
    pub pid: u32,
    /// Its descriptor there.
    pub descriptor: u32,
    /// The inode of the descriptor; 0 before Linux 5.14, which does not tell it.
    pub inode: u64,
}

/// A socket that waits for clients: one that listens, or a UDP socket without a peer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Waiting {
    /// TCP or UDP.
    pub transport: Transport,
    /// Where clients reach it.
    pub address: SocketAddr,
}

/// What was seen of a server while a client's connection was at rest.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Sight {
    /// How many epoll instances there are.
    pub epolls: usize,
    /// One of them waits for input from the client's socket.
    pub in_epoll: bool,
    /// A thread sleeps in such an instance, or in one that watches it.
    pub waits_in_epoll: bool,
    /// A thread sleeps in a read of the client's socket.
    pub reads: bool,
    /// A thread sleeps in poll(2) or select(2) on the client's socket.
    pub polls: bool,
    /// Such a thread waits for so many other descriptors that it is no thread of one client's.
    pub polls_many: bool,
    /// The rings that have a descriptor, and how many operations each has completed: 32 bits that
    /// wrap, or nothing where the kernel does not tell.
    pub rings: BTreeMap<RingId, Option<u32>>,
    /// Operations under way on these that receive as soon as there is something.
    pub receives: usize,
    /// The kernel has a thread for a ring: one that polls it, or one that works for it.
    pub is_ring_served: bool,
    /// A thread sleeps in a ring that has a descriptor.
    pub waits_in_ring: bool,
    /// A thread sleeps in a ring that has none.
    pub waits_in_hidden_ring: bool,
    /// No thread runs.
    pub is_at_rest: bool,
}

impl Sight {
    /// What is seen of two processes.
    pub(super) fn and(mut self, other: Self) -> Self {
        self.rings.extend(other.rings);
        Self {
            epolls: self.epolls + other.epolls,
            in_epoll: self.in_epoll | other.in_epoll,
            waits_in_epoll: self.waits_in_epoll | other.waits_in_epoll,
            reads: self.reads | other.reads,
            polls: self.polls | other.polls,
            polls_many: self.polls_many | other.polls_many,
            rings: self.rings,
            receives: self.receives + other.receives,
            is_ring_served: self.is_ring_served | other.is_ring_served,
            waits_in_ring: self.waits_in_ring | other.waits_in_ring,
            waits_in_hidden_ring: self.waits_in_hidden_ring | other.waits_in_hidden_ring,
            is_at_rest: self.is_at_rest & other.is_at_rest,
        }
    }

    /// How many operations its rings have completed since `before`; `None` where the kernel does
    /// not tell. A ring that was set up in between counts with all that it has completed.
    #[must_use]
    pub fn completed_since(&self, before: &Self) -> Option<u64> {
        let since = |(id, now): (&RingId, &Option<u32>)| {
            let then = before.rings.get(id).copied().flatten().unwrap_or(0);
            now.map(|now| u64::from(now.wrapping_sub(then)))
        };
        self.rings.iter().map(since).sum()
    }
}

/// What was seen of the system calls of a server.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Watched {
    /// Bytes that they took from the client's socket.
    pub bytes_read: u64,
    /// Waits in an epoll instance that watches the client's socket.
    pub epoll_waits: u64,
    /// Calls to a ring, whether or not it has a descriptor.
    pub ring_calls: u64,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn completions_are_those_of_each_ring() {
        let sight = |each: &[(u64, Option<u32>)]| Sight {
            rings: each
                .iter()
                .map(|&(inode, count)| (RingId { pid: 7, descriptor: 3, inode }, count))
                .collect(),
            ..Sight::default()
        };
        let before = sight(&[(1, Some(u32::MAX)), (2, Some(5))]);
        assert_eq!(sight(&[(1, Some(2)), (3, Some(4))]).completed_since(&before), Some(3 + 4));
        assert_eq!(sight(&[(1, Some(2)), (2, None)]).completed_since(&before), None);
        assert_eq!(sight(&[]).completed_since(&before), Some(0));
    }
}
