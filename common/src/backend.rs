//! The description of a backend: its runtime, drivers and flavors.

use std::io;

use crate::announcement::Announcement;
use crate::endpoint::Endpoint;
use crate::versions::used_version;
use crate::{Capability, Context, Drained, Driver, Sockets, Transport};

/// The server program for one runtime or for plain system calls, as data for [`crate::run()`].
#[derive(Debug)]
pub struct Backend {
    /// The Cargo package, `backend-NAME`.
    pub package: &'static str,
    /// Package of the runtime; its version is read from `Cargo.lock`.
    pub runtime: &'static str,
    /// The drivers that it can run on here; the first is the default.
    pub drivers: &'static [Driver],
    /// The flavors; the first is the default.
    pub flavors: &'static [Flavor],
    /// The transports that it serves, if the operating system has them.
    pub transports: &'static [Transport],
    /// The optional parts of the contract that it offers.
    pub capabilities: &'static [Capability],
    /// Whether this host can run it on one of its drivers. Called before anything is bound.
    pub probe: fn(Driver) -> Result<(), Unavailable>,
}

impl Backend {
    /// The name in announcements and in the registry, such as `tokio`.
    pub(crate) fn name(&self) -> &'static str {
        self.package.strip_prefix("backend-").unwrap_or(self.package)
    }

    /// Package and version of the runtime, such as `tokio 1.54.1`.
    pub(crate) fn runtime_and_version(&self) -> String {
        let version = used_version(self.package, self.runtime);
        format!("{} {version}", self.runtime)
    }

    /// The announcement of a server at `endpoints`.
    pub(crate) fn announcement(
        &self,
        flavor: &Flavor,
        driver: Driver,
        workers: usize,
        endpoints: Vec<Endpoint>,
    ) -> Announcement {
        Announcement {
            ready: Announcement::FORMAT,
            listeners: endpoints.iter().map(Endpoint::to_string).collect(),
            backend: self.name(),
            runtime: self.runtime_and_version(),
            model: driver.model().to_string(),
            driver: driver.name(),
            flavor: flavor.name,
            workers,
            capabilities: self.capabilities.iter().map(|known| known.name()).collect(),
            endpoints,
        }
    }

    /// Whether it offers the capability of this name.
    pub(crate) fn offers(&self, name: &str) -> bool {
        self.capabilities.iter().any(|capability| capability.name() == name)
    }
}

/// A named configuration of a backend.
#[derive(Debug)]
pub struct Flavor {
    /// Value of `--flavor`.
    pub name: &'static str,
    /// One line for `--help`.
    pub about: &'static str,
    /// How many workers it can have.
    pub workers: Workers,
    /// Serves the listeners until the end of the drain.
    ///
    /// It calls [`Context::announce`] once every worker can accept.
    pub serve: fn(Sockets, Context) -> Result<Drained, ServeError>,
}

/// How many workers, which are threads that do I/O, a flavor can have.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Workers {
    /// Always one: `--workers` accepts only 1.
    One,
    /// The number that `--workers` gives, by default one per core.
    PerCore,
}

/// Why this host cannot run the backend, in words for its user; exit status 69.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Unavailable(pub String);

/// Why a server could not start.
#[derive(Debug)]
pub enum ServeError {
    /// The host lacks something; exit status 69.
    Unavailable(Unavailable),
    /// Building the runtime or registering a listener failed; exit status 1.
    Failed(io::Error),
}

impl From<io::Error> for ServeError {
    fn from(error: io::Error) -> Self {
        Self::Failed(error)
    }
}

impl From<ServeError> for io::Error {
    fn from(error: ServeError) -> Self {
        match error {
            ServeError::Unavailable(Unavailable(reason)) => Self::other(reason),
            ServeError::Failed(error) => error,
        }
    }
}

impl From<Unavailable> for ServeError {
    fn from(reason: Unavailable) -> Self {
        Self::Unavailable(reason)
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;

    /// A backend that does not serve.
    pub(crate) static BACKEND: Backend = Backend {
        package: "backend-test",
        runtime: "clap",
        drivers: &[Driver::Epoll],
        flavors: &[
            Flavor { name: "many", about: "many threads", workers: Workers::PerCore, serve },
            Flavor { name: "one", about: "one thread", workers: Workers::One, serve },
        ],
        transports: &[Transport::Tcp, Transport::Udp],
        capabilities: &[Capability::Cpu],
        probe: |_| Ok(()),
    };

    fn serve(_: Sockets, _: Context) -> Result<Drained, ServeError> {
        Ok(Drained { cut: 0 })
    }
}
