//! The row of a server that no registry knows and that speaks docs/CONTRACT.md: it is started once,
//! and what it announces then is what it is held to.

use std::collections::BTreeSet;

use harness::announcement::{Announcement, Ready};
use harness::deadline::Deadline;
use harness::host_factor::{HIGHEST, host_factor};
use harness::launcher::{Launch, Launcher, Origin, Program, START_LIMIT, Start};
use harness::row::Row;
use report::{Failure, Model, Outside, Transport};

use crate::suites;

/// Lines of standard error that go with a server that did not introduce itself.
const TAIL_LINES: usize = 20;

/// Why a server has no row.
#[derive(Clone, Debug, PartialEq)]
pub enum IntroductionError {
    /// It says that this host cannot run it, or that it does not serve TCP.
    Declined(Outside),
    /// It does not do what the contract asks of its first line, with the last lines of its standard
    /// error.
    Wrong(Failure, Vec<Outside>),
}

/// Starts a server once and makes a row of its announcement.
///
/// # Errors
/// What it did instead of announcing that it is ready.
pub fn introduce(name: &str, program: &Program) -> Result<Row, IntroductionError> {
    let limit = START_LIMIT.mul_f64(host_factor().min(HIGHEST));
    let launcher = Launcher::new(Origin::Contract(program.clone()));
    let wrong = |failure| IntroductionError::Wrong(failure, launcher.stderr_tail(TAIL_LINES));
    let server = match launcher.launch(&Start::default(), Deadline::after(limit)).map_err(wrong)? {
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
        let asked = launcher
            .asking_for(transport)
            .and_then(|start| launcher.launch(&start, Deadline::after(limit)));
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
