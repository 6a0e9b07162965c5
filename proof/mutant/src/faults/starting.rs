//! Faults between the command line and the loop: what the server understands, refuses, announces.

use std::ffi::OsString;
use std::fs::File;
use std::io;
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

use mio::net::TcpStream;
use socket2::{Domain, Socket, Type};

use super::Fault;
use crate::hooks::{Admission, Hooks};
use crate::process::{Port, ProcessHooks, UNAVAILABLE};

pub(super) const FAULTS: &[Fault] = &[
    Fault::process(
        "announces-before-listening",
        "Announces itself 50 ms before it listens",
        &AnnouncesBeforeListening,
    ),
    Fault::process(
        "announces-port-zero",
        "Announces port 0 instead of the port that it has bound",
        &AnnouncesPortZero,
    ),
    Fault::process(
        "exits-zero-on-bind-failure",
        "Exits with status 0 when it cannot listen",
        &ExitsZeroOnBindFailure,
    ),
    Fault::process("panics-at-failed-start", "Panics when it cannot start", &PanicsAtFailure),
    Fault::process(
        "lock-file",
        "Leaves a lock file behind unless it stops cleanly, and does not start if there is one",
        &LockFile,
    ),
    Fault::process(
        "refuses-third-start",
        "Refuses to start for the third time on the same port",
        &RefusesThirdStart,
    ),
    Fault::process(
        "ignores-bad-arguments",
        "Serves on some port when its arguments are invalid",
        &IgnoresBadArguments,
    ),
    Fault::process(
        "unsupported-exits-1",
        "Exits with status 1 when an option is unsupported",
        &UnsupportedExits1,
    ),
    Fault::process(
        "unsupported-without-reason",
        "Exits with status 69 without a reason on standard output",
        &UnsupportedWithoutReason,
    ),
    Fault::process("says-io-uring", "Announces io_uring, but uses another driver", &SaysIoUring),
    Fault::process(
        "unused-ring",
        "Announces io_uring, but uses another driver and leaves its ring idle (Linux only)",
        &UnusedRing,
    ),
    Fault::new("logs-on-stdout", "Writes a line to standard output for each connection", || {
        Box::new(LogsOnStdout)
    }),
    Fault::process(
        "dies-of-filter",
        "Panics at the start if system calls are filtered (Linux only)",
        &DiesOfFilter,
    ),
    Fault::process(
        "dies-of-memlock",
        "Panics at the start if it may lock less than 1 MiB of memory (Linux only)",
        &DiesOfMemlock,
    ),
    Fault::process("needs-ipv6", "Panics at the start if the host has no IPv6", &NeedsIpv6),
];

struct AnnouncesBeforeListening;

impl ProcessHooks for AnnouncesBeforeListening {
    fn listens_first(&self) -> bool {
        false
    }

    fn announced(&self, _at: Option<u64>) -> io::Result<()> {
        std::thread::sleep(Duration::from_millis(50));
        Ok(())
    }
}

struct AnnouncesPortZero;

impl ProcessHooks for AnnouncesPortZero {
    fn announced_port(&self, _port: u16) -> u16 {
        0
    }
}

struct ExitsZeroOnBindFailure;

impl ProcessHooks for ExitsZeroOnBindFailure {
    fn failed(&self) -> ExitCode {
        ExitCode::SUCCESS
    }
}

struct PanicsAtFailure;

impl ProcessHooks for PanicsAtFailure {
    fn failed(&self) -> ExitCode {
        panic!("nobody expected this")
    }
}

struct LockFile;

impl LockFile {
    fn path_for(port: Port) -> PathBuf {
        std::env::temp_dir().join(format!("mutant-{}.lock", port.bound))
    }
}

impl ProcessHooks for LockFile {
    fn bound(&self, ports: &[Port]) -> io::Result<()> {
        for port in ports {
            let lock = Self::path_for(*port);
            if port.asked != 0 && lock.exists() {
                return Err(io::Error::other(format!("{} exists", lock.display())));
            }
            File::create(&lock)?;
        }
        Ok(())
    }

