//! Faults of the accept loop: it forgets clients, drops them, or waits when it should accept.

use std::collections::{HashMap, HashSet};
use std::io::{self, Read};
use std::net::SocketAddr;
use std::time::{Duration, Instant};

use mio::net::TcpStream;
use socket2::SockRef;

use super::bytes::FULL_READ;
use super::{Burst, Fault, compute, limit};
use crate::connection::{Connection, End};
use crate::hooks::{Admission, AfterAcceptError, Gate, Hooks};

pub(super) const FAULTS: &[Fault] = &[
    Fault::settable(
        "drops-data-with-connect",
        "Discards bytes that arrived before `accept` on every 25th such connection (settable), if \
         at most one other is open",
        25,
        |at| Box::new(DropsData::new(at)),
    ),
    Fault::new(
        "cleans-up-successor",
        "Closes a connection after 5 ms if an earlier one came from the same address and port",
        || Box::new(CleansUpSuccessor::default()),
    ),
    Fault::new("retries-accept-at-once", "Retries `accept` without a pause when it fails", || {
        Box::new(RetriesAtOnce)
    }),
    Fault::new(
        "spins-in-short-threads",
        "Starts eight threads that compute for 5 ms, again and again while `accept` fails",
        || Box::new(SpinsInShortThreads),
    ),
    Fault::new(
        "parks-listener",
        "Waits for a new client before it retries an `accept` that failed",
        || Box::new(ParksListener),
    ),
    Fault::settable(
        "parks-third-time",
        "Waits for a new client before it retries `accept`, from the third time (settable) that \
         `accept` begins to fail",
        3,
        |at| Box::new(ParksAtLast::after(at)),
    ),
    Fault::new("turns-away-at-limit", "Closes the waiting clients when `accept` fails", || {
        Box::new(TurnsAway)
    }),
    Fault::new("sleeps-at-accept-error", "Sleeps 1.2 s in the loop when `accept` fails", || {
        Box::new(SleepsAtError)
    }),
    Fault::new(
        "waits-for-first-byte",
        "Waits for a connection's first byte before it accepts the next connection",
        || Box::new(WaitsForFirstByte::default()),
    ),
    Fault::settable(
        "forgets-in-burst",
        "Forgets connections when more than 256 (settable) arrive within 1 s",
        256,
        |at| Box::new(ForgetsInBurst::new(limit(at))),
    ),
    Fault::new("deaf-after-quiet", "Stops accepting after 2 s without an event", || {
        Box::new(DeafAfterQuiet::default())
    }),
    Fault::new(
        "accepts-only-when-cool",
        "Accepts only if no connection has sent a full buffer for 100 ms",
        || Box::new(AcceptsOnlyWhenCool::default()),
    ),
    Fault::new("resets-queued", "Resets clients that have waited in a long accept queue", || {
        Box::new(ResetsQueued::default())
    }),
    Fault::settable(
        "ignores-beyond-900",
        "Leaves new connections unserved while 900 (settable) are open",
        900,
        |at| Box::new(IgnoresBeyond { size: limit(at) }),
    ),
    Fault::settable(
        "upsets-kernel",
        "Makes the kernel log a complaint about it at the 240th connection (settable; Linux only)",
        240,
        |at| Box::new(UpsetsKernel::new(at)),
    ),
];

struct DropsData {
    at: u64,
    count: u64,
}

impl DropsData {
    fn new(at: u64) -> Self {
        Self { at, count: 0 }
    }
}

impl Hooks for DropsData {
    fn accepted(&mut self, stream: &mut TcpStream, open: usize) -> Admission {
        if open <= 1 && stream.peek(&mut [0]).is_ok_and(|bytes| bytes > 0) {
            self.count += 1;
            if self.count.is_multiple_of(self.at) {
                let _ = stream.read(&mut vec![0; 65536]);
            }
        }
        Admission::Serve
    }
}

struct RetriesAtOnce;

impl Hooks for RetriesAtOnce {
    fn accept_failed(&mut self, _error: &io::Error) -> AfterAcceptError {
        AfterAcceptError::Retry
    }
}

