//! Limits and streams of the current process (setrlimit(2)).

use std::io;

use rustix::io::{FdFlags, fcntl_setfd};
use rustix::process::{Resource, Rlimit, setrlimit};

pub(super) fn memlock(bytes: u64) -> io::Result<()> {
    soft_and_hard(Resource::Memlock, bytes)?;
    give_up_exemption()
}

/// Out of the bounding set as well, from which a program that root executes takes its own.
#[cfg(target_os = "linux")]
fn give_up_exemption() -> io::Result<()> {
    use rustix::thread::{self, CapabilitySet};

    let mut held = thread::capabilities(None)?;
    if !held.permitted.contains(CapabilitySet::IPC_LOCK) {
        return Ok(());
    }
    thread::remove_capability_from_bounding_set(CapabilitySet::IPC_LOCK)?;
    for set in [&mut held.effective, &mut held.permitted, &mut held.inheritable] {
        set.remove(CapabilitySet::IPC_LOCK);
    }
    Ok(thread::set_capabilities(None, held)?)
}

#[cfg(not(target_os = "linux"))]
fn give_up_exemption() -> io::Result<()> {
    Ok(())
}

pub(super) fn open_files(count: u64) -> io::Result<()> {
    soft_and_hard(Resource::Nofile, count)
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
