//! Messages that cost CPU time, for a loop that has other clients to serve meanwhile.

use std::{
    fmt, io,
    sync::{
        Arc,
        mpsc::{Receiver, Sender, TryIter, channel},
    },
    thread,
    time::Duration,
};

use crate::burn;

/// Work that other threads do for the connections of one loop; `T` says whose it is.
pub struct Jobs<T> {
    done: Sender<T>,
    all_done: Receiver<T>,
    wake: Arc<dyn Fn() + Send + Sync>,
}

impl<T: Send + 'static> Jobs<T> {
    /// Jobs that call `wake` after each that is done.
    pub fn new(wake: impl Fn() + Send + Sync + 'static) -> Jobs<T> {
        let (done, all_done) = channel();
        Jobs { done, all_done, wake: Arc::new(wake) }
    }

    /// Computes for `time` on a thread for that purpose: a loop without a runtime has no pool, and
    /// work so long does not need one.
    ///
    /// # Errors
    ///
    /// Those of pthread_create(3).
    pub fn start(&self, owner: T, time: Duration) -> io::Result<()> {
        let (done, wake) = (self.done.clone(), Arc::clone(&self.wake));
        let job = move || {
            burn(time);
            // The loop is there as long as the process.
            let _ = done.send(owner);
            wake();
        };
        thread::Builder::new().name("job".to_owned()).spawn(job).map(drop)
    }

    /// Whose work has been done.
    pub fn done(&self) -> TryIter<'_, T> {
        self.all_done.try_iter()
    }
}

impl<T> fmt::Debug for Jobs<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Jobs").finish_non_exhaustive()
    }
}
