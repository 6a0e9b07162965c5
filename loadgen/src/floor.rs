//! The floor: the CPU time that the kernel alone charges a server to receive a message and to send
//! it back. It is measured without an event loop, on TCP connections over loopback that already
//! have the data. The generator's own limit is the ceiling (`ceiling.rs`).

use std::io::{self, Read as _, Write as _};
use std::net::{Ipv4Addr, TcpListener, TcpStream};
use std::time::Duration;

/// Only a message that does not fit into a connection's buffers makes a call wait.
const CALL_LIMIT: Duration = Duration::from_secs(2);

/// Both ends of a connection over the loopback interface.
struct Loopback {
    client: TcpStream,
    server: TcpStream,
}

/// Measures the CPU time of one message of `bytes` bytes, in nanoseconds. It is the mean over
/// `rounds` rounds, each of which sends one message on every connection. The calling thread holds
/// both ends of each connection, and only the calls of the server's end are counted.
///
/// # Errors
/// - [`io::ErrorKind::Unsupported`]: the system does not report a thread's CPU time.
/// - [`io::ErrorKind::InvalidInput`]: there are no connections, bytes or rounds.
/// - [`io::ErrorKind::TimedOut`]: the message is too large for a connection's buffers.
/// - Any other error is that of a socket call.
pub fn floor_ns(connections: usize, bytes: usize, rounds: usize) -> io::Result<f64> {
    if connections == 0 || bytes == 0 || rounds == 0 {
        let message = "a floor takes connections, bytes and rounds";
        return Err(io::Error::new(io::ErrorKind::InvalidInput, message));
    }
    let mut connections = connect(connections)?;
    let mut message = vec![0; bytes];
    let mut total = Duration::ZERO;
    for _ in 0..rounds {
        total += run_round(&mut connections, &mut message).map_err(|error| {
            // Systems report a timeout under different names.
            if !matches!(error.kind(), io::ErrorKind::WouldBlock | io::ErrorKind::TimedOut) {
                return error;
            }
            let message = format!("{bytes} bytes do not fit into a connection's buffers");
            io::Error::new(io::ErrorKind::TimedOut, message)
        })?;
    }
    Ok(total.as_nanos() as f64 / (connections.len() * rounds) as f64)
}

/// Sends one message on every connection. Returns the CPU time of the server's ends.
fn run_round(connections: &mut [Loopback], message: &mut [u8]) -> io::Result<Duration> {
    for connection in &mut *connections {
        connection.client.write_all(message)?;
    }
    let start = thread_cpu_time()?;
    for connection in &mut *connections {
        // The data has arrived, so these are one recv and one send.
        connection.server.read_exact(message)?;
        connection.server.write_all(message)?;
    }
    let used = thread_cpu_time()?.saturating_sub(start);
    for connection in &mut *connections {
        connection.client.read_exact(message)?;
    }
    Ok(used)
}

fn connect(count: usize) -> io::Result<Vec<Loopback>> {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?;
    let address = listener.local_addr()?;
    let connect_one = |_| {
        let client = TcpStream::connect(address)?;
        let (server, peer) = listener.accept()?;
        if peer != client.local_addr()? {
            return Err(io::Error::other(format!("a stranger connected from {peer}")));
        }
        for end in [&client, &server] {
            end.set_nodelay(true)?;
            end.set_read_timeout(Some(CALL_LIMIT))?;
            end.set_write_timeout(Some(CALL_LIMIT))?;
        }
        Ok(Loopback { client, server })
    };
    (0..count).map(connect_one).collect()
}

#[cfg(unix)]
fn thread_cpu_time() -> io::Result<Duration> {
    use rustix::time::{ClockId, clock_gettime};

    Duration::try_from(clock_gettime(ClockId::ThreadCPUTime)).map_err(io::Error::other)
}

#[cfg(not(unix))]
fn thread_cpu_time() -> io::Result<Duration> {
    let message = "the CPU time of a thread is not told here";
    Err(io::Error::new(io::ErrorKind::Unsupported, message))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[cfg(unix)]
    #[test]
    fn a_message_costs_something_and_less_than_the_whole_thread_did() {
        let start = thread_cpu_time().unwrap();
        let floor = floor_ns(4, 64, 50).unwrap();
        let all = (thread_cpu_time().unwrap() - start).as_nanos() as f64;
        assert!(floor > 0.0 && floor * 200.0 < all, "{floor} ns of {all}");
    }

    #[cfg(not(unix))]
    #[test]
    fn a_floor_without_a_clock_is_unsupported() {
        let floor = floor_ns(1, 1, 1).map_err(|error| error.kind());
        assert_eq!(floor, Err(io::ErrorKind::Unsupported));
    }

    #[cfg(unix)]
    #[test]
    fn a_message_that_nobody_could_take_has_no_floor() {
        let error = floor_ns(1, 64 << 20, 1).unwrap_err();
        assert_eq!(error.to_string(), "67108864 bytes do not fit into a connection's buffers");
    }

    #[test]
    fn nothing_has_no_floor() {
        for (connections, bytes, rounds) in [(0, 1, 1), (1, 0, 1), (1, 1, 0)] {
            let floor = floor_ns(connections, bytes, rounds).map_err(|error| error.kind());
            assert_eq!(floor, Err(io::ErrorKind::InvalidInput));
        }
    }
}
