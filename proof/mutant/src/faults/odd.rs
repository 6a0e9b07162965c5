//! Servers that are correct in an unusual way. If one fails a case, the suite asks for more than
//! the contract.

use std::io::{self, PipeReader, PipeWriter};
use std::net::{Ipv4Addr, UdpSocket};
use std::time::{Duration, Instant};

use mio::net::TcpStream;
use socket2::Socket;

use super::Fault;
use super::ending::blocked_reset;
use super::peers::Elsewhere;
use crate::connection::{Connection, End};
use crate::hooks::{Admission, Gate, Hooks};
use crate::process::ProcessHooks;

pub(super) const FAULTS: &[Fault] = &[
    Fault::new(
        "odd-one-byte",
        "Reads and writes one byte at a time, and 64 at a time after a connection's first KiB",
        || Box::new(OneByte),
    ),
    Fault::new("odd-delay", "Waits 5 ms before each write", || Box::new(Delay)),
    Fault::process("odd-small-buffers", "Has socket buffers of 4 KiB", &SmallBuffers),
    Fault::new("odd-large-buffer", "Has a read buffer of 256 KiB", || Box::new(LargeBuffer)),
    Fault::new("odd-late-close", "Answers a FIN 200 ms late", || Box::new(LateClose)),
    Fault::new("odd-random-reads", "Reads a random number of bytes up to 64 KiB", || {
        Box::new(RandomReads::default())
    }),
    Fault::new(
        "odd-pools-pipes",
        "Keeps as many pipes as connections were ever open at once, like Go's pool for splice(2)",
        || Box::new(PoolsPipes::default()),
    ),
    Fault::datagram(
        "odd-strangers-write",
        "Sends every UDP client an extra datagram from another port, as a stranger could",
        || {
            Box::new(Elsewhere(|datagram| {
                (b"for whom had this port".to_vec(), vec![datagram.clone()])
            }))
        },
    ),
    Fault::new(
        "odd-logs-by-socket",
        "Opens a socket to a log daemon at the first connection that fails, as syslog(3) does",
        || Box::new(LogsBySocket::default()),
    ),
    Fault::new(
        "odd-collects-seldom",
        "Frees the buffers of blocked connections at every 1000th end, like a garbage collector",
        || Box::new(CollectsSeldom::default()),
    ),
];

struct OneByte;

impl OneByte {
    /// Only the first KiB goes byte by byte. More would make the server slow, not odd.
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

struct Delay;

impl Hooks for Delay {
    fn buffer_bytes(&self, _asked: usize) -> usize {
        64 * 1024
    }

    fn may_write(&mut self, connection: &mut Connection) -> Gate {
        let writes_at = connection.last_read + Duration::from_millis(5);
        if Instant::now() < writes_at { Gate::Until(writes_at) } else { Gate::Go }
    }
}

struct SmallBuffers;

impl ProcessHooks for SmallBuffers {
    /// Sizes that are set here apply from the first window on. If they were set later, a client
    /// that has seen a larger window would wait until half of it is open (RFC 9293, section
    /// 3.8.6.2.1).
    fn prepare(&self, socket: &Socket) -> io::Result<()> {
        socket.set_recv_buffer_size(4096)?;
        socket.set_send_buffer_size(4096)
    }
}

struct LargeBuffer;

impl Hooks for LargeBuffer {
    fn buffer_bytes(&self, _asked: usize) -> usize {
        256 * 1024
    }
}

struct LateClose;

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

#[derive(Default)]
struct LogsBySocket {
    log: Option<UdpSocket>,
}

impl Hooks for LogsBySocket {
    fn closed(&mut self, _connection: &mut Connection, end: End) {
        const DAEMON: (Ipv4Addr, u16) = (Ipv4Addr::LOCALHOST, 514);
        if end == End::Finished {
            return;
        }
        if self.log.is_none() {
            // Without a free descriptor, the server does not log.
            self.log = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).ok();
        }
        if let Some(log) = &self.log {
            let _ = log.send_to(b"<30>a client is gone", DAEMON);
        }
    }
}

#[derive(Default)]
struct CollectsSeldom {
    garbage: Vec<Vec<u8>>,
    ended: u64,
}

impl Hooks for CollectsSeldom {
    fn closed(&mut self, connection: &mut Connection, end: End) {
        const BUFFERS: usize = 96 * 1024;
        if blocked_reset(connection, end) {
            self.garbage.push(vec![1; BUFFERS]);
        }
        self.ended += 1;
        if self.ended.is_multiple_of(1000) {
            self.garbage.clear();
        }
    }
}

#[derive(Default)]
struct PoolsPipes {
    pipes: Vec<(PipeReader, PipeWriter)>,
}

impl Hooks for PoolsPipes {
    fn accepted(&mut self, _stream: &mut TcpStream, open: usize) -> Admission {
        // Without free descriptors, the server works without a pipe.
        while self.pipes.len() <= open
            && let Ok(pipe) = io::pipe()
        {
            self.pipes.push(pipe);
        }
        Admission::Serve
    }
}

struct RandomReads {
    state: u64,
}

impl Default for RandomReads {
    fn default() -> Self {
        Self { state: 0x9e37_79b9_7f4a_7c15 }
    }
}

impl Hooks for RandomReads {
    fn buffer_bytes(&self, _asked: usize) -> usize {
        64 * 1024
    }

    fn read_limit(&mut self, _connection: &Connection, buffer: usize) -> usize {
        // Marsaglia's xorshift: repeatable, and random enough to cut messages anywhere.
        self.state ^= self.state << 13;
        self.state ^= self.state >> 7;
        self.state ^= self.state << 17;
        usize::try_from(self.state % buffer as u64).unwrap_or(0) + 1
    }
}
