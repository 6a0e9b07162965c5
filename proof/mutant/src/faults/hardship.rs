//! Faults that show when a server is suspended, gets a signal, or lacks a standard stream.

use std::io;
use std::process::ExitCode;
use std::time::{Duration, Instant};

use mio::net::TcpStream;

use super::Fault;
use crate::connection::{Connection, End};
use crate::hooks::{Admission, AfterAcceptError, Hooks};
use crate::log;
use crate::process::ProcessHooks;

pub(super) const FAULTS: &[Fault] = &[
    Fault::new(
        "panics-unheard",
        "Panics when it cannot write the error of a failed `accept` to standard error",
        || Box::new(PanicsUnheard),
    ),
    Fault::process(
        "dies-without-stdin",
        "Does not start if standard input is closed",
        &DiesWithoutStdin,
    ),
    Fault::new(
        "logs-to-client",
        "Writes its log to its first client if standard error was closed at the start",
        || Box::new(LogsToClient::default()),
    ),
    Fault::new(
        "zero-is-no-descriptor",
        "Forgets its first client, on descriptor 0, if standard input was closed at the start",
        || Box::new(ZeroIsNoDescriptor::default()),
    ),
    Fault::new("dies-of-eintr", "Ends the process when a signal interrupts a system call", || {
        Box::new(DiesOfEintr)
    }),
    Fault::new(
        "loses-after-gap",
        "Loses the first full read after 300 ms without a read, if at least four other connections \
         are open",
        || Box::new(LosesAfterGap::default()),
    ),
];

struct PanicsUnheard;

impl Hooks for PanicsUnheard {
    fn accept_failed(&mut self, error: &io::Error) -> AfterAcceptError {
        eprintln!("accept failed: {error}");
        AfterAcceptError::BackOff
    }
}

/// Whether a standard stream was closed at the start. Rust then opens /dev/null, a character
/// device, where a program in C would have no stream. An open stream is a pipe from the launcher.
#[cfg(unix)]
fn is_closed(stream: impl std::os::fd::AsFd) -> bool {
    use rustix::fs::{FileType, fstat};
    fstat(stream).is_ok_and(|it| FileType::from_raw_mode(it.st_mode) == FileType::CharacterDevice)
}

#[cfg(not(unix))]
fn is_closed<T>(_: T) -> bool {
    false
}

struct DiesWithoutStdin;

impl ProcessHooks for DiesWithoutStdin {
    fn begin(&self) -> Option<ExitCode> {
        is_closed(io::stdin()).then_some(ExitCode::FAILURE)
    }
}

#[derive(Default)]
struct LogsToClient {
    is_taken: bool,
}

impl Hooks for LogsToClient {
    fn accepted(&mut self, stream: &mut TcpStream, _open: usize) -> Admission {
        if !self.is_taken && is_closed(io::stderr()) {
            self.is_taken = true;
            #[cfg(unix)]
            let _ = rustix::stdio::dup2_stderr(&*stream);
            #[cfg(not(unix))]
            let _ = stream;
        }
        Admission::Serve
    }

    fn closed(&mut self, connection: &mut Connection, end: End) {
        if end != End::Finished {
            log::line(format_args!("connection {} has failed", connection.slot));
        }
    }
}

#[derive(Default)]
struct ZeroIsNoDescriptor {
    accepted: u64,
}

impl Hooks for ZeroIsNoDescriptor {
    fn accepted(&mut self, _stream: &mut TcpStream, _open: usize) -> Admission {
        self.accepted += 1;
        let is_zero = self.accepted == 1 && is_closed(io::stdin());
        if is_zero { Admission::Ignore } else { Admission::Serve }
    }
}

struct DiesOfEintr;

impl Hooks for DiesOfEintr {
    fn survives_interrupts(&self) -> bool {
        false
    }
}

/// Loses the first full read after a long gap in the middle of work.
#[derive(Default)]
struct LosesAfterGap {
    last: Option<Instant>,
    /// Stays set until the next full read: the first read after the gap may be a small one.
    is_late: bool,
}

impl Hooks for LosesAfterGap {
    fn received(&mut self, connection: &mut Connection) {
        let gap = self.last.replace(Instant::now()).map(|last| last.elapsed());
        self.is_late |= gap.is_some_and(|gap| gap > Duration::from_millis(300));
        let is_full = connection.fresh().len() >= super::bytes::FULL_READ;
        if self.is_late && is_full && connection.beside >= 4 {
            self.is_late = false;
            connection.pending.truncate(connection.fresh);
        }
    }
}
