//! Accept loop and echo with the connection's own buffer, one operation at a time.

use std::{future::poll_fn, io, mem, net, pin::pin, sync::Arc, task::Poll};

use common::{AcceptError, Context, Driver, Work};
use compio::{
    BufResult,
    buf::{IntoInner as _, IoBuf as _},
    io::{AsyncRead as _, AsyncWriteExt as _},
    net::{TcpListener, TcpStream},
    runtime::spawn,
    time::sleep,
};
use futures_util::{
    future::{Either, select},
    poll,
};

use crate::{
    capability,
    server::{LOOK, end_accepts, send_fin, take_queue},
};

/// Echoes in a row after which others get a turn, if none had to wait: a call that succeeds at once
/// completes without the driver, and compio has no budget for a task that does nothing else.
const TURN: u32 = 4;

pub(crate) async fn accept_loop(
    listener: TcpListener,
    queue: Arc<net::TcpListener>,
    work: Option<Work>,
    context: Context,
) {
    let mut stop = context.stop();
    // There is always one, and it is awaited to its end: dropping it may lose a client.
    let mut accept = pin!(listener.accept());
    loop {
        match select(&mut accept, &mut stop).await {
            Either::Right(_) => break,
            Either::Left((Ok((stream, _)), _)) => spawn_echo(stream, work, &context),
            // Another thread has ended it, and this one has not seen the stop yet.
            Either::Left((Err(_), _)) if context.stopping() => {}
            Either::Left((Err(error), _)) => match context.accept_error(&error) {
                AcceptError::Retry => {}
                AcceptError::BackOff(pause) => {
                    select(&mut stop, pin!(sleep(pause))).await;
                }
                AcceptError::Fatal => context.fail(),
            },
        }
        accept.set(listener.accept());
    }
    let last = match context.driver() {
        Driver::IoUring => {
            take_queue(&queue, |stream| spawn_echo(stream, work, &context));
            end_accepts(&queue);
            accept.await.ok()
        }
        // Nothing completes an accept of Windows that has no client, but one may have come.
        Driver::Iocp => match select(accept, pin!(sleep(LOOK))).await {
            Either::Left((accepted, _)) => accepted.ok(),
            Either::Right(_) => None,
        },
        // The driver waits and then makes the call itself: an accept that waits has no client.
        Driver::Epoll | Driver::Kqueue | Driver::Afd | Driver::Threads => None,
    };
    if let Some((stream, _)) = last {
        spawn_echo(stream, work, &context);
    }
    take_queue(&queue, |stream| spawn_echo(stream, work, &context));
}

fn spawn_echo(stream: TcpStream, work: Option<Work>, context: &Context) {
    let (connection, context) = (context.connection(), context.clone());
    spawn(async move { connection.ended(echo(stream, work, context).await) }).detach();
}

async fn echo(stream: TcpStream, work: Option<Work>, context: Context) -> io::Result<()> {
    // It fails on a connection that is already reset; reading will say so.
    let _ = stream.set_nodelay(true);
    let mut buffer = Vec::with_capacity(context.buffer_bytes());
    let mut stop = context.stop();
    let mut at_once = 0;
    loop {
        // The driver owns the buffer until the read completes, then it goes on to the write and
        // comes back.
        let mut read = pin!(fill(&stream, buffer));
        let BufResult(result, filled) = if let Poll::Ready(completed) = poll!(&mut read) {
            at_once += 1;
            completed
        } else {
            at_once = 0;
            match select(&mut read, &mut stop).await {
                Either::Left((completed, _)) => completed,
                Either::Right(((), read)) => match select(read, pin!(sleep(LOOK))).await {
                    Either::Left((completed, _)) => completed,
                    Either::Right((_, read)) => return finish(&stream, read).await,
                },
            }
        };
        let bytes = result?;
        if bytes == 0 {
            return send_fin(&stream);
        }
        if let Some(work) = work {
            capability::work(work).await;
        }
        let BufResult(result, written) = (&stream).write_all(filled.slice(..bytes)).await;
        result?;
        buffer = written.into_inner();
        if context.stopping() {
            return finish(&stream, fill(&stream, buffer)).await;
        }
        if at_once == TURN {
            at_once = 0;
            yield_now().await;
        }
    }
}

/// Reads what there is, as much as the whole buffer takes.
async fn fill(mut stream: &TcpStream, mut buffer: Vec<u8>) -> BufResult<usize, Vec<u8>> {
    buffer.clear();
    stream.read(buffer).await
}

/// Sends FIN, then reads to the peer's, beginning with a `read` that may be in flight.
async fn finish(
    stream: &TcpStream,
    read: impl Future<Output = BufResult<usize, Vec<u8>>>,
) -> io::Result<()> {
    send_fin(stream)?;
    let BufResult(mut result, mut buffer) = read.await;
    while result? > 0 {
        BufResult(result, buffer) = fill(stream, buffer).await;
    }
    Ok(())
}

/// Lets the tasks that can run have a turn, and the driver too.
async fn yield_now() {
    let mut yielded = false;
    poll_fn(|cx| {
        if mem::replace(&mut yielded, true) {
            return Poll::Ready(());
        }
        cx.waker().wake_by_ref();
        Poll::Pending
    })
    .await;
}
