//! Echo server that cancels an accept that has waited for too long, and starts it again.

use std::io;
use std::pin::pin;

use contract::{Row, Worker};
use tokio::time::timeout;
use tokio_uring::buf::BoundedBuf;
use tokio_uring::net::{TcpListener, TcpStream};

const ROW: Row = Row {
    runtime: "tokio-uring",
    model: "completion",
    driver: "io_uring",
    flavor: "ring-per-thread",
    workers: 2,
};

fn main() {
    ROW.asked().on_every_worker(|worker| tokio_uring::start(serve(worker)));
}

async fn serve(worker: Worker) {
    let listener = TcpListener::from_std(worker.listener);
    worker.ready.say();
    let mut accept = pin!(listener.accept());
    loop {
        match timeout(worker.cancel_accept, accept.as_mut()).await {
            Ok(accepted) => {
                if let Ok((stream, _)) = accepted {
                    tokio_uring::spawn(echo(stream));
                }
            }
            Err(_) if cfg!(feature = "work-around") => continue,
            Err(_) => {}
        }
        accept.set(listener.accept());
    }
}

async fn echo(stream: TcpStream) -> io::Result<()> {
    let mut buffer = vec![0; 4096];
    loop {
        let (result, read) = stream.read(buffer).await;
        let bytes = result?;
        if bytes == 0 {
            return Ok(());
        }
        let (result, written) = stream.write_all(read.slice(..bytes)).await;
        result?;
        buffer = written.into_inner();
    }
}
