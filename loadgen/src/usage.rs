//! What a thread uses: CPU time, waits and descriptors.

use crate::clock::{Clock, seconds};
use crate::tally::Cost;

/// What a thread had used when its measured part began.
#[derive(Debug)]
pub(crate) struct Meter {
    since: u64,
    cpu_seconds: Option<f64>,
    voluntary_switches: Option<u64>,
}

impl Meter {
    pub(crate) fn start(now: u64) -> Self {
        Self { since: now, cpu_seconds: cpu_seconds(), voluntary_switches: voluntary_switches() }
    }

    /// What the thread has used since the start. It polled `polls` times. If it spins instead of
    /// waiting, `empty_polls` is how many of the polls returned no event.
    pub(crate) fn stop(self, clock: Clock, polls: u64, empty_polls: Option<u64>) -> Cost {
        let cpu_seconds = self.cpu_seconds.zip(cpu_seconds()).map(|(before, now)| now - before);
        let switches =
            || self.voluntary_switches.zip(voluntary_switches()).map(|(before, now)| now - before);
        Cost {
            cpu_seconds,
            idle_polls: empty_polls.or_else(switches),
            polls,
            wall_seconds: seconds(clock.now() - self.since),
        }
    }
}

/// CPU time of this thread in seconds; `None` if the system does not report it.
fn cpu_seconds() -> Option<f64> {
    #[cfg(unix)]
    {
        let time = rustix::time::clock_gettime(rustix::time::ClockId::ThreadCPUTime);
        Some(time.tv_sec as f64 + time.tv_nsec as f64 / 1e9)
    }
    #[cfg(not(unix))]
    None
}

/// Voluntary context switches of this thread; `None` if the system does not report them.
fn voluntary_switches() -> Option<u64> {
    #[cfg(target_os = "linux")]
    {
        use procfs::FromRead as _;
        let status = procfs::process::Status::from_file("/proc/thread-self/status").ok()?;
        status.voluntary_ctxt_switches
    }
    #[cfg(not(target_os = "linux"))]
    None
}

/// Raises this process's limit of open descriptors to the hard limit.
///
/// # Errors
/// The hard limit is below `needed`.
pub(crate) fn raise_descriptor_limit(needed: u64) -> anyhow::Result<()> {
    #[cfg(unix)]
    {
        use rustix::process::{Resource, getrlimit, setrlimit};
        let mut limit = getrlimit(Resource::Nofile);
        limit.current = limit.maximum;
        // macOS refuses an infinite limit here. The old limit then stays in force.
        let _ = setrlimit(Resource::Nofile, limit);
        let granted = getrlimit(Resource::Nofile).current;
        if let Some(granted) = granted.filter(|granted| *granted < needed) {
            anyhow::bail!(
                "{needed} descriptors are needed and {granted} are allowed; raise the hard limit \
                 (`ulimit -Hn {needed}` as root), or ask for fewer connections"
            );
        }
    }
    #[cfg(not(unix))]
    let _ = needed;
    Ok(())
}
