//! The floor: what the kernel alone charges a server for a message, in CPU time: to receive it and
//! to send it back, on TCP connections of the loopback interface that already have the data, with
//! no event loop. The generator's own limit is the ceiling, which is not here.

use std::io::{self, Read as _, Write as _};
use std::net::{Ipv4Addr, TcpListener, TcpStream};
use std::time::Duration;

/// Only a message that does not fit into a connection's buffers makes anybody wait.
const WAIT: Duration = Duration::from_secs(2);

/// One connection over the loopback interface: the client's end and the server's.
struct Loopback {
    client: TcpStream,
    server: TcpStream,
}

/// CPU time in nanoseconds of one message of `bytes` bytes: the mean over `rounds` rounds, in each
/// of which every one of `connections` connections carries one. Both ends are this thread's, and
/// only what the server's end costs is counted.
///
/// # Errors
/// [`io::ErrorKind::Unsupported`] where a thread's CPU time is not told, and
/// [`io::ErrorKind::InvalidInput`] for no connections, bytes or rounds;
/// [`io::ErrorKind::TimedOut`] for a message that is too large for a connection's buffers.
/// Otherwise the system's.
pub fn floor_ns(connections: usize, bytes: usize, rounds: usize) -> io::Result<f64> {
    if connections == 0 || bytes == 0 || rounds == 0 {
        let message = "a floor takes connections, bytes and rounds";
        return Err(io::Error::new(io::ErrorKind::InvalidInput, message));
    }
    let mut connections = connect(connections)?;
    let mut message = vec![0; bytes];
    let mut total = Duration::ZERO;
    for _ in 0..rounds {
        total += round(&mut connections, &mut message).map_err(|error| {
            // What a timeout is called differs among systems.
            if !matches!(error.kind(), io::ErrorKind::WouldBlock | io::ErrorKind::TimedOut) {
                return error;
            }
            let message = format!("{bytes} bytes do not fit into a connection's buffers");
            io::Error::new(io::ErrorKind::TimedOut, message)
        })?;
    }
    Ok(total.as_nanos() as f64 / (connections.len() * rounds) as f64)
}

/// One message on every connection, and the CPU time of the server's ends.
fn round(connections: &mut [Loopback], message: &mut [u8]) -> io::Result<Duration> {
    for connection in &mut *connections {
        connection.client.write_all(message)?;
    }
    let start = thread_cpu_time()?;
    for connection in &mut *connections {
        // One system call each, recv and send, as the data is there.
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
            end.set_read_timeout(Some(WAIT))?;
            end.set_write_timeout(Some(WAIT))?;
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
