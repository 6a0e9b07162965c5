//! Threads that wait for clients until the stop signal. Only something that happens to its socket
//! gets a thread out of a blocking call, so the end of each loop is an event on what it waits for.

use std::{
    convert::Infallible,
    io,
    sync::{
        Arc, Weak,
        mpsc::{self, Receiver, RecvTimeoutError, Sender},
    },
    thread,
    time::Duration,
};

/// A socket that clients come to.
pub(crate) trait Source: Send + Sync + 'static {
    /// Makes the call return that waits for a client. It may fail, and can be tried again.
    fn wake(&self);
}

/// The threads that there are, and what each waits for.
pub(crate) struct Loops {
    /// Weak, because a listener is closed by the end of its thread.
    sources: Vec<Weak<dyn Source>>,
    /// A duplicate for each thread; none ever sends.
    running: Sender<Infallible>,
    ended: Receiver<Infallible>,
}

/// Long enough for a loop that was woken to end.
const PATIENCE: Duration = Duration::from_millis(50);

impl Loops {
    pub(crate) fn new() -> Loops {
        let (running, ended) = mpsc::channel();
        Loops { sources: Vec::new(), running, ended }
    }

    /// Serves `source` on a thread of its own.
    ///
    /// # Errors
    ///
    /// The thread could not be spawned.
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
            // In this order: what has ended is closed.
            drop(source);
            drop(running);
        };
        thread::Builder::new().name(name.to_owned()).spawn(run).map(drop)
    }

    /// Ends the loops, after the stop signal. One that cannot be woken, such as by a name that was
    /// taken away, ends with the process.
    pub(crate) fn end(self) {
        // A wake may find no descriptor.
        const ATTEMPTS: usize = 20;

        let Loops { sources, running, ended } = self;
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
