//! What procfs shows of one process while a client's connection is at rest.

use std::io;

use super::links::{Target, targets};
use super::readings::Sight;
use super::sleepers::{Doing, threads};
use super::{epolls, fdinfo};

/// A thread of one client's may wait for what stops it, too, and for a listener or two.
const OF_ONE_CLIENT: usize = 8;

pub(super) fn sight(pid: u32, socket: u64) -> io::Result<Sight> {
    let mut sight = Sight { is_at_rest: true, ..Sight::default() };
    let targets = targets(pid)?;
    for (descriptor, _) in targets.iter().filter(|(_, target)| **target == Target::Epoll) {
        sight.epolls += 1;
        sight.in_epoll |= epolls::waits_for(pid, *descriptor, socket)?;
    }
    let is_client = |descriptor: &u32| targets.get(descriptor) == Some(&Target::Socket(socket));
    for thread in threads(pid)? {
        match thread {
            Doing::Runs => sight.is_at_rest = false,
            Doing::WaitsInEpoll(epoll) => {
                sight.waits_in_epoll |= epolls::waits_for(pid, epoll, socket)?;
            }
            Doing::WaitsInRing => sight.waits_in_ring = true,
            Doing::WaitsInHiddenRing => sight.waits_in_hidden_ring = true,
            Doing::Reads(descriptor) => sight.reads |= is_client(&descriptor),
            Doing::Polls(descriptors) => {
                let polls = descriptors.iter().any(is_client);
                sight.polls |= polls;
                sight.polls_many |= polls && descriptors.len() > OF_ONE_CLIENT;
            }
            Doing::ServesRing => sight.is_ring_served = true,
            Doing::Sleeps => {}
        }
    }
    for (id, ring) in fdinfo::all(pid)? {
        sight.receives += ring.receives;
        sight.rings.insert(id, ring.counters.map(|counters| counters.completions));
    }
    Ok(sight)
}
