//! tokio-uring 0.5.0 on its own: an echo consists of two operations, a read and a write, but takes
//! six system calls on one connection. If the thread waited on the ring itself, it would take two.
//!
//! Tokio's epoll watches the ring, so tokio-uring submits, waits for and collects each operation in
//! separate system calls. strace counts them.
//!
//! Exits with 0 if the fault shows.

use std::env;
use std::fs;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpStream;
use std::process::{Command, ExitCode, Stdio, id};

use tokio_uring::net::TcpListener;

const ROUNDS: u32 = 1000;

fn main() -> ExitCode {
    if env::args().nth(1).is_some() {
        tokio_uring::start(serve());
        return ExitCode::SUCCESS;
    }
    let counts = env::temp_dir().join(format!("calls-{}", id()));
    let mut strace = Command::new("strace");
    strace.arg("-fco").arg(&counts).arg(env::current_exe().unwrap()).arg("serve");
    let mut server = strace.stdout(Stdio::piped()).spawn().expect("strace");
    let mut address = String::new();
    BufReader::new(server.stdout.take().unwrap()).read_line(&mut address).expect("an address");
    let mut client = TcpStream::connect(address.trim()).expect("connect");
    for _ in 0..ROUNDS {
        client.write_all(b"hello").expect("send");
        client.read_exact(&mut [0; 5]).expect("the echo");
    }
    drop(client);
    server.wait().expect("the server ends");
    let table = fs::read_to_string(&counts).expect("counts");
    let _ = fs::remove_file(counts);
    print!("{table}");
    let total = table.lines().last().and_then(|total| total.split_whitespace().nth(3));
    let calls: u32 = total.expect("a total").parse().expect("a number");
    println!("{:.1} system calls for an echo", f64::from(calls) / f64::from(ROUNDS));
    if calls > 3 * ROUNDS { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

async fn serve() {
    let listener = TcpListener::bind("127.0.0.1:0".parse().unwrap()).expect("a listener");
    println!("{}", listener.local_addr().expect("an address"));
    let (stream, _) = listener.accept().await.expect("accept");
    let mut buffer = vec![0; 4096];
    loop {
        let (read, filled) = stream.read(buffer).await;
        let Ok(bytes @ 1..) = read else { return };
        buffer = filled[..bytes].to_vec();
        buffer = stream.write_all(buffer).await.1;
        buffer.resize(4096, 0);
    }
}
