//! The accept loop for Unix listeners, a copy of the one for TCP.

use async_std::os::unix::net::UnixListener;
use async_std::task;
use common::{Context, Recovery};

use crate::{capability, now, spawn_echo, until};

pub(crate) async fn accept_loop(listener: UnixListener, context: Context) {
    let mut stopped = context.stopped();
    loop {
        let accept = capability::accept(&context, || listener.accept());
        match until(&mut stopped, accept).await {
            None => break,
            Some(Ok((stream, _))) => spawn_echo(stream, None, &context),
            Some(Err(error)) => match context.after_accept_error(&error) {
                Recovery::Retry => {}
                Recovery::BackOff(pause) => {
                    until(&mut stopped, task::sleep(pause)).await;
                }
                Recovery::Fatal => return,
            },
        }
        task::yield_now().await;
    }
    let accept = || now(listener.accept());
    context.accept_queued(accept).for_each(|(stream, _)| spawn_echo(stream, None, &context));
}
