//! compio 0.19.2 on its own: `recv_from_managed` returns `None` for an empty datagram, and so loses
//! its sender. An empty datagram is a datagram like any other.
//!
//! Exits with 0 if the fault shows.

use std::{process::ExitCode, time::Duration};

use compio::{net::UdpSocket, runtime::Runtime, time::timeout};

fn main() -> ExitCode {
    let runtime = Runtime::new().expect("a runtime");
    let received = runtime.block_on(async {
        let socket = UdpSocket::bind("127.0.0.1:0").await.expect("a socket");
        let client = std::net::UdpSocket::bind("127.0.0.1:0").expect("a client");
        client.send_to(&[], socket.local_addr().unwrap()).expect("send");
        timeout(Duration::from_secs(2), socket.recv_from_managed(0)).await
    });
    let received = received.expect("a datagram within 2 s").expect("no error");
    println!("sender of the empty datagram: {:?}", received.as_ref().map(|(_, from)| from));
    if received.is_none() { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}
