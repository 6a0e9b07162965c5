//! Stand-ins for systems that do not report another process's resources. Those that return an error
//! are never reached: a case that needs them is unavailable on this system (`case::Need`).

use std::io;
use std::time::Duration;

use super::demand::Demand;
use super::readings::{Cpu, CpuTime, Rest, Switches, Threads};

pub(super) use super::linux_stubs::{
    ThreadCounters, children_of_first_thread, count_io_waiters, count_unreaped, cpus,
    descriptor_kinds, duplicate_end, listener_owner, listening_sockets, own_sockets,
    reserved_bytes, rings, snapshot, thread_names, trace_calls,
};

pub(super) fn descendants(_: u32) -> io::Result<Vec<u32>> {
    Ok(Vec::new())
}

pub(super) fn descriptors(_: u32) -> io::Result<usize> {
    Err(io::ErrorKind::Unsupported.into())
}

pub(super) fn inheritable_descriptors(_: u32) -> io::Result<Vec<(i32, String)>> {
    Err(io::ErrorKind::Unsupported.into())
}

pub(super) fn cpu_time_with_children(_: u32) -> io::Result<Duration> {
    Err(io::ErrorKind::Unsupported.into())
}

pub(super) fn cpu(_: u32) -> io::Result<Cpu> {
    Err(io::ErrorKind::Unsupported.into())
}

pub(super) fn cpu_time(_: u32) -> io::Result<CpuTime> {
    Err(io::ErrorKind::Unsupported.into())
}

pub(super) fn demand(_: u32) -> io::Result<Demand> {
    Err(io::ErrorKind::Unsupported.into())
}

pub(super) fn descendants_cpu_time(_: u32) -> io::Result<Duration> {
    Err(io::ErrorKind::Unsupported.into())
}

pub(super) fn resident_bytes(_: u32) -> io::Result<u64> {
    Err(io::ErrorKind::Unsupported.into())
}

pub(super) fn threads(_: u32) -> io::Result<Threads> {
    Err(io::ErrorKind::Unsupported.into())
}

pub(super) fn switches(_: u32) -> io::Result<Switches> {
    Err(io::ErrorKind::Unsupported.into())
}

pub(super) fn is_at_rest(_: u32, _: Rest) -> io::Result<bool> {
    Err(io::ErrorKind::Unsupported.into())
}
