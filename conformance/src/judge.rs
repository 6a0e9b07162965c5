//! `judge_cell`: runs one case on one row, from a fresh server to a verdict. The test target and
//! the command share it, so their verdicts agree.

use std::collections::BTreeMap;
use std::panic::{self, AssertUnwindSafe};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use harness::announcement::Ready;
use harness::attest::{attest, attest_undeclared};
use harness::host_factor::{MAX_HOST_FACTOR, calm_host_factor, host_factor};
use harness::launcher::{Launch, Origin, Server, ServerExit};
use harness::place::Place;
use harness::registry::Waiver;
use harness::row::Row;
use harness::schedule::{Schedule, Sharing};
use harness::time_wait;
use report::host::Host;
use report::run::WaiverState;
use report::{Attestation, Cell, Failure, FailureKind, Gate, Grade, Level, Verdict, WaiverNote};
use report::{Outside, Seed, SeedSource, outside};

use crate::budget::{Budget, Share};
use crate::case::{Body, Case, CaseResult, Need, Observation};
use crate::client::peer::Peer;
use crate::clock::CellClock;
use crate::context::Context;
use crate::fix::{Fix, language_of};
use crate::key::Key;
use crate::lack::{Lack, expect_no_lack, find_lack};
use crate::lifecycle::Lifecycle;
use crate::plan::{PlannedCell, SPARE_DESCRIPTORS};
use crate::profile::Profile;

/// Lines of the server's standard error to quote in a cell that is not green.
const TAIL_LINES: usize = 20;

/// Above this share of held-back time ([`harness::held_back_time`]), a cell that judges latency is
/// disturbed.
const HELD_BACK_LIMIT: f64 = 0.05;
/// How long the discarded runs of one row may take in total. After that, its disturbed cells are
/// not judged again.
const BUSY_PATIENCE: Duration = Duration::from_secs(30);
/// How long the discarded runs of all rows may take in total. A host that is busy for longer is
/// unlikely to be idle soon.
const BUSY_PATIENCE_OF_ALL_ROWS: Duration = Duration::from_secs(4 * 60);

/// How long the disturbed cells of each row have taken so far. Clones share it.
#[derive(Clone, Debug, Default)]
pub struct Disturbance(Arc<Mutex<BTreeMap<String, Duration>>>);

impl Disturbance {
    /// Adds the time of one disturbed cell. Returns whether the cell may be judged again.
    fn add(&self, row: &str, time: Duration) -> bool {
        let mut rows = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let spent = rows.entry(row.to_owned()).or_default();
        *spent += time;
        *spent < BUSY_PATIENCE && rows.values().sum::<Duration>() < BUSY_PATIENCE_OF_ALL_ROWS
    }
}

#[derive(Clone, Debug)]
pub struct Judge {
    pub profile: Profile,
    pub seed: Seed,
    pub seed_source: SeedSource,
    /// What the host offers, as the harness probed it.
    pub host: Host,
    pub schedule: Schedule,
    /// How long a server may take to become ready.
    pub start_timeout: Duration,
    pub disturbance: Disturbance,
    /// Decides what is red. Its strictness says whether a SHOULD counts for the certificate.
    pub gate: Gate,
    /// Makes the command that repeats one cell.
    pub repeat: fn(row: &Row, id: &str, seed: Seed, profile: Profile) -> Outside,
}

/// A cell, and what was learnt about its row on the way.
#[derive(Clone, Debug)]
pub struct JudgedCell {
    pub cell: Cell,
    /// Runtime and version as announced, if a server became ready.
    pub runtime: Option<Outside>,
    /// Whether the driver was seen, if a server became ready.
    pub attestation: Option<Attestation>,
}

/// One run of a case for a cell.
struct Attempt {
    evidence: Evidence,
    context: Arc<Context>,
    lifecycle: Lifecycle,
}

/// The outcome of running a case, before its level is considered.
struct Evidence {
    found: CaseResult,
    lack: Option<Lack>,
    ended: Option<ServerExit>,
    runtime: Option<Outside>,
    attestation: Option<Attestation>,
}

impl Evidence {
    /// Whether the outcome counts on a busy host as well.
    fn is_grave(&self) -> bool {
        let is_wrong =
            |failure: &Failure| failure.kind.is_wrong_bytes() || failure.kind == FailureKind::Crash;
        self.ended.is_some() || self.found.as_ref().is_err_and(is_wrong)
    }

    /// A bug of the judge: nothing was learnt about the server. The other cells are still judged.
    fn from_panic() -> Self {
        let found = Err(Failure::new(FailureKind::Harness, "a case to its end", "its panic"));
        Self { found, lack: None, ended: None, runtime: None, attestation: None }
    }
}

