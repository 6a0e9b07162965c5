//! What only Linux shows about another process. Never reached elsewhere: a case that needs it is
//! unavailable there.

use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::sync::atomic::AtomicBool;
use std::sync::mpsc::Sender;

use report::Transport;
use socket2::Socket;

use super::readings::{RingCounters, RingId, Sight, Waiting, Watched};
use crate::error::Error;

pub(super) fn rings(_: u32) -> io::Result<BTreeMap<RingId, RingCounters>> {
    Err(io::ErrorKind::Unsupported.into())
}

/// What kinds they are is not told, and nothing is judged by it.
pub(super) fn descriptor_kinds(_: u32) -> io::Result<BTreeMap<String, usize>> {
    Ok(BTreeMap::new())
}

pub(super) fn own_sockets(_: u32, _: Transport) -> io::Result<usize> {
    Ok(0)
}

pub(super) fn reserved_bytes(_: u32) -> io::Result<Option<u64>> {
    Ok(None)
}

/// Where it listens is asked over the wire alone.
pub(super) fn waiting_sockets(_: u32) -> io::Result<Vec<Waiting>> {
    Ok(Vec::new())
}

pub(super) fn cpus(_: u32) -> io::Result<BTreeSet<usize>> {
    Err(io::ErrorKind::Unsupported.into())
}

/// Counters of system calls, of which there are none.
#[derive(Debug)]
pub(super) enum Attached {}

impl Attached {
    pub(super) fn to(_: impl Fn() -> Result<BTreeSet<u32>, Error>) -> Result<Self, Error> {
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

pub(super) fn sight(_: u32, _: u64) -> io::Result<Sight> {
    Err(io::ErrorKind::Unsupported.into())
}

pub(super) fn watch(
    _: &[u32],
    _: u64,
    _: &Sender<io::Result<()>>,
    _: &AtomicBool,
) -> io::Result<Watched> {
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

pub(super) fn unwaited(_: &[u32]) -> io::Result<usize> {
    Err(io::ErrorKind::Unsupported.into())
}

pub(super) fn waiting_for_io() -> io::Result<u64> {
    Err(io::ErrorKind::Unsupported.into())
}
