//! Stand-ins for what only Linux reports about another process. Those that return an error are
//! never reached: a case that needs them is unavailable on this system (`case::Need`).

use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::sync::atomic::AtomicBool;
use std::sync::mpsc::Sender;

use report::Transport;
use socket2::Socket;

use super::readings::{ListeningSocket, RingCounters, RingId, Snapshot, TracedCalls};
use crate::error::Error;

pub(super) fn rings(_: u32) -> io::Result<BTreeMap<RingId, RingCounters>> {
    Err(io::ErrorKind::Unsupported.into())
}

/// Other systems do not report the kinds, and no case is judged by them.
pub(super) fn descriptor_kinds(_: u32) -> io::Result<BTreeMap<String, usize>> {
    Ok(BTreeMap::new())
}

pub(super) fn own_sockets(_: u32, _: Transport) -> io::Result<usize> {
    Ok(0)
}

pub(super) fn reserved_bytes(_: u32) -> io::Result<Option<u64>> {
    Ok(None)
}

/// Empty, so the judge finds out only over the network where a server listens.
pub(super) fn listening_sockets(_: u32) -> io::Result<Vec<ListeningSocket>> {
    Ok(Vec::new())
}

pub(super) fn cpus(_: u32) -> io::Result<BTreeSet<usize>> {
    Err(io::ErrorKind::Unsupported.into())
}

/// Has no value: only Linux counts the system calls of another process.
#[derive(Debug)]
pub(super) enum ThreadCounters {}

impl ThreadCounters {
    pub(super) fn attach(_: impl Fn() -> Result<BTreeSet<u32>, Error>) -> Result<Self, Error> {
        let sentence = "only Linux counts the system calls of another process";
        Err(Error::CallCount(sentence.into()))
    }

    pub(super) fn threads(&self) -> usize {
        match *self {}
    }

    pub(super) fn read(&mut self) -> io::Result<u64> {
        match *self {}
    }
}

pub(super) fn snapshot(_: u32, _: u64) -> io::Result<Snapshot> {
    Err(io::ErrorKind::Unsupported.into())
}

pub(super) fn trace_calls(
    _: &[u32],
    _: u64,
    _: &Sender<io::Result<()>>,
    _: &AtomicBool,
) -> io::Result<TracedCalls> {
    Err(io::ErrorKind::Unsupported.into())
}

pub(super) fn duplicate_end(_: u32, _: u16, _: u16) -> io::Result<Socket> {
    Err(io::ErrorKind::Unsupported.into())
}

pub(super) fn listener_owner(
    started: u32,
    _: u32,
    _: Transport,
    _: u16,
) -> io::Result<Option<u32>> {
    Ok(Some(started))
}

pub(super) fn thread_names(_: u32) -> io::Result<Vec<(u32, String)>> {
    Err(io::ErrorKind::Unsupported.into())
}

pub(super) fn count_unreaped(_: &[u32]) -> io::Result<usize> {
    Err(io::ErrorKind::Unsupported.into())
}

pub(super) fn count_io_waiters() -> io::Result<u64> {
    Err(io::ErrorKind::Unsupported.into())
}

pub(super) fn children_of_first_thread(_: u32) -> Vec<u32> {
    Vec::new()
}
