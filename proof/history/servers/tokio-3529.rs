//! Echo server with the accept loop of the report, which takes the next client after an error.

use std::io;
use std::net;
use std::time::Duration;

use contract::{Asked, Row};
use tokio::io::copy;
use tokio::net::{TcpListener, TcpStream};
use tokio::stream::StreamExt;
use tokio::{runtime, time};

const ROW: Row = Row {
    runtime: "tokio",
    model: "readiness",
    driver: "epoll",
    flavor: "multi-thread",
    workers: 2,
};

fn main() -> io::Result<()> {
    let asked = ROW.asked();
    let mut builder = runtime::Builder::new();
    let mut runtime = builder.threaded_scheduler().core_threads(2).enable_all().build()?;
    runtime.block_on(serve(asked.listener()?, asked))
}

async fn serve(listener: net::TcpListener, asked: Asked) -> io::Result<()> {
    let mut listener = TcpListener::from_std(listener)?;
    println!("{}", asked.announcement());
    while let Some(stream) = listener.next().await {
        if let Ok(stream) = stream {
            tokio::spawn(echo(stream));
        } else if cfg!(feature = "work-around") {
            time::delay_for(Duration::from_millis(100)).await;
        }
    }
    Ok(())
}

async fn echo(mut stream: TcpStream) -> io::Result<()> {
    let (mut read, mut write) = stream.split();
    copy(&mut read, &mut write).await?;
    Ok(())
}
