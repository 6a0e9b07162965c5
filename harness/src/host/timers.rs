//! How long the shortest sleep, and the shortest timeout of a receive, really take.

use std::io;
use std::net::{Ipv4Addr, UdpSocket};
use std::thread;
use std::time::{Duration, Instant};

/// The time that is asked for.
const SHORT_TIME: Duration = Duration::from_millis(1);
/// The shortest of these trials counts, because one may be held back.
const TRIALS: usize = 2;

/// Microseconds that a sleep of 1 ms takes.
pub(super) fn sleep_us() -> u32 {
    let sleep = || {
        let start = Instant::now();
        thread::sleep(SHORT_TIME);
        elapsed_us(start)
    };
    (0..TRIALS).map(|_| sleep()).min().unwrap_or(u32::MAX)
}

/// Microseconds that a receive with a timeout of 1 ms (`SO_RCVTIMEO`) takes while nothing arrives.
///
/// # Errors
/// The system refuses a socket.
pub(super) fn timeout_us() -> io::Result<u32> {
    let socket = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0))?;
    socket.set_read_timeout(Some(SHORT_TIME))?;
    let receive = || {
        let start = Instant::now();
        // A datagram from another program would make it shorter than 1 ms, which does no harm.
        let _ = socket.recv(&mut [0]);
        elapsed_us(start)
    };
    Ok((0..TRIALS).map(|_| receive()).min().unwrap_or(u32::MAX))
}

/// Microseconds since `start`.
pub(super) fn elapsed_us(start: Instant) -> u32 {
    u32::try_from(start.elapsed().as_micros()).unwrap_or(u32::MAX)
}
