//! Starts the threads of a runtime's pool for blocking work before the server is ready. The kernel
//! may refuse threads later, and few runtimes survive that.

use std::io;
use std::sync::{Arc, Mutex, PoisonError, mpsc};
use std::time::Duration;

/// Number of threads in a pool for blocking work: enough to keep as many cores busy.
pub const POOL_THREADS: usize = 16;

/// How long a thread of a pool waits for work before it ends: longer than any server runs.
pub const POOL_IDLE: Duration = Duration::from_secs(365 * 24 * 60 * 60);

/// A job that blocks a pool thread until all threads of the pool have started.
pub type PoolJob = Box<dyn FnOnce() + Send>;

/// Makes a pool start `threads` threads. Passes that many jobs to `start`, which must submit each
/// job to the pool. Each job blocks its thread until all jobs run.
///
/// # Errors
/// No further thread has started for 5 s: the kernel refuses threads, or the pool's limit is lower.
pub fn fill_pool(threads: usize, mut start: impl FnMut(PoolJob)) -> io::Result<()> {
    const LIMIT: Duration = Duration::from_secs(5);

    let (started, starts) = mpsc::channel();
    // No job ends before the last thread has started. Otherwise one thread could run all jobs.
    let gate = Arc::new(Mutex::new(()));
    let closed = gate.lock().unwrap_or_else(PoisonError::into_inner);
    for _ in 0..threads {
        let (started, gate) = (started.clone(), Arc::clone(&gate));
        start(Box::new(move || {
            let _ = started.send(());
            drop(gate.lock());
        }));
    }
    for number in 0..threads {
        starts.recv_timeout(LIMIT).map_err(|_| {
            io::Error::other(format!(
                "the pool for work that blocks has {number} of {threads} threads; raise the \
                 limit of threads (ulimit -u, pids.max)"
            ))
        })?;
    }
    drop(closed);
    Ok(())
}

#[cfg(test)]
mod tests {
    use std::thread;

    use super::*;

    #[test]
    fn each_job_has_a_thread_of_its_own_and_ends_after_the_last_has_come() {
        let (ended, ends) = mpsc::channel();
        fill_pool(3, |job| {
            let ended = ended.clone();
            thread::spawn(move || {
                job();
                ended.send(thread::current().id())
            });
        })
        .unwrap();
        let mut threads: Vec<_> = ends.iter().take(3).collect();
        threads.dedup();
        assert_eq!(threads.len(), 3);
    }

    #[test]
    fn a_pool_that_takes_no_job_is_an_error() {
        let error = fill_pool(1, drop).unwrap_err();
        assert!(error.to_string().contains("0 of 1 threads"), "{error}");
    }
}
