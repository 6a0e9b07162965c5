//! The optional part of the contract that compio can meet: messages that cost CPU time.
//!
//! It cannot meet the other part, operations that are cancelled. Dropping a future cancels its
//! operation; if that comes too late, the operation completes with a client or with bytes, which
//! are lost. A `CancelToken` should avoid the loss, because the operation is awaited to its end,
//! but it does nothing in an optimised build of compio 0.19.2: see `examples/cancel_token.rs`.

use std::io;
use std::sync::atomic::{AtomicUsize, Ordering};

use common::{POOL_IDLE, POOL_THREADS, Sockets, Work, burn};
use compio::driver::AsyncifyPool;
use compio::runtime::spawn_blocking;
use futures_util::lock::Mutex;

/// One lock per thread of the pool, so that there is a free thread for each job: if all are busy,
/// compio waits for one in a loop that blocks the runtime's thread.
static LOCKS: [Mutex<()>; POOL_THREADS] = [const { Mutex::new(()) }; POOL_THREADS];

/// Counts the messages, which take the locks in turn: each message costs the same.
static MESSAGES: AtomicUsize = AtomicUsize::new(0);

/// The pool of threads for blocking calls, which all runtimes share, if messages cost work. Its
/// threads are started now: if the system refuses one later, compio panics (compio-driver 0.12.5).
///
/// # Errors
/// The system refuses threads.
pub(crate) fn pool(sockets: &Sockets) -> io::Result<Option<AsyncifyPool>> {
    if !sockets.offload_work() {
        return Ok(None);
    }
    let pool = AsyncifyPool::new(POOL_THREADS, POOL_IDLE);
    common::fill_pool(POOL_THREADS, |job| {
        // It takes as many jobs as it may have threads.
        let _ = pool.dispatch(job);
    })?;
    Ok(Some(pool))
}

/// Spends what one message costs: on the pool, unless the server was told to do it inline.
pub(crate) async fn work(work: Work) {
    match work {
        Work::Offloaded(time) => {
            let number = MESSAGES.fetch_add(1, Ordering::Relaxed) % POOL_THREADS;
            let _lock = LOCKS[number].lock().await;
            // A panic in it ends the process.
            let _ = spawn_blocking(move || burn(time)).await;
        }
        Work::Inline(time) => burn(time),
    }
}
