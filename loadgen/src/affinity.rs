//! Where the generator's threads run. What pins a server is the harness's, which the generator
//! does not depend on; that one also says where a thread ended up, and is an error elsewhere.

/// Lets the calling thread run on these processors only; anywhere if there are none. On other
/// systems than Linux a thread cannot be kept to a processor, and nothing happens.
///
/// # Errors
/// When the system refuses, as it does for processors that are not there.
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
