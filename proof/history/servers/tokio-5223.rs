//! Echo server next to a long calculation that yields after every slice of 20 ms.

use std::time::{Duration, Instant};

use tokio::net::{TcpListener, TcpStream};
use tokio::{io, task};

#[tokio::main(flavor = "current_thread")]
async fn main() -> io::Result<()> {
    let address = std::env::args().nth(1).expect("an address");
    let listener = TcpListener::bind(address).await?;
    task::spawn(calculate());
    loop {
        let (stream, _) = listener.accept().await?;
        task::spawn(echo(stream));
    }
}

async fn calculate() {
    loop {
        let slice = Instant::now();
        while slice.elapsed() < Duration::from_millis(20) {}
        task::yield_now().await;
    }
}

async fn echo(mut stream: TcpStream) -> io::Result<()> {
    let (mut read, mut write) = stream.split();
    io::copy(&mut read, &mut write).await?;
    Ok(())
}
