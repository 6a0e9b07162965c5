//! What a system tells of one process, in the same types on every system.

use std::net::SocketAddr;
use std::time::Duration;

use report::Transport;

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
