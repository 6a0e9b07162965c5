//! Accept loop and echo with the connection's own buffer, one operation at a time.

use std::{io, net, pin::pin, sync::Arc};

use common::{AcceptError, Context, Driver, Work};
use compio::{
    BufResult,
    buf::{IntoInner as _, IoBuf as _},
    io::{AsyncRead as _, AsyncWriteExt as _},
    net::{TcpListener, TcpStream},
    runtime::spawn,
    time::sleep,
};
use futures_util::future::{Either, select};

use crate::{
    capability,
    server::{LOOK, end_accepts, send_fin, take_queue},
};

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
    take_queue(&queue, |stream| spawn_echo(stream, work, &context));
    // Where the driver waits and then makes the call itself, an accept that still waits has no
    // client. One that is in the kernel may.
    if context.driver() == Driver::IoUring {
        end_accepts(&queue);
        if let Ok((stream, _)) = accept.await {
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
    let mut buffer = Vec::with_capacity(context.buffer_bytes());
    let mut stop = context.stop();
    loop {
        // The driver owns the buffer until the read completes, then it goes on to the write and
        // comes back.
        let mut read = pin!(fill(&stream, buffer));
        let BufResult(result, filled) = match select(&mut read, &mut stop).await {
            Either::Left((completed, _)) => completed,
            Either::Right(((), read)) => match select(read, pin!(sleep(LOOK))).await {
                Either::Left((completed, _)) => completed,
                Either::Right((_, read)) => return finish(&stream, read).await,
            },
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
