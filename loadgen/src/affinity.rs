//! Pins the generator's threads to processors. The generator does not depend on the harness, whose
//! `affinity` pins servers, reports where a thread may run, and fails on systems other than Linux.

/// Restricts the calling thread to these processors; an empty list changes nothing. Does nothing on
/// systems other than Linux.
///
/// # Errors
/// The system refuses, for example because a processor does not exist.
pub fn pin(cpus: &[usize]) -> std::io::Result<()> {
    if cpus.is_empty() {
        return Ok(());
    }
    #[cfg(target_os = "linux")]
    {
        let mut set = rustix::thread::CpuSet::new();
        for cpu in cpus {
            set.set(*cpu);
        }
        rustix::thread::sched_setaffinity(None, &set)?;
    }
    Ok(())
}
