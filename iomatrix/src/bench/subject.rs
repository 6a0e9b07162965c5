//! One server under measurement: started on its processors, and found by the generator.

use std::sync::Arc;
use std::time::Duration;

use anyhow::anyhow;
use conformance::affinity::Cpus;
use conformance::attest::attest;
use conformance::case::Profile;
use conformance::clock::Clock;
use conformance::launcher::{Launch, Launcher, Server};
use conformance::peer::Context;
use conformance::plan::Row;
use conformance::process::Process;
use conformance::transport::{Place, Transport};
use report::load::Target;
use report::{Attestation, Failure, Host};

/// How long the start, the looks and the stop of a server may take together.
const LIMIT: Duration = Duration::from_secs(600);

/// A started server.
pub(super) struct Subject {
    launcher: Launcher,
    server: Server,
    driver: String,
}

impl Subject {
    /// Starts a row's server on these processors, with a listener of a transport beside TCP.
    pub(super) fn start(row: &Row, transport: Transport, cpus: &[usize]) -> anyhow::Result<Self> {
        let clock = Clock::start(1.0, LIMIT);
        let context = Arc::new(Context::new(0, 0, Profile::Full, clock));
        let launcher = Launcher::new(row.origin.clone(), context);
        let mut start = launcher.over(transport).map_err(|e| sentence(&e))?;
        start.restrictions.cpus = Cpus::of(cpus.iter().copied());
        let launched = launcher.launch(&start).map_err(|e| sentence(&e))?;
        let server = match launched {
            Launch::Declined(announcement) => {
                return Err(anyhow!("it says that it cannot serve here: {announcement:?}"));
            }
            other @ (Launch::Ready(_) | Launch::Ended(_)) => {
                let said = || launcher.stderr_tail(3).join("; ");
                other.expect_ready().map_err(|e| anyhow!("{} {}", sentence(&e), said()))?
            }
        };
        let driver = row.driver.clone().unwrap_or_else(|| "-".to_owned());
        Ok(Self { launcher, server, driver })
    }

    /// Where the generator finds it.
    pub(super) fn target(&self, transport: Transport) -> anyhow::Result<Target> {
        let place = self.launcher.place(transport, &self.server).map_err(|e| sentence(&e))?;
        let address = match place {
            Place::Ip(address) => address.to_string(),
            Place::Path(path) => path.display().to_string(),
        };
        let transport = match transport {
            Transport::Udp => report::load::Transport::Udp,
            Transport::Unix => report::load::Transport::Unix,
            Transport::Tcp | Transport::Unixgram => report::load::Transport::Tcp,
        };
        Ok(Target { transport, address })
    }

    pub(super) fn process(&self) -> Process {
        self.launcher.process(&self.server)
    }

    /// Runtime and version, as it has announced.
    pub(super) fn runtime(&self) -> Option<String> {
        self.server.ready().ok().map(|ready| ready.runtime.clone())
    }

    /// Whether it really uses the row's driver.
    pub(super) fn attest(&self, host: &Host) -> Result<Attestation, Failure> {
        let peer = self.launcher.peer(&self.server)?;
        attest(&self.driver, host, &peer, &self.process())
    }

    /// How it ended, if it has, and its last words.
    pub(super) fn death(&self) -> Option<String> {
        let ended = self.server.ended()?;
        let said = self.launcher.stderr_tail(3).join("; ");
        Some(format!("the server has ended ({ended:?}) {said}").trim_end().to_owned())
    }
}

/// A failure of the judge's, in one sentence.
pub(super) fn sentence(failure: &Failure) -> anyhow::Error {
    anyhow!("expected {}, got {}", failure.expected, failure.actual)
}
