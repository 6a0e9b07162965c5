//! Creates rings, and explains why a host cannot: the errors of io_uring_setup(2).

use std::fs;
use std::io;
use std::thread;
use std::time::Duration;

use rustix::io::Errno;
use rustix::process::{Resource, getrlimit};

use crate::{ServeError, Unavailable};

/// Calls `build`, which asks the kernel for a ring, once more if there was no memory for it.
/// `since` is the first version of Linux that knows all that the ring asks for.
///
/// # Errors
/// `Unavailable` if this host cannot create the ring; `Failed` for another error of `build`, such
/// as a lack of descriptors.
pub fn build_ring<T>(since: &str, build: impl Fn() -> io::Result<T>) -> Result<T, ServeError> {
    retry_out_of_memory(build).map_err(|error| match unavailable(&error, since) {
        Some(reason) => ServeError::Unavailable(reason),
        None => ServeError::Failed(error),
    })
}

/// Whether the kernel gives a ring like the one that `build` asks for, which is closed again.
///
/// # Errors
/// This host cannot create the ring, and why. Other failures are left to [`build_ring`].
pub fn probe_ring<T>(since: &str, build: impl Fn() -> io::Result<T>) -> Result<(), Unavailable> {
    match build_ring(since, build) {
        Err(ServeError::Unavailable(reason)) => Err(reason),
        Err(ServeError::Failed(_)) | Ok(_) => Ok(()),
    }
}

/// The kernel frees the memory of a ring some time after its process has ended. A server that
/// restarts immediately may therefore get ENOMEM, and succeed a moment later.
fn retry_out_of_memory<T>(build: impl Fn() -> io::Result<T>) -> io::Result<T> {
    const PAUSE: Duration = Duration::from_millis(200);

    match build() {
        Err(error) if Errno::from_io_error(&error) == Some(Errno::NOMEM) => {
            thread::sleep(PAUSE);
            build()
        }
        result => result,
    }
}

/// Why this host cannot create a ring, if `error` of io_uring_setup(2) says so.
fn unavailable(error: &io::Error, since: &str) -> Option<Unavailable> {
    let cause = match Errno::from_io_error(error)? {
        Errno::NOSYS => {
            "the kernel is older than 5.1 or built without it, or a sandbox (seccomp, gVisor) \
             hides it"
                .to_owned()
        }
        Errno::PERM | Errno::ACCESS => denied_by(),
        Errno::NOMEM => format!(
            "no memory for a ring: the limit of locked memory (ulimit -l) is {}, for all \
             processes of this user together",
            locked_memory_limit()
        ),
        Errno::INVAL => format!("the kernel is older than {since}"),
        _ => return None,
    };
    Some(Unavailable(format!("io_uring_setup: {error}: {cause}")))
}

/// Who forbids rings on this host.
fn denied_by() -> String {
    const SYSCTL: &str = "/proc/sys/kernel/io_uring_disabled";

    let sysctl = fs::read_to_string(SYSCTL).unwrap_or_default();
    match sysctl.trim() {
        "2" => "sysctl kernel.io_uring_disabled is 2, off for everybody".to_owned(),
        "1" => "sysctl kernel.io_uring_disabled is 1, off for users outside the group of sysctl \
                kernel.io_uring_group"
            .to_owned(),
        _ => "a seccomp profile forbids it, as those of Docker and containerd do by default"
            .to_owned(),
    }
}

fn locked_memory_limit() -> String {
    match getrlimit(Resource::Memlock).current {
        Some(bytes) => format!("{} KiB", bytes / 1024),
        None => "not set".to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn reason(errno: Errno) -> String {
        unavailable(&errno.into(), "6.1").unwrap().0
    }

    #[test]
    fn a_refusal_names_its_cause() {
        assert!(reason(Errno::NOSYS).contains("older than 5.1"));
        assert!(reason(Errno::PERM).contains("sysctl") || reason(Errno::PERM).contains("seccomp"));
        assert!(reason(Errno::NOMEM).contains("locked memory"));
        assert!(reason(Errno::INVAL).contains("older than 6.1"));
    }

    #[test]
    fn a_lack_of_descriptors_is_not_a_lack_of_io_uring() {
        assert_eq!(unavailable(&Errno::MFILE.into(), "6.1"), None);
    }
}
