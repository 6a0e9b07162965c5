//! Where another process's resources are not read. No case gets here: its needs make it
//! unavailable before.

use std::io;
use std::time::Duration;

use socket2::Socket;

use super::{Demand, Rings};

pub(super) fn descriptors(_: u32) -> io::Result<usize> {
    Err(io::ErrorKind::Unsupported.into())
}

pub(super) fn cpu(_: u32) -> io::Result<Duration> {
    Err(io::ErrorKind::Unsupported.into())
}

pub(super) fn demand(_: u32) -> io::Result<Demand> {
    Err(io::ErrorKind::Unsupported.into())
}

pub(super) fn resident_bytes(_: u32) -> io::Result<u64> {
    Err(io::ErrorKind::Unsupported.into())
}

pub(super) fn rings(_: u32) -> io::Result<Rings> {
    Err(io::ErrorKind::Unsupported.into())
}

pub(super) fn has_epoll(_: u32) -> io::Result<bool> {
    Err(io::ErrorKind::Unsupported.into())
}

pub(super) fn duplicate_end(_: u32, _: u16, _: u16) -> io::Result<Socket> {
    Err(io::ErrorKind::Unsupported.into())
}

pub(super) fn listener_owner(root: u32, port: u16) -> io::Result<Option<u32>> {
    let _ = port;
    Ok(Some(root))
}

pub(super) fn are_threads(_: u32, _: char) -> io::Result<bool> {
    Err(io::ErrorKind::Unsupported.into())
}
