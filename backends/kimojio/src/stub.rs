//! This backend on systems without io_uring: it says why it cannot run.

use common::{Context, Drained, Driver, ServeError, Sockets, Unavailable};

pub(crate) fn probe(_: Driver) -> Result<(), Unavailable> {
    Err(reason())
}

pub(crate) fn runtime_per_thread(_: Sockets, _: Context) -> Result<Drained, ServeError> {
    Err(ServeError::Unavailable(reason()))
}

fn reason() -> Unavailable {
    Unavailable(format!("io_uring is part of Linux, and this is {}", std::env::consts::OS))
}
