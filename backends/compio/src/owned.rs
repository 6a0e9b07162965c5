//! Accept loop and echo with the connection's own buffer, one operation at a time.

use std::{io, ops::ControlFlow, pin::pin, sync::Arc, task::Poll};

use common::{AcceptError, Context, Driver, Wait, Work};
use compio::{BufResult, io::AsyncWriteExt as _, runtime::spawn, time::sleep};
use futures_util::{
    future::{Either, select},
    poll,
};
use socket2::Socket;

use crate::{
    capability,
    queue::{end_accepts, take_queue},
    transport::Stream,
    turns::{LOOK, TURN, take_turns, yield_now},
};

pub(crate) async fn accept_loop<S: Stream>(
    listener: S::Listener,
    queue: Arc<Socket>,
    work: Option<Work>,
    context: Context,
) {
    let mut stop = context.stop();
    // There is always one, and it is awaited to its end: dropping it may lose a client.
    let mut accept = pin!(S::accept(&listener));
    let mut in_turn = 0;
    loop {
        // The stop is polled first. Without a free descriptor an accept fails as soon as it is
        // polled where the driver makes the call itself, and so does the next one.
        match select(&mut stop, &mut accept).await {
            Either::Left(_) => break,
            Either::Right((Ok(stream), _)) => spawn_echo(stream, work, &context),
            // Another thread has ended it, and this one has not seen the stop yet.
            Either::Right((Err(_), _)) if context.stopping() => {}
            Either::Right((Err(error), _)) => match context.accept_error(&error) {
                AcceptError::Retry => {}
                AcceptError::BackOff(pause) => {
                    select(&mut stop, pin!(sleep(pause))).await;
                }
                AcceptError::Fatal => context.fail(),
            },
        }
        take_turns(&mut in_turn).await;
        accept.set(S::accept(&listener));
    }
    let last = match context.driver() {
        Driver::IoUring => {
            take_queue(&queue, |stream: S| spawn_echo(stream, work, &context));
            end_accepts(&queue);
            last_client(accept).await
        }
        // Nothing completes an accept of Windows that has no client, but one may have come.
        Driver::Iocp => last_client(accept).await,
        // The driver waits and then makes the call itself: an accept that waits has no client. One
        // that completed in the turn of the stop has.
        Driver::Epoll | Driver::Kqueue | Driver::Afd | Driver::Threads => match poll!(accept) {
            Poll::Ready(accepted) => accepted.ok(),
            Poll::Pending => None,
        },
    };
    if let Some(stream) = last {
        spawn_echo(stream, work, &context);
    }
    take_queue(&queue, |stream: S| spawn_echo(stream, work, &context));
}

/// The client that an accept has completed with.
async fn last_client<S>(accept: impl Future<Output = io::Result<S>> + Unpin) -> Option<S> {
    match select(accept, pin!(sleep(LOOK))).await {
        Either::Left((accepted, _)) => accepted.ok(),
        Either::Right(_) => None,
    }
}

fn spawn_echo<S: Stream>(stream: S, work: Option<Work>, context: &Context) {
    let (connection, context) = (context.connection(), context.clone());
    spawn(async move { connection.ended(echo(stream, work, context).await) }).detach();
}

async fn echo<S: Stream>(stream: S, work: Option<Work>, context: Context) -> io::Result<()> {
    stream.prepare();
    let (mut reader, mut writer) = (stream.clone(), stream);
    let mut buffer = Vec::with_capacity(context.buffer_bytes());
    let mut stop = context.stop();
    let mut at_once = 0;
    // The driver owns the buffer until the read completes, then it goes on to the write and comes
    // back.
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
    // Reads to the peer's FIN.
    while result? > 0 {
        BufResult(result, buffer) = fill(&mut reader, buffer).await;
    }
    Ok(())
}

/// Reads the next message, or what is not to be echoed any more: FIN, which is answered, or what
/// comes once the stop has sent ours.
///
/// A future of its own, so that it shares its room in a connection's task with that of the write.
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
            // In a box, or each connection would carry a timer from its start.
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

/// Reads what there is, as much as the whole buffer takes.
async fn fill(reader: &mut impl Stream, mut buffer: Vec<u8>) -> BufResult<usize, Vec<u8>> {
    buffer.clear();
    reader.read(buffer).await
}
