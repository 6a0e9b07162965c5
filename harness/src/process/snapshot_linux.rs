//! What procfs shows of one process while a client's connection is idle.

use std::io;

use super::links::{Target, targets};
use super::readings::Snapshot;
use super::thread_states::{ThreadState, threads};
use super::{epolls, fdinfo};

/// The thread of one client waits for at most this many descriptors: it may also wait for what
/// stops it, and for a listener or two.
const ONE_CLIENT_DESCRIPTORS: usize = 8;

pub(super) fn snapshot(pid: u32, socket: u64) -> io::Result<Snapshot> {
    let mut snapshot = Snapshot { is_at_rest: true, ..Snapshot::default() };
    let targets = targets(pid)?;
    for (descriptor, _) in targets.iter().filter(|(_, target)| **target == Target::Epoll) {
        snapshot.epolls += 1;
        snapshot.in_epoll |= epolls::waits_for(pid, *descriptor, socket)?;
    }
    let is_client = |descriptor: &u32| targets.get(descriptor) == Some(&Target::Socket(socket));
    for thread in threads(pid)? {
        match thread {
            ThreadState::Runs => snapshot.is_at_rest = false,
            ThreadState::WaitsInEpoll(epoll) => {
                snapshot.waits_in_epoll |= epolls::waits_for(pid, epoll, socket)?;
            }
            ThreadState::WaitsInRing => snapshot.waits_in_ring = true,
            ThreadState::WaitsInHiddenRing => snapshot.waits_in_hidden_ring = true,
            ThreadState::Reads(descriptor) => snapshot.reads |= is_client(&descriptor),
            ThreadState::Polls(descriptors) => {
                let polls = descriptors.iter().any(is_client);
                snapshot.polls |= polls;
                snapshot.polls_several_clients |=
                    polls && descriptors.len() > ONE_CLIENT_DESCRIPTORS;
            }
            ThreadState::ServesRing => snapshot.is_ring_served = true,
            ThreadState::Sleeps => {}
        }
    }
    for (id, ring) in fdinfo::read_rings(pid)? {
        snapshot.pending_receives += ring.pending_receives;
        snapshot.rings.insert(id, ring.counters.map(|counters| counters.completions));
    }
    Ok(snapshot)
}
