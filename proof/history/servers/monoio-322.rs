//! Echo server next to a long calculation that yields after every millisecond.

use std::io;
use std::time::{Duration, Instant};

use futures_lite::future;
use monoio::io::{AsyncReadRent, AsyncWriteRentExt};
use monoio::net::{TcpListener, TcpStream};
use monoio::time;

#[monoio::main(enable_timer = true)]
async fn main() -> io::Result<()> {
    let address = std::env::args().nth(1).expect("an address");
    let listener = TcpListener::bind(address)?;
    monoio::spawn(calculate());
    loop {
        let (stream, _) = listener.accept().await?;
        monoio::spawn(echo(stream));
    }
}

async fn calculate() {
    loop {
        let slice = Instant::now();
        while slice.elapsed() < Duration::from_millis(1) {}
        if cfg!(feature = "work-around") {
            time::sleep(Duration::from_millis(1)).await;
        } else {
            future::yield_now().await;
        }
    }
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
