//! Echo server that ends by returning from its main task when it gets SIGTERM.

use std::io;

use contract::{Row, Worker};
use tokio::signal::unix::{SignalKind, signal};
use tokio_uring::buf::IoBuf;
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
    let address = worker.listener.local_addr().expect("an address");
    let listener = TcpListener::bind(address).expect("listen");
    let mut stop = signal(SignalKind::terminate()).expect("a handler");
    tokio_uring::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            tokio_uring::spawn(echo(stream));
        }
    });
    drop(worker.listener);
    worker.ready.say();
    stop.recv().await;
}

async fn echo(stream: TcpStream) -> io::Result<()> {
    let mut buffer = vec![0; 4096];
    loop {
        let (result, read) = stream.read(buffer).await;
        let bytes = result?;
        if bytes == 0 {
            return Ok(());
        }
        let (result, written) = stream.write(read.slice(..bytes)).await;
        result?;
        buffer = written.into_inner();
    }
}
