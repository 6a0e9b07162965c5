//! A server whose pool is so small that one client can hold every buffer.
#![cfg(target_os = "linux")]

use std::error::Error;
use std::io::{BufRead as _, BufReader, ErrorKind, Read as _, Write as _};
use std::net::{SocketAddr, TcpStream};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

/// 8 MiB, so that a pool of 64 MiB has 8 buffers. A connection cancels its receive only when 16
/// messages wait, so a client that does not read can hold all 8.
const BUFFER_BYTES: &str = "8388608";
const DEADLINE: Option<Duration> = Some(Duration::from_secs(10));

/// A server process; killed on drop.
struct Server(Child);

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// Starts a server with one ring. `None` if this host cannot create a ring.
fn start() -> Result<Option<(Server, SocketAddr)>, Box<dyn Error>> {
    let mut child = Command::new(env!("CARGO_BIN_EXE_backend-uring"))
        .args(["--flavor", "multishot", "--workers", "1", "--buffer", BUFFER_BYTES])
        .args(["--listen", "tcp:127.0.0.1:0"])
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()?;
    let stdout = child.stdout.take().ok_or("no standard output")?;
    let server = Server(child);
    let mut line = String::new();
    BufReader::new(stdout).read_line(&mut line)?;
    let Some(address) = line.trim().strip_prefix("Server listening on ") else {
        eprintln!("not tested: {line}");
        return Ok(None);
    };
    Ok(Some((server, address.parse()?)))
}

fn connect(address: SocketAddr) -> Result<TcpStream, Box<dyn Error>> {
    let client = TcpStream::connect(address)?;
    client.set_read_timeout(DEADLINE)?;
    Ok(client)
}

/// Sends until the server takes no more, and reads nothing.
fn stall(client: &mut TcpStream) -> Result<Vec<u8>, Box<dyn Error>> {
    // A server that takes nothing for this long has stopped receiving.
    client.set_write_timeout(Some(Duration::from_millis(300)))?;
    let mut sent = Vec::new();
    loop {
        // Each piece differs from the one before it.
        let piece = [(sent.len() / 4096) as u8; 4096];
        match client.write(&piece) {
            Ok(taken) => sent.extend_from_slice(&piece[..taken]),
            Err(error) if error.kind() == ErrorKind::WouldBlock => return Ok(sent),
            Err(error) => return Err(error.into()),
        }
    }
}

#[test]
fn a_client_that_holds_all_buffers_starves_nobody() -> Result<(), Box<dyn Error>> {
    let Some((_server, address)) = start()? else { return Ok(()) };
    let mut before = connect(address)?;
    let mut slow = connect(address)?;
    let sent = stall(&mut slow)?;
    let mut after = connect(address)?;
    for round in 0..100 {
        for client in [&mut before, &mut after] {
            let mut echo = [0; 1024];
            client.write_all(&[round; 1024])?;
            client.read_exact(&mut echo)?;
            assert_eq!(echo, [round; 1024]);
        }
    }
    let mut echo = vec![0; sent.len()];
    slow.read_exact(&mut echo)?;
    assert!(echo == sent, "the slow client gets every byte, in order");
    Ok(())
}
