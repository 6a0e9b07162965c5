//! The row of a server that no registry knows. The judge meets the server once before any case, so
//! that an unreachable server is one sentence and not a wall of red cells. If the server speaks
//! docs/CONTRACT.md, its first announcement becomes its row.

use std::collections::BTreeSet;
use std::io::{self, ErrorKind, Read as _};
use std::time::Duration;

use harness::announcement::{Announcement, Ready};
use harness::deadline::Deadline;
use harness::launcher::{CommandLine, Ended, Launch, Launcher, Origin, Program, Start};
use harness::place::Endpoint;
use harness::row::{Row, StartPatience};
use report::{Failure, FailureKind, Model, Outside, Transport};
use socket2::{Socket, Type};

use crate::suites;

/// Lines of standard error that go with a server that did not introduce itself.
const TAIL_LINES: usize = 20;

/// Why a server has no row.
#[derive(Debug)]
pub enum IntroductionError {
    /// There is no such program.
    Program(harness::Error),
    /// Nothing listens at an address: what the system says to a client.
    NothingListens(Endpoint, io::Error),
    /// It could not be started, through no fault of its own.
    Start(Failure),
    /// It ended before it listened, with the last lines of its standard error.
    Ended(Ended, Vec<Outside>),
    /// It does not listen where it was told to, with the last lines of its standard error.
    NeverListens(Failure, Vec<Outside>),
    /// It announces nothing, with the last lines of its standard error.
    NeverAnnounces(Failure, Vec<Outside>),
    /// It says that this host cannot run it, or that it does not serve TCP.
    Declined(Outside),
    /// It does not do what the contract asks of its first line, with the last lines of its standard
    /// error.
    Wrong(Failure, Vec<Outside>),
}

/// Connects once to a server that listens already. Whether one is there for datagrams, the system
/// says on the host itself only.
///
/// # Errors
/// [`IntroductionError::NothingListens`].
pub fn reach(name: &str, endpoint: Endpoint) -> Result<Row, IntroductionError> {
    match try_to_reach(&endpoint) {
        Ok(()) => Ok(Row::undeclared(name, Origin::Address(endpoint))),
        Err(error) => Err(IntroductionError::NothingListens(endpoint, error)),
    }
}

fn try_to_reach(endpoint: &Endpoint) -> io::Result<()> {
    /// A connection takes a round trip.
    const LIMIT: Duration = Duration::from_secs(5);
    /// So long the system may take to say that nobody is there (udp(7), `ECONNREFUSED`).
    const REFUSAL: Duration = Duration::from_millis(200);
    let address = endpoint.place.socket_address()?;
    let domain = endpoint.place.domain();
    match endpoint.transport {
        Transport::Tcp => Socket::new(domain, Type::STREAM, None)?.connect_timeout(&address, LIMIT),
        Transport::Unix => {
            let socket = Socket::new(domain, Type::STREAM, None)?;
            // connect(2) waits as long as a write may where the server's queue is full.
            socket.set_write_timeout(Some(LIMIT))?;
            socket.connect(&address)
        }
        Transport::Unixgram => Socket::new(domain, Type::DGRAM, None)?.connect(&address),
        Transport::Udp => {
            let socket = Socket::new(domain, Type::DGRAM, None)?;
            socket.connect(&address)?;
            socket.set_read_timeout(Some(REFUSAL))?;
            socket.send(b"?")?;
            match (&socket).read(&mut [0; 8]) {
                Ok(_) => Ok(()),
                Err(e) if matches!(e.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut) => Ok(()),
                Err(error) => Err(error),
            }
        }
    }
}

/// Starts once a server that knows nothing of the contract.
///
/// # Errors
/// What it did instead of listening.
pub fn start_once(
    name: &str,
    line: CommandLine,
    start_timeout: Duration,
) -> Result<Row, IntroductionError> {
    line.expect_executable().map_err(IntroductionError::Program)?;
    let row = Row::undeclared(name, Origin::Command(line));
    let launcher = Launcher::new(row.origin.clone());
    let said = || launcher.stderr_tail(TAIL_LINES);
    match launcher.launch(&Start::default(), || Deadline::after(start_timeout)) {
        Ok(Launch::Ended(attempt)) if !attempt.has_listened => {
            Err(IntroductionError::Ended(attempt.ended, said()))
        }
        // One that ends at its first client is judged.
        Ok(Launch::Ready(_) | Launch::Declined(_) | Launch::Ended(_)) => Ok(row),
        Err(failure) if failure.kind == FailureKind::Timeout => {
            Err(IntroductionError::NeverListens(failure, said()))
        }
        Err(failure) => Err(IntroductionError::Start(failure)),
    }
}

