//! One server under measurement: started on its processors, and found by the generator.

use std::time::Duration;

use harness::affinity::Cpus;
use harness::attest::{Exchanged, attest};
use harness::deadline::Deadline;
use harness::launcher::{Launch, Launcher, START_TIMEOUT, Server};
use harness::place::Place;
use harness::process::Process;
use harness::row::Row;
use report::bench::{Because, Refused};
use report::load::Target;
use report::{Attestation, Failure, FailureKind, Host, Outside, Transport, outside};

use crate::echo::EchoClient;

/// How long a server may take to answer while nothing else is asked of it.
const ANSWER_LIMIT: Duration = Duration::from_secs(5);
/// Length of the messages that attestation asks for.
const MESSAGE_BYTES: usize = 8;

/// A started server.
pub(super) struct Subject {
    launcher: Launcher,
    server: Server,
    driver: Outside,
}

impl Subject {
    /// Starts a row's server on these processors, with a listener of a transport beside TCP.
    pub(super) fn start(row: &Row, transport: Transport, cpus: &[usize]) -> Result<Self, Refused> {
        let launcher = Launcher::new(row.origin.clone());
        let mut start = launcher.over(transport).map_err(|e| refusal(&e))?;
        start.restrictions.cpus = Cpus::of(cpus.iter().copied());
        let launched =
            launcher.launch(&start, || Deadline::after(START_TIMEOUT)).map_err(|e| refusal(&e))?;
        let server = match launched {
            Launch::Declined(announcement) => {
                let reason = format!("it says that it cannot serve here: {announcement:?}");
                return Err(Refused::new(Because::Unavailable, reason));
            }
            other @ (Launch::Ready(_) | Launch::Ended(_)) => {
                let said = || Outside::join(&launcher.stderr_tail(3), "; ");
                other.expect_ready().map_err(|e| {
                    let Refused { because, reason } = refusal(&e);
                    Refused { because, reason: outside!("{} {}", reason, said()) }
                })?
            }
        };
        let driver = row.driver_name();
        Ok(Self { launcher, server, driver })
    }

    /// Where the generator finds it.
    pub(super) fn target(&self, transport: Transport) -> Result<Target, Refused> {
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

    /// Runtime and version, as it has announced.
    pub(super) fn runtime(&self) -> Option<Outside> {
        self.server.ready().ok().map(|ready| ready.runtime.clone())
    }

    /// Whether it really uses the row's driver.
    pub(super) fn attest(&self, host: &Host) -> Result<Attestation, Refused> {
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
            Ok(Exchanged { server: address, client: client.local_address()?, bytes })
        };
        attest(&self.driver, host, &self.process(), exchange).map_err(|e| refusal(&e))
    }

    /// How it ended, if it has, and its last words.
    pub(super) fn death(&self) -> Option<Outside> {
        let ended = self.server.ended()?;
        let end = Outside::from(format!("the server {ended}"));
        let said = self.launcher.stderr_tail(3);
        if said.is_empty() {
            return Some(end);
        }
        Some(outside!("{} {}", end, Outside::join(&said, "; ")))
    }
}

/// A failure of the judge's: the server's fault, unless the judge itself could not go on.
fn refusal(failure: &Failure) -> Refused {
    let is_own = failure.kind == FailureKind::Harness;
    let because = if is_own { Because::Error } else { Because::Wrong };
    Refused::new(because, outside!("expected {}, got {}", failure.expected, failure.actual))
}
