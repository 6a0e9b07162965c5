//! Faults that echo the right bytes at the wrong time, or send bytes that nobody asked for.

use std::time::{Duration, Instant};

use mio::net::TcpStream;

use super::bytes::FULL_READ;
use super::{Burst, Fault};
use crate::connection::{Connection, Phase};
use crate::hooks::{Admission, Gate, Hooks};

pub(super) const FAULTS: &[Fault] = &[
    Fault::new(
        "late-extra-byte",
        "Sends an extra byte 100 ms after the first byte of a connection, if no other byte has \
         arrived",
        || Box::new(LateExtraByte),
    ),
    Fault::new(
        "line-buffered",
        "Holds back a message of 8 to 15 bytes without a newline until more bytes arrive, and \
         drops it at FIN",
        || Box::new(LineBuffered),
    ),
    Fault::new(
        "collects-40-ms",
        "Waits 40 ms for more bytes before it writes less than a full buffer",
        || Box::new(Collects),
    ),
    Fault::new(
        "nagle",
        "Leaves Nagle's algorithm on, which waits for the client's acknowledgement",
        || Box::new(Nagle),
    ),
    Fault::new(
        "nagle-on-later",
        "Leaves Nagle's algorithm on for a client that it accepts within 5 ms of another",
        || Box::new(NagleOnLater::default()),
    ),
    Fault::new(
        "waits-after-full-read",
        "Waits 200 ms for more bytes after a read that filled the buffer",
        || Box::new(WaitsAfterFullRead),
    ),
    Fault::new(
        "waits-after-1461-to-4095-bytes",
        "Waits 200 ms for more bytes after a read of 1461 to 4095 bytes, like a corked socket",
        || Box::new(WaitsAfterMiddling),
    ),
    Fault::settable(
        "stalls-in-crowd",
        "Delays every 20th message (settable) by 150 ms while seven or eight other connections are \
         open",
        20,
        |at| Box::new(StallsInCrowd { each: at, count: 0 }),
    ),
    Fault::settable(
        "stops-each-1600th",
        "Sleeps 900 ms at every 1600th message (settable) of less than 1 KiB",
        1600,
        |at| Box::new(StopsEach { each: at, count: 0 }),
    ),
    Fault::new(
        "waits-for-header",
        "Holds back a first byte 0x16 until five bytes have arrived, which is the length of a TLS \
         header",
        || Box::new(WaitsForHeader),
    ),
    Fault::new("greets", "Sends a greeting to a client that has been silent for 200 ms", || {
        Box::new(Greets)
    }),
];

struct WaitsAfterFullRead;

impl Hooks for WaitsAfterFullRead {
    fn may_write(&mut self, connection: &mut Connection) -> Gate {
        let is_full = connection.written == 0 && connection.pending.len() == FULL_READ;
        let writes_at = connection.last_read + Duration::from_millis(200);
        let waits = is_full && Instant::now() < writes_at && !connection.input_waits();
        if waits { Gate::Until(writes_at) } else { Gate::Go }
    }
}

struct WaitsAfterMiddling;

impl Hooks for WaitsAfterMiddling {
    fn may_write(&mut self, connection: &mut Connection) -> Gate {
        let is_middling = (1461..=4095).contains(&connection.pending.len());
        let writes_at = connection.last_read + Duration::from_millis(200);
        let waits = connection.written == 0 && is_middling && Instant::now() < writes_at;
        if waits { Gate::Until(writes_at) } else { Gate::Go }
    }
}

struct StallsInCrowd {
    each: u64,
    count: u64,
}

impl Hooks for StallsInCrowd {
    fn received(&mut self, connection: &mut Connection) {
        let is_in_crowd = (7..=8).contains(&connection.beside);
        self.count += u64::from(is_in_crowd);
        connection.mark = u64::from(is_in_crowd && self.count.is_multiple_of(self.each));
    }

    fn may_write(&mut self, connection: &mut Connection) -> Gate {
        let writes_at = connection.last_read + Duration::from_millis(150);
        let waits = connection.mark == 1 && Instant::now() < writes_at;
        if waits { Gate::Until(writes_at) } else { Gate::Go }
    }
}

struct StopsEach {
    each: u64,
    count: u64,
}

