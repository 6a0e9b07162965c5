//! Threads that wait for clients until the stop. A blocking call returns only when something
//! happens on its socket, so the stop makes something happen there (`Source::wake`).

use std::convert::Infallible;
use std::io;
use std::sync::mpsc::{self, Receiver, RecvTimeoutError, Sender};
use std::sync::{Arc, Weak};
use std::thread;
use std::time::Duration;

/// A socket that a thread waits on for clients.
pub(crate) trait Source: Send + Sync + 'static {
    /// Makes the waiting call return. It may fail, and can be tried again.
    fn wake(&self);
}

/// The threads, and the socket that each waits on.
pub(crate) struct Loops {
    /// Weak, so that a listener is closed when its thread ends.
    sources: Vec<Weak<dyn Source>>,
    /// Each thread holds a clone. Nothing is ever sent.
    running: Sender<Infallible>,
    ended: Receiver<Infallible>,
}

/// How long a loop may take to end once it is woken.
const PATIENCE: Duration = Duration::from_millis(50);

impl Loops {
    pub(crate) fn new() -> Self {
        let (running, ended) = mpsc::channel();
        Self { sources: Vec::new(), running, ended }
    }

    /// Starts a thread that serves `source`.
    ///
    /// # Errors
    /// Those of starting a thread.
    pub(crate) fn start<S: Source>(
        &mut self,
        name: &str,
        source: S,
        serve: impl FnOnce(&S) + Send + 'static,
    ) -> io::Result<()> {
        let source = Arc::new(source);
        let (weak, running) = (Arc::downgrade(&source), self.running.clone());
        self.sources.push(weak);
        let run = move || {
            serve(&source);
            // In this order: once a loop has ended, its listener is closed.
            drop(source);
            drop(running);
        };
        thread::Builder::new().name(name.to_owned()).spawn(run).map(drop)
    }

    /// Ends the loops, after the stop. A loop that cannot be woken, for example because the name of
    /// its socket was removed, ends with the process.
    pub(crate) fn end(self) {
        // A wake may fail for want of a descriptor.
        const ATTEMPTS: usize = 20;

        let Self { sources, running, ended } = self;
        drop(running);
        for _ in 0..ATTEMPTS {
            for source in sources.iter().filter_map(Weak::upgrade) {
                source.wake();
            }
            if ended.recv_timeout(PATIENCE) == Err(RecvTimeoutError::Disconnected) {
                return;
            }
        }
    }
}
