//! What is left of this backend on systems without io_uring: the reason that it cannot run.

use common::{Context, Drained, Driver, ServeError, Sockets, Unavailable};

pub(crate) fn probe(_: Driver) -> Result<(), Unavailable> {
    Err(reason())
}

pub(crate) fn single_shot(_: Sockets, _: Context) -> Result<Drained, ServeError> {
    Err(ServeError::Unavailable(reason()))
}

pub(crate) fn multishot(_: Sockets, _: Context) -> Result<Drained, ServeError> {
    Err(ServeError::Unavailable(reason()))
}

fn reason() -> Unavailable {
    Unavailable(format!("io_uring is part of Linux, and this is {}", std::env::consts::OS))
}