impl Hooks for StopsEach {
    fn received(&mut self, connection: &mut Connection) {
        if connection.fresh().len() < 1024 {
            self.count += 1;
            if self.count.is_multiple_of(self.each) {
                std::thread::sleep(Duration::from_millis(900));
            }
        }
    }
}

struct WaitsForHeader;

impl Hooks for WaitsForHeader {
    fn may_write(&mut self, connection: &mut Connection) -> Gate {
        let is_header = connection.pending.first() == Some(&0x16);
        let waits = is_header && connection.bytes_read < 5 && connection.phase == Phase::Open;
        if waits { Gate::Wait } else { Gate::Go }
    }

    fn may_read(&mut self, connection: &mut Connection) -> Gate {
        let waits = connection.pending.first() == Some(&0x16) && connection.bytes_read < 5;
        if connection.pending.is_empty() || waits { Gate::Go } else { Gate::Wait }
    }
}

struct LateExtraByte;

impl Hooks for LateExtraByte {
    fn wrote(&mut self, connection: &mut Connection) {
        if connection.mark == 0 && connection.written == connection.pending.len() {
            connection.wake_at = Some(Instant::now() + Duration::from_millis(100));
        }
    }

    fn step(&mut self, connection: &mut Connection) -> Gate {
        let is_late = connection.last_read.elapsed() >= Duration::from_millis(100);
        if connection.mark == 0 && connection.bytes_read == 1 && is_late {
            connection.mark = 1;
            connection.pending.push(b'!');
        }
        Gate::Go
    }
}

struct LineBuffered;

impl LineBuffered {
    fn holds(connection: &Connection) -> bool {
        connection.mark == 1 && connection.phase == Phase::Open
    }
}

impl Hooks for LineBuffered {
    fn received(&mut self, connection: &mut Connection) {
        let fresh = connection.fresh();
        let is_held = (8..=15).contains(&fresh.len()) && !fresh.contains(&b'\n');
        connection.mark = u64::from(is_held && connection.fresh == 0);
    }

    fn may_read(&mut self, connection: &mut Connection) -> Gate {
        if connection.pending.is_empty() || Self::holds(connection) { Gate::Go } else { Gate::Wait }
    }

    fn step(&mut self, connection: &mut Connection) -> Gate {
        // Held bytes count as not writable, so that the server keeps reading.
        connection.ready.writable |= connection.mark == 0 && connection.blocked_since.is_none();
        connection.ready.writable &= !Self::holds(connection);
        Gate::Go
    }

    fn peer_ended(&mut self, connection: &mut Connection) -> Gate {
        connection.drop_pending();
        Gate::Go
    }
}

/// How long [`Collects`] waits for more bytes.
const COLLECTING: Duration = Duration::from_millis(40);

struct Collects;

impl Hooks for Collects {
    fn step(&mut self, connection: &mut Connection) -> Gate {
        let is_short = (1..FULL_READ).contains(&connection.pending.len());
        if connection.written > 0 || !is_short || connection.last_read.elapsed() >= COLLECTING {
            return Gate::Go;
        }
        Gate::Until(connection.last_read + COLLECTING)
    }
}

struct Nagle;

impl Hooks for Nagle {
    fn accepted(&mut self, stream: &mut TcpStream, _open: usize) -> Admission {
        let _ = stream.set_nodelay(false);
        Admission::Serve
    }
}

struct NagleOnLater {
    burst: Burst,
}

impl Default for NagleOnLater {
    fn default() -> Self {
        Self { burst: Burst::new(Duration::from_millis(5)) }
    }
}

impl Hooks for NagleOnLater {
    fn accepted(&mut self, stream: &mut TcpStream, _open: usize) -> Admission {
        let _ = stream.set_nodelay(self.burst.count() == 1);
        Admission::Serve
    }
}

struct Greets;

impl Hooks for Greets {
    fn step(&mut self, connection: &mut Connection) -> Gate {
        let greets_at = connection.opened + Duration::from_millis(200);
        if connection.bytes_read == 0 && connection.mark == 0 {
            if Instant::now() < greets_at {
                connection.wake_at = Some(greets_at);
            } else {
                connection.mark = 1;
                connection.pending.extend_from_slice(b"220 welcome\r\n");
            }
        }
        Gate::Go
    }
}
