//! When a task yields to other tasks and to the driver.

use std::future::poll_fn;
use std::mem::replace;
use std::task::Poll;
use std::time::Duration;

/// The shortest timer. When it fires, the driver has delivered what had completed before.
pub(crate) const LOOK: Duration = Duration::from_millis(1);

/// After this many calls in a row, none of which had to wait, a task yields. A call that succeeds
/// at once completes without the driver, and compio has no budget for a task that never has to
/// wait.
pub(crate) const TURN: u32 = 4;

/// Counts a call, and yields after [`TURN`] of them. Each may have completed at once, even with an
/// error.
pub(crate) async fn take_turns(in_turn: &mut u32) {
    *in_turn += 1;
    if *in_turn == TURN {
        *in_turn = 0;
        yield_now().await;
    }
}

/// Yields to the tasks that can run, and to the driver.
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
