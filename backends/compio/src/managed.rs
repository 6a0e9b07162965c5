//! Accept loop and echo with multishot accepts and the driver's buffers: a connection that waits
//! for bytes holds none, the kernel takes one from a pool when they have come.
//!
//! Reads are not multishot. Such a read goes on while its peer does not take the echo, until that
//! connection has the whole pool; to pause it without losing what it read on the way needs the
//! tokens that do nothing (see `capability`).

use std::{io, pin::pin, sync::Arc, task::Poll};

use common::{AcceptError, Context, Driver, Work};
use compio::{BufResult, driver::BufferRef, io::AsyncWriteExt as _, runtime::spawn, time::sleep};
use futures_util::{
    StreamExt as _,
    future::{Either, select},
    poll,
};
use socket2::Socket;

use crate::{
    capability,
    queue::{end_accepts, take_queue},
    transport::Stream,
    turns::{LOOK, take_turns},
};

/// What one read returned.
enum Message {
    /// In a buffer of the driver, which gets it back when this is dropped.
    Managed(BufferRef),
    /// In one of its own, because the driver had none left.
    Owned(Vec<u8>),
}

pub(crate) async fn accept_loop<S: Stream>(
    listener: S::Listener,
    queue: Arc<Socket>,
    work: Option<Work>,
    context: Context,
) {
    let mut stop = context.stop();
    let mut incoming = S::incoming(&listener);
    let mut in_turn = 0;
    loop {
        // The stop is polled first, as in the accept loop of the other flavor.
        match select(&mut stop, incoming.select_next_some()).await {
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
    }
    take_queue(&queue, |stream: S| spawn_echo(stream, work, &context));
    // Elsewhere an accept that waits has no client, and one that completed in the turn of the stop
    // has.
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
        take_queue(&queue, |stream: S| spawn_echo(stream, work, &context));
    }
}

fn spawn_echo<S: Stream>(stream: S, work: Option<Work>, context: &Context) {
    let (connection, context) = (context.connection(), context.clone());
    spawn(async move { connection.ended(echo(stream, work, context).await) }).detach();
}

async fn echo<S: Stream>(stream: S, work: Option<Work>, context: Context) -> io::Result<()> {
    stream.prepare();
    let (mut reader, mut writer) = (stream.clone(), stream);
    let mut stop = context.stop();
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
    // Reads to the peer's FIN.
    while message.is_some() {
        // It goes back to the pool first, where the next read may need it.
        drop(message);
        message = next(&mut reader, &context).await?;
    }
    Ok(())
}

/// Time for two operations: [`next`] reads again where the driver had no buffer left.
async fn look_twice() {
    sleep(LOOK).await;
    sleep(LOOK).await;
}

/// Reads into a buffer of the driver, or into a new one if it has none left; `None` at FIN.
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