impl Judge {
    /// A judge that differs only in its seed.
    #[must_use]
    pub fn with_seed(&self, seed: Seed) -> Self {
        Self { seed, ..self.clone() }
    }

    #[must_use]
    pub fn judge_cell(
        &self,
        row: &Row,
        planned: &PlannedCell,
        waiver: Option<&Waiver>,
    ) -> JudgedCell {
        let mut cell = self.empty_cell(row, planned);
        let absence = planned.unavailable.as_ref().map(|reason| (Verdict::Unavailable, reason));
        let declared = planned.declared_lack.as_ref().map(|reason| (Verdict::Unsupported, reason));
        if let Some((verdict, reason)) = declared.or(absence) {
            cell.verdict = verdict;
            cell.reason = Some(reason.clone());
            return JudgedCell { cell, runtime: None, attestation: None };
        }
        time_wait::await_ports();
        let place = match self.schedule.enter(planned.case.sharing) {
            Ok(place) => place,
            Err(e) => {
                cell.reason = Some(format!("cannot lock the schedule's files: {e}").into());
                return JudgedCell { cell, runtime: None, attestation: None };
            }
        };
        // Reserved after the place in the schedule: a cell that waits for its place holds none.
        let _descriptors = self.reserve_descriptors(planned.case);
        let is_timed = planned.case.is_timed;
        let factor = if is_timed { calm_host_factor() } else { host_factor() };
        let started = Instant::now();
        let passes_on_busy_host = planned.case.passes_on_busy_host;
        if factor > MAX_HOST_FACTOR && is_timed && !passes_on_busy_host {
            cell.reason = Some(describe_busy_host(factor, None));
            return JudgedCell { cell, runtime: None, attestation: None };
        }
        let own_cpu = thread_cpu();
        let mut server_cpu = 0.0;
        let mut is_corrected = factor <= MAX_HOST_FACTOR || !passes_on_busy_host;
        let mut had_uncorrected = !passes_on_busy_host;
        let mut share_of_corrected = None;
        let attempt = loop {
            let begun = Instant::now();
            let limit = self.profile.cell_limit();
            let clock = match is_corrected {
                true => CellClock::start(factor.min(MAX_HOST_FACTOR), limit),
                false => CellClock::start_uncorrected(limit),
            };
            let attempt = self.run_by_clock(row, planned, clock);
            server_cpu += attempt.lifecycle.ended_cpu().as_secs_f64();
            // A busy host cannot make a server end or send wrong bytes.
            if !is_timed || attempt.evidence.is_grave() {
                break attempt;
            }
            // If the cell was disturbed and held-back time was subtracted, every other result is
            // discarded.
            let share = attempt.context.clock.held_back_share();
            cell.held_back = Some(share);
            if is_corrected {
                share_of_corrected = Some(share);
            }
            // By an uncorrected clock, only a pass counts, and a cell has only one such run: a
            // server that passes sometimes must not have many.
            let has_passed = attempt.evidence.found.is_ok();
            if (is_corrected && share <= HELD_BACK_LIMIT) || (!is_corrected && has_passed) {
                break attempt;
            }
            let has_patience = self.disturbance.add(&row.name, begun.elapsed());
            had_uncorrected |= !is_corrected;
            is_corrected = had_uncorrected;
            if had_uncorrected && (!has_patience || factor > MAX_HOST_FACTOR) {
                cell.cpu_seconds = add_cpu(server_cpu, own_cpu);
                cell.seconds = started.elapsed().as_secs_f64();
                cell.held_back = share_of_corrected;
                cell.reason = Some(describe_busy_host(factor, share_of_corrected));
                return JudgedCell { cell, runtime: None, attestation: None };
            }
        };
        cell.cpu_seconds = add_cpu(server_cpu, own_cpu);
        cell.seconds = started.elapsed().as_secs_f64();
        drop(place);
        let mut judged = conclude(cell, planned.case, attempt);
        let fix = Fix::find(&judged.cell);
        judged.cell.likely_fix = fix.map(|fix| fix.words(language(row)).into());
        with_waiver(judged, waiver)
    }

    /// Runs a case by this clock.
    fn run_by_clock(&self, row: &Row, planned: &PlannedCell, clock: CellClock) -> Attempt {
        let size = planned.case.sizes.for_profile(self.profile);
        // The same case gets the same bytes on every row.
        let key = Key::for_part(self.seed, &planned.id());
        let context = Arc::new(Context::new(size, key, self.profile, clock, &self.host.sockets));
        let lifecycle = Lifecycle::new(row, Arc::clone(&context), self.start_timeout);
        let evidence =
            panic::catch_unwind(AssertUnwindSafe(|| self.run(row, planned.case, &lifecycle)));
        let evidence = evidence.unwrap_or_else(|_| Evidence::from_panic());
        Attempt { evidence, context, lifecycle }
    }

