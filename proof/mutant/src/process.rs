//! The points at which a fault strikes outside the loop, where no connection sees it: as the
//! process starts, binds, announces itself and stops. The defaults are the correct server.

use std::ffi::OsString;
use std::io;
use std::net::SocketAddr;
use std::path::Path;
use std::process::ExitCode;
use std::time::Duration;

use socket2::Socket;

use crate::connection::Over;

/// What was asked is not offered (`EX_UNAVAILABLE` of sysexits.h).
pub(crate) const UNAVAILABLE: u8 = 69;

/// What asks the server to stop.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum StopRequest {
    Interrupt,
    Terminate,
    /// Any signal after the first.
    SecondSignal,
    StdinEnd,
}

/// What a socket with an IP address is for.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Ip {
    Tcp,
    Udp,
}

/// A port that was asked for, and the one that was bound for it.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) struct Port {
    pub(crate) asked: u16,
    pub(crate) bound: u16,
}

/// The points at which a fault strikes, in the order in which a process meets them.
pub(crate) trait ProcessHooks: Sync {
    /// The arguments to go on with instead of those that are wrong.
    fn understood(&self, _arguments: &[OsString]) -> Option<Vec<OsString>> {
        None
    }

    /// Whether it offers what is optional: capabilities, and sockets other than those of TCP.
    fn offers_options(&self) -> bool {
        true
    }

    /// Whether it cancels what has waited for as long as it was told.
    fn cancels(&self) -> bool {
        true
    }

    /// Both signs of "not offered": `line` on standard output and the exit status.
    fn refuse(&self, line: &str) -> ExitCode {
        println!("{line}");
        ExitCode::from(UNAVAILABLE)
    }

    /// Before anything is started; a status ends the process.
    fn begin(&self) -> Option<ExitCode> {
        None
    }

    /// The address that is bound in place of the one that was asked for.
    fn binds(&self, asked: SocketAddr, _transport: Ip) -> SocketAddr {
        asked
    }

    /// A socket that has just been bound.
    fn bound_one(&self, _socket: &Socket) -> io::Result<()> {
        Ok(())
    }

    /// Connections that may wait in the accept queue.
    fn backlog(&self, _over: Over) -> i32 {
        1024
    }

    /// A socket that clients will connect to over TCP, before it is bound.
    fn prepare(&self, _socket: &Socket) -> io::Result<()> {
        Ok(())
    }

    /// Whether an IPv6 address takes IPv4 clients too.
    fn takes_both_families(&self, asked: bool) -> bool {
        asked
    }

    /// Whether there are names of Unix sockets that are in no file system.
    fn has_abstract_names(&self) -> bool {
        true
    }

    /// A Unix path cannot be an address.
    fn path_refused(&self) {}

    /// Whether `path` is removed before it is bound; it may be if a dead server has left it.
    fn clears(&self, _path: &Path, is_left: &dyn Fn() -> io::Result<bool>) -> io::Result<bool> {
        is_left()
    }

    /// Whether it listens before it announces itself.
    fn listens_first(&self) -> bool {
        true
    }

    /// Every endpoint is bound.
    fn bound(&self, _ports: &[Port]) -> io::Result<()> {
        Ok(())
    }

    /// Between listening and the announcement.
    fn announcing(&self) -> io::Result<()> {
        Ok(())
    }

    /// Whether it announces itself as a server on `io_uring`.
    fn claims_ring(&self) -> bool {
        false
    }

    /// How it serves on a ring, if it does.
    #[cfg(target_os = "linux")]
    fn ring_style(&self) -> Option<crate::ring::Style> {
        None
    }

    /// The number of workers that is announced.
    fn announced_workers(&self, workers: u32) -> u32 {
        workers
    }

    /// The TCP port that is announced.
    fn announced_port(&self, port: u16) -> u16 {
        port
    }

    /// For how long it drains.
    fn drain(&self, asked: Duration) -> Duration {
        asked
    }

    /// Between the announcement and the loop; `at` is the value of `--fault-at`.
    fn announced(&self, _at: Option<u64>) -> io::Result<()> {
        Ok(())
    }

    fn heeds(&self, _request: StopRequest) -> bool {
        true
    }

    /// The loop has ended in order.
    fn stopped(&self, _ports: &[Port]) -> io::Result<()> {
        Ok(())
    }

    /// Whether a bound Unix path is removed at the end; it is not if another server has it by now.
    fn removes_path(&self, is_ours: bool) -> bool {
        is_ours
    }

    /// The status of a server that stopped as it was asked to.
    fn exit_code(&self) -> ExitCode {
        ExitCode::SUCCESS
    }

    /// The status of a server that could not start or go on.
    fn failed(&self) -> ExitCode {
        ExitCode::FAILURE
    }
}

/// No fault.
pub(crate) struct Correct;

impl ProcessHooks for Correct {}
