//! The row of a server that is not in the registry. The judge meets the server once before the
//! first case, so that an unreachable server gives one sentence and not a wall of red cells. If the
//! server speaks docs/CONTRACT.md, its first announcement becomes its row.

use std::collections::BTreeSet;
use std::io::{self, ErrorKind, Read as _};
use std::time::Duration;

use harness::announcement::{Announcement, Ready};
use harness::deadline::Deadline;
use harness::launcher::{CommandLine, Launch, Launcher, Origin, Program, ServerExit, Start};
use harness::place::Endpoint;
use harness::ring_needs::RingNeeds;
use harness::row::{Row, StartPatience};
use report::{Failure, FailureKind, Model, Outside, Transport};
use socket2::{Socket, Type};

use crate::suites;

/// Lines of standard error to quote when a server could not be introduced.
const TAIL_LINES: usize = 20;

/// Why a server has no row.
#[derive(Debug)]
pub enum IntroductionError {
    /// The program does not exist or cannot be run.
    Program(harness::Error),
    /// Nothing listens at this address. The error is what the client saw.
    NothingListens(Endpoint, io::Error),
    /// It could not be started, through no fault of its own.
    Start(Failure),
    /// It ended before it listened. The lines are the end of its standard error.
    Ended(ServerExit, Vec<Outside>),
    /// It does not listen where it was told to. The lines are the end of its standard error.
    NeverListens(Failure, Vec<Outside>),
    /// It announces nothing. The lines are the end of its standard error.
    NeverAnnounces(Failure, Vec<Outside>),
    /// It announces that this host cannot run it, or that it does not serve TCP.
    Declined(Outside),
    /// Its first line breaks the contract. The lines are the end of its standard error.
    InvalidAnnouncement(Failure, Vec<Outside>),
}

/// Connects once to a server that already listens. For UDP, the system reports that nobody listens
/// only if the server is on this host.
///
/// # Errors
/// [`IntroductionError::NothingListens`].
pub fn connect_once(name: &str, endpoint: Endpoint) -> Result<Row, IntroductionError> {
    match try_connect(&endpoint) {
        Ok(()) => Ok(Row::undeclared(name, Origin::Address(endpoint))),
        Err(error) => Err(IntroductionError::NothingListens(endpoint, error)),
    }
}

fn try_connect(endpoint: &Endpoint) -> io::Result<()> {
    /// A connection takes one round trip.
    const CONNECT_LIMIT: Duration = Duration::from_secs(5);
    /// How long the system may take to report that nobody listens (udp(7), `ECONNREFUSED`).
    const REFUSAL_TIME: Duration = Duration::from_millis(200);
    let address = endpoint.place.socket_address()?;
    let domain = endpoint.place.domain();
    match endpoint.transport {
        Transport::Tcp => {
            Socket::new(domain, Type::STREAM, None)?.connect_timeout(&address, CONNECT_LIMIT)
        }
        Transport::Unix => {
            let socket = Socket::new(domain, Type::STREAM, None)?;
            // If the server's queue is full, connect(2) waits as long as a write may.
            socket.set_write_timeout(Some(CONNECT_LIMIT))?;
            socket.connect(&address)
        }
        Transport::Unixgram => Socket::new(domain, Type::DGRAM, None)?.connect(&address),
        Transport::Udp => {
            let socket = Socket::new(domain, Type::DGRAM, None)?;
            socket.connect(&address)?;
            socket.set_read_timeout(Some(REFUSAL_TIME))?;
            socket.send(b"?")?;
            match (&socket).read(&mut [0; 8]) {
                Ok(_) => Ok(()),
                Err(e) if matches!(e.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut) => Ok(()),
                Err(error) => Err(error),
            }
        }
    }
}

/// Starts a server that does not speak the contract, once.
///
/// # Errors
/// What the server did instead of listening.
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
            Err(IntroductionError::Ended(attempt.exit, said()))
        }
        // A server that ends at its first client gets a row; the cases judge it.
        Ok(Launch::Ready(_) | Launch::Declined(_) | Launch::Ended(_)) => Ok(row),
        Err(failure) if failure.kind == FailureKind::Timeout => {
            Err(IntroductionError::NeverListens(failure, said()))
        }
        Err(failure) => Err(IntroductionError::Start(failure)),
    }
}

/// Starts a server once and makes its row from its announcement.
///
/// # Errors
/// What the server did instead of announcing that it is ready.
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
        IntroductionError::InvalidAnnouncement(failure, said)
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
    // An announcement names capabilities. It does not name the transports that the server could
    // have listened on, so each is tried.
    for transport in Transport::ALL.into_iter().filter(|transport| transport.exists_here()) {
        let asked = launcher
            .start_to_probe_listener(transport)
            .and_then(|start| launcher.launch(&start, deadline));
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
        |capability: &str| ready.capabilities.iter().any(|offered| offered.equals(capability));
    Row {
        name: name.to_owned(),
        model: model(&ready.model),
        driver: Some(ready.driver.clone()),
        flavor: ready.flavor.clone(),
        workers: ready.workers,
        ring: RingNeeds::default(),
        lacks: known.into_iter().filter(|one| !is_offered(one)).map(str::to_owned).collect(),
        package: None,
        origin: Origin::Contract(program),
        patience: StartPatience::default(),
    }
}

fn model(name: &Outside) -> Model {
    let known = [Model::Readiness, Model::Completion, Model::Blocking];
    let found = known.into_iter().find(|model| name.equals(&model.to_string()));
    // A case about announcements judges whether other values are allowed.
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
