//! The optional part of the contract that compio can meet: work that keeps a thread busy.
//!
//! Not the other, operations under a timeout. Dropping a future asks for its operation to be
//! cancelled; where that comes too late, the operation completes with a client or with bytes that
//! nobody is there to take. A token should cancel without that loss, by awaiting the operation to
//! its end. It does nothing where compio 0.19.2 is optimised: see `examples/cancel_token.rs`.

use common::{Work, burn};
use compio::runtime::spawn_blocking;

/// Does the work of a message, on the pool of threads that blocking calls go to.
pub(crate) async fn work(work: Work) {
    match work {
        Work::Offloaded(time) => {
            // It ends the process if it panics.
            let _ = spawn_blocking(move || burn(time)).await;
        }
        Work::Inline(time) => burn(time),
    }
}
