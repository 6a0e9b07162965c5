//! Echo server that cancels an accept that has waited for too long, does some other work, and
//! starts the accept again.

use std::io;
use std::pin::pin;
use std::time::{Duration, Instant};

use contract::{Row, Worker};
use monoio::io::{AsyncReadRent, AsyncWriteRentExt};
use monoio::net::{TcpListener, TcpStream};
use monoio::time::timeout;
use monoio::{FusionDriver as Driver, RuntimeBuilder};

const ROW: Row = Row {
    runtime: "monoio",
    model: "completion",
    driver: "io_uring",
    flavor: "ring-per-thread",
    workers: 2,
};

fn main() {
    ROW.asked().on_every_worker(|worker| {
        let runtime = RuntimeBuilder::<Driver>::new().enable_timer().build();
        runtime.expect("a ring").block_on(serve(worker));
    });
}

async fn serve(worker: Worker) {
    let listener = TcpListener::from_std(worker.listener).expect("a listener");
    worker.ready.say();
    let mut accept = pin!(listener.accept());
    loop {
        match timeout(worker.cancel_accept, accept.as_mut()).await {
            Ok(accepted) => {
                if let Ok((stream, _)) = accepted {
                    monoio::spawn(echo(stream));
                }
            }
            Err(_) => {
                housekeeping();
                if cfg!(feature = "work-around") {
                    continue;
                }
            }
        }
        accept.set(listener.accept());
    }
}

/// Work that a server does from time to time. A client that arrives meanwhile is accepted by the
/// operation that is about to be cancelled.
fn housekeeping() {
    let start = Instant::now();
    while start.elapsed() < Duration::from_micros(250) {}
}

async fn echo(mut stream: TcpStream) -> io::Result<()> {
    let mut buffer = Vec::with_capacity(4096);
    loop {
        let (result, read) = stream.read(buffer).await;
        if result? == 0 {
            return Ok(());
        }
        let (result, written) = stream.write_all(read).await;
        result?;
        buffer = written;
        buffer.clear();
    }
}
