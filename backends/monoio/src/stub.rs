//! This backend on Windows: it says why it cannot run.

use common::{Context, Drained, Driver, ServeError, Sockets, Unavailable};

pub(crate) const DRIVERS: &[Driver] = &[Driver::READINESS];

pub(crate) fn probe(_: Driver) -> Result<(), Unavailable> {
    Err(reason())
}

pub(crate) fn runtime_per_thread(_: Sockets, _: Context) -> Result<Drained, ServeError> {
    Err(ServeError::Unavailable(reason()))
}

fn reason() -> Unavailable {
    Unavailable(format!("monoio calls its {} driver experimental", std::env::consts::OS))
}