    /// Waits for the descriptors that a case needs in this process, and reserves them.
    fn reserve_descriptors(&self, case: &Case) -> Option<Share<'static>> {
        let wanted =
            |need: &Need| if let Need::Descriptors(count) = need { Some(*count) } else { None };
        let count = case.needs.iter().filter_map(wanted).max()?;
        let most = own_descriptor_limit()?.saturating_sub(SPARE_DESCRIPTORS);
        Some(Budget::global().reserve(count, most))
    }

    /// Runs a case's function on a fresh server, or lets the function start its own servers.
    fn run(&self, row: &Row, case: &Case, lifecycle: &Lifecycle) -> Evidence {
        let mut evidence = Evidence {
            found: Observation::met(),
            lack: None,
            ended: None,
            runtime: None,
            attestation: None,
        };
        let body = case.body;
        if let Body::Lifecycle(function) = body {
            match find_lack(row, case, lifecycle) {
                Ok(None) => {
                    evidence.found = function(lifecycle);
                    evidence.ended = lifecycle.unasked_exit();
                    let found = evidence.found.as_ref().ok();
                    evidence.attestation = found.and_then(|found| found.attestation.clone());
                }
                Ok(lack) => evidence.lack = lack,
                Err(e) => evidence.found = Err(e),
            }
            return evidence;
        }
        if let Some(endpoint) = lifecycle.endpoint() {
            evidence.found = run_at_place(&endpoint.place, body, lifecycle);
            return evidence;
        }
        let transport = case.transport_at(row);
        let launched =
            lifecycle.start_with_listener(transport).and_then(|start| lifecycle.launch(&start));
        let server = match launched {
            Ok(Launch::Ready(server)) => server,
            Ok(Launch::Declined(announcement)) => {
                match Lack::read(row, transport.kind(), announcement) {
                    Ok(lack) => evidence.lack = Some(lack),
                    Err(e) => evidence.found = Err(e),
                }
                return evidence;
            }
            Ok(ended @ Launch::Ended(_)) => {
                evidence.found = ended.expect_ready().map(|_| Observation::default());
                return evidence;
            }
            Err(e) => {
                evidence.found = Err(e);
                return evidence;
            }
        };
        evidence.found =
            self.run_on_server(row, case, lifecycle, &server, &mut evidence.attestation);
        evidence.runtime = server.ready().ok().map(|ready| ready.runtime.clone());
        evidence.ended =
            server.exit_after(&evidence.found, |limit| lifecycle.clock().deadline_after(limit));
        evidence
    }

    fn run_on_server(
        &self,
        row: &Row,
        case: &Case,
        lifecycle: &Lifecycle,
        server: &Server,
        attestation: &mut Option<Attestation>,
    ) -> CaseResult {
        let process = server.process();
        *attestation = Some(if row.grade() == Grade::Contract {
            expect_announced_row(row, server.ready()?)?;
            let driver = row.driver_name();
            lifecycle
                .peer(server)?
                .with_exchange(|exchange| attest(&driver, &self.host, &process, exchange))?
        } else {
            attest_undeclared(&self.host, &process)
        });
        let transport = case.transport_at(row);
        expect_no_lack(row, transport.kind())?;
        let client = || lifecycle.peer_with_transport(transport, server);
        match case.body {
            Body::Wire(function) => run_then_probe(&client()?, function),
            Body::Process(function) => run_then_probe(&client()?, |peer| function(peer, &process)),
            Body::Datagrams(function) => {
                let datagrams = lifecycle.datagrams(transport, server)?;
                function(&datagrams).and_then(|found| datagrams.expect_service().map(|()| found))
            }
            Body::Lifecycle(function) => function(lifecycle),
        }
    }

    fn empty_cell(&self, row: &Row, planned: &PlannedCell) -> Cell {
        Cell {
            row: row.name.clone().into(),
            suite: planned.suite.name.to_owned().into(),
            case: planned.case.name.to_owned().into(),
            level: planned.case.level_at(row.grade()),
            question: planned.suite.question_of(planned.case),
            requirement: planned.case.requirement.to_owned().into(),
            verdict: Verdict::Error,
            failure: None,
            reason: None,
            observation: None,
            margin: None,
            seed: self.seed,
            seconds: 0.0,
            cpu_seconds: thread_cpu().map(|_| 0.0),
            exclusive: planned.case.sharing == Sharing::Exclusive,
            held_back: None,
            stderr_tail: Vec::new(),
            likely_fix: None,
            repeat: (self.repeat)(row, &planned.id(), self.seed, self.profile),
            waiver: None,
            is_unasked: false,
            follows_from: None,
        }
    }
}

