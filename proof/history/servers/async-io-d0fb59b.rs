//! Echo server on smol 0.3, whose sockets and timers are async-io's.

use std::net::{SocketAddr, TcpListener, TcpStream};

use smol::{Async, Task, io};

fn main() -> io::Result<()> {
    let address: SocketAddr =
        std::env::args().nth(1).expect("an address").parse().expect("an address");
    smol::run(async {
        let listener = Async::<TcpListener>::bind(address)?;
        loop {
            let (stream, _) = listener.accept().await?;
            Task::spawn(echo(stream)).detach();
        }
    })
}

async fn echo(stream: Async<TcpStream>) -> io::Result<()> {
    io::copy(&stream, &mut &stream).await?;
    Ok(())
}
