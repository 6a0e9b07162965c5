//! Echo server in a program that leaves SIGPIPE at its default, as many command-line tools do.

use std::io;

use compio::io::{AsyncRead, AsyncWriteExt};
use compio::net::{TcpListener, TcpStream};
use compio::runtime::spawn;

#[compio::main]
async fn main() -> io::Result<()> {
    // SAFETY: no other thread runs yet.
    unsafe { libc::signal(libc::SIGPIPE, libc::SIG_DFL) };
    let address = std::env::args().nth(1).expect("an address");
    let listener = TcpListener::bind(address).await?;
    loop {
        let (stream, _) = listener.accept().await?;
        spawn(echo(stream)).detach();
    }
}

async fn echo(mut stream: TcpStream) -> io::Result<()> {
    let mut buffer = Vec::with_capacity(4096);
    loop {
        let (result, read) = stream.read(buffer).await.into();
        if result? == 0 {
            return Ok(());
        }
        let (result, written) = stream.write_all(read).await.into();
        result?;
        buffer = written;
        buffer.clear();
    }
}