/// The language of a row's server, if its command tells.
fn language(row: &Row) -> Option<&'static str> {
    match &row.origin {
        Origin::Contract(_) if row.package.is_some() => Some("Rust"),
        Origin::Command(line) => language_of(line.program_name()),
        Origin::Contract(program) => {
            program.executable.file_name().and_then(|name| name.to_str()).and_then(language_of)
        }
        Origin::Address(_) => None,
    }
}

/// Runs a case, then asks for one more echo: the server may die of the last thing it received.
fn run_then_probe(peer: &Peer, function: impl FnOnce(&Peer) -> CaseResult) -> CaseResult {
    function(peer).and_then(|found| peer.expect_service().map(|()| found))
}

/// Runs a case against a server that already listens, so the judge does not see its process.
fn run_at_place(place: &Place, body: Body, lifecycle: &Lifecycle) -> CaseResult {
    match body {
        Body::Wire(function) => run_then_probe(&lifecycle.peer_at_place(place.clone()), function),
        Body::Datagrams(function) => {
            let datagrams = lifecycle.datagrams_at_place(place.clone())?;
            function(&datagrams).and_then(|found| datagrams.expect_service().map(|()| found))
        }
        Body::Process(_) | Body::Lifecycle(_) => {
            Err(Failure::new(FailureKind::Harness, "a case for a client alone", "another"))
        }
    }
}

/// Fails unless the server announces the model, driver, flavor and workers of its row: the matrix
/// prints them at the head of the row's column.
fn expect_announced_row(row: &Row, ready: &Ready) -> Result<(), Failure> {
    let driver = row.driver_name();
    let expected = outside!("{}, {}, {}, {} workers", row.model, driver, row.flavor, row.workers);
    let actual =
        outside!("{}, {}, {}, {} workers", ready.model, ready.driver, ready.flavor, ready.workers);
    if expected == actual {
        return Ok(());
    }
    let kind = if ready.driver == driver { FailureKind::Announcement } else { FailureKind::Driver };
    Err(Failure::new(kind, expected, actual))
}

/// Turns what was found into a verdict.
fn decide_cell(
    mut cell: Cell,
    case: &Case,
    lack: Option<Lack>,
    found: CaseResult,
    ended: Option<ServerExit>,
) -> Cell {
    if let Some(Lack(reason)) = lack {
        cell.verdict = Verdict::Unsupported;
        cell.reason = Some(reason);
        return cell;
    }
    let found = match (found, ended) {
        (found, None) => found,
        (Ok(_), Some(ended)) => Err(Failure::new(
            FailureKind::Crash,
            "a server that keeps running",
            format!("it {ended}"),
        )),
        (Err(e), Some(_)) if e.kind == FailureKind::Crash => Err(e),
        (Err(e), Some(ended)) => {
            // A failure of the judge's own after the server's end adds nothing.
            let seen = if e.kind == FailureKind::Harness {
                Outside::default()
            } else {
                outside!("; the case saw {}: {}", e.kind, e.actual)
            };
            let actual = outside!("{}{}", format!("it {ended}"), seen);
            Err(Failure::new(FailureKind::Crash, e.expected, actual))
        }
    };
    match found {
        Ok(Observation { attestation: Some(Attestation::Announced { reason }), .. }) => {
            cell.verdict = Verdict::Unavailable;
            cell.reason = Some(reason);
        }
        Ok(Observation { reason_not_asked: Some(reason), .. }) => {
            cell.verdict = Verdict::Unavailable;
            cell.reason = Some(reason);
        }
        Ok(observation) => {
            cell.verdict = if cell.level == Level::Info { Verdict::Info } else { Verdict::Pass };
            cell.observation = observation.recorded;
        }
        Err(e) => {
            cell.verdict = verdict(cell.level, &e);
            if cell.verdict == Verdict::Error {
                cell.reason = Some(outside!("{}: {}", e.expected, e.actual));
            } else if !case.answering_failures.is_empty()
                && !case.answering_failures.contains(&e.kind)
            {
                cell.is_unasked = true;
            }
            cell.failure = Some(e);
        }
    }
    cell
}

