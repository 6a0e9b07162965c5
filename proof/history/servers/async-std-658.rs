//! Echo server with the accept loop of async-std's book, which ends at the first error.

use std::time::Duration;

use async_std::net::{TcpListener, TcpStream};
use async_std::prelude::*;
use async_std::{io, task};
use contract::Row;

const ROW: Row = Row {
    runtime: "async-std",
    model: "readiness",
    driver: "epoll",
    flavor: "multi-thread",
    workers: 2,
};

fn main() -> io::Result<()> {
    let asked = ROW.asked();
    task::block_on(async {
        let listener = TcpListener::from(asked.listener()?);
        println!("{}", asked.announcement());
        let mut incoming = listener.incoming();
        while let Some(stream) = incoming.next().await {
            if cfg!(feature = "work-around") && stream.is_err() {
                task::sleep(Duration::from_millis(100)).await;
                continue;
            }
            task::spawn(echo(stream?));
        }
        Ok(())
    })
}

async fn echo(stream: TcpStream) -> io::Result<()> {
    io::copy(&mut &stream, &mut &stream).await?;
    Ok(())
}
