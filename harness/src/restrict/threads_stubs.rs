//! Stand-ins for systems on which the threads of a process cannot be limited.

use std::io;

use super::ThreadLimit;

pub(super) fn limit(_: ThreadLimit) -> io::Result<()> {
    Err(unsupported())
}

pub(crate) fn set_refused(_: u32, _: bool) -> io::Result<()> {
    Err(unsupported())
}

fn unsupported() -> io::Error {
    io::Error::new(io::ErrorKind::Unsupported, "only Linux can limit the threads of a process")
}
