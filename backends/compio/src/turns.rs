//! When a task lets others have a turn, and the driver too.

use std::{future::poll_fn, mem::replace, task::Poll, time::Duration};

/// The shortest timer. When one fires, the driver has been asked what completed before it was set.
pub(crate) const LOOK: Duration = Duration::from_millis(1);

/// Calls in a row after which others get a turn, if none had to wait: a call that succeeds at once
/// completes without the driver, and compio has no budget for a task that does nothing else.
pub(crate) const TURN: u32 = 4;

/// Counts a call, and lets others have a turn after [`TURN`] of them. Each may have completed at
/// once, also by failing.
pub(crate) async fn take_turns(in_turn: &mut u32) {
    *in_turn += 1;
    if *in_turn == TURN {
        *in_turn = 0;
        yield_now().await;
    }
}

/// Lets the tasks that can run have a turn, and the driver too.
pub(crate) async fn yield_now() {
    let mut yielded = false;
    poll_fn(|cx| {
        if replace(&mut yielded, true) {
            return Poll::Ready(());
        }
        cx.waker().wake_by_ref();
        Poll::Pending
    })
    .await;
}
