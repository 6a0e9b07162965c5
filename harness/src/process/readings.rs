//! What a system reports about one process, in types that are the same on every system.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::time::Duration;

use report::Transport;

/// The kind of descriptors that are sockets.
pub const SOCKETS: &str = "sockets";
/// The kind of sockets that have no descriptor: only the file table of a ring holds them.
pub const SOCKETS_OF_RINGS: &str = "sockets in the file tables of rings";

/// CPU time by who used it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Cpu {
    /// The process's own code.
    pub user: Duration,
    /// The kernel, on behalf of the process.
    pub system: Duration,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Threads {
    pub all: usize,
    /// Threads that the kernel runs for a ring: `io_uring`'s workers and pollers.
    pub ring_threads: usize,
}

/// Context switches of the threads of a process.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Switches {
    /// The thread had to wait for something. macOS does not tell the two kinds apart, so all its
    /// switches count here.
    pub voluntary: u64,
    /// Another thread needed the processor.
    pub involuntary: u64,
}

/// CPU time of one process, including its threads that have ended.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct CpuTime {
    /// To the nanosecond, including turns that have not ended yet.
    pub(super) total: Duration,
    /// User and system time, as precisely as the system reports them. Linux samples them at its
    /// ticks and rounds them down to 10 ms, so their sum is below `total`.
    pub(super) split: Cpu,
}

/// Why no thread of a process runs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Rest {
    /// All threads wait for something.
    Asleep,
    /// The process is suspended.
    Stopped,
}

/// The kernel's counters of a ring, which are 32 bits wide and wrap.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct RingCounters {
    /// Entries that the kernel has taken from the submission queue.
    pub submissions: u32,
    /// Entries that the kernel has posted to the completion queue.
    pub completions: u32,
}

/// Identifies a ring. Since Linux 5.16 the inode is enough; older kernels have one inode for all
/// rings. A ring with two descriptors counts twice.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct RingId {
    /// The process that holds it.
    pub pid: u32,
    /// The ring's descriptor in that process.
    pub descriptor: u32,
    /// The inode of the descriptor; 0 before Linux 5.14, which does not show it.
    pub inode: u64,
}

/// A socket that waits for clients: a listener, or a UDP socket without a peer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ListeningSocket {
    /// TCP or UDP.
    pub transport: Transport,
    pub address: SocketAddr,
}

/// What is seen of a server while a client's connection is idle.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Snapshot {
    /// The number of epoll instances.
    pub epolls: usize,
    /// An epoll instance waits for input from the client's socket.
    pub in_epoll: bool,
    /// A thread sleeps in an epoll instance that waits for such input.
    pub waits_in_epoll: bool,
    /// A thread sleeps in a read of the client's socket.
    pub reads: bool,
    /// A thread sleeps in poll(2) or select(2) on the client's socket.
    pub polls: bool,
    /// A thread that polls the client's socket polls too many descriptors to be the thread of one
    /// client.
    pub polls_several_clients: bool,
    /// The rings that have a descriptor, and how many operations each has completed. The number is
    /// 32 bits wide and wraps; `None` if the kernel does not report it.
    pub rings: BTreeMap<RingId, Option<u32>>,
    /// Pending operations on these rings that receive as soon as there is input.
    pub pending_receives: usize,
    /// The kernel runs a thread for a ring: a poller or a worker.
    pub is_ring_served: bool,
    /// A thread sleeps in a ring that has a descriptor.
    pub waits_in_ring: bool,
    /// A thread sleeps in a ring that has no descriptor.
    pub waits_in_hidden_ring: bool,
    /// No thread runs.
    pub is_at_rest: bool,
}

impl Snapshot {
    /// Combines what is seen of two processes.
    pub(super) fn merge(mut self, other: Self) -> Self {
        self.rings.extend(other.rings);
        Self {
            epolls: self.epolls + other.epolls,
            in_epoll: self.in_epoll | other.in_epoll,
            waits_in_epoll: self.waits_in_epoll | other.waits_in_epoll,
            reads: self.reads | other.reads,
            polls: self.polls | other.polls,
            polls_several_clients: self.polls_several_clients | other.polls_several_clients,
            rings: self.rings,
            pending_receives: self.pending_receives + other.pending_receives,
            is_ring_served: self.is_ring_served | other.is_ring_served,
            waits_in_ring: self.waits_in_ring | other.waits_in_ring,
            waits_in_hidden_ring: self.waits_in_hidden_ring | other.waits_in_hidden_ring,
            is_at_rest: self.is_at_rest & other.is_at_rest,
        }
    }

    /// How many operations its rings have completed since `before`; `None` if the kernel does not
    /// report it. A ring that was set up meanwhile counts all that it has completed.
    #[must_use]
    pub fn completed_since(&self, before: &Self) -> Option<u64> {
        let since = |(id, now): (&RingId, &Option<u32>)| {
            let then = before.rings.get(id).copied().flatten().unwrap_or(0);
            now.map(|now| u64::from(now.wrapping_sub(then)))
        };
        self.rings.iter().map(since).sum()
    }
}

/// What the system calls of a server did while they were traced.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct TracedCalls {
    /// Bytes that they read from the client's socket.
    pub bytes_read: u64,
    /// Waits in an epoll instance that watches the client's socket.
    pub epoll_waits: u64,
    /// Calls that enter a ring, whether or not it has a descriptor.
    pub ring_calls: u64,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn completions_are_those_of_each_ring() {
        let snapshot = |each: &[(u64, Option<u32>)]| Snapshot {
            rings: each
                .iter()
                .map(|&(inode, count)| (RingId { pid: 7, descriptor: 3, inode }, count))
                .collect(),
            ..Snapshot::default()
        };
        let before = snapshot(&[(1, Some(u32::MAX)), (2, Some(5))]);
        assert_eq!(snapshot(&[(1, Some(2)), (3, Some(4))]).completed_since(&before), Some(3 + 4));
        assert_eq!(snapshot(&[(1, Some(2)), (2, None)]).completed_since(&before), None);
        assert_eq!(snapshot(&[]).completed_since(&before), Some(0));
    }
}
