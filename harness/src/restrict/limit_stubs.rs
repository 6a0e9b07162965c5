//! Stand-ins for systems on which a process has no such limits.

use std::io;

pub(super) fn set_memlock(_bytes: u64) -> io::Result<()> {
    Err(unsupported())
}

pub(super) fn set_open_files(_count: u64) -> io::Result<()> {
    Err(unsupported())
}

pub(super) fn close_streams() -> io::Result<()> {
    Err(unsupported())
}

pub(super) fn leave_stderr_unread() -> io::Result<()> {
    Err(unsupported())
}

fn unsupported() -> io::Error {
    io::Error::new(io::ErrorKind::Unsupported, "this system has no such limit")
}
