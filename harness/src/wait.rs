//! Waits for sockets, with a time limit: poll(2), or WSAPoll on Windows.

use std::time::{Duration, Instant};

use report::{Failure, FailureKind};
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::io::Errno;
use socket2::Socket;

/// What to wait for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Interest {
    /// Bytes, FIN or an error.
    Read,
    /// Room to write, or an error.
    Write,
    Both,
}

impl Interest {
    /// Always read; also write if there is something to write.
    #[must_use]
    pub fn from_unsent(has_unsent: bool) -> Self {
        if has_unsent { Self::Both } else { Self::Read }
    }

    fn flags(self) -> PollFlags {
        match self {
            Self::Read => PollFlags::IN,
            Self::Write => PollFlags::OUT,
            Self::Both => PollFlags::IN | PollFlags::OUT,
        }
    }
}

/// Waits for one socket, at most `time`. Returns false if the time runs out.
///
/// # Errors
/// `harness` if poll itself fails.
pub fn wait(socket: &Socket, interest: Interest, time: Duration) -> Result<bool, Failure> {
    wait_any(&[(socket, interest)], time).map(|ready| ready[0])
}

/// Waits until one of several sockets is ready, at most `time`. Returns for each whether it is
/// ready.
///
/// # Errors
/// `harness` if poll itself fails.
pub fn wait_any(wanted: &[(&Socket, Interest)], time: Duration) -> Result<Vec<bool>, Failure> {
    if wanted.is_empty() {
        // WSAPoll fails without sockets, while poll(2) sleeps.
        std::thread::sleep(time);
        return Ok(Vec::new());
    }
    let mut polled: Vec<PollFd> =
        wanted.iter().map(|(socket, interest)| PollFd::new(*socket, interest.flags())).collect();
    let end = Instant::now() + time;
    loop {
        let left = end.saturating_duration_since(Instant::now());
        match poll(&mut polled, Timespec::try_from(left).ok().as_ref()) {
            Ok(_) => return Ok(polled.iter().map(|fd| !fd.revents().is_empty()).collect()),
            Err(Errno::INTR) => {}
            Err(e) => {
                return Err(Failure::new(FailureKind::Harness, "poll to work", e.to_string()));
            }
        }
    }
}
