//! The I/O APIs that a server can run on, and the model that each belongs to.

use std::fmt;

/// The model a driver belongs to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Model {
    /// The kernel says when a socket is ready, then the program reads or writes.
    Readiness,
    /// The program hands over a buffer, and the kernel says when it was filled or sent.
    Completion,
    /// A thread sleeps in each call.
    Blocking,
}

impl fmt::Display for Model {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Model::Readiness => "readiness",
            Model::Completion => "completion",
            Model::Blocking => "blocking",
        })
    }
}

/// An I/O API of an operating system.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Driver {
    /// Linux readiness, epoll(7).
    Epoll,
    /// Readiness on macOS and the BSDs, kqueue(2).
    Kqueue,
    /// Windows readiness: polls sent to the ancillary function driver, collected by IOCP.
    Afd,
    /// Linux completion, io_uring(7).
    IoUring,
    /// Windows completion ports.
    Iocp,
    /// Blocking calls, a thread each.
    Threads,
}

impl Driver {
    /// Every driver, for parsing `--driver`.
    pub(crate) const ALL: [Driver; 6] = [
        Driver::Epoll,
        Driver::Kqueue,
        Driver::Afd,
        Driver::IoUring,
        Driver::Iocp,
        Driver::Threads,
    ];

    /// Who moves the bytes: the program when a socket is ready, the kernel, or a thread.
    pub const fn model(self) -> Model {
        match self {
            Driver::Epoll | Driver::Kqueue | Driver::Afd => Model::Readiness,
            Driver::IoUring | Driver::Iocp => Model::Completion,
            Driver::Threads => Model::Blocking,
        }
    }

    /// What mio and polling use for readiness on this operating system.
    pub const READINESS: Driver = if cfg!(any(target_os = "linux", target_os = "android")) {
        Driver::Epoll
    } else if cfg!(windows) {
        Driver::Afd
    } else {
        Driver::Kqueue
    };

    /// Its name in options, announcements and the registry.
    pub const fn name(self) -> &'static str {
        match self {
            Driver::Epoll => "epoll",
            Driver::Kqueue => "kqueue",
            Driver::Afd => "afd",
            Driver::IoUring => "io_uring",
            Driver::Iocp => "iocp",
            Driver::Threads => "threads",
        }
    }
}

impl fmt::Display for Driver {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn driver_names_are_distinct() {
        let mut names = Driver::ALL.map(Driver::name).to_vec();
        names.sort_unstable();
        names.dedup();
        assert_eq!(names.len(), Driver::ALL.len());
    }
}
