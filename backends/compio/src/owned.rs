//! The accept loop and the echo, with one buffer per connection and one operation at a time.

use std::io;
use std::ops::ControlFlow;
use std::pin::pin;
use std::task::Poll;

use common::{Context, Driver, Recovery, Wait, Work};
use compio::BufResult;
use compio::io::AsyncWriteExt as _;
use compio::runtime::spawn;
use compio::time::sleep;
use futures_util::future::{Either, select};
use futures_util::poll;
use socket2::Socket;

use crate::capability;
use crate::queue::{end_accepts, take_queue};
use crate::transport::Stream;
use crate::turns::{LOOK, TURN, take_turns, yield_now};

pub(crate) async fn accept_loop<S: Stream>(
    listener: S::Listener,
    queue: Socket,
    work: Option<Work>,
    context: Context,
) {
    let mut stop = context.stopped();
    // There is always an accept in flight, and it is awaited to its end: dropping it may lose a
    // client.
    let mut accept = pin!(S::accept(&listener));
    let mut in_turn = 0;
    loop {
        // The stop is polled first: without a free descriptor, on the polling driver, every accept
        // fails in its first poll and would hide the stop.
        match select(&mut stop, &mut accept).await {
            Either::Left(_) => break,
            Either::Right((Ok(stream), _)) => spawn_echo(stream, work, &context),
            // Another thread has shut the listener down before this one saw the stop.
            Either::Right((Err(_), _)) if context.stopping() => {}
            Either::Right((Err(error), _)) => match context.after_accept_error(&error) {
                Recovery::Retry => {}
                Recovery::BackOff(pause) => {
                    select(&mut stop, pin!(sleep(pause))).await;
                }
                Recovery::Fatal => {}
            },
        }
        take_turns(&mut in_turn).await;
        accept.set(S::accept(&listener));
    }
    let last = match context.driver() {
        Driver::IoUring => {
            take_queue(&queue, &context, |stream: S| spawn_echo(stream, work, &context));
            end_accepts(&queue);
            last_client(accept).await
        }
        // On Windows a pending accept cannot be ended, so the loop waits briefly in case the accept
        // has just completed with a client.
        Driver::Iocp => last_client(accept).await,
        // On the polling driver, a pending accept holds no client. An accept that became ready in
        // the same turn as the stop does.
        Driver::Epoll | Driver::Kqueue | Driver::Afd | Driver::Threads => match poll!(accept) {
            Poll::Ready(accepted) => accepted.ok(),
            Poll::Pending => None,
        },
    };
    if let Some(stream) = last {
        spawn_echo(stream, work, &context);
    }
    take_queue(&queue, &context, |stream: S| spawn_echo(stream, work, &context));
}

/// The client that the last accept has completed with, if it has.
async fn last_client<S>(accept: impl Future<Output = io::Result<S>> + Unpin) -> Option<S> {
    match select(accept, pin!(sleep(LOOK))).await {
        Either::Left((accepted, _)) => accepted.ok(),
        Either::Right(_) => None,
    }
}

fn spawn_echo<S: Stream>(stream: S, work: Option<Work>, context: &Context) {
    let (connection, context) = (context.count_connection(), context.clone());
    spawn(async move { connection.ended(echo(stream, work, context).await) }).detach();
}

async fn echo<S: Stream>(stream: S, work: Option<Work>, context: Context) -> io::Result<()> {
    stream.prepare();
    let (mut reader, mut writer) = (stream.clone(), stream);
    let mut buffer = Vec::with_capacity(context.buffer_bytes());
    let mut stop = context.stopped();
    let mut at_once = 0;
    // The buffer moves into the read and comes back with its completion, and likewise for the
    // write.
    let BufResult(mut result, mut buffer) = loop {
        let read = next(&mut reader, &writer, buffer, &mut stop, &mut at_once);
        let message = match read.await? {
            ControlFlow::Continue(message) => message,
            ControlFlow::Break(last) => break last,
        };
        if let Some(work) = work {
            capability::work(work).await;
        }
        let BufResult(result, written) = writer.write_all(message).await;
        result?;
        if context.stopping() {
            writer.send_fin()?;
            break fill(&mut reader, written).await;
        }
        buffer = written;
        if at_once == TURN {
            at_once = 0;
            yield_now().await;
        }
    };
    // Reads until the client's FIN: closing a socket with unread bytes would reset it.
    while result? > 0 {
        BufResult(result, buffer) = fill(&mut reader, buffer).await;
    }
    Ok(())
}

/// Reads the next message: `Continue` with bytes to echo, or `Break` with a result that must not be
/// echoed: the client has sent FIN, or the server has already sent its own.
///
/// A separate function: its future ends before the write begins, so that both use the same bytes of
/// the connection's task.
async fn next<S: Stream>(
    reader: &mut S,
    writer: &S,
    buffer: Vec<u8>,
    stop: &mut Wait,
    at_once: &mut u32,
) -> io::Result<ControlFlow<BufResult<usize, Vec<u8>>, Vec<u8>>> {
    let mut read = pin!(fill(reader, buffer));
    let BufResult(result, filled) = if let Poll::Ready(completed) = poll!(&mut read) {
        *at_once += 1;
        completed
    } else {
        *at_once = 0;
        match select(&mut read, stop).await {
            Either::Left((completed, _)) => completed,
            // Boxed: inline, the timer would enlarge the task of every connection.
            Either::Right(((), read)) => match select(read, Box::pin(sleep(LOOK))).await {
                Either::Left((completed, _)) => completed,
                Either::Right((_, read)) => {
                    writer.send_fin()?;
                    return Ok(ControlFlow::Break(read.await));
                }
            },
        }
    };
    Ok(match result? {
        0 => {
            writer.send_fin()?;
            ControlFlow::Break(BufResult(Ok(0), filled))
        }
        _ => ControlFlow::Continue(filled),
    })
}

/// Reads into the whole buffer.
async fn fill(reader: &mut impl Stream, mut buffer: Vec<u8>) -> BufResult<usize, Vec<u8>> {
    buffer.clear();
    reader.read(buffer).await
}
