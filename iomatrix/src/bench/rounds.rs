//! The rounds of a bench. Each round measures every row once, forwards and backwards in turn, so
//! that drift affects all rows alike. System calls and memory are counted later, in separate runs.

use std::sync::atomic::{AtomicBool, Ordering};

use harness::row::Row;
use indicatif::ProgressBar;
use loadgen::{Load, Recording, Watch};
use report::bench::{BenchRow, Ceiling, Count, Refusal, RefusalKind, Sample, ServerUse};
use report::load::{Amount, Arrival, ErrorKind, Measurement, Validity, Workload};
use report::{Attestation, Host, Transport};
use report::{Outside, outside};

use super::pinning::Placement;
use super::rows::Candidates;
use super::subject::Subject;
use super::watch::{CallWatch, MemoryWatch, ServerWatch, unreadable_count};
use crate::notice::{is_silent, print_notice};

/// Number of idle connections when memory is measured.
const IDLE_CONNECTIONS: u32 = 1000;
/// How long system calls are counted, in seconds. A load that measures memory takes a fifth of
/// this.
const SHORT_SECONDS: f64 = 0.5;
/// Limits of one measurement of the floor, which is the same for more connections and messages.
const FLOOR_CONNECTIONS: u32 = 64;
const FLOOR_MESSAGES: usize = 128_000;
const FLOOR_BYTES: usize = 1 << 30;

/// What all measurements of a bench share.
pub(crate) struct Rounds<'a> {
    pub(crate) load: &'a Load,
    pub(crate) cpus: &'a Placement,
    pub(crate) host: &'a Host,
    pub(crate) interrupted: &'a AtomicBool,
}

/// The result of all rounds.
pub(crate) struct RoundResults {
    pub(crate) rows: Vec<BenchRow>,
    /// One value per round; empty if a round has none.
    pub(crate) floor_ns: Vec<f64>,
    pub(crate) ceiling: Option<Ceiling>,
}

