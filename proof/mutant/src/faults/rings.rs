//! Faults of a server with rings: what the kernel does for a ring that nobody uses for connections.
//! That a ring completes an operation for each read makes the server pass for one that uses it.

use std::io;

use super::Fault;
use super::starting::SaysIoUring;
use crate::connection::Connection;
use crate::hooks::Hooks;

pub(super) struct Ring {
    /// None where there is no ring to be had; the server then does not pass for one that uses it.
    ring: Option<Proactor>,
}

impl Ring {
    /// The ring is polled by a thread of the kernel, which has nothing to do.
    pub(super) fn polled_by_the_kernel() -> Self {
        Self { ring: opened(Proactor::polled()) }
    }

    /// A thread waits in another ring, as long as the process lives.
    pub(super) fn beside_one_that_is_waited_in() -> Self {
        std::thread::spawn(|| {
            let waited = Proactor::plain().and_then(|mut other| other.wait_for_ever());
            opened(waited)
        });
        Self { ring: opened(Proactor::plain()) }
    }
}

impl Hooks for Ring {
    fn received(&mut self, _connection: &mut Connection) {
        if let Some(ring) = &mut self.ring {
            ring.complete_something();
        }
    }
}

fn opened<T>(ring: io::Result<T>) -> Option<T> {
    ring.inspect_err(|error| eprintln!("no ring: {error}")).ok()
}

#[cfg(target_os = "linux")]
use linux::Proactor;

/// The table.
pub(super) const FAULTS: &[Fault] = &[
    Fault::new(
        "waits-in-ring",
        "Announces io_uring, and has an idle thread that waits in a ring (Linux only)",
        || Box::new(Ring::beside_one_that_is_waited_in()),
    )
    .and(&SaysIoUring),
    Fault::new(
        "polled-ring",
        "Announces io_uring, and has a ring that a thread of the kernel polls (Linux only)",
        || Box::new(Ring::polled_by_the_kernel()),
    )
    .and(&SaysIoUring),
];

#[cfg(target_os = "linux")]
mod linux {
    use std::io;
    use std::os::fd::OwnedFd;
    use std::os::unix::net::UnixStream;
    use std::time::Duration;

    use compio_driver::op::{Interest, PollOnce};
    use compio_driver::{PushEntry, SharedFd};

    /// A ring, and a socket that is always writable.
    pub(super) struct Proactor {
        ring: compio_driver::Proactor,
        socket: SharedFd<OwnedFd>,
        _other_end: UnixStream,
    }

    impl Proactor {
        pub(super) fn plain() -> io::Result<Self> {
            Self::around(compio_driver::Proactor::new()?)
        }

        pub(super) fn polled() -> io::Result<Self> {
            let idle = Duration::from_millis(1);
            Self::around(compio_driver::Proactor::builder().sqpoll_idle(idle).build()?)
        }

        fn around(ring: compio_driver::Proactor) -> io::Result<Self> {
            let (socket, other_end) = UnixStream::pair()?;
            Ok(Self { ring, socket: SharedFd::new(socket.into()), _other_end: other_end })
        }

        pub(super) fn complete_something(&mut self) {
            let operation = PollOnce::new(self.socket.clone(), Interest::Writable);
            let PushEntry::Pending(mut key) = self.ring.push(operation) else {
                return;
            };
            while self.ring.poll(None).is_ok() {
                match self.ring.pop(key) {
                    PushEntry::Pending(pending) => key = pending,
                    PushEntry::Ready(_) => return,
                }
            }
        }

        /// Waits in a ring without operations. That this thread has one under way in its own is
        /// why the kernel counts it as waiting for I/O; in its own it would ask the kernel not to.
        pub(super) fn wait_for_ever(&mut self) -> io::Result<()> {
            // It times out: nobody ever writes to what the ring itself watches.
            let _ = self.ring.poll(Some(Duration::ZERO));
            let empty = io_uring::IoUring::new(8)?;
            loop {
                // A signal ends the wait, not the fault.
                let _ = empty.submit_and_wait(1);
            }
        }
    }
}

#[cfg(not(target_os = "linux"))]
struct Proactor;

#[cfg(not(target_os = "linux"))]
impl Proactor {
    fn plain() -> io::Result<Self> {
        Err(io::ErrorKind::Unsupported.into())
    }

    fn polled() -> io::Result<Self> {
        Err(io::ErrorKind::Unsupported.into())
    }

    fn complete_something(&mut self) {}

    fn wait_for_ever(&mut self) -> io::Result<()> {
        Err(io::ErrorKind::Unsupported.into())
    }
}
