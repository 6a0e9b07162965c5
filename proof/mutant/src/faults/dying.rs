//! Faults that end the process at an event that a server must survive.

use std::io;
use std::time::Duration;

use mio::Interest;
use mio::net::TcpStream;

use super::{Fault, limit};
use crate::connection::{Connection, End};
use crate::hooks::{Admission, AfterAcceptError, Gate, Hooks};

pub(super) const FAULTS: &[Fault] = &[
    Fault::new(
        "dies-of-urgent-byte",
        "Ends the process at a byte of urgent data (Linux only)",
        || Box::new(DiesOfUrgentByte),
    ),
    Fault::new("dies-of-failed-write", "Ends the process when a write fails", || {
        Box::new(DiesOfFailedWrite)
    }),
    Fault::new("unwraps-shutdown", "Panics when sending FIN fails", || Box::new(UnwrapsShutdown)),
    Fault::settable(
        "dies-in-close-storm",
        "Panics at the 40th connection in a row (settable) that ends within 50 ms and without a \
         byte",
        40,
        |at| Box::new(DiesInCloseStorm::new(at)),
    ),
    Fault::settable(
        "dies-after-closes",
        "Panics once 400 connections (settable) have ended",
        400,
        |at| Box::new(DiesAfterCloses { left: at }),
    ),
    Fault::new(
        "unwraps-peer-address",
        "Panics if a new client is gone 0.5 ms after `accept`",
        || Box::new(UnwrapsPeerAddress),
    ),
    Fault::new("accept-error-ends-process", "Ends the process when `accept` fails", || {
        Box::new(AcceptErrorEndsProcess)
    }),
    Fault::settable(
        "table-of-1000",
        "Panics when more than 1000 connections (settable) are open",
        1000,
        |at| Box::new(Table { size: limit(at) }),
    ),
];

struct DiesOfUrgentByte;

impl Hooks for DiesOfUrgentByte {
    #[cfg(target_os = "linux")]
    fn interest(&self) -> Interest {
        Interest::READABLE | Interest::WRITABLE | Interest::PRIORITY
    }

    #[cfg(not(target_os = "linux"))]
    fn interest(&self) -> Interest {
        Interest::READABLE | Interest::WRITABLE
    }

    fn step(&mut self, connection: &mut Connection) -> Gate {
        assert!(!connection.ready.urgent, "nobody expects urgent data");
        Gate::Go
    }
}

struct DiesOfFailedWrite;

impl Hooks for DiesOfFailedWrite {
    fn closed(&mut self, _connection: &mut Connection, end: End) {
        if end == End::WriteFailed {
            std::process::abort();
        }
    }
}

struct UnwrapsShutdown;

impl Hooks for UnwrapsShutdown {
    fn shut_down(&mut self, result: &io::Result<()>) {
        if let Err(error) = result {
            panic!("shutdown: {error}");
        }
    }

    fn closed(&mut self, connection: &mut Connection, end: End) {
        // A server that ignores a failed write finds the reset when it calls shutdown(2).
        if end == End::WriteFailed && connection.ready.read_closed {
            self.shut_down(&connection.stream.shutdown(std::net::Shutdown::Write));
        }
    }
}

struct DiesInCloseStorm {
    at: u64,
    in_a_row: u64,
}

impl DiesInCloseStorm {
    fn new(at: u64) -> Self {
        Self { at, in_a_row: 0 }
    }
}

impl Hooks for DiesInCloseStorm {
    fn closed(&mut self, connection: &mut Connection, end: End) {
        let is_short = connection.opened.elapsed() < Duration::from_millis(50);
        let is_empty = connection.bytes_read == 0 && end == End::Finished;
        self.in_a_row = if is_short && is_empty { self.in_a_row + 1 } else { 0 };
        assert!(self.in_a_row < self.at, "too many connections that say nothing");
    }
}

struct DiesAfterCloses {
    left: u64,
}

impl Hooks for DiesAfterCloses {
    fn closed(&mut self, _connection: &mut Connection, _end: End) {
        self.left -= 1;
        assert!(self.left > 0, "out of connection numbers");
    }
}

struct UnwrapsPeerAddress;

impl Hooks for UnwrapsPeerAddress {
    fn accepted(&mut self, stream: &mut TcpStream, _open: usize) -> Admission {
        // Gives a client that resets at once the time to do so.
        std::thread::sleep(Duration::from_micros(500));
        if let Err(error) = stream.peer_addr() {
            panic!("peer address: {error}");
        }
        Admission::Serve
    }
}

struct AcceptErrorEndsProcess;

impl Hooks for AcceptErrorEndsProcess {
    fn accept_failed(&mut self, _error: &io::Error) -> AfterAcceptError {
        eprintln!("accept failed, which nobody handles");
        std::process::exit(1)
    }
}

struct Table {
    size: usize,
}

impl Hooks for Table {
    fn accepted(&mut self, _stream: &mut TcpStream, open: usize) -> Admission {
        assert!(open < self.size, "the table of connections is full");
        Admission::Serve
    }
}
