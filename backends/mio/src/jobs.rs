//! Messages that cost CPU time: off the event loop, which has other clients to serve.

use std::{
    io,
    sync::{
        Arc,
        mpsc::{Receiver, Sender, TryIter, channel},
    },
    thread,
    time::Duration,
};

use common::burn;
use mio::Waker;

/// A connection, and what tells it from others that have had its key.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Owner {
    pub(crate) key: usize,
    pub(crate) number: u64,
}

/// Work that other threads do for the connections of one loop.
#[derive(Debug)]
pub(crate) struct Jobs {
    done: Sender<Owner>,
    all_done: Receiver<Owner>,
    waker: Arc<Waker>,
}

impl Jobs {
    pub(crate) fn new(waker: Arc<Waker>) -> Jobs {
        let (done, all_done) = channel();
        Jobs { done, all_done, waker }
    }

    /// Computes on a thread for that purpose: mio has no pool, and work so long does not need one.
    pub(crate) fn start(&self, owner: Owner, time: Duration) -> io::Result<()> {
        let (done, waker) = (self.done.clone(), Arc::clone(&self.waker));
        let job = move || {
            burn(time);
            // The loop is there as long as the process.
            let _ = done.send(owner);
            let _ = waker.wake();
        };
        thread::Builder::new().name("job".to_owned()).spawn(job).map(drop)
    }

    /// Whose work has been done.
    pub(crate) fn done(&self) -> TryIter<'_, Owner> {
        self.all_done.try_iter()
    }
}
