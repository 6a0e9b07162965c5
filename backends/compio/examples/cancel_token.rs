//! compio 0.19.2 on its own: a token that is cancelled leaves the accept waiting, where compio is
//! optimised (the dev profile of this workspace, or `--release`).
//!
//! The token travels in the waker, which is known by its table of functions (compio-runtime,
//! src/waker/ext.rs). The compiler copies such small functions into each crate that uses them, so
//! the tables of two crates differ, and the operation never learns of its token.
//!
//! Ends with 0 when the failure shows.

use std::process::ExitCode;
use std::time::Duration;

use compio::net::TcpListener;
use compio::runtime::{CancelToken, FutureExt as _, Runtime, spawn};
use compio::time::{sleep, timeout};

fn main() -> ExitCode {
    let runtime = Runtime::new().expect("a runtime");
    let cancelled = runtime.block_on(async {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a listener");
        let token = CancelToken::new();
        let accept = listener.accept().with_cancel(token.clone());
        spawn(async move {
            sleep(Duration::from_millis(50)).await;
            token.cancel();
        })
        .detach();
        timeout(Duration::from_secs(1), accept).await.is_ok()
    });
    println!("accept ended within 1 s of the cancel: {cancelled}");
    if cancelled { ExitCode::FAILURE } else { ExitCode::SUCCESS }
}
