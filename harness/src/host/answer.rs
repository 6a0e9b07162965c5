//! A probe's answer: something works, or why it does not and what would help.

use std::io;

use report::host::{Availability, IoUring};

/// The result of the io_uring probe.
pub(super) struct RingProbe {
    pub(super) state: Availability,
    pub(super) offers: Option<IoUring>,
    /// Whether the kernel shows the ring's counters.
    pub(super) counters: Availability,
}

/// Unavailable, and nothing on this host would help.
pub(super) fn unavailable(reason: &str) -> Availability {
    Availability::Unavailable { reason: reason.to_owned().into(), fix: None }
}

pub(super) fn available(details: impl Into<String>) -> Availability {
    Availability::Available { details: details.into().into() }
}

/// Why a trial gave no answer.
#[expect(clippy::needless_pass_by_value, reason = "what map_err takes")]
pub(super) fn trial_failure(error: io::Error) -> String {
    format!("the trial failed: {error}")
}

/// What helps against EMFILE.
#[cfg(unix)]
pub(super) const MORE_DESCRIPTORS: &str =
    "ulimit -n 4096 (docker run --ulimit nofile=4096, LimitNOFILE=4096 in a systemd unit)";
