//! One server under measurement: starts it on its processors, and attests its driver.

use std::time::Duration;

use harness::affinity::Cpus;
use harness::attest::{EchoedConnection, attest};
use harness::deadline::Deadline;
use harness::launcher::{Launch, Launcher, START_TIMEOUT, Server};
use harness::place::Place;
use harness::process::Process;
use harness::row::Row;
use report::bench::{Refusal, RefusalKind};
use report::load::Target;
use report::{Attestation, Failure, FailureKind, Host, Outside, Transport, outside};

use crate::echo::EchoClient;

/// How long an idle server may take to answer.
const ANSWER_LIMIT: Duration = Duration::from_secs(5);
/// Length of the messages during an attestation.
const MESSAGE_BYTES: usize = 8;

pub(super) struct Subject {
    launcher: Launcher,
    server: Server,
    driver: Outside,
}

impl Subject {
    /// Starts a row's server on these processors, with a listener for `transport` in addition to
    /// TCP.
    pub(super) fn start(row: &Row, transport: Transport, cpus: &[usize]) -> Result<Self, Refusal> {
        let launcher = Launcher::new(row.origin.clone());
        let mut start = launcher.start_with_listener(transport).map_err(|e| refusal(&e))?;
        start.restrictions.cpus = Cpus::new(cpus.iter().copied());
        let launched =
            launcher.launch(&start, || Deadline::after(START_TIMEOUT)).map_err(|e| refusal(&e))?;
        let server = match launched {
            Launch::Declined(announcement) => {
                let reason = format!("it says that it cannot serve here: {announcement:?}");
                return Err(Refusal::new(RefusalKind::Unavailable, reason));
            }
            other @ (Launch::Ready(_) | Launch::Ended(_)) => {
                let said = || Outside::join(&launcher.stderr_tail(3), "; ");
                other.expect_ready().map_err(|e| {
                    let Refusal { because, reason } = refusal(&e);
                    Refusal { because, reason: outside!("{} {}", reason, said()) }
                })?
            }
        };
        let driver = row.driver_name();
        Ok(Self { launcher, server, driver })
    }

    pub(super) fn target(&self, transport: Transport) -> Result<Target, Refusal> {
        let place = self.server.place(transport).map_err(|e| refusal(&e))?;
        let address = match place {
            Place::Ip(address) => address.to_string(),
            Place::Path(path) => path.display().to_string(),
        };
        Ok(Target { transport, address: address.into() })
    }

    pub(super) fn process(&self) -> Process {
        self.server.process()
    }

    /// Runtime and version, as the server announced them.
    pub(super) fn runtime(&self) -> Option<Outside> {
        self.server.ready().ok().map(|ready| ready.runtime.clone())
    }

    /// Attests that the server uses the row's driver.
    pub(super) fn attest(&self, host: &Host) -> Result<Attestation, Refusal> {
        let address = self.server.address().map_err(|e| refusal(&e))?;
        let answer = || Deadline::after(ANSWER_LIMIT);
        let mut connected = None;
        let exchange = |messages| {
            let client = match &mut connected {
                Some(client) => client,
                none => none.insert(EchoClient::connect(address, 0, answer())?),
            };
            (0..messages).try_for_each(|_| {
                client.send(MESSAGE_BYTES, answer())?;
                client.receive(MESSAGE_BYTES, answer())
            })?;
            let bytes = messages * MESSAGE_BYTES as u64;
            Ok(EchoedConnection { server: address, client: client.local_address()?, bytes })
        };
        attest(&self.driver, host, &self.process(), exchange).map_err(|e| refusal(&e))
    }

    /// How the server ended, with the last lines of its standard error; `None` while it runs.
    pub(super) fn end_reason(&self) -> Option<Outside> {
        let ended = self.server.exit()?;
        let end = Outside::from(format!("the server {ended}"));
        let said = self.launcher.stderr_tail(3);
        if said.is_empty() {
            return Some(end);
        }
        Some(outside!("{} {}", end, Outside::join(&said, "; ")))
    }
}

/// Blames the server for a failure, unless the harness itself could not work.
fn refusal(failure: &Failure) -> Refusal {
    let is_own = failure.kind == FailureKind::Harness;
    let because = if is_own { RefusalKind::Error } else { RefusalKind::Wrong };
    Refusal::new(because, outside!("expected {}, got {}", failure.expected, failure.actual))
}
