//! What the calling thread has used of the host.

/// CPU time of this thread in seconds, where the system tells.
pub(crate) fn cpu_seconds() -> Option<f64> {
    #[cfg(unix)]
    {
        let time = rustix::time::clock_gettime(rustix::time::ClockId::ThreadCPUTime);
        Some(time.tv_sec as f64 + time.tv_nsec as f64 / 1e9)
    }
    #[cfg(not(unix))]
    None
}

/// How often this thread gave its processor away to wait for something, where the system tells.
pub(crate) fn waits() -> Option<u64> {
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
