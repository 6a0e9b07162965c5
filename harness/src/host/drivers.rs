//! Probes each driver: creates one, and drops it.

use std::thread;

use report::host::{Availability, Driver};

use super::answer::{available, unavailable};

/// Every driver, in the order of the documents. io_uring has its own probe.
pub(super) fn all(io_uring: Availability) -> Vec<Driver> {
    [
        ("epoll", epoll()),
        ("kqueue", kqueue()),
        ("afd", windows("the device AFD, through which mio and polling wait for sockets")),
        ("iocp", windows("completion ports are part of every Windows")),
        ("io_uring", io_uring),
        ("threads", threads()),
    ]
    .map(|(name, state)| Driver { name: name.to_owned().into(), state })
    .into()
}

#[cfg(target_os = "linux")]
fn epoll() -> Availability {
    use rustix::event::epoll::{CreateFlags, create};

    match create(CreateFlags::CLOEXEC) {
        Ok(_) => available("an instance was created"),
        Err(errno) => describe_refusal("epoll_create1", errno.into()),
    }
}

#[cfg(not(target_os = "linux"))]
fn epoll() -> Availability {
    unavailable("Linux only")
}

#[cfg(any(
    target_vendor = "apple",
    target_os = "freebsd",
    target_os = "netbsd",
    target_os = "openbsd",
    target_os = "dragonfly"
))]
fn kqueue() -> Availability {
    match rustix::event::kqueue::kqueue() {
        Ok(_) => available("a queue was created"),
        Err(errno) => describe_refusal("kqueue", errno.into()),
    }
}

#[cfg(not(any(
    target_vendor = "apple",
    target_os = "freebsd",
    target_os = "netbsd",
    target_os = "openbsd",
    target_os = "dragonfly"
)))]
fn kqueue() -> Availability {
    unavailable("macOS and the BSDs only")
}

/// std offers no safe way to create one, and every supported Windows has both.
fn windows(details: &str) -> Availability {
    if cfg!(windows) { available(details) } else { unavailable("Windows only") }
}

fn threads() -> Availability {
    match thread::Builder::new().spawn(|| ()) {
        Ok(thread) => {
            // The closure cannot panic, so there is no result to check.
            let _ = thread.join();
            available("a thread was started")
        }
        Err(error) => Availability::Unavailable {
            reason: format!("starting a thread failed: {error}").into(),
            fix: Some(
                "raise the limit on threads: ulimit -u, pids.max of the cgroup, or docker run \
                 --pids-limit"
                    .to_owned()
                    .into(),
            ),
        },
    }
}

#[cfg(unix)]
fn describe_refusal(call: &str, error: std::io::Error) -> Availability {
    use rustix::io::Errno;

    let fix = match Errno::from_io_error(&error) {
        Some(Errno::MFILE) => Some(super::answer::MORE_DESCRIPTORS.to_owned()),
        _ => None,
    };
    Availability::Unavailable {
        reason: format!("{call} answers {error}").into(),
        fix: fix.map(Into::into),
    }
}
