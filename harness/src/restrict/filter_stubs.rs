//! Stand-ins for systems on which no system call can be made to fail.

use std::io;

use super::Denial;

pub(super) fn deny_io_uring(_: Denial) -> io::Result<()> {
    Err(io::Error::new(
        io::ErrorKind::Unsupported,
        "only Linux on x86_64 or aarch64 can be told to deny io_uring",
    ))
}

pub(super) fn fail_poller() -> io::Result<()> {
    Err(io::Error::new(
        io::ErrorKind::Unsupported,
        "only Linux on x86_64 or aarch64 can let a poller fail",
    ))
}

pub(super) fn deny_ipv6() -> io::Result<()> {
    Err(io::Error::new(
        io::ErrorKind::Unsupported,
        "only Linux on x86_64 or aarch64 can be told to deny IPv6",
    ))
}
