//! Faults of the stop: which requests the server heeds, and what it does with its connections.

use std::fs::File;
use std::io;
use std::process::ExitCode;
use std::time::{Duration, Instant};

use mio::net::TcpStream;
use socket2::SockRef;

use super::Fault;
use crate::connection::{Connection, Phase};
use crate::hooks::{Admission, AfterAcceptError, Hooks};
use crate::process::{ProcessHooks, StopRequest};

pub(super) const FAULTS: &[Fault] = &[
    Fault::new(
        "stop-waits-for-work",
        "Waits without limit at a stop for the CPU work of messages",
        || Box::new(StopWaitsForWork),
    ),
    Fault::process(
        "drains-for-400-ms",
        "Drains for 400 ms, whatever `--drain` says",
        &DrainsFor400Ms,
    ),
    Fault::new(
        "exits-at-once",
        "Resets every connection and exits as soon as it is asked to stop",
        || Box::new(ExitsAtOnce),
    ),
    Fault::new(
        "resets-young-at-stop",
        "Resets connections that are younger than 1 s at a stop",
        || Box::new(ResetsYoungAtStop),
    ),
    Fault::new("waits-for-accept", "Notices a stop request only after the next `accept`", || {
        Box::new(WaitsForAccept)
    }),
    Fault::process("ignores-sigint", "Ignores SIGINT", &IgnoresSigint),
    Fault::process("ignores-second-signal", "Ignores a second signal", &IgnoresSecondSignal),
    Fault::process("ignores-stdin-eof", "Ignores the end of standard input", &IgnoresStdinEof),
    Fault::new(
        "waits-for-idle",
        "Waits without limit for clients to end their connections",
        || Box::new(WaitsForIdle),
    ),
    Fault::new("garbage-at-stop", "Writes old bytes to every connection at a stop", || {
        Box::new(GarbageAtStop)
    }),
    Fault::new(
        "aborts-under-load",
        "Aborts when more than 10 connections are open at a stop",
        || Box::new(AbortsUnderLoad),
    ),
    Fault::new("keeps-accepting", "Keeps accepting and serving while it drains", || {
        Box::new(KeepsAccepting)
    }),
    Fault::new("keeps-datagrams-at-stop", "Never stops while it has a datagram socket", || {
        Box::new(KeepsDatagramsAtStop)
    }),
    Fault::new(
        "stop-waits-for-writers",
        "Waits without limit at a stop for clients that do not read",
        || Box::new(StopWaitsForWriters),
    ),
    Fault::new(
        "drain-follows-events",
        "Keeps draining beyond its limit while the latest event is less than 3 s old",
        || Box::new(DrainFollowsEvents::default()),
    ),
    Fault::new("drain-spins", "Spins at a stop while it waits for clients to close", || {
        Box::new(DrainSpins(Phase::Discarding))
    }),
    Fault::new(
        "blocked-drain-spins",
        "Spins at a stop while it waits for clients that do not read",
        || Box::new(DrainSpins(Phase::Stopping)),
    ),
    Fault::new("stop-needs-descriptor", "Begins a stop only when it can open a file", || {
        Box::new(StopNeedsDescriptor)
    }),
    Fault::new(
        "stop-waits-for-queue",
        "Begins a stop only when it has accepted every client in the queue",
        || Box::new(StopWaitsForQueue::default()),
    ),
    Fault::new(
        "stop-fails-without-descriptor",
        "Exits with status 1 at a stop if it cannot open a file",
        || Box::new(StopFailsWithoutDescriptor),
    ),
    Fault::process("exits-3", "Exits with status 3 after an orderly stop", &Exits3),
];

struct ExitsAtOnce;

impl Hooks for ExitsAtOnce {
    fn stop_begins(&mut self, connections: &mut [Option<Connection>]) {
        for connection in connections.iter().flatten() {
            let _ = SockRef::from(&connection.stream).set_linger(Some(Duration::ZERO));
        }
        std::process::exit(0);
    }
}

struct ResetsYoungAtStop;

impl Hooks for ResetsYoungAtStop {
    fn stop_begins(&mut self, connections: &mut [Option<Connection>]) {
        for slot in connections {
            let is_young = |it: &mut Connection| it.opened.elapsed() < Duration::from_secs(1);
            if let Some(connection) = slot.take_if(is_young) {
                let _ = SockRef::from(&connection.stream).set_linger(Some(Duration::ZERO));
            }
        }
    }
}

struct WaitsForAccept;

impl Hooks for WaitsForAccept {
    fn heeds_stop(&self, accepted_since: u64, _datagram_sockets: usize) -> bool {
        accepted_since > 0
    }
}

