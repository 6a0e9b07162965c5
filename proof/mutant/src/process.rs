//! The points at which a fault strikes outside the loop: while the process starts, binds, announces
//! itself and stops. The default methods are the correct server.

use std::ffi::OsString;
use std::io;
use std::net::SocketAddr;
use std::path::Path;
use std::process::ExitCode;
use std::time::Duration;

use socket2::Socket;

use crate::connection::Over;

/// The exit status of a server that does not offer what was asked (`EX_UNAVAILABLE` of sysexits.h).
pub(crate) const UNAVAILABLE: u8 = 69;

/// A request to stop.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum StopRequest {
    Interrupt,
    Terminate,
    /// Any signal after the first.
    SecondSignal,
    StdinEnd,
}

/// The transport of a socket with an IP address.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Ip {
    Tcp,
    Udp,
}

/// A port that was asked for, and the port that was bound for it.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) struct Port {
    pub(crate) asked: u16,
    pub(crate) bound: u16,
}

/// The points at which a fault strikes, in the order in which a process reaches them.
pub(crate) trait ProcessHooks: Sync {
    /// The arguments to use in place of those that do not parse.
    fn understood(&self, _arguments: &[OsString]) -> Option<Vec<OsString>> {
        None
    }

    /// Whether the server offers the optional parts: capabilities, and listeners other than TCP.
    fn offers_options(&self) -> bool {
        true
    }

    /// Whether the server obeys `--cancel`.
    fn cancels(&self) -> bool {
        true
    }

    /// Refuses what is not offered: prints `line` on standard output and returns the exit status.
    fn refuse(&self, line: &str) -> ExitCode {
        println!("{line}");
        ExitCode::from(UNAVAILABLE)
    }

    /// Called before anything is started. If it returns a status, the process exits with it.
    fn begin(&self) -> Option<ExitCode> {
        None
    }

    /// The address to bind in place of the one that was asked for.
    fn binds(&self, asked: SocketAddr, _transport: Ip) -> SocketAddr {
        asked
    }

    /// Called with each socket that was just bound.
    fn bound_one(&self, _socket: &Socket) -> io::Result<()> {
        Ok(())
    }

    /// The length of the accept queue, in connections.
    fn backlog(&self, _over: Over) -> i32 {
        1024
    }

    /// Called with each TCP listener before it is bound.
    fn prepare(&self, _socket: &Socket) -> io::Result<()> {
        Ok(())
    }

    /// Whether a listener on an IPv6 address also accepts IPv4 clients.
    fn takes_both_families(&self, asked: bool) -> bool {
        asked
    }

    /// Whether the server supports abstract addresses of Unix sockets (unix(7)).
    fn has_abstract_names(&self) -> bool {
        true
    }

    /// Called when a Unix path is too long for an address.
    fn path_refused(&self) {}

    /// Whether to remove `path` before it is bound. `is_left` says whether a dead server has left
    /// it.
    fn clears(&self, _path: &Path, is_left: &dyn Fn() -> io::Result<bool>) -> io::Result<bool> {
        is_left()
    }

    /// Whether the server listens before it announces itself.
    fn listens_first(&self) -> bool {
        true
    }

    /// Called when every endpoint is bound.
    fn bound(&self, _ports: &[Port]) -> io::Result<()> {
        Ok(())
    }

    /// Called between listening and the announcement.
    fn announcing(&self) -> io::Result<()> {
        Ok(())
    }

    /// Whether the server announces `io_uring` as its driver.
    fn claims_ring(&self) -> bool {
        false
    }

    /// How the server uses its ring, if it serves on one.
    #[cfg(target_os = "linux")]
    fn ring_style(&self) -> Option<crate::ring::Style> {
        None
    }

    /// The number of workers to announce.
    fn announced_workers(&self, workers: u32) -> u32 {
        workers
    }

    /// The TCP port to announce.
    fn announced_port(&self, port: u16) -> u16 {
        port
    }

    /// How long the server drains.
    fn drain(&self, asked: Duration) -> Duration {
        asked
    }

    /// Called between the announcement and the loop. `at` is the value of `--fault-at`.
    fn announced(&self, _at: Option<u64>) -> io::Result<()> {
        Ok(())
    }

    fn heeds(&self, _request: StopRequest) -> bool {
        true
    }

    /// Called when the loop has ended without an error.
    fn stopped(&self, _ports: &[Port]) -> io::Result<()> {
        Ok(())
    }

    /// Whether to remove a bound Unix path at the end. `is_ours` is false if another server has
    /// bound it since.
    fn removes_path(&self, is_ours: bool) -> bool {
        is_ours
    }

    /// The exit status after an orderly stop.
    fn exit_code(&self) -> ExitCode {
        ExitCode::SUCCESS
    }

    /// The exit status of a server that could not start, or that had to give up.
    fn failed(&self) -> ExitCode {
        ExitCode::FAILURE
    }
}

/// The server without a fault.
pub(crate) struct Correct;

impl ProcessHooks for Correct {}
