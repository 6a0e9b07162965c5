//! Threads of a runtime's pool for work that blocks, which a server has before it is ready: later
//! the system may refuse them, and few runtimes survive that.

use std::io;
use std::sync::{Arc, Mutex, PoisonError, mpsc};
use std::time::Duration;

/// Threads of a pool: enough for messages that cost work to wait for each other no longer than the
/// cores make them.
pub const POOL_THREADS: usize = 16;

/// How long a thread of a pool waits for work before it ends: longer than any server runs.
pub const POOL_IDLE: Duration = Duration::from_secs(365 * 24 * 60 * 60);

/// What keeps a thread of a pool until all of them have come.
pub type PoolJob = Box<dyn FnOnce() + Send>;

/// Has a pool start `threads` threads, by as many jobs that `start` hands to it.
///
/// # Errors
///
/// Fewer have come within 5 s: the system refuses threads, or the pool wants fewer.
pub fn fill_pool(threads: usize, mut start: impl FnMut(PoolJob)) -> io::Result<()> {
    const LIMIT: Duration = Duration::from_secs(5);

    let (came, coming) = mpsc::channel();
    // No job ends before the last thread has come, or one thread could do them all.
    let gate = Arc::new(Mutex::new(()));
    let closed = gate.lock().unwrap_or_else(PoisonError::into_inner);
    for _ in 0..threads {
        let (came, gate) = (came.clone(), Arc::clone(&gate));
        start(Box::new(move || {
            let _ = came.send(());
            drop(gate.lock());
        }));
    }
    for number in 0..threads {
        coming.recv_timeout(LIMIT).map_err(|_| {
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
