//! Servers that are right in an unusual way, so that no suite asks for more than the contract does;
//! and one that talks too much.

use std::time::{Duration, Instant};

use mio::net::TcpStream;

use crate::connection::Connection;
use crate::fault::Fault;
use crate::hooks::{Admission, Gate, Hooks};

/// Bytes of the buffer that reads go to.
pub(crate) fn buffer_bytes(fault: Option<Fault>, asked: usize) -> usize {
    match fault {
        Some(Fault::OddLargeBuffer) => 256 * 1024,
        Some(Fault::OddRandomReads | Fault::OddDelay) => 64 * 1024,
        Some(_) | None => asked,
    }
}

pub(super) struct OneByte;

impl OneByte {
    /// What comes byte by byte is short, or this would be a slow server and not an odd one.
    fn limit(connection: &Connection) -> usize {
        if connection.bytes_read < 1024 { 1 } else { 64 }
    }
}

impl Hooks for OneByte {
    fn read_limit(&mut self, connection: &Connection, _buffer: usize) -> usize {
        Self::limit(connection)
    }

    fn write_limit(&mut self, connection: &Connection) -> usize {
        Self::limit(connection)
    }
}

pub(super) struct Delay;

impl Hooks for Delay {
    fn may_write(&mut self, connection: &mut Connection) -> Gate {
        let writes_at = connection.last_read + Duration::from_millis(5);
        if Instant::now() < writes_at { Gate::Until(writes_at) } else { Gate::Go }
    }
}

pub(super) struct LateClose;

impl Hooks for LateClose {
    fn peer_ended(&mut self, connection: &mut Connection) -> Gate {
        if connection.mark == 0 {
            connection.mark = 1;
            connection.last_read = Instant::now();
        }
        let closes_at = connection.last_read + Duration::from_millis(200);
        if Instant::now() < closes_at { Gate::Until(closes_at) } else { Gate::Go }
    }
}

pub(super) struct RandomReads {
    state: u64,
}

impl Default for RandomReads {
    fn default() -> Self {
        Self { state: 0x9e37_79b9_7f4a_7c15 }
    }
}

impl Hooks for RandomReads {
    fn read_limit(&mut self, _connection: &Connection, buffer: usize) -> usize {
        // Marsaglia's xorshift: repeatable, and random enough to cut messages anywhere.
        self.state ^= self.state << 13;
        self.state ^= self.state >> 7;
        self.state ^= self.state << 17;
        usize::try_from(self.state % buffer as u64).unwrap_or(0) + 1
    }
}

pub(super) struct LogsOnStdout;

impl Hooks for LogsOnStdout {
    fn accepted(&mut self, _stream: &mut TcpStream, open: usize) -> Admission {
        println!("accepted a connection beside {open} others");
        Admission::Serve
    }
}
