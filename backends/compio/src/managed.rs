//! The accept loop and the echo with multishot accept and provided buffers: the kernel picks a
//! buffer when bytes arrive, so an idle connection holds none.
//!
//! Reads are not multishot. A multishot read continues while its client does not take the echo,
//! until one connection holds the whole pool. To pause it without losing bytes needs the
//! `CancelToken` that does nothing (see `capability`).

use std::io;
use std::pin::pin;
use std::task::Poll;

use common::{Context, Driver, Recovery, Work};
use compio::BufResult;
use compio::driver::BufferRef;
use compio::io::AsyncWriteExt as _;
use compio::runtime::spawn;
use compio::time::sleep;
use futures_util::future::{Either, select};
use futures_util::{StreamExt as _, poll};
use socket2::Socket;

use crate::capability;
use crate::queue::{end_accepts, take_queue};
use crate::transport::Stream;
use crate::turns::{LOOK, take_turns};

/// The result of one read.
enum Message {
    /// In a provided buffer, which returns to the driver when it is dropped.
    Managed(BufferRef),
    /// In a buffer of its own, because no provided buffer was free.
    Owned(Vec<u8>),
}

pub(crate) async fn accept_loop<S: Stream>(
    listener: S::Listener,
    queue: Socket,
    work: Option<Work>,
    context: Context,
) {
    let mut stop = context.stopped();
    let mut incoming = S::incoming(&listener);
    let mut in_turn = 0;
    loop {
        // The stop is polled first, as in the accept loop of the other flavor.
        match select(&mut stop, incoming.select_next_some()).await {
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
    }
    take_queue(&queue, &context, |stream: S| spawn_echo(stream, work, &context));
    // On other drivers, a pending accept holds no client. An accept that became ready in the same
    // turn as the stop does.
    while context.driver() != Driver::IoUring
        && let Poll::Ready(Ok(stream)) = poll!(incoming.select_next_some())
    {
        spawn_echo(stream, work, &context);
    }
    if context.driver() == Driver::IoUring {
        end_accepts(&queue);
        while let Either::Left((Ok(stream), _)) =
            select(incoming.select_next_some(), pin!(sleep(LOOK))).await
        {
            spawn_echo(stream, work, &context);
        }
        take_queue(&queue, &context, |stream: S| spawn_echo(stream, work, &context));
    }
}

fn spawn_echo<S: Stream>(stream: S, work: Option<Work>, context: &Context) {
    let (connection, context) = (context.count_connection(), context.clone());
    spawn(async move { connection.ended(echo(stream, work, context).await) }).detach();
}

async fn echo<S: Stream>(stream: S, work: Option<Work>, context: Context) -> io::Result<()> {
    stream.prepare();
    let (mut reader, mut writer) = (stream.clone(), stream);
    let mut stop = context.stopped();
    let mut message = loop {
        let message = {
            let mut read = pin!(next(&mut reader, &context));
            match select(&mut read, &mut stop).await {
                Either::Left((message, _)) => message?,
                Either::Right(((), read)) => match select(read, pin!(look_twice())).await {
                    Either::Left((message, _)) => message?,
                    Either::Right((_, read)) => {
                        writer.send_fin()?;
                        break read.await?;
                    }
                },
            }
        };
        let Some(message) = message else {
            return writer.send_fin();
        };
        if let Some(work) = work {
            capability::work(work).await;
        }
        match message {
            Message::Managed(buffer) => writer.write_all(buffer).await.0?,
            Message::Owned(buffer) => writer.write_all(buffer).await.0?,
        }
        if context.stopping() {
            writer.send_fin()?;
            break next(&mut reader, &context).await?;
        }
    };
    // Reads until the client's FIN: closing a socket with unread bytes would reset it.
    while message.is_some() {
        // The buffer goes back first, because the next read may need it.
        drop(message);
        message = next(&mut reader, &context).await?;
    }
    Ok(())
}

/// Long enough for two operations: [`next`] reads again if no provided buffer was free.
async fn look_twice() {
    sleep(LOOK).await;
    sleep(LOOK).await;
}

/// Reads into a provided buffer, or into a new one if none is free; `None` at FIN.
async fn next(reader: &mut impl Stream, context: &Context) -> io::Result<Option<Message>> {
    match reader.read_managed(context.buffer_bytes()).await {
        Ok(None) => Ok(None),
        Ok(Some(buffer)) if buffer.is_empty() => Ok(None),
        Ok(Some(buffer)) => Ok(Some(Message::Managed(buffer))),
        Err(error) if error.kind() == io::ErrorKind::ResourceBusy => {
            let buffer = Vec::with_capacity(context.buffer_bytes());
            let BufResult(result, buffer) = reader.read(buffer).await;
            Ok((result? > 0).then_some(Message::Owned(buffer)))
        }
        Err(error) => Err(error),
    }
}
