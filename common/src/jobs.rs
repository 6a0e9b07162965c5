//! Threads that spend the CPU time of messages, for a loop without a runtime.

use std::fmt;
use std::io;
use std::sync::Arc;
use std::sync::mpsc::{Receiver, Sender, TryIter, channel};
use std::thread;
use std::time::Duration;

use crate::burn;

/// Jobs that other threads do for the connections of one loop. `T` names the owner of a job.
pub struct Jobs<T> {
    done: Sender<T>,
    all_done: Receiver<T>,
    wake: Arc<dyn Fn() + Send + Sync>,
}

impl<T: Send + 'static> Jobs<T> {
    /// `wake` is called after each job.
    pub fn new(wake: impl Fn() + Send + Sync + 'static) -> Self {
        let (done, all_done) = channel();
        Self { done, all_done, wake: Arc::new(wake) }
    }

    /// Computes for `time` on a new thread. There is no pool: the jobs are long enough that
    /// starting a thread costs little.
    ///
    /// # Errors
    /// Those of pthread_create(3).
    pub fn start(&self, owner: T, time: Duration) -> io::Result<()> {
        let (done, wake) = (self.done.clone(), Arc::clone(&self.wake));
        let job = move || {
            burn(time);
            // The receiver lives as long as the process.
            let _ = done.send(owner);
            wake();
        };
        thread::Builder::new().name("job".to_owned()).spawn(job).map(drop)
    }

    /// The owners of the jobs that are done.
    pub fn done(&self) -> TryIter<'_, T> {
        self.all_done.try_iter()
    }
}

impl<T> fmt::Debug for Jobs<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Jobs").finish_non_exhaustive()
    }
}