    fn stopped(&self, ports: &[Port]) -> io::Result<()> {
        ports.iter().try_for_each(|port| std::fs::remove_file(Self::path_for(*port)))
    }
}

/// Counts, in a file, the starts on a port that was asked for.
struct RefusesThirdStart;

impl ProcessHooks for RefusesThirdStart {
    fn bound(&self, ports: &[Port]) -> io::Result<()> {
        for Port { asked, bound } in ports {
            let file = std::env::temp_dir().join(format!("mutant-{bound}.starts"));
            let starts = if *asked == 0 { 0 } else { std::fs::read(&file)?.len() };
            if starts == 2 {
                std::fs::remove_file(&file)?;
                return Err(io::Error::other("started twice before"));
            }
            std::fs::write(&file, vec![b'.'; starts + 1])?;
        }
        Ok(())
    }
}

struct IgnoresBadArguments;

impl ProcessHooks for IgnoresBadArguments {
    fn understood(&self, arguments: &[OsString]) -> Option<Vec<OsString>> {
        let start = ["mutant", "--listen", "tcp:127.0.0.1:0"].map(OsString::from);
        let known = ["--announce", "json", "--stop-on-stdin-eof"];
        let kept = arguments.iter().filter(|argument| known.iter().any(|word| argument == word));
        Some(start.into_iter().chain(kept.cloned()).collect())
    }
}

struct UnsupportedExits1;

impl ProcessHooks for UnsupportedExits1 {
    fn refuse(&self, line: &str) -> ExitCode {
        println!("{line}");
        ExitCode::FAILURE
    }
}

struct UnsupportedWithoutReason;

impl ProcessHooks for UnsupportedWithoutReason {
    fn refuse(&self, _line: &str) -> ExitCode {
        ExitCode::from(UNAVAILABLE)
    }
}

pub(super) struct SaysIoUring;

impl ProcessHooks for SaysIoUring {
    fn claims_ring(&self) -> bool {
        true
    }
}

struct UnusedRing;

impl ProcessHooks for UnusedRing {
    fn claims_ring(&self) -> bool {
        true
    }

    /// Opens a ring that lives for as long as the process.
    #[cfg(target_os = "linux")]
    fn announcing(&self) -> io::Result<()> {
        std::mem::forget(io_uring::IoUring::new(8)?);
        Ok(())
    }

    #[cfg(not(target_os = "linux"))]
    fn announcing(&self) -> io::Result<()> {
        Err(io::ErrorKind::Unsupported.into())
    }
}

struct LogsOnStdout;

impl Hooks for LogsOnStdout {
    fn accepted(&mut self, _stream: &mut TcpStream, open: usize) -> Admission {
        println!("accepted a connection beside {open} others");
        Admission::Serve
    }
}

struct DiesOfFilter;

impl ProcessHooks for DiesOfFilter {
    fn begin(&self) -> Option<ExitCode> {
        let is_filtered = proc_value("status", "Seccomp:").is_some_and(|mode| mode > 0);
        assert!(!is_filtered, "system calls are filtered");
        None
    }
}

struct DiesOfMemlock;

impl ProcessHooks for DiesOfMemlock {
    fn begin(&self) -> Option<ExitCode> {
        let limit = proc_value("limits", "Max locked memory");
        assert!(limit.is_none_or(|bytes| bytes >= 1 << 20), "too little memory to lock");
        None
    }
}

struct NeedsIpv6;

impl ProcessHooks for NeedsIpv6 {
    fn begin(&self) -> Option<ExitCode> {
        let socket = Socket::new(Domain::IPV6, Type::STREAM, None);
        socket.expect("every host has IPv6");
        None
    }
}

/// The first number after `key` in a file of /proc/self.
fn proc_value(file: &str, key: &str) -> Option<u64> {
    let text = std::fs::read_to_string(format!("/proc/self/{file}")).ok()?;
    let rest = text.lines().find_map(|line| line.strip_prefix(key))?;
    rest.split_whitespace().next()?.parse().ok()
}
