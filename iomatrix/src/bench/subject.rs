//! One server under measurement: started on its processors, and found by the generator.

use std::sync::Arc;
use std::time::Duration;

use conformance::affinity::Cpus;
use conformance::attest::attest;
use conformance::case::Profile;
use conformance::clock::Clock;
use conformance::launcher::{Launch, Launcher, Server};
use conformance::peer::Context;
use conformance::plan::Row;
use conformance::process::Process;
use conformance::transport::{Place, Transport};
use report::bench::{Because, Refused};
use report::load::Target;
use report::{Attestation, Failure, FailureKind, Host};

/// How long a server may be looked at, its load included; each wait has a limit of its own.
const LIMIT: Duration = Duration::from_secs(24 * 60 * 60);

/// A started server.
pub(super) struct Subject {
    launcher: Launcher,
    server: Server,
    driver: String,
}

impl Subject {
    /// Starts a row's server on these processors, with a listener of a transport beside TCP.
    pub(super) fn start(row: &Row, transport: Transport, cpus: &[usize]) -> Result<Self, Refused> {
        let clock = Clock::start(1.0, LIMIT);
        let context = Arc::new(Context::new(0, 0, Profile::Full, clock));
        let launcher = Launcher::new(row.origin.clone(), context);
        let mut start = launcher.over(transport).map_err(|e| refusal(&e))?;
        start.restrictions.cpus = Cpus::of(cpus.iter().copied());
        let launched = launcher.launch(&start).map_err(|e| refusal(&e))?;
        let server = match launched {
            Launch::Declined(announcement) => {
                let reason = format!("it says that it cannot serve here: {announcement:?}");
                return Err(Refused::new(Because::Unavailable, reason));
            }
            other @ (Launch::Ready(_) | Launch::Ended(_)) => {
                let said = || launcher.stderr_tail(3).join("; ");
                other.expect_ready().map_err(|e| {
                    let Refused { because, reason } = refusal(&e);
                    Refused { because, reason: format!("{reason} {}", said()) }
                })?
            }
        };
        let driver = row.driver.clone().unwrap_or_else(|| "-".to_owned());
        Ok(Self { launcher, server, driver })
    }

    /// Where the generator finds it.
    pub(super) fn target(&self, transport: Transport) -> Result<Target, Refused> {
        let place = self.launcher.place(transport, &self.server).map_err(|e| refusal(&e))?;
        let address = match place {
            Place::Ip(address) => address.to_string(),
            Place::Path(path) => path.display().to_string(),
        };
        let transport = match transport {
            Transport::Tcp => report::Transport::Tcp,
            Transport::Udp => report::Transport::Udp,
            Transport::Unix => report::Transport::Unix,
            Transport::Unixgram => report::Transport::Unixgram,
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
    pub(super) fn attest(&self, host: &Host) -> Result<Attestation, Refused> {
        let peer = self.launcher.peer(&self.server).map_err(|e| refusal(&e))?;
        attest(&self.driver, host, &peer, &self.process()).map_err(|e| refusal(&e))
    }

    /// How it ended, if it has, and its last words.
    pub(super) fn death(&self) -> Option<String> {
        let ended = self.server.ended()?;
        let said = self.launcher.stderr_tail(3).join("; ");
        Some(format!("the server has ended ({ended:?}) {said}").trim_end().to_owned())
    }
}

/// A failure of the judge's: the server's fault, unless the harness itself could not go on.
fn refusal(failure: &Failure) -> Refused {
    let is_own = failure.kind == FailureKind::Harness;
    let because = if is_own { Because::Error } else { Because::Wrong };
    Refused::new(because, format!("expected {}, got {}", failure.expected, failure.actual))
}