struct SpinsInShortThreads;

impl Hooks for SpinsInShortThreads {
    fn accept_failed(&mut self, _error: &io::Error) -> AfterAcceptError {
        std::thread::scope(|scope| {
            for _ in 0..8 {
                // A thread that cannot be started does not compute.
                let _ = std::thread::Builder::new().spawn_scoped(scope, || compute(5));
            }
        });
        AfterAcceptError::Retry
    }
}

struct ParksListener;

impl Hooks for ParksListener {
    fn accept_failed(&mut self, _error: &io::Error) -> AfterAcceptError {
        AfterAcceptError::Park
    }
}

struct ParksAtLast {
    left: u64,
    is_failing: bool,
}

impl ParksAtLast {
    fn after(episodes: u64) -> Self {
        Self { left: episodes, is_failing: false }
    }
}

impl Hooks for ParksAtLast {
    fn accepted(&mut self, _stream: &mut TcpStream, _open: usize) -> Admission {
        self.is_failing = false;
        Admission::Serve
    }

    fn accept_failed(&mut self, _error: &io::Error) -> AfterAcceptError {
        self.left = self.left.saturating_sub(u64::from(!self.is_failing));
        self.is_failing = true;
        if self.left == 0 { AfterAcceptError::Park } else { AfterAcceptError::BackOff }
    }
}

struct TurnsAway;

impl Hooks for TurnsAway {
    fn accept_failed(&mut self, _error: &io::Error) -> AfterAcceptError {
        AfterAcceptError::TurnAway
    }
}

struct SleepsAtError;

impl Hooks for SleepsAtError {
    fn accept_failed(&mut self, _error: &io::Error) -> AfterAcceptError {
        std::thread::sleep(Duration::from_millis(1200));
        AfterAcceptError::BackOff
    }
}

#[derive(Default)]
struct WaitsForFirstByte {
    is_waiting: bool,
}

impl Hooks for WaitsForFirstByte {
    fn may_accept(&mut self, _open: usize) -> bool {
        !self.is_waiting
    }

    fn accepted(&mut self, _stream: &mut TcpStream, _open: usize) -> Admission {
        self.is_waiting = true;
        Admission::Serve
    }

    fn received(&mut self, connection: &mut Connection) {
        self.is_waiting &= connection.bytes_read > connection.fresh().len() as u64;
    }

    fn closed(&mut self, connection: &mut Connection, _end: End) {
        self.is_waiting &= connection.bytes_read > 0;
    }
}

struct ForgetsInBurst {
    at: usize,
    burst: Burst,
}

impl ForgetsInBurst {
    fn new(at: usize) -> Self {
        Self { at, burst: Burst::new(Duration::from_secs(1)) }
    }
}

impl Hooks for ForgetsInBurst {
    fn accepted(&mut self, _stream: &mut TcpStream, open: usize) -> Admission {
        let is_crowd = self.burst.count() > self.at && open > self.at;
        if is_crowd { Admission::Ignore } else { Admission::Serve }
    }
}

#[derive(Default)]
struct DeafAfterQuiet {
    is_deaf: bool,
}

impl Hooks for DeafAfterQuiet {
    fn woke(&mut self, quiet: Duration) {
        self.is_deaf |= quiet >= Duration::from_secs(2);
    }

    fn may_accept(&mut self, _open: usize) -> bool {
        !self.is_deaf
    }
}

#[derive(Default)]
struct AcceptsOnlyWhenCool {
    hot_until: Option<Instant>,
}

impl Hooks for AcceptsOnlyWhenCool {
    fn sleep(
        &mut self,
        planned: Option<Duration>,
        _connections: &[Option<Connection>],
    ) -> Option<Duration> {
        let hot = self.hot_until.map(|end| end.saturating_duration_since(Instant::now()));
        // Wakes up to look at the listener again once the connections are cool.
        [planned, hot.filter(|hot| !hot.is_zero())].into_iter().flatten().min()
    }

    fn may_accept(&mut self, _open: usize) -> bool {
        self.hot_until.is_none_or(|moment| moment <= Instant::now())
    }

