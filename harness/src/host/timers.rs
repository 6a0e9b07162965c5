//! How long the shortest sleep, and the shortest limit of a receive, really take.

use std::io;
use std::net::{Ipv4Addr, UdpSocket};
use std::thread;
use std::time::{Duration, Instant};

/// What is asked for.
const SHORT: Duration = Duration::from_millis(1);
/// The shorter of two: one may be held back.
const TRIALS: usize = 2;

/// Microseconds of a sleep of a millisecond.
pub(super) fn sleep_us() -> u32 {
    let sleep = || {
        let start = Instant::now();
        thread::sleep(SHORT);
        since(start)
    };
    (0..TRIALS).map(|_| sleep()).min().unwrap_or(u32::MAX)
}

/// Microseconds of a receive that has a millisecond (`SO_RCVTIMEO`), while nothing comes.
///
/// # Errors
/// The system has no socket for it.
pub(super) fn timeout_us() -> io::Result<u32> {
    let socket = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0))?;
    socket.set_read_timeout(Some(SHORT))?;
    let receive = || {
        let start = Instant::now();
        // A stranger's datagram would make it shorter than a millisecond, and harms nobody.
        let _ = socket.recv(&mut [0]);
        since(start)
    };
    Ok((0..TRIALS).map(|_| receive()).min().unwrap_or(u32::MAX))
}

/// Microseconds since then.
pub(super) fn since(start: Instant) -> u32 {
    u32::try_from(start.elapsed().as_micros()).unwrap_or(u32::MAX)
}