/// The verdict for a failure, depending on the level of the requirement.
fn verdict(level: Level, failure: &Failure) -> Verdict {
    match (level, failure.kind) {
        (_, FailureKind::Harness | FailureKind::Start) => Verdict::Error,
        (_, FailureKind::Crash) => Verdict::Crash,
        (Level::Must, FailureKind::Timeout) => Verdict::Timeout,
        (Level::Must, _) => Verdict::Fail,
        // Wrong bytes break a MUST of every echo server, whatever the case is about. Missing bytes
        // do not: some cases ask what a stop may cut off.
        (_, kind) if kind.is_wrong_bytes() => Verdict::Fail,
        (Level::Should, _) => Verdict::Miss,
        (Level::Info, _) => Verdict::Info,
    }
}

/// Makes a judged cell of the attempt that counts.
fn conclude(mut cell: Cell, case: &Case, attempt: Attempt) -> JudgedCell {
    let Attempt { evidence, context, lifecycle } = attempt;
    cell.margin = context.clock.margin();
    if evidence.found.is_err() || evidence.ended.is_some() {
        cell.stderr_tail = lifecycle.stderr_tail(TAIL_LINES);
    }
    let cell = decide_cell(cell, case, evidence.lack, evidence.found, evidence.ended);
    JudgedCell { cell, runtime: evidence.runtime, attestation: evidence.attestation }
}

fn with_waiver(mut judged: JudgedCell, waiver: Option<&Waiver>) -> JudgedCell {
    let cell = &mut judged.cell;
    let is_judged = !matches!(cell.verdict, Verdict::Unavailable | Verdict::Unsupported);
    if let Some(waiver) = waiver.filter(|_| is_judged) {
        let state = match &cell.failure {
            None => WaiverState::Stale,
            Some(failure) if failure.kind == waiver.failure => WaiverState::Applies,
            Some(_) => WaiverState::OtherFailure,
        };
        let (reason, upstream) = (waiver.reason.clone(), waiver.upstream.clone());
        cell.waiver = Some(WaiverNote { reason: reason.into(), upstream: upstream.into(), state });
    }
    judged
}

/// Why a cell could not be judged on a busy host. `share` is the share of held-back time; `None` if
/// the cell was not run, because the host factor was too high.
fn describe_busy_host(factor: f64, share: Option<f64>) -> Outside {
    let Some(share) = share else {
        return format!("host too busy to judge time: {factor:.1} x slower").into();
    };
    let percent = 100.0 * share;
    let limit = 100.0 * HELD_BACK_LIMIT;
    format!(
        "host busy: other processes held the judge or the server back for {percent:.0} % of the \
         time; latency is judged only up to {limit:.0} %; repeat on an idle host"
    )
    .into()
}

/// The CPU time of a cell in seconds: that of its servers, and that of this thread since it was
/// `before`. `None` on systems other than Linux.
fn add_cpu(servers: f64, before: Option<f64>) -> Option<f64> {
    Some(servers + thread_cpu()? - before?)
}

/// CPU time of this thread in seconds; `None` on systems other than Linux, because the supervisor
/// reports the CPU time of servers only there.
fn thread_cpu() -> Option<f64> {
    cfg_if::cfg_if! {
        if #[cfg(target_os = "linux")] {
            let time = rustix::time::clock_gettime(rustix::time::ClockId::ThreadCPUTime);
            Some(time.tv_sec as f64 + time.tv_nsec as f64 / 1e9)
        } else {
            None
        }
    }
}

/// The descriptor limit of this process, if it has one.
#[cfg(unix)]
fn own_descriptor_limit() -> Option<u64> {
    rustix::process::getrlimit(rustix::process::Resource::Nofile).current
}

#[cfg(not(unix))]
fn own_descriptor_limit() -> Option<u64> {
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn wrong_bytes_and_an_end_are_red_at_any_level() {
        let verdict = |level, kind| verdict(level, &Failure::new(kind, "", ""));
        for level in [Level::Must, Level::Should, Level::Info] {
            assert_eq!(verdict(level, FailureKind::Foreign), Verdict::Fail);
            assert_eq!(verdict(level, FailureKind::Crash), Verdict::Crash);
            assert_eq!(verdict(level, FailureKind::Harness), Verdict::Error);
            assert_eq!(verdict(level, FailureKind::Start), Verdict::Error);
        }
        assert_eq!(verdict(Level::Should, FailureKind::Lost), Verdict::Miss);
        assert_eq!(verdict(Level::Should, FailureKind::Timeout), Verdict::Miss);
        assert_eq!(verdict(Level::Info, FailureKind::Slow), Verdict::Info);
    }
}