struct IgnoresSigint;

impl ProcessHooks for IgnoresSigint {
    fn heeds(&self, request: StopRequest) -> bool {
        request != StopRequest::Interrupt
    }
}

struct IgnoresSecondSignal;

impl ProcessHooks for IgnoresSecondSignal {
    fn heeds(&self, request: StopRequest) -> bool {
        request != StopRequest::SecondSignal
    }
}

struct IgnoresStdinEof;

impl ProcessHooks for IgnoresStdinEof {
    fn heeds(&self, request: StopRequest) -> bool {
        request != StopRequest::StdinEnd
    }
}

struct WaitsForIdle;

impl Hooks for WaitsForIdle {
    fn ends_connections(&self) -> bool {
        false
    }
}

struct GarbageAtStop;

impl Hooks for GarbageAtStop {
    fn received(&mut self, connection: &mut Connection) {
        let fresh = connection.fresh();
        connection.kept = fresh[..fresh.len() / 2].to_vec();
    }

    fn stopping(&mut self, connection: &mut Connection) {
        connection.pending.append(&mut connection.kept);
    }
}

struct AbortsUnderLoad;

impl Hooks for AbortsUnderLoad {
    fn stop_begins(&mut self, connections: &mut [Option<Connection>]) {
        if connections.iter().flatten().count() > 10 {
            std::process::abort();
        }
    }
}

struct KeepsAccepting;

impl Hooks for KeepsAccepting {
    fn stops_listening(&self) -> bool {
        false
    }
}

struct KeepsDatagramsAtStop;

impl Hooks for KeepsDatagramsAtStop {
    fn heeds_stop(&self, _accepted_since: u64, datagram_sockets: usize) -> bool {
        datagram_sockets == 0
    }
}

struct StopWaitsForWriters;

impl Hooks for StopWaitsForWriters {
    fn outlasts_drain(&self, connections: &[Option<Connection>]) -> bool {
        connections.iter().flatten().any(|connection| !connection.pending.is_empty())
    }
}

#[derive(Default)]
struct DrainFollowsEvents {
    last: Option<Instant>,
}

impl Hooks for DrainFollowsEvents {
    fn woke(&mut self, _quiet: Duration) {
        self.last = Some(Instant::now());
    }

    fn outlasts_drain(&self, _connections: &[Option<Connection>]) -> bool {
        self.last.is_some_and(|last| last.elapsed() < Duration::from_secs(3))
    }
}

/// Polls without waiting while a connection is in this phase.
struct DrainSpins(Phase);

impl Hooks for DrainSpins {
    fn sleep(
        &mut self,
        planned: Option<Duration>,
        connections: &[Option<Connection>],
    ) -> Option<Duration> {
        let spins = connections.iter().flatten().any(|connection| connection.phase == self.0);
        if spins { Some(Duration::ZERO) } else { planned }
    }
}

struct StopNeedsDescriptor;

impl Hooks for StopNeedsDescriptor {
    fn heeds_stop(&self, _accepted_since: u64, _datagram_sockets: usize) -> bool {
        has_descriptor()
    }
}

#[derive(Default)]
struct StopWaitsForQueue {
    failed: bool,
}

impl Hooks for StopWaitsForQueue {
    fn accepted(&mut self, _stream: &mut TcpStream, _open: usize) -> Admission {
        self.failed = false;
        Admission::Serve
    }

    fn accept_failed(&mut self, _error: &io::Error) -> AfterAcceptError {
        self.failed = true;
        AfterAcceptError::BackOff
    }

    fn heeds_stop(&self, _accepted_since: u64, _datagram_sockets: usize) -> bool {
        !self.failed
    }
}

struct StopFailsWithoutDescriptor;

impl Hooks for StopFailsWithoutDescriptor {
    fn stop_begins(&mut self, _connections: &mut [Option<Connection>]) {
        if !has_descriptor() {
            std::process::exit(1);
        }
    }
}

fn has_descriptor() -> bool {
    std::env::current_exe().and_then(File::open).is_ok()
}

struct Exits3;

impl ProcessHooks for Exits3 {
    fn exit_code(&self) -> ExitCode {
        ExitCode::from(3)
    }
}

struct DrainsFor400Ms;

impl ProcessHooks for DrainsFor400Ms {
    fn drain(&self, _asked: Duration) -> Duration {
        Duration::from_millis(400)
    }
}

struct StopWaitsForWork;

impl Hooks for StopWaitsForWork {
    fn outlasts_drain(&self, connections: &[Option<Connection>]) -> bool {
        connections.iter().flatten().any(|connection| connection.job.is_some())
    }
}
