//! monoio 0.2.4 on its own, on io_uring: every process that the program starts inherits the
//! accepted sockets. The accept lacks SOCK_CLOEXEC (src/driver/op/accept.rs); on epoll it has the
//! flag.
//!
//! The server has dropped the connection, but its client gets no FIN, because a child holds it.
//!
//! Exits with 0 if the fault shows.

use std::io::{ErrorKind, Read};
use std::net;
use std::process::{Command, ExitCode};
use std::time::Duration;

use monoio::net::TcpListener;
use monoio::{IoUringDriver, RuntimeBuilder};

fn main() -> ExitCode {
    let mut runtime = RuntimeBuilder::<IoUringDriver>::new().build().expect("a ring");
    let (mut client, mut child) = runtime.block_on(async {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a listener");
        let client = net::TcpStream::connect(listener.local_addr().unwrap()).expect("connect");
        let (stream, _) = listener.accept().await.expect("accept");
        let child = Command::new("sleep").arg("5").spawn().expect("sleep");
        drop(stream);
        (client, child)
    });
    client.set_read_timeout(Some(Duration::from_secs(1))).expect("a timeout");
    let end = client.read(&mut [0]);
    let _ = child.kill().and_then(|()| child.wait());
    println!("what the client of the dropped connection reads: {end:?}");
    match end {
        Err(error) if error.kind() == ErrorKind::WouldBlock => ExitCode::SUCCESS,
        Ok(_) | Err(_) => ExitCode::FAILURE,
    }
}