    fn received(&mut self, connection: &mut Connection) {
        if connection.fresh().len() >= FULL_READ {
            self.hot_until = Some(Instant::now() + Duration::from_millis(100));
        }
    }
}

struct ResetsQueued {
    burst: Burst,
}

impl Default for ResetsQueued {
    fn default() -> Self {
        Self { burst: Burst::new(Duration::from_millis(5)) }
    }
}

impl Hooks for ResetsQueued {
    fn accepted(&mut self, stream: &mut TcpStream, _open: usize) -> Admission {
        let has_waited = stream.peek(&mut [0]).is_ok_and(|bytes| bytes > 0);
        if has_waited && self.burst.count() > 48 {
            let _ = SockRef::from(&*stream).set_linger(Some(Duration::ZERO));
            return Admission::Close;
        }
        Admission::Serve
    }
}

struct IgnoresBeyond {
    size: usize,
}

impl Hooks for IgnoresBeyond {
    fn accepted(&mut self, _stream: &mut TcpStream, open: usize) -> Admission {
        if open < self.size { Admission::Serve } else { Admission::Ignore }
    }
}

/// The client addresses of the open connections, by slot, and of those that have ended.
#[derive(Default)]
struct CleansUpSuccessor {
    open: HashMap<usize, SocketAddr>,
    ended: HashSet<SocketAddr>,
}

/// The `mark` of a connection from the same address as one that has ended.
const SUCCESSOR: u64 = 1;

impl Hooks for CleansUpSuccessor {
    fn step(&mut self, connection: &mut Connection) -> Gate {
        if let Ok(peer) = connection.stream.peer_addr()
            && self.open.insert(connection.slot, peer).is_none()
        {
            connection.mark = u64::from(self.ended.remove(&peer)) * SUCCESSOR;
        }
        let closes_at = connection.opened + Duration::from_millis(5);
        if connection.mark != SUCCESSOR {
            return Gate::Go;
        }
        connection.wake_at = Some(closes_at);
        if Instant::now() < closes_at { Gate::Go } else { Gate::Close }
    }

    fn closed(&mut self, connection: &mut Connection, _end: End) {
        self.ended.extend(self.open.remove(&connection.slot));
    }
}

struct UpsetsKernel {
    at: u64,
    count: u64,
}

impl UpsetsKernel {
    fn new(at: u64) -> Self {
        Self { at, count: 0 }
    }
}

impl Hooks for UpsetsKernel {
    fn accepted(&mut self, _stream: &mut TcpStream, _open: usize) -> Admission {
        self.count += 1;
        // Only once, at a number that few cases reach: the kernel logs at most ten such lines in 5
        // s.
        if self.count == self.at {
            let _ = ask_for_an_interface();
        }
        Admission::Serve
    }
}

/// Sends an rtnetlink(7) request with two bytes too many. Linux logs it with the process's name.
#[cfg(target_os = "linux")]
fn ask_for_an_interface() -> io::Result<usize> {
    use socket2::{Domain, Protocol, Socket, Type};

    const AF_NETLINK: i32 = 16;
    const NETLINK_ROUTE: i32 = 0;
    const RTM_GETLINK: u16 = 18;
    const NLM_F_REQUEST: u16 = 1;
    const HEADER: usize = 16;
    const IFINFOMSG: usize = 16;
    const LEFT_OVER: usize = 2;
    let mut request = [0; HEADER + IFINFOMSG + LEFT_OVER];
    let length = request.len() as u32;
    request[..4].copy_from_slice(&length.to_ne_bytes());
    request[4..6].copy_from_slice(&RTM_GETLINK.to_ne_bytes());
    request[6..8].copy_from_slice(&NLM_F_REQUEST.to_ne_bytes());
    let route = Some(Protocol::from(NETLINK_ROUTE));
    Socket::new(Domain::from(AF_NETLINK), Type::DGRAM, route)?.send(&request)
}

#[cfg(not(target_os = "linux"))]
fn ask_for_an_interface() -> io::Result<usize> {
    Err(io::ErrorKind::Unsupported.into())
}
