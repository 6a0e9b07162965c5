//! Faults that end the process: each is something that a server meets and must survive.

use std::time::Duration;

use mio::Interest;
use mio::net::TcpStream;

use crate::connection::{Connection, End};
use crate::hooks::{Admission, AfterAcceptError, Gate, Hooks};

pub(super) struct DiesOfUrgentByte;

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

pub(super) struct DiesOfFailedWrite;

impl Hooks for DiesOfFailedWrite {
    fn closed(&mut self, _connection: Connection, end: End) {
        if end == End::WriteFailed {
            std::process::abort();
        }
    }
}

pub(super) struct UnwrapsShutdown;

impl Hooks for UnwrapsShutdown {
    fn shut_down(&mut self, result: &std::io::Result<()>) {
        if let Err(error) = result {
            panic!("shutdown: {error}");
        }
    }

    fn closed(&mut self, connection: Connection, end: End) {
        // A server that ignores a failed write meets the reset at its shutdown.
        if end == End::WriteFailed && connection.ready.read_closed {
            self.shut_down(&connection.stream.shutdown(std::net::Shutdown::Write));
        }
    }
}

pub(super) struct DiesInCloseStorm {
    at: u64,
    in_a_row: u64,
}

impl DiesInCloseStorm {
    pub(super) fn at(at: u64) -> Self {
        Self { at, in_a_row: 0 }
    }
}

impl Hooks for DiesInCloseStorm {
    fn closed(&mut self, connection: Connection, end: End) {
        let is_short = connection.opened.elapsed() < Duration::from_millis(50);
        let is_empty = connection.bytes_read == 0 && end == End::Finished;
        self.in_a_row = if is_short && is_empty { self.in_a_row + 1 } else { 0 };
        assert!(self.in_a_row < self.at, "too many connections that say nothing");
    }
}

pub(super) struct DiesAfterCloses {
    pub(super) left: u64,
}

impl Hooks for DiesAfterCloses {
    fn closed(&mut self, _connection: Connection, _end: End) {
        self.left -= 1;
        assert!(self.left > 0, "out of connection numbers");
    }
}

pub(super) struct UnwrapsPeerAddress;

impl Hooks for UnwrapsPeerAddress {
    fn accepted(&mut self, stream: &mut TcpStream, _open: usize) -> Admission {
        // A client that resets at once needs a moment for that.
        std::thread::sleep(Duration::from_micros(500));
        if let Err(error) = stream.peer_addr() {
            panic!("peer address: {error}");
        }
        Admission::Serve
    }
}

pub(super) struct AcceptErrorEndsProcess;

impl Hooks for AcceptErrorEndsProcess {
    fn accept_failed(&mut self) -> AfterAcceptError {
        eprintln!("accept failed, which nobody handles");
        std::process::exit(1)
    }
}

pub(super) struct Table {
    pub(super) size: usize,
}

impl Hooks for Table {
    fn accepted(&mut self, _stream: &mut TcpStream, open: usize) -> Admission {
        assert!(open < self.size, "the table of connections is full");
        Admission::Serve
    }
}
