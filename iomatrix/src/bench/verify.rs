//! Checks rows before they are timed. A row must pass every MUST of `tcp-echo`, and of the suite of
//! the transport that is measured.

use std::collections::BTreeMap;

use conformance::check::{self, Observers, Options};
use conformance::judge::{Disturbance, Judge};
use conformance::plan::{Filter, plan};
use conformance::profile::Profile;
use harness::launcher::START_TIMEOUT;
use harness::pattern::Pattern;
use harness::registry::Registry;
use harness::row::Row;
use harness::schedule::Schedule;
use report::bench::{Refusal, RefusalKind};
use report::{Conclusion, Gate, Host, Level, Transport, Verdict};
use report::{Outside, Seed, SeedSource, outside};

/// The rows that must not be timed, each with the reason.
pub(super) fn find_wrong_rows(
    rows: &[Row],
    transport: Transport,
    host: &Host,
    (seed, seed_source): (Seed, SeedSource),
) -> BTreeMap<Outside, Refusal> {
    let suites = match transport {
        Transport::Tcp => vec!["tcp-echo"],
        Transport::Udp => vec!["tcp-echo", "udp"],
        Transport::Unix => vec!["tcp-echo", "unix"],
        Transport::Unixgram => vec!["tcp-echo", "unixdg"],
    };
    let filter = Filter {
        suites: suites.iter().copied().map(Pattern::from).collect(),
        level: Some(Level::Must),
        ..Filter::default()
    };
    let judge = Judge {
        profile: Profile::Quick,
        seed,
        seed_source,
        host: host.clone(),
        schedule: Schedule::of_this_user(),
        start_timeout: START_TIMEOUT,
        disturbance: Disturbance::default(),
        gate: Gate::default(),
        repeat: |row, id, seed, _| {
            let row = &row.name;
            format!("cargo run -p iomatrix -- check --row {row} --case {id} --seed {seed}").into()
        },
    };
    let planned = plan(rows, &filter, judge.profile, host);
    let options = Options { jobs: check::default_jobs(), repeats: 1 };
    let observers = Observers { on_cell: &|_, _| {}, write: &|_| {} };
    let run = check::run(&judge, &Registry::default(), rows, &planned, options, observers);
    let mut wrong = BTreeMap::new();
    for cell in &run.cells {
        let driver = run.rows.iter().find(|row| row.name == cell.row).map(|row| &row.driver);
        let driver = driver.cloned().unwrap_or_default();
        let conclusion = judge.gate.conclusion(cell, &driver);
        if conclusion == Conclusion::Red {
            let found = cell
                .failure
                .as_ref()
                .map(|failure| outside!(": expected {}, got {}", failure.expected, failure.actual));
            let found = found.unwrap_or_default();
            let reason = outside!("fails {}{}; repeat: {}", cell.id(), found, cell.repeat);
            wrong.insert(cell.row.clone(), Refusal::new(RefusalKind::Wrong, reason));
        } else if conclusion == Conclusion::Error {
            let reason = cell.reason.clone().unwrap_or_else(|| "no reason is known".into());
            let reason = outside!("could not be checked: {}: {}", cell.id(), reason);
            let error = Refusal::new(RefusalKind::Error, reason);
            wrong.entry(cell.row.clone()).or_insert(error);
        }
    }
    for row in rows {
        let is_checked = |suite: &str| {
            let own = run.cells.iter().filter(|cell| cell.row == row.name);
            own.filter(|cell| cell.suite == suite).any(|cell| cell.verdict == Verdict::Pass)
        };
        if let Some(suite) = suites.iter().find(|suite| !is_checked(suite)) {
            let reason = format!("none of its answers was checked by suite {suite}");
            let error = Refusal::new(RefusalKind::Error, reason);
            wrong.entry(row.name.clone().into()).or_insert(error);
        }
    }
    wrong
}
