//! monoio 0.2.4 on its own, with its epoll driver: a task that wakes itself runs before all others,
//! so no other task gets a turn however often it yields.
//!
//! Exits with 0 if the fault shows.

use std::{cell::Cell, future::poll_fn, process::ExitCode, rc::Rc, task::Poll};

use monoio::{LegacyDriver, RuntimeBuilder, spawn};

const YIELDS: u32 = 100_000;

fn main() -> ExitCode {
    let mut runtime = RuntimeBuilder::<LegacyDriver>::new().build().expect("a runtime");
    let has_run = Rc::new(Cell::new(false));
    let other = Rc::clone(&has_run);
    let ran = runtime.block_on(async move {
        let yielding = spawn(async move {
            for _ in 0..YIELDS {
                yield_now().await;
            }
            has_run.get()
        });
        spawn(async move { other.set(true) });
        yielding.await
    });
    println!("another task has run while one yielded {YIELDS} times: {ran}");
    if ran { ExitCode::FAILURE } else { ExitCode::SUCCESS }
}

async fn yield_now() {
    let mut yielded = false;
    poll_fn(|cx| {
        if yielded {
            return Poll::Ready(());
        }
        yielded = true;
        cx.waker().wake_by_ref();
        Poll::Pending
    })
    .await
}
