//! What a backend says of itself: its runtime, model, driver and flavors.

use std::io;

use crate::{
    Capability, Context, Drained, Driver, Listeners, Transport, announcement::Announcement,
    listen::Listen, versions::used_version,
};

/// A runtime's server, as data: everything that [`crate::run()`] needs to know of it.
#[derive(Debug)]
pub struct Backend {
    /// Its Cargo package, `backend-NAME`.
    pub package: &'static str,
    /// Package of the runtime; its version is read from `Cargo.lock`.
    pub runtime: &'static str,
    /// The I/O APIs that it can run on here; the first is the default.
    pub drivers: &'static [Driver],
    /// The configurations to choose from; the first is the default.
    pub flavors: &'static [Flavor],
    /// The kinds of sockets that it serves, where the operating system has them.
    pub transports: &'static [Transport],
    /// The optional parts of the contract that it offers.
    pub capabilities: &'static [Capability],
    /// Whether this host can run it on one of its drivers. Called before anything is bound.
    pub probe: fn(Driver) -> Result<(), Unavailable>,
}

impl Backend {
    /// Its name in announcements and in the registry, such as `tokio`.
    pub(crate) fn name(&self) -> &'static str {
        self.package.strip_prefix("backend-").unwrap_or(self.package)
    }

    /// Package and version of the runtime, such as `tokio 1.54.1`.
    pub(crate) fn runtime_and_version(&self) -> String {
        let version = used_version(self.package, self.runtime);
        format!("{} {version}", self.runtime)
    }

    /// What it says once it serves at `endpoints`.
    pub(crate) fn announcement(
        &self,
        flavor: &Flavor,
        driver: Driver,
        workers: usize,
        endpoints: Vec<Listen>,
    ) -> Announcement {
        Announcement {
            ready: Announcement::FORMAT,
            listeners: endpoints.iter().map(Listen::to_string).collect(),
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
    /// How many threads it can use.
    pub workers: Workers,
    /// Serves the listeners until the stop signal and the drain are over.
    ///
    /// It calls [`Context::ready`] once every worker can accept.
    pub serve: fn(Listeners, Context) -> Result<Drained, ServeError>,
}

/// How many threads that do I/O a flavor can have.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Workers {
    /// One by nature; `--workers` accepts only 1.
    One,
    /// As many as `--workers` says, by default one per core.
    PerCore,
}

/// Why this host cannot run the backend, in words for its owner; exit status 69.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Unavailable(pub String);

/// Why a server could not begin to serve.
#[derive(Debug)]
pub enum ServeError {
    /// The host lacks something; exit status 69.
    Unavailable(Unavailable),
    /// Building the runtime or registering a listener failed; exit status 1.
    Failed(io::Error),
}

impl From<io::Error> for ServeError {
    fn from(error: io::Error) -> ServeError {
        ServeError::Failed(error)
    }
}

impl From<Unavailable> for ServeError {
    fn from(reason: Unavailable) -> ServeError {
        ServeError::Unavailable(reason)
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;

    /// A backend that is complete but for serving.
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

    fn serve(_: Listeners, _: Context) -> Result<Drained, ServeError> {
        Ok(Drained { cut: 0 })
    }
}
