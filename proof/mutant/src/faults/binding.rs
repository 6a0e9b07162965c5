//! Faults of the addresses and paths that a server listens on.

use std::io;
use std::path::Path;

use socket2::Socket;

use super::Fault;
use crate::connection::Over;
use crate::process::ProcessHooks;

pub(super) const FAULTS: &[Fault] = &[
    Fault::process("reuse-port", "Lets a second server listen on the same port", &ReusePort),
    Fault::process(
        "no-reuse-address",
        "Does not set the option that allows it to bind a port that still has old connections",
        &NoReuseAddress,
    ),
    Fault::process(
        "ignores-dual-stack",
        "Accepts only IPv6 clients on `[::]`, even with `--dual-stack`",
        &IgnoresDualStack,
    ),
    Fault::process(
        "takes-both-families",
        "Accepts IPv4 clients on `[::]`, even without `--dual-stack`",
        &TakesBothFamilies,
    ),
    Fault::process("backlog", "Has a backlog of 5 over TCP", &Backlog::tcp(5)),
    Fault::process(
        "backlog-1",
        "Has a backlog of 1 over TCP, which admits two clients on Linux",
        &Backlog::tcp(1),
    ),
    Fault::process(
        "backlog-128",
        "Has a backlog of 128 over TCP, like the standard library of Rust",
        &Backlog::tcp(128),
    ),
    Fault::process("unix-backlog", "Has a backlog of 5 on a Unix path", &Backlog::unix(5)),
    Fault::process(
        "unix-backlog-128",
        "Has a backlog of 128 on a Unix path, like the standard library of Rust",
        &Backlog::unix(128),
    ),
    Fault::process("unlinks-path", "Removes whatever file is at its Unix path", &UnlinksPath),
    Fault::process(
        "refuses-existing-path",
        "Does not start if a dead server has left its Unix path behind",
        &RefusesExistingPath,
    ),
    Fault::process("leaves-path", "Leaves its Unix path behind when it ends", &LeavesPath),
    Fault::process(
        "unlinks-successor",
        "Removes its Unix path when it ends, even if another server has taken the path over",
        &UnlinksSuccessor,
    ),
    Fault::process("panics-on-long-path", "Panics if its Unix path is too long", &PanicsOnLongPath),
    Fault::process(
        "no-abstract-names",
        "Does not start on an abstract Unix address",
        &NoAbstractNames,
    ),
];

struct ReusePort;

impl ProcessHooks for ReusePort {
    #[cfg(unix)]
    fn prepare(&self, socket: &Socket) -> io::Result<()> {
        socket.set_reuse_port(true)
    }

    #[cfg(not(unix))]
    fn prepare(&self, socket: &Socket) -> io::Result<()> {
        socket.set_reuse_address(true)
    }
}

struct NoReuseAddress;

impl ProcessHooks for NoReuseAddress {
    fn prepare(&self, socket: &Socket) -> io::Result<()> {
        socket.set_reuse_address(false)
    }
}

struct IgnoresDualStack;

impl ProcessHooks for IgnoresDualStack {
    fn takes_both_families(&self, _asked: bool) -> bool {
        false
    }
}

struct TakesBothFamilies;

impl ProcessHooks for TakesBothFamilies {
    fn takes_both_families(&self, _asked: bool) -> bool {
        true
    }
}

/// A backlog that is too short, over TCP or on Unix paths.
struct Backlog {
    over_unix: bool,
    clients: i32,
}

impl Backlog {
    const fn tcp(clients: i32) -> Self {
        Self { over_unix: false, clients }
    }

    const fn unix(clients: i32) -> Self {
        Self { over_unix: true, clients }
    }
}

impl ProcessHooks for Backlog {
    fn backlog(&self, over: Over) -> i32 {
        if self.over_unix == (over == Over::Unix) { self.clients } else { 1024 }
    }
}

struct UnlinksPath;

impl ProcessHooks for UnlinksPath {
    fn clears(&self, path: &Path, _is_left: &dyn Fn() -> io::Result<bool>) -> io::Result<bool> {
        Ok(path.exists())
    }
}

struct RefusesExistingPath;

impl ProcessHooks for RefusesExistingPath {
    fn clears(&self, _path: &Path, _is_left: &dyn Fn() -> io::Result<bool>) -> io::Result<bool> {
        Ok(false)
    }
}

struct LeavesPath;

impl ProcessHooks for LeavesPath {
    fn removes_path(&self, _is_ours: bool) -> bool {
        false
    }
}

struct UnlinksSuccessor;

impl ProcessHooks for UnlinksSuccessor {
    fn removes_path(&self, _is_ours: bool) -> bool {
        true
    }
}

struct PanicsOnLongPath;

impl ProcessHooks for PanicsOnLongPath {
    fn path_refused(&self) {
        panic!("paths of more than a hundred bytes do not exist");
    }
}

struct NoAbstractNames;

impl ProcessHooks for NoAbstractNames {
    fn has_abstract_names(&self) -> bool {
        false
    }
}
