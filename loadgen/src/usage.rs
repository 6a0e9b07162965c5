//! What the calling thread has used of the host.

use crate::clock::{Clock, seconds};
use crate::tally::Cost;

/// What a thread had used when its measured part began.
#[derive(Debug)]
pub(crate) struct Meter {
    since: u64,
    cpu_seconds: Option<f64>,
    waits: Option<u64>,
}

impl Meter {
    pub(crate) fn start(now: u64) -> Self {
        Self { since: now, cpu_seconds: cpu_seconds(), waits: waits() }
    }

    /// What the thread has used since. It looked for something to do `looks` times; where it does
    /// not wait for that, it found nothing `empty_looks` times.
    pub(crate) fn stop(self, clock: Clock, looks: u64, empty_looks: Option<u64>) -> Cost {
        let cpu_seconds = self.cpu_seconds.zip(cpu_seconds()).map(|(before, now)| now - before);
        let waits = || self.waits.zip(waits()).map(|(before, now)| now - before);
        Cost {
            cpu_seconds,
            waits: empty_looks.or_else(waits),
            looks,
            wall_seconds: seconds(clock.now() - self.since),
        }
    }
}

/// CPU time of this thread in seconds, where the system tells.
fn cpu_seconds() -> Option<f64> {
    #[cfg(unix)]
    {
        let time = rustix::time::clock_gettime(rustix::time::ClockId::ThreadCPUTime);
        Some(time.tv_sec as f64 + time.tv_nsec as f64 / 1e9)
    }
    #[cfg(not(unix))]
    None
}

/// How often this thread gave its processor away to wait for something, where the system tells.
fn waits() -> Option<u64> {
    #[cfg(target_os = "linux")]
    {
        use procfs::FromRead as _;
        let status = procfs::process::Status::from_file("/proc/thread-self/status").ok()?;
        status.voluntary_ctxt_switches
    }
    #[cfg(not(target_os = "linux"))]
    None
}

/// Lets this process open as many descriptors as it may at the most.
///
/// # Errors
/// When `needed` are more than that.
pub(crate) fn raise_descriptor_limit(needed: u64) -> anyhow::Result<()> {
    #[cfg(unix)]
    {
        use rustix::process::{Resource, getrlimit, setrlimit};
        let mut limit = getrlimit(Resource::Nofile);
        limit.current = limit.maximum;
        // macOS refuses "no limit" here; then what was granted before holds.
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
