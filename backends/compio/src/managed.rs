//! Accept loop and echo with multishot accepts and the driver's buffers: a connection that waits
//! for bytes holds none, the kernel takes one from a pool when they have come.
//!
//! Reads are not multishot. Such a read goes on while its peer does not take the echo, until that
//! connection has the whole pool; to pause it without losing what it read on the way needs the
//! tokens that do nothing (see `capability`).

use std::{io, net, pin::pin, sync::Arc};

use common::{AcceptError, Context, Driver, Work};
use compio::{
    BufResult,
    driver::BufferRef,
    io::{AsyncRead as _, AsyncReadManaged as _, AsyncWriteExt as _},
    net::{TcpListener, TcpStream},
    runtime::spawn,
    time::sleep,
};
use futures_util::{
    StreamExt as _,
    future::{Either, select},
};

use crate::{
    capability,
    server::{LOOK, end_accepts, send_fin, take_queue},
};

/// What one read returned.
enum Message {
    /// In a buffer of the driver, which gets it back when this is dropped.
    Managed(BufferRef),
    /// In one of its own, because the driver had none left.
    Owned(Vec<u8>),
}

pub(crate) async fn accept_loop(
    listener: TcpListener,
    queue: Arc<net::TcpListener>,
    work: Option<Work>,
    context: Context,
) {
    let mut stop = context.stop();
    let mut incoming = listener.incoming();
    loop {
        match select(incoming.select_next_some(), &mut stop).await {
            Either::Right(_) => break,
            Either::Left((Ok(stream), _)) => spawn_echo(stream, work, &context),
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
    }
    take_queue(&queue, |stream| spawn_echo(stream, work, &context));
    // Elsewhere this flavor has nothing to offer, and what waits is dropped.
    if context.driver() == Driver::IoUring {
        end_accepts(&queue);
        while let Ok(stream) = incoming.select_next_some().await {
            spawn_echo(stream, work, &context);
        }
    }
}

fn spawn_echo(stream: TcpStream, work: Option<Work>, context: &Context) {
    let (connection, context) = (context.connection(), context.clone());
    spawn(async move { connection.ended(echo(stream, work, context).await) }).detach();
}

async fn echo(stream: TcpStream, work: Option<Work>, context: Context) -> io::Result<()> {
    // It fails on a connection that is already reset; reading will say so.
    let _ = stream.set_nodelay(true);
    let mut stop = context.stop();
    loop {
        let mut read = pin!(next(&stream, &context));
        let message = match select(&mut read, &mut stop).await {
            Either::Left((message, _)) => message,
            Either::Right(((), read)) => match select(read, pin!(sleep(LOOK))).await {
                Either::Left((message, _)) => message,
                Either::Right((_, read)) => return finish(&stream, read, &context).await,
            },
        };
        let Some(message) = message? else {
            return send_fin(&stream);
        };
        if let Some(work) = work {
            capability::work(work).await;
        }
        match message {
            Message::Managed(buffer) => (&stream).write_all(buffer).await.0?,
            Message::Owned(buffer) => (&stream).write_all(buffer).await.0?,
        }
        if context.stopping() {
            return finish(&stream, next(&stream, &context), &context).await;
        }
    }
}

/// Reads into a buffer of the driver, or into a new one if it has none left; `None` at FIN.
async fn next(mut stream: &TcpStream, context: &Context) -> io::Result<Option<Message>> {
    match stream.read_managed(context.buffer_bytes()).await {
        Ok(None) => Ok(None),
        Ok(Some(buffer)) if buffer.is_empty() => Ok(None),
        Ok(Some(buffer)) => Ok(Some(Message::Managed(buffer))),
        Err(error) if error.kind() == io::ErrorKind::ResourceBusy => {
            let buffer = Vec::with_capacity(context.buffer_bytes());
            let BufResult(result, buffer) = stream.read(buffer).await;
            Ok((result? > 0).then_some(Message::Owned(buffer)))
        }
        Err(error) => Err(error),
    }
}

/// Sends FIN, then reads to the peer's, beginning with a `read` that may be in flight.
async fn finish(
    stream: &TcpStream,
    read: impl Future<Output = io::Result<Option<Message>>>,
    context: &Context,
) -> io::Result<()> {
    send_fin(stream)?;
    let mut message = read.await?;
    while message.is_some() {
        // It goes back to the pool first, where the next read may need it.
        drop(message);
        message = next(stream, context).await?;
    }
    Ok(())
}
