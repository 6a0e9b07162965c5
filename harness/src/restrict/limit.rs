//! Limits and streams of the current process (setrlimit(2)).

use std::io;

use rustix::io::{FdFlags, fcntl_setfd};
use rustix::process::{Resource, Rlimit, setrlimit};
#[cfg(target_os = "linux")]
use rustix::thread::{self, CapabilitySet};

pub(super) fn memlock(bytes: u64) -> io::Result<()> {
    soft_and_hard(Resource::Memlock, bytes)?;
    #[cfg(target_os = "linux")]
    give_up(CapabilitySet::IPC_LOCK)?;
    Ok(())
}

/// A server that may raise its own limit does, as redis-server(1) and haproxy(1).
pub(super) fn open_files(count: u64) -> io::Result<()> {
    soft_and_hard(Resource::Nofile, count)?;
    #[cfg(target_os = "linux")]
    give_up(CapabilitySet::SYS_RESOURCE)?;
    Ok(())
}

/// Out of the bounding set as well, from which a program that root executes takes its own.
#[cfg(target_os = "linux")]
fn give_up(capability: CapabilitySet) -> io::Result<()> {
    let mut held = thread::capabilities(None)?;
    if !held.permitted.contains(capability) {
        return Ok(());
    }
    thread::remove_capability_from_bounding_set(capability)?;
    for set in [&mut held.effective, &mut held.permitted, &mut held.inheritable] {
        set.remove(capability);
    }
    Ok(thread::set_capabilities(None, held)?)
}

/// They are gone as soon as the server is executed, which leaves their numbers, 0 and 2, to the
/// first two files that it opens.
pub(super) fn close_streams() -> io::Result<()> {
    fcntl_setfd(rustix::stdio::stdin(), FdFlags::CLOEXEC)?;
    Ok(fcntl_setfd(rustix::stdio::stderr(), FdFlags::CLOEXEC)?)
}

/// The reading end of the pipe is closed at once.
pub(super) fn leave_stderr_unread() -> io::Result<()> {
    let (_, writer) = io::pipe()?;
    Ok(rustix::stdio::dup2_stderr(&writer)?)
}

fn soft_and_hard(resource: Resource, amount: u64) -> io::Result<()> {
    let limit = Rlimit { current: Some(amount), maximum: Some(amount) };
    Ok(setrlimit(resource, limit)?)
}
