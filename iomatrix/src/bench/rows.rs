//! The rows of a bench: which were asked for, which this host can run, and their programs.

use harness::binaries;
use harness::registry::Registry;
use harness::row::Row;
use report::bench::{Refusal, RefusalKind};
use report::load::BuildProfile;
use report::{Host, Transport};
use report::{Outside, outside};

use crate::building::show_builds;
use crate::error::Error;
use crate::notice::print_notice;
use crate::selection;

use super::{SubjectArguments, verify};

#[derive(Clone, Debug)]
pub(crate) struct Candidate {
    pub(crate) row: Row,
    /// Why it is not measured; `None` if it is.
    pub(crate) refused: Option<Refusal>,
}

/// All rows that were asked for, in the registry's order.
#[derive(Clone, Debug)]
pub(crate) struct Candidates {
    pub(crate) all: Vec<Candidate>,
    baseline: String,
    workers: u32,
    transport: Transport,
}

impl Candidates {
    /// Selects the rows that were asked for, and finds out what this host lacks for them.
    ///
    /// # Errors
    /// The registry is wrong, or a name matches no row.
    pub(crate) fn select(
        arguments: &SubjectArguments,
        workers: u32,
        host: &Host,
    ) -> Result<Self, Error> {
        let registry = Registry::load()?;
        let mut selected = selection::rows(&registry, &arguments.rows)?;
        if let Some(name) = &arguments.baseline {
            let baseline = selection::row(&registry, name)?;
            if selected.iter().all(|entry| entry.name != *name) {
                selected.push(baseline);
            }
        }
        let all: Vec<Candidate> = registry
            .built_rows()
            .filter(|entry| selected.iter().any(|selected| selected.name == entry.name))
            .map(|entry| {
                let row = Row::with_workers(entry, workers);
                let refused = missing(&row, arguments.transport, host);
                Candidate { row, refused }
            })
            .collect();
        let measured = || all.iter().filter(|candidate| candidate.refused.is_none());
        let first = measured().next().or(all.first()).map(|first| first.row.name.clone());
        let baseline = arguments.baseline.clone().or(first).unwrap_or_default();
        Ok(Self { all, baseline, workers, transport: arguments.transport })
    }

    pub(crate) fn baseline(&self) -> &str {
        &self.baseline
    }

    /// Threads that do I/O in each server.
    pub(crate) fn workers(&self) -> u32 {
        self.workers
    }

    /// Builds the servers in release, each package separately, and finds their programs.
    pub(crate) fn build(&mut self) -> Result<(), Error> {
        let accepted = self.all.iter_mut().filter(|candidate| candidate.refused.is_none());
        let rows = accepted.map(|candidate| &mut candidate.row);
        show_builds(|on_build| {
            Ok(binaries::provide_executables(rows, BuildProfile::Release, on_build)?)
        })
    }

    /// Refuses the rows whose answers are wrong. Only rows that were checked are timed.
    pub(crate) fn verify(&mut self, host: &Host) {
        let rows: Vec<Row> = self.accepted_rows().cloned().collect();
        print_notice(format_args!("checking the answers of {} rows first", rows.len()));
        let wrong = verify::find_wrong_rows(
            &rows,
            self.transport,
            host,
            harness::seed::given_or_random(None),
        );
        for candidate in &mut self.all {
            if let Some(reason) = wrong.get(&Outside::from(&candidate.row.name)) {
                candidate.refused = Some(reason.clone());
            }
        }
    }

    /// The rows that were not refused.
    pub(crate) fn accepted_rows(&self) -> impl Iterator<Item = &Row> {
        self.all.iter().filter(|candidate| candidate.refused.is_none()).map(|c| &c.row)
    }
}

/// Why this row cannot be measured on this host, if it cannot.
fn missing(row: &Row, transport: Transport, host: &Host) -> Option<Refusal> {
    let unavailable = |reason: Outside| Some(Refusal::new(RefusalKind::Unavailable, reason));
    if let Some(lack) = row.missing_driver(host) {
        return unavailable(outside!("unavailable: {}", lack));
    }
    if row.lacks(transport.kind()) {
        return unavailable(format!("unsupported: it has no {transport} listener").into());
    }
    None
}
