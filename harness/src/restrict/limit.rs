//! Limits and standard streams of the current process (setrlimit(2)).

use std::io;

use rustix::io::{FdFlags, fcntl_setfd};
use rustix::process::{Resource, Rlimit, setrlimit};
#[cfg(target_os = "linux")]
use rustix::thread::{self, CapabilitySet};

pub(super) fn set_memlock(bytes: u64) -> io::Result<()> {
    set_limit(Resource::Memlock, bytes)?;
    #[cfg(target_os = "linux")]
    drop_capability(CapabilitySet::IPC_LOCK)?;
    Ok(())
}

/// Drops CAP_SYS_RESOURCE too, because a server that may raise its own limit does so, for example
/// redis-server(1) and haproxy(1).
pub(super) fn set_open_files(count: u64) -> io::Result<()> {
    set_limit(Resource::Nofile, count)?;
    #[cfg(target_os = "linux")]
    drop_capability(CapabilitySet::SYS_RESOURCE)?;
    Ok(())
}

/// Also removes the capability from the bounding set, from which a program that root executes gets
/// its capabilities.
#[cfg(target_os = "linux")]
fn drop_capability(capability: CapabilitySet) -> io::Result<()> {
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

/// The streams close when the server is executed. The first two files that the server opens then
/// get their numbers, 0 and 2.
pub(super) fn close_streams() -> io::Result<()> {
    fcntl_setfd(rustix::stdio::stdin(), FdFlags::CLOEXEC)?;
    Ok(fcntl_setfd(rustix::stdio::stderr(), FdFlags::CLOEXEC)?)
}

/// The read end of the pipe is closed at once.
pub(super) fn leave_stderr_unread() -> io::Result<()> {
    let (_, writer) = io::pipe()?;
    Ok(rustix::stdio::dup2_stderr(&writer)?)
}

fn set_limit(resource: Resource, amount: u64) -> io::Result<()> {
    let limit = Rlimit { current: Some(amount), maximum: Some(amount) };
    Ok(setrlimit(resource, limit)?)
}