/// Starts a server once and makes a row of its announcement.
///
/// # Errors
/// What it did instead of announcing that it is ready.
pub fn introduce(
    name: &str,
    program: &Program,
    start_timeout: Duration,
) -> Result<Row, IntroductionError> {
    program.expect_executable().map_err(IntroductionError::Program)?;
    let deadline = || Deadline::after(start_timeout);
    let launcher = Launcher::new(Origin::Contract(program.clone()));
    let wrong = |failure: Failure| {
        let said = launcher.stderr_tail(TAIL_LINES);
        if failure.kind == FailureKind::Timeout {
            return IntroductionError::NeverAnnounces(failure, said);
        }
        if failure.kind == FailureKind::Harness {
            return IntroductionError::Start(failure);
        }
        IntroductionError::Wrong(failure, said)
    };
    let server = match launcher.launch(&Start::default(), deadline).map_err(wrong)? {
        Launch::Declined(Announcement::Unavailable(reason) | Announcement::Unsupported(reason)) => {
            return Err(IntroductionError::Declined(reason));
        }
        launch @ (Launch::Ready(_) | Launch::Declined(_) | Launch::Ended(_)) => {
            launch.expect_ready().map_err(wrong)?
        }
    };
    let ready = server.ready().map_err(wrong)?;
    let mut row = row(name, ready, program.clone());
    drop(server);
    // An announcement names capabilities, and not what could have been listened to.
    for transport in Transport::ALL.into_iter().filter(|transport| transport.exists_here()) {
        let asked =
            launcher.asking_for(transport).and_then(|start| launcher.launch(&start, deadline));
        if let Launch::Declined(Announcement::Unsupported(_)) = asked.map_err(wrong)? {
            row.lacks.push(transport.kind().to_owned());
        }
    }
    Ok(row)
}

fn row(name: &str, ready: &Ready, program: Program) -> Row {
    let known: BTreeSet<&str> = suites::ALL
        .iter()
        .flat_map(|suite| suite.cases)
        .filter_map(|case| case.capability)
        .collect();
    let is_offered =
        |capability: &str| ready.capabilities.iter().any(|offered| offered.is(capability));
    Row {
        name: name.to_owned(),
        model: model(&ready.model),
        driver: Some(ready.driver.clone()),
        flavor: ready.flavor.clone(),
        workers: ready.workers,
        lacks: known.into_iter().filter(|one| !is_offered(one)).map(str::to_owned).collect(),
        package: None,
        origin: Origin::Contract(program),
        patience: StartPatience::default(),
    }
}

/// The model that an announcement names.
fn model(name: &Outside) -> Model {
    let known = [Model::Readiness, Model::Completion, Model::Blocking];
    let found = known.into_iter().find(|model| name.is(&model.to_string()));
    // Whether it may say anything else is for the case about announcements.
    found.unwrap_or(Model::Undeclared)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_not_announced_is_lacking() {
        let line = r#"{"ready":1,"listeners":["tcp:127.0.0.1:1"],"backend":"b","runtime":"r 1",
            "model":"completion","driver":"io_uring","flavor":"f","workers":3,
            "capabilities":["cpu","shiny"]}"#;
        let Ok(Announcement::Ready(ready)) = Announcement::parse(line.as_bytes()) else {
            panic!("not ready")
        };
        let program = Program::parse("server --quiet").unwrap();
        let row = row("contract", &ready, program);
        assert_eq!((row.model, row.driver), (Model::Completion, Some("io_uring".into())));
        assert_eq!((row.flavor, row.workers), ("f".into(), 3));
        assert_eq!(row.lacks, ["cancel"]);
    }
}
