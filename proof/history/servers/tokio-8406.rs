//! Echo server whose messages cost CPU time on some connections. `spawn_blocking` does this work.
//! The server ends by returning from its main task when it gets SIGTERM.

use std::io;
use std::time::{Duration, Instant};

use contract::Row;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::signal::unix::{SignalKind, signal};
use tokio::task;

const ROW: Row = Row {
    runtime: "tokio",
    model: "readiness",
    driver: "epoll",
    flavor: "multi-thread",
    workers: 2,
};

#[tokio::main(worker_threads = 2)]
async fn main() -> io::Result<()> {
    let asked = ROW.asked_with_cpu();
    let listener = TcpListener::from_std(asked.listener()?)?;
    tokio::spawn(accept_loop(listener, Duration::ZERO));
    if let Some((listener, work)) = asked.cpu_listener()? {
        tokio::spawn(accept_loop(TcpListener::from_std(listener)?, work));
    }
    let mut stop = signal(SignalKind::terminate())?;
    println!("{}", asked.announcement());
    stop.recv().await;
    Ok(())
}

async fn accept_loop(listener: TcpListener, work: Duration) {
    loop {
        match listener.accept().await {
            Ok((stream, _)) => drop(tokio::spawn(echo(stream, work))),
            Err(_) => tokio::time::sleep(Duration::from_millis(50)).await,
        }
    }
}

async fn echo(mut stream: TcpStream, work: Duration) -> io::Result<()> {
    let mut buffer = vec![0; 4096];
    loop {
        let bytes = stream.read(&mut buffer).await?;
        if bytes == 0 {
            return stream.shutdown().await;
        }
        if !work.is_zero() {
            task::spawn_blocking(move || compute(work)).await?;
        }
        stream.write_all(&buffer[..bytes]).await?;
    }
}

fn compute(time: Duration) {
    let start = Instant::now();
    while start.elapsed() < time {}
}
