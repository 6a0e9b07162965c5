//! The optional part of the contract that compio can meet: work that keeps a thread busy.
//!
//! Not the other, operations under a timeout. Dropping a future asks for its operation to be
//! cancelled; where that comes too late, the operation completes with a client or with bytes that
//! nobody is there to take. A token should cancel without that loss, by awaiting the operation to
//! its end. It does nothing where compio 0.19.2 is optimised: see `examples/cancel_token.rs`.

use std::{
    io,
    sync::atomic::{AtomicUsize, Ordering},
};

use common::{Listeners, POOL_IDLE, POOL_THREADS, Work, burn};
use compio::{driver::AsyncifyPool, runtime::spawn_blocking};
use futures_util::lock::Mutex;

/// One for each thread of the pool. Where all threads are busy, compio waits for one in a loop that
/// nothing else of the calling thread runs beside.
static PLACES: [Mutex<()>; POOL_THREADS] = [const { Mutex::new(()) }; POOL_THREADS];

/// Counts the messages, which take the places in turn: each costs as much as any other.
static MESSAGES: AtomicUsize = AtomicUsize::new(0);

/// The pool of threads that blocking calls of all runtimes go to, with its threads, if anything is
/// to be done there. Where the system refuses a thread later, compio panics (compio-driver 0.12.5).
///
/// # Errors
///
/// The system refuses threads.
pub(crate) fn pool(listeners: &Listeners) -> io::Result<Option<AsyncifyPool>> {
    if !listeners.offload_work() {
        return Ok(None);
    }
    let pool = AsyncifyPool::new(POOL_THREADS, POOL_IDLE);
    common::fill_pool(POOL_THREADS, |job| {
        // It takes as many jobs as it may have threads.
        let _ = pool.dispatch(job);
    })?;
    Ok(Some(pool))
}

/// Does the work of a message, on the pool of threads that blocking calls go to.
pub(crate) async fn work(work: Work) {
    match work {
        Work::Offloaded(time) => {
            let place = MESSAGES.fetch_add(1, Ordering::Relaxed) % POOL_THREADS;
            let _place = PLACES[place].lock().await;
            // It ends the process if it panics.
            let _ = spawn_blocking(move || burn(time)).await;
        }
        Work::Inline(time) => burn(time),
    }
}
