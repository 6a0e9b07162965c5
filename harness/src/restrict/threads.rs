//! Limits the threads of one process with RLIMIT_NPROC (setrlimit(2)), which can be set and lifted
//! while it runs. The kernel exempts root from it, so a server that root starts runs as another
//! user, with root's capabilities except those that exempt it as well. An ordinary user needs
//! neither.

use std::io;
use std::os::unix::fs::MetadataExt as _;
use std::thread;

use procfs::process::LimitValue;
use rustix::process::{Pid, Resource, Rlimit, Uid, geteuid, getrlimit, prlimit, setrlimit};
use rustix::thread::{
    CapabilitySet, capabilities, configure_capability_in_ambient_set, set_capabilities,
    set_keep_capabilities, set_thread_res_uid,
};

use super::ThreadLimit;

/// `nobody` in most user databases. The kernel needs no entry.
const USER: u32 = 65_534;

/// Prepares the current process for the limit, and sets it if `limit` is `Now`. The process must
/// have only one thread.
pub(super) fn limit(limit: ThreadLimit) -> io::Result<()> {
    if geteuid().is_root() {
        become_user()?;
    }
    match limit {
        ThreadLimit::Now => {
            let maximum = getrlimit(Resource::Nproc).maximum;
            Ok(setrlimit(Resource::Nproc, Rlimit { current: Some(0), maximum })?)
        }
        ThreadLimit::Later => Ok(()),
    }
}

/// Becomes another user, and keeps the capabilities except those that exempt from the limit.
fn become_user() -> io::Result<()> {
    let held = capabilities(None)?.permitted;
    let kept = held - CapabilitySet::SYS_RESOURCE - CapabilitySet::SYS_ADMIN;
    set_keep_capabilities(true)?;
    let user = Uid::from_raw(USER);
    match set_thread_res_uid(user, user, user) {
        // This is a user namespace with one user, whom the kernel does not treat as root.
        Err(rustix::io::Errno::INVAL) => return Ok(()),
        changed => changed?,
    }
    let mut sets = capabilities(None)?;
    (sets.effective, sets.permitted, sets.inheritable) = (kept, kept, kept);
    set_capabilities(None, sets)?;
    // Ambient capabilities survive execve(2).
    kept.iter().try_for_each(|one| Ok(configure_capability_in_ambient_set(one, true)?))
}

/// Makes the kernel refuse threads to a process that [`limit`] has prepared, or allow them again.
pub(crate) fn set_refused(pid: u32, refused: bool) -> io::Result<()> {
    let number = i32::try_from(pid).map_err(io::Error::other)?;
    let process = Pid::from_raw(number).ok_or_else(|| io::Error::other("no process id"))?;
    let limits = procfs::process::Process::new(number).and_then(|process| process.limits());
    let maximum = match limits.map_err(io::Error::other)?.max_processes.hard_limit {
        LimitValue::Unlimited => None,
        LimitValue::Value(most) => Some(most),
    };
    let current = if refused { Some(0) } else { maximum };
    let owner = Uid::from_raw(std::fs::metadata(format!("/proc/{pid}"))?.uid());
    let set = || {
        if geteuid().is_root() && !owner.is_root() {
            // If root lacks CAP_SYS_RESOURCE, only a thread of the same user may do this
            // (prlimit(2)).
            set_thread_res_uid(owner, owner, owner)?;
        }
        prlimit(Some(process), Resource::Nproc, Rlimit { current, maximum })
    };
    // On Linux each thread has its own user id, so the change ends with this thread.
    let done = thread::scope(|scope| scope.spawn(set).join());
    done.map_err(|_| io::Error::other("its panic"))?.map(drop).map_err(io::Error::from)
}
