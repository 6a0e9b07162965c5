//! kimojio 0.19.0 on its own: every process that the program starts inherits the accepted sockets,
//! and two sockets of each runtime. `accept` lacks SOCK_CLOEXEC (src/operations.rs), and so does
//! the socket pair that wakes a runtime (src/pipe.rs).
//!
//! The server has dropped the connection, but its client gets no FIN, because a child holds it.
//!
//! Exits with 0 if the fault shows.

use std::io::{ErrorKind, Read};
use std::net;
use std::os::fd::OwnedFd;
use std::process::{Command, ExitCode};
use std::time::Duration;

use kimojio::configuration::{Configuration, ExitBehavior};
use kimojio::{Runtime, operations};

fn main() -> ExitCode {
    let until = ExitBehavior::WhenMainTaskCompletes;
    let mut runtime = Runtime::new(0, Configuration::new().set_exit_behavior(until));
    let served = runtime.block_on(async {
        let listener = net::TcpListener::bind("127.0.0.1:0").expect("a listener");
        let client = net::TcpStream::connect(listener.local_addr().unwrap()).expect("connect");
        let listener = OwnedFd::from(listener);
        let stream = operations::accept(&listener).await.expect("accept");
        let child = Command::new("sleep").arg("5").spawn().expect("sleep");
        drop(stream);
        (client, child)
    });
    let Some(Ok((mut client, mut child))) = served else { return ExitCode::FAILURE };
    client.set_read_timeout(Some(Duration::from_secs(1))).expect("a timeout");
    let end = client.read_exact(&mut [0]);
    let _ = child.kill().and_then(|()| child.wait());
    println!("what the client of the dropped connection reads: {end:?}");
    match end {
        Err(error) if error.kind() == ErrorKind::WouldBlock => ExitCode::SUCCESS,
        Ok(()) | Err(_) => ExitCode::FAILURE,
    }
}
