//! Echo server of the report: one thread, and an accept loop that continues after an error.

use contract::Row;
use tokio::io;
use tokio::net::{TcpListener, TcpStream};

const ROW: Row = Row {
    runtime: "tokio",
    model: "readiness",
    driver: "epoll",
    flavor: "current-thread",
    workers: 1,
};

#[tokio::main(flavor = "current_thread")]
async fn main() -> io::Result<()> {
    let asked = ROW.asked();
    let listener = TcpListener::from_std(asked.listener()?)?;
    println!("{}", asked.announcement());
    loop {
        if let Ok((stream, _)) = listener.accept().await {
            tokio::spawn(echo(stream));
        }
    }
}

async fn echo(mut stream: TcpStream) -> io::Result<()> {
    let (mut read, mut write) = stream.split();
    io::copy(&mut read, &mut write).await?;
    Ok(())
}