impl Rounds<'_> {
    /// Runs all rounds.
    pub(crate) fn run(&self, candidates: &Candidates, rounds: u32) -> RoundResults {
        let mut rows: Vec<BenchRow> =
            candidates.all.iter().map(|c| empty_row(&c.row, c.refused.clone())).collect();
        let sources: Vec<&Row> = candidates.all.iter().map(|candidate| &candidate.row).collect();
        let measured = candidates.accepted_rows().count() as u64;
        let steps = measured * u64::from(rounds + 1);
        let bar = if is_silent() { ProgressBar::hidden() } else { ProgressBar::new(steps) };
        let (mut floors, mut bare) = (Some(Vec::new()), Vec::new());
        for round in 0..rounds {
            if self.is_interrupted() {
                break;
            }
            show_progress(&bar, &format!("round {} of {rounds}: floor and ceiling", round + 1));
            // One value per round. If a round has none, all are dropped, because no ratio could be
            // trusted.
            floors = floors.and_then(|mut floors: Vec<f64>| {
                floors.push(self.floor()?);
                Some(floors)
            });
            bare.extend(loadgen::generator_ns(self.load, &self.cpus.server(), self.interrupted));
            let mut order: Vec<usize> = (0..rows.len()).collect();
            if round % 2 == 1 {
                order.reverse();
            }
            for index in order {
                if self.is_interrupted() {
                    break;
                }
                if rows[index].refused.is_none() {
                    let name = rows[index].name.on_terminal();
                    show_progress(&bar, &format!("round {} of {rounds}: {name}", round + 1));
                    self.sample_row(sources[index], &mut rows[index], round);
                    bar.inc(1);
                }
            }
        }
        for (source, row) in sources.iter().zip(&mut rows) {
            if row.refused.is_none() && !self.is_interrupted() {
                show_progress(
                    &bar,
                    &format!("counting system calls and memory: {}", row.name.on_terminal()),
                );
                row.system_calls = self.system_calls(source);
                row.idle_connection_bytes = self.idle_connection_bytes(source);
                bar.inc(1);
            }
        }
        bar.finish_and_clear();
        let ceiling = self.ceiling(&rows, &bare);
        RoundResults { rows, floor_ns: floors.unwrap_or_default(), ceiling }
    }

    /// The ceiling, from the lowest cost of a message for the generator, with a row or with a bare
    /// echo.
    fn ceiling(&self, rows: &[BenchRow], bare: &[f64]) -> Option<Ceiling> {
        let samples = rows.iter().flat_map(|row| &row.samples);
        let valid = samples.map(|s| &s.measurement).filter(|m| m.validity.is_valid());
        let costs = valid.filter_map(Measurement::generator_ns).chain(bare.iter().copied());
        // An open loop spins, so its CPU time says nothing.
        let generator_ns = match self.load.workload.arrival {
            Arrival::Closed => costs.reduce(f64::min),
            Arrival::Open { .. } => bare.iter().copied().reduce(f64::min),
        }?;
        let threads = f64::from(self.load.workload.threads);
        Some(Ceiling { messages_per_second: threads * 1e9 / generator_ns, generator_ns })
    }

    fn is_interrupted(&self) -> bool {
        self.interrupted.load(Ordering::Relaxed)
    }

    fn transport(&self) -> Transport {
        self.load.workload.target.transport
    }

    /// Measures the floor on the server's processors, in nanoseconds. `None` unless the load is one
    /// of lasting TCP connections and messages of one size.
    fn floor(&self) -> Option<f64> {
        let workload = &self.load.workload;
        let connections = workload.connections.min(FLOOR_CONNECTIONS) as usize;
        let cpus = self.cpus.server();
        let [bytes] = workload.sizes.0.as_slice() else { return None };
        let bytes = *bytes as usize;
        let rounds = FLOOR_MESSAGES.min(FLOOR_BYTES / bytes) / connections;
        if self.transport() != Transport::Tcp || workload.churn {
            return None;
        }
        std::thread::scope(|scope| {
            let floor = scope.spawn(|| {
                loadgen::pin(&cpus)?;
                loadgen::floor_ns(connections, bytes, rounds.max(4))
            });
            floor.join().ok()?.ok()
        })
    }

    /// Measures a row once, on a fresh server. A row that is wrong once is refused as a whole.
    fn sample_row(&self, source: &Row, row: &mut BenchRow, round: u32) {
        let measured = self.load_row(source, row).and_then(|(outcome, server)| {
            let measurement = outcome.measurement;
            let right = self.expect_correct(&measurement);
            let server = server.filter(|_| measurement.validity.is_valid());
            row.samples.push(Sample { round, measurement, server });
            right
        });
        if let Err(Refusal { because, reason }) = measured {
            let reason = outside!("round {}: {}", round + 1, reason);
            row.refused = Some(Refusal { because, reason });
        }
    }

    fn load_row(
        &self,
        source: &Row,
        row: &mut BenchRow,
    ) -> Result<(Recording, Option<ServerUse>), Refusal> {
        let subject = self.start(source)?;
        row.runtime = subject.runtime();
        // Attested before and after, to notice a server that changes its driver under load.
        row.attestation = subject.attest(self.host)?;
        let mut watch = ServerWatch::new(subject.process(), row.driver.clone());
        let outcome = self.load(&subject, &mut watch, |_| {})?;
        if let Some(end_reason) = subject.end_reason() {
            return Err(Refusal::new(RefusalKind::Wrong, end_reason));
        }
        subject.attest(self.host)?;
        Ok((outcome, watch.used))
    }

    fn start(&self, source: &Row) -> Result<Subject, Refusal> {
        Subject::start(source, self.transport(), &self.cpus.server())
    }

    /// Runs the load on a server, after `change` has changed it.
    fn load(
        &self,
        subject: &Subject,
        watch: &mut dyn Watch,
        change: impl Fn(&mut Workload),
    ) -> Result<Recording, Refusal> {
        let mut load = self.load.clone();
        load.workload.target = subject.target(self.transport())?;
        change(&mut load.workload);
        loadgen::run(&load, watch, self.interrupted)
            .map_err(|error| Refusal::new(RefusalKind::Error, format!("{error:#}")))
    }

    /// Refuses a row if errors occurred under load. A late generator is no reason to refuse it.
    fn expect_correct(&self, measurement: &Measurement) -> Result<(), Refusal> {
        let wrong = match &measurement.validity {
            Validity::Valid => return Ok(()),
            Validity::Invalid { reasons } => [reasons.as_slice(), &measurement.notes].concat(),
        };
        let is_of_host = |kind: &ErrorKind| match kind {
            ErrorKind::Connect | ErrorKind::Socket => true,
            ErrorKind::Closed
            | ErrorKind::Reset
            | ErrorKind::Lost
            | ErrorKind::Duplicated
            | ErrorKind::Foreign
            | ErrorKind::Extra
            | ErrorKind::Altered => false,
        };
        // Datagrams may be lost.
        let is_udp = self.transport() == Transport::Udp;
        let counts = |kind: &&ErrorKind| !is_udp || **kind != ErrorKind::Lost;
        let kinds: Vec<&ErrorKind> = measurement.errors.keys().filter(counts).collect();
        if kinds.is_empty() {
            // The generator was late or saturated, which is not the server's fault.
            return Ok(());
        }
        let is_of_host = kinds.into_iter().all(is_of_host);
        let because = if is_of_host { RefusalKind::Error } else { RefusalKind::Wrong };
        Err(Refusal::new(because, outside!("under load: {}", Outside::join(&wrong, "; "))))
    }

    fn system_calls(&self, source: &Row) -> Count {
        let counted = || -> Result<Count, Refusal> {
            let subject = self.start(source)?;
            let mut watch = CallWatch::new(&subject.process());
            let outcome = self.load(&subject, &mut watch, |workload| {
                workload.amount = Amount::Seconds(SHORT_SECONDS);
                workload.warmup_seconds = SHORT_SECONDS / 2.0;
            })?;
            self.expect_correct(&outcome.measurement)?;
            Ok(watch.calls)
        };
        counted().unwrap_or_else(|refused| Count::none(refused.reason))
    }

    /// How much resident memory grows per idle connection, in bytes, when [`IDLE_CONNECTIONS`] of
    /// them are opened.
    fn idle_connection_bytes(&self, source: &Row) -> Count {
        if self.transport() == Transport::Udp {
            return Count::none("UDP has no connections");
        }
        let resident = |subject: &Subject, idle: u32| -> Result<Count, Refusal> {
            let mut watch = MemoryWatch::new(subject.process());
            let outcome = self.load(subject, &mut watch, |workload| {
                workload.connections = 1;
                workload.threads = 1;
                workload.idle_connections = idle;
                workload.arrival = Arrival::Closed;
                workload.churn = false;
                workload.warmup_seconds = 0.0;
                workload.amount = Amount::Seconds(SHORT_SECONDS / 5.0);
            })?;
            self.expect_correct(&outcome.measurement)?;
            Ok(match watch.resident {
                Some(Ok(bytes)) => Count::Of(bytes as f64),
                Some(Err(error)) => unreadable_count(&error),
                None => Count::none("the load did not come so far"),
            })
        };
        let looked = || -> Result<Count, Refusal> {
            let subject = self.start(source)?;
            let few = resident(&subject, 0)?;
            let many = resident(&subject, IDLE_CONNECTIONS)?;
            Ok(match (few, many) {
                (Count::Of(few), Count::Of(many)) => {
                    Count::Of((many - few).max(0.0) / f64::from(IDLE_CONNECTIONS))
                }
                (none @ Count::NoData { .. }, _) | (_, none) => none,
            })
        };
        looked().unwrap_or_else(|refused| Count::none(refused.reason))
    }
}

fn empty_row(row: &Row, refused: Option<Refusal>) -> BenchRow {
    let not_yet = || Count::none("it was not counted");
    BenchRow {
        name: row.name.clone().into(),
        package: row.package.clone().unwrap_or_default().into(),
        model: row.model,
        driver: row.driver_name(),
        flavor: row.flavor.clone(),
        runtime: None,
        attestation: Attestation::NotAttested { reason: "no server was started".into() },
        refused,
        samples: Vec::new(),
        system_calls: not_yet(),
        idle_connection_bytes: not_yet(),
    }
}

/// Shows what is being done: on the progress bar, or as a line if the bar is hidden.
fn show_progress(bar: &ProgressBar, message: &str) {
    bar.set_message(message.to_owned());
    if bar.is_hidden() {
        print_notice(message);
    }
}
