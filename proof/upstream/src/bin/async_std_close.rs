//! async-std 1.13.2 on its own: `close` of a stream flushes but sends no FIN, so the peer waits
//! forever for the end. With smol's streams, `close` shuts down the writing side.
//!
//! Exits with 0 if the fault shows.

use std::io::{ErrorKind, Read};
use std::net;
use std::process::ExitCode;
use std::time::Duration;

use async_std::net::TcpListener;
use async_std::task;
use futures_lite::AsyncWriteExt;

fn main() -> ExitCode {
    task::block_on(async {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a listener");
        let mut client = net::TcpStream::connect(listener.local_addr().unwrap()).expect("connect");
        let (mut stream, _) = listener.accept().await.expect("accept");
        stream.close().await.expect("close");
        client.set_read_timeout(Some(Duration::from_secs(1))).expect("a timeout");
        let end = client.read(&mut [0]);
        println!("what the peer of the closed stream reads: {end:?}");
        match end {
            Err(error) if error.kind() == ErrorKind::WouldBlock => ExitCode::SUCCESS,
            Ok(_) | Err(_) => ExitCode::FAILURE,
        }
    })
}
