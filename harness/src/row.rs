//! A row of the matrix as the harness can start it, and why a host cannot run it. In the registry a
//! row is a `RowEntry`; in documents it is a `RunRow`, a `BenchRow` or a `Ladder`.

use std::ffi::OsString;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use report::host::{Availability, Host};
use report::{Grade, Model, Transport};
use report::{Outside, outside};

use crate::launcher::{Origin, Program};
use crate::registry::RowEntry;
use crate::ring_needs::RingNeeds;

#[derive(Clone, Debug)]
pub struct Row {
    /// `NAME[-FLAVOR][-DRIVER]`.
    pub name: String,
    /// The group of columns that the row belongs to.
    pub model: Model,
    /// The driver on this operating system. `None` if the row does not exist here, or declares no
    /// driver.
    pub driver: Option<Outside>,
    pub flavor: Outside,
    /// Threads that do I/O.
    pub workers: u32,
    /// What it needs of io_uring.
    pub ring: RingNeeds,
    /// What the server does not offer.
    pub lacks: Vec<String>,
    /// The Cargo package of its server, if this repository has it.
    pub package: Option<String>,
    /// Where its server comes from.
    pub origin: Origin,
    /// What is left of the time that its slow starts may take in total.
    pub patience: StartPatience,
}

/// The time that the slow starts of a row may take in total. Clones share it.
#[derive(Clone, Debug, Default)]
pub struct StartPatience {
    /// Milliseconds that slow starts have taken in total beyond `USUAL_START`.
    spent_ms: Arc<AtomicU64>,
}

/// A start that takes longer is slow.
const USUAL_START: Duration = Duration::from_secs(5);
/// How long the slow starts of a row may take beyond that, in total. If every start took the full
/// limit, a check would take an hour.
const PATIENCE: Duration = Duration::from_secs(120);

impl StartPatience {
    /// How long the next start may take: `limit`, but only 5 s once the patience has run out.
    #[must_use]
    pub fn next_limit(&self, limit: Duration) -> Duration {
        let spent = Duration::from_millis(self.spent_ms.load(Ordering::Relaxed));
        if spent < PATIENCE { limit } else { limit.min(USUAL_START) }
    }

    /// Counts a start that took this long, whether or not it succeeded.
    pub fn spend(&self, took: Duration) {
        let slow = took.saturating_sub(USUAL_START).as_millis();
        self.spent_ms.fetch_add(u64::try_from(slow).unwrap_or(u64::MAX), Ordering::Relaxed);
    }
}

impl Row {
    /// A row of the registry. [`crate::binaries`] finds its executable later.
    #[must_use]
    pub fn from_entry(entry: &RowEntry) -> Self {
        Self::with_workers(entry, entry.workers)
    }

    /// A row of the registry with another number of threads that do I/O.
    #[must_use]
    pub fn with_workers(entry: &RowEntry, workers: u32) -> Self {
        let driver = entry.local_driver().map(str::to_owned);
        let mut arguments = vec!["--flavor".to_owned(), entry.flavor.clone()];
        arguments.extend(["--workers".to_owned(), workers.to_string()]);
        if let Some(driver) = &driver {
            arguments.extend(["--driver".to_owned(), driver.clone()]);
        }
        Self {
            name: entry.name.clone(),
            model: entry.model,
            driver: driver.map(Outside::from),
            flavor: entry.flavor.clone().into(),
            workers,
            ring: entry.ring.clone(),
            lacks: entry.lacks.keys().cloned().collect(),
            package: Some(entry.package.clone()),
            origin: Origin::Contract(Program {
                executable: PathBuf::new(),
                arguments: arguments.into_iter().map(OsString::from).collect(),
            }),
            patience: StartPatience::default(),
        }
    }

    /// A row about whose server nothing is declared.
    #[must_use]
    pub fn undeclared(name: &str, origin: Origin) -> Self {
        Self {
            name: name.to_owned(),
            model: Model::Undeclared,
            driver: None,
            flavor: "-".into(),
            workers: 0,
            ring: RingNeeds::default(),
            lacks: Vec::new(),
            package: None,
            origin,
            patience: StartPatience::default(),
        }
    }

    /// Whether the registry says that the server does not offer `what`.
    #[must_use]
    pub fn lacks(&self, what: &str) -> bool {
        self.lacks.iter().any(|lacking| lacking == what)
    }

    /// The driver's name; `-` if there is none.
    #[must_use]
    pub fn driver_name(&self) -> Outside {
        self.driver.clone().unwrap_or_else(|| "-".into())
    }

    /// How much the server offers the judge.
    #[must_use]
    pub fn grade(&self) -> Grade {
        match self.origin {
            Origin::Contract(_) => Grade::Contract,
            Origin::Command(_) => Grade::Command,
            Origin::Address(_) => Grade::Address,
        }
    }

    /// The transport of the server's first listener.
    #[must_use]
    pub fn transport(&self) -> Transport {
        match &self.origin {
            Origin::Contract(_) => Transport::Tcp,
            Origin::Command(line) => line.transport(),
            Origin::Address(endpoint) => endpoint.transport,
        }
    }

    /// Whether the server is told the address to listen on, not only the port.
    #[must_use]
    pub fn is_given_address(&self) -> bool {
        match &self.origin {
            Origin::Contract(_) => true,
            Origin::Command(line) => line.gives_address(),
            Origin::Address(_) => false,
        }
    }

    /// Whether the kernel's io_uring does for the row; `None` if the row does not use it, or if
    /// there is none.
    #[must_use]
    pub fn ring_state(&self, host: &Host) -> Option<Availability> {
        let is_on_ring = self.driver.as_ref().is_some_and(|driver| *driver == "io_uring");
        is_on_ring.then(|| Some(self.ring.judge(host.io_uring.as_ref()?))).flatten()
    }

    /// Why the host cannot run the row's driver as the row needs it, and what to do about it;
    /// `None` if it can.
    #[must_use]
    pub fn missing_driver(&self, host: &Host) -> Option<Outside> {
        let Some(driver) = &self.driver else {
            let is_declared = self.grade() == Grade::Contract;
            return is_declared.then(|| outside!("{} does not exist on {}", self.name, host.os));
        };
        let known = host.drivers.iter().find(|known| known.name == *driver)?;
        let lack = known.state.lack().or_else(|| self.ring_state(host)?.lack());
        lack.map(|lack| outside!("{}: {}", driver, lack))
    }
}
