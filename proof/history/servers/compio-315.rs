//! Echo server that cancels an accept that has waited for too long, and starts it again.

use std::io;
use std::os::fd::{FromRawFd, IntoRawFd};
use std::pin::pin;

use compio::io::{AsyncRead, AsyncWriteExt};
use compio::net::{TcpListener, TcpStream};
use compio::runtime::{Runtime, spawn};
use compio::time::timeout;
use contract::{Row, Worker};

const ROW: Row = Row {
    runtime: "compio",
    model: "completion",
    driver: "io_uring",
    flavor: "ring-per-thread",
    workers: 2,
};

fn main() {
    ROW.asked().on_every_worker(|worker| {
        Runtime::new().expect("a ring").block_on(serve(worker));
    });
}

async fn serve(worker: Worker) {
    // SAFETY: the descriptor passes from its only owner to the next.
    let listener = unsafe { TcpListener::from_raw_fd(worker.listener.into_raw_fd()) };
    worker.ready.say();
    let mut accept = pin!(listener.accept());
    loop {
        match timeout(worker.cancel_accept, accept.as_mut()).await {
            Ok(accepted) => {
                if let Ok((stream, _)) = accepted {
                    spawn(echo(stream)).detach();
                }
            }
            Err(_) if cfg!(feature = "work-around") => continue,
            Err(_) => {}
        }
        accept.set(listener.accept());
    }
}

async fn echo(mut stream: TcpStream) -> io::Result<()> {
    let mut buffer = Vec::with_capacity(4096);
    loop {
        let (result, read) = stream.read(buffer).await.into();
        if result? == 0 {
            return Ok(());
        }
        let (result, written) = stream.write_all(read).await.into();
        result?;
        buffer = written;
        buffer.clear();
    }
}
