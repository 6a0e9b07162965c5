//! The I/O APIs that a server can run on, and their models.

use std::fmt;

/// The model a driver belongs to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Model {
    /// The kernel reports that a socket is ready, then the program reads or writes.
    Readiness,
    /// The program hands over a buffer, and the kernel reports that it was filled or sent.
    Completion,
    /// A thread blocks in each call.
    Blocking,
}

impl fmt::Display for Model {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Readiness => "readiness",
            Self::Completion => "completion",
            Self::Blocking => "blocking",
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
    /// Windows readiness: AFD poll requests, whose completions arrive on an IOCP.
    Afd,
    /// Linux completion, io_uring(7).
    IoUring,
    /// Windows completion ports.
    Iocp,
    /// Blocking calls, with one thread per connection.
    Threads,
}

impl Driver {
    /// Every driver, for parsing `--driver`.
    pub(crate) const ALL: [Self; 6] =
        [Self::Epoll, Self::Kqueue, Self::Afd, Self::IoUring, Self::Iocp, Self::Threads];

    /// The model of the driver.
    pub const fn model(self) -> Model {
        match self {
            Self::Epoll | Self::Kqueue | Self::Afd => Model::Readiness,
            Self::IoUring | Self::Iocp => Model::Completion,
            Self::Threads => Model::Blocking,
        }
    }

    /// The readiness API that mio and polling use on this operating system.
    pub const READINESS: Self = if cfg!(any(target_os = "linux", target_os = "android")) {
        Self::Epoll
    } else if cfg!(windows) {
        Self::Afd
    } else {
        Self::Kqueue
    };

    /// Its name in options, announcements and the registry.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Epoll => "epoll",
            Self::Kqueue => "kqueue",
            Self::Afd => "afd",
            Self::IoUring => "io_uring",
            Self::Iocp => "iocp",
            Self::Threads => "threads",
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
