//! `judge_cell`: one case on one row, from a fresh server to a verdict. The test target and the
//! command share it, so their verdicts agree.

use std::collections::BTreeMap;
use std::panic::{self, AssertUnwindSafe};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use harness::announcement::Ready;
use harness::attest::{attest, not_declared};
use harness::host_factor::{HIGHEST, calm_host_factor, host_factor};
use harness::launcher::{Ended, Launch, Server};
use harness::place::Place;
use harness::registry::Waiver;
use harness::row::Row;
use harness::schedule::{Company, Schedule};
use report::host::Host;
use report::run::WaiverState;
use report::{Attestation, Cell, Failure, FailureKind, Gate, Grade, Level, Verdict, WaiverNote};
use report::{Outside, Seed, SeedSource, outside};

use crate::budget::{Budget, Share};
use crate::case::{Body, Case, CaseResult, Need, Observation};
use crate::client::peer::Peer;
use crate::clock::CellClock;
use crate::context::Context;
use crate::key::Key;
use crate::lack::{Lack, ask, expect_no_lack};
use crate::lifecycle::Lifecycle;
use crate::plan::{Planned, SPARE_DESCRIPTORS};
use crate::profile::Profile;

/// Lines of a server's standard error that go with a cell that is not green.
const TAIL_LINES: usize = 20;

/// Above this share of held-back time a cell that judges latency is disturbed.
const DISTURBED: f64 = 0.05;
/// So long the disturbed cells of a row are judged again and again, all together.
const BUSY_PATIENCE: Duration = Duration::from_secs(30);

/// What the disturbed cells of each row have taken so far. Clones share it.
#[derive(Clone, Debug, Default)]
pub struct Disturbance(Arc<Mutex<BTreeMap<String, Duration>>>);

impl Disturbance {
    /// One more of a row took so long. Whether it may be judged again.
    fn add(&self, row: &str, time: Duration) -> bool {
        let mut rows = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let spent = rows.entry(row.to_owned()).or_default();
        *spent += time;
        *spent < BUSY_PATIENCE
    }
}

/// What all cells of a check share.
#[derive(Clone, Debug)]
pub struct Judge {
    /// How much is done.
    pub profile: Profile,
    /// The seed of the check.
    pub seed: Seed,
    /// Where it is from.
    pub seed_source: SeedSource,
    /// What the host can do, by the harness's own probe.
    pub host: Host,
    /// Which cells run side by side.
    pub schedule: Schedule,
    /// How long a server may take to become ready.
    pub start_timeout: Duration,
    /// What disturbed cells have taken.
    pub disturbance: Disturbance,
    /// What is red. Its strictness says whether a SHOULD counts for the certificate.
    pub gate: Gate,
    /// The command that selects a row and a case, for the line that repeats a cell.
    pub repeat: fn(row: &Row, id: &str, seed: Seed, profile: Profile) -> Outside,
}

/// A cell with what was learnt about its row on the way.
#[derive(Clone, Debug)]
pub struct JudgedCell {
    /// The cell.
    pub cell: Cell,
    /// Runtime and version as announced, once a server was ready.
    pub runtime: Option<Outside>,
    /// Whether the driver was seen, once a server was ready.
    pub attestation: Option<Attestation>,
}

/// What came of running a case, before its level is looked at.
struct Evidence {
    found: CaseResult,
    lack: Option<Lack>,
    ended: Option<Ended>,
    runtime: Option<Outside>,
    attestation: Option<Attestation>,
}

impl Evidence {
    /// Whether it counts however busy the host was.
    fn is_grave(&self) -> bool {
        let is_wrong =
            |failure: &Failure| failure.kind.is_wrong_bytes() || failure.kind == FailureKind::Crash;
        self.ended.is_some() || self.found.as_ref().is_err_and(is_wrong)
    }

    /// A mistake of the judge: nothing was learnt of the server, and the other cells go on.
    fn of_panic() -> Self {
        let found = Err(Failure::new(FailureKind::Harness, "a case to its end", "its panic"));
        Self { found, lack: None, ended: None, runtime: None, attestation: None }
    }
}

impl Judge {
    /// The same with another seed.
    #[must_use]
    pub fn with_seed(&self, seed: Seed) -> Self {
        Self { seed, ..self.clone() }
    }

    /// Judges one planned cell.
    #[must_use]
    pub fn judge_cell(&self, row: &Row, planned: &Planned, waiver: Option<&Waiver>) -> JudgedCell {
        let mut cell = self.empty_cell(row, planned);
        let absence = planned.unavailable.as_ref().map(|reason| (Verdict::Unavailable, reason));
        let declared = planned.declared.as_ref().map(|reason| (Verdict::Unsupported, reason));
        if let Some((verdict, reason)) = declared.or(absence) {
            cell.verdict = verdict;
            cell.reason = Some(reason.clone());
            return JudgedCell { cell, runtime: None, attestation: None };
        }
        let place = match self.schedule.enter(planned.case.company) {
            Ok(place) => place,
            Err(e) => {
                cell.reason = Some(format!("cannot lock the schedule's files: {e}").into());
                return JudgedCell { cell, runtime: None, attestation: None };
            }
        };
        // After the place: a cell that waits for one holds no descriptors.
        let _descriptors = self.descriptors(planned.case);
        let is_timed = planned.case.is_timed;
        let factor = if is_timed { calm_host_factor() } else { host_factor() };
        let started = Instant::now();
        if factor > HIGHEST && is_timed {
            cell.reason = Some(format!("host too busy to judge time: {factor:.1} x slower").into());
            return JudgedCell { cell, runtime: None, attestation: None };
        }
        let own_cpu = thread_cpu();
        let (evidence, context, lifecycle) = loop {
            let begun = Instant::now();
            let clock = CellClock::start(factor.min(HIGHEST), self.profile.cell_limit());
            let size = planned.case.sizes.of(self.profile);
            // The same case gets the same bytes on every row.
            let key = Key::of_part(self.seed, &planned.id());
            let context =
                Arc::new(Context::new(size, key, self.profile, clock, &self.host.sockets));
            let lifecycle = Lifecycle::new(row, Arc::clone(&context), self.start_timeout);
            let evidence =
                panic::catch_unwind(AssertUnwindSafe(|| self.run(row, planned.case, &lifecycle)));
            let evidence = evidence.unwrap_or_else(|_| Evidence::of_panic());
            cell.cpu_seconds += lifecycle.ended_cpu().as_secs_f64();
            // No host makes a server end or send wrong bytes.
            if !is_timed || evidence.is_grave() {
                break (evidence, context, lifecycle);
            }
            // What else was found in a disturbed time does not count, whatever it is.
            let share = context.clock.held_back_share();
            cell.held_back = Some(share);
            if share <= DISTURBED {
                break (evidence, context, lifecycle);
            }
            if !self.disturbance.add(&row.name, begun.elapsed()) {
                cell.cpu_seconds += thread_cpu() - own_cpu;
                cell.seconds = started.elapsed().as_secs_f64();
                cell.reason = Some(host_busy(share));
                return JudgedCell { cell, runtime: None, attestation: None };
            }
        };
        cell.cpu_seconds += thread_cpu() - own_cpu;
        cell.seconds = started.elapsed().as_secs_f64();
        drop(place);
        cell.margin = context.clock.margin();
        if evidence.found.is_err() || evidence.ended.is_some() {
            let tail = lifecycle.stderr_tail(TAIL_LINES);
            cell.stderr_tail = tail;
        }
        let judged = JudgedCell {
            cell: settle(cell, planned.case, evidence.lack, evidence.found, evidence.ended),
            runtime: evidence.runtime,
            attestation: evidence.attestation,
        };
        with_waiver(judged, waiver)
    }

    /// The descriptors that a case needs of this process, once they are there.
    fn descriptors(&self, case: &Case) -> Option<Share<'static>> {
        let wanted =
            |need: &Need| if let Need::Descriptors(count) = need { Some(*count) } else { None };
        let count = case.needs.iter().filter_map(wanted).max()?;
        let most = own_descriptor_limit()?.saturating_sub(SPARE_DESCRIPTORS);
        Some(Budget::of_this_process().take(count, most))
    }

    /// Runs a case's function on a fresh server, or lets it start its own.
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
            match ask(row, case, lifecycle) {
                Ok(None) => {
                    evidence.found = function(lifecycle);
                    evidence.ended = lifecycle.unasked_end();
                    let found = evidence.found.as_ref().ok();
                    evidence.attestation = found.and_then(|found| found.attestation.clone());
                }
                Ok(lack) => evidence.lack = lack,
                Err(e) => evidence.found = Err(e),
            }
            return evidence;
        }
        if let Some(endpoint) = lifecycle.endpoint() {
            evidence.found = run_at(&endpoint.place, body, lifecycle);
            return evidence;
        }
        let transport = case.transport_at(row);
        let launched = lifecycle.over(transport).and_then(|start| lifecycle.launch(&start));
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
        evidence.found = self.run_on(row, case, lifecycle, &server, &mut evidence.attestation);
        evidence.runtime = server.ready().ok().map(|ready| ready.runtime.clone());
        evidence.ended =
            server.end_behind(&evidence.found, |limit| lifecycle.clock().within(limit));
        evidence
    }

    fn run_on(
        &self,
        row: &Row,
        case: &Case,
        lifecycle: &Lifecycle,
        server: &Server,
        attestation: &mut Option<Attestation>,
    ) -> CaseResult {
        let process = server.process();
        *attestation = Some(if row.grade() == Grade::Contract {
            compare(row, server.ready()?)?;
            let driver = row.driver_name();
            lifecycle
                .peer(server)?
                .exchanging(|exchange| attest(&driver, &self.host, &process, exchange))?
        } else {
            not_declared(&self.host, &process)
        });
        let transport = case.transport_at(row);
        expect_no_lack(row, transport.kind())?;
        let client = || lifecycle.peer_over(transport, server);
        match case.body {
            Body::Wire(function) => asked_at(&client()?, function),
            Body::Process(function) => asked_at(&client()?, |peer| function(peer, &process)),
            Body::Datagrams(function) => {
                let datagrams = lifecycle.datagrams(transport, server)?;
                function(&datagrams).and_then(|found| datagrams.serves().map(|()| found))
            }
            Body::Lifecycle(function) => function(lifecycle),
        }
    }

    fn empty_cell(&self, row: &Row, planned: &Planned) -> Cell {
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
            cpu_seconds: 0.0,
            exclusive: planned.case.company == Company::Exclusive,
            held_back: None,
            stderr_tail: Vec::new(),
            repeat: (self.repeat)(row, &planned.id(), self.seed, self.profile),
            waiver: None,
            is_unasked: false,
            follows_from: None,
        }
    }
}

/// Runs a case, and asks for one more echo: a server may die of the last thing that it was shown.
fn asked_at(peer: &Peer, function: impl FnOnce(&Peer) -> CaseResult) -> CaseResult {
    function(peer).and_then(|found| peer.serves().map(|()| found))
}

/// Runs a case on a server whose process is not seen.
fn run_at(place: &Place, body: Body, lifecycle: &Lifecycle) -> CaseResult {
    match body {
        Body::Wire(function) => asked_at(&lifecycle.peer_in(place.clone()), function),
        Body::Datagrams(function) => {
            let datagrams = lifecycle.datagrams_in(place.clone())?;
            function(&datagrams).and_then(|found| datagrams.serves().map(|()| found))
        }
        Body::Process(_) | Body::Lifecycle(_) => {
            Err(Failure::new(FailureKind::Harness, "a case for a client alone", "another"))
        }
    }
}

/// The announcement must say what the registry says: otherwise the column's head would lie.
fn compare(row: &Row, ready: &Ready) -> Result<(), Failure> {
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

/// From what was found to a verdict.
fn settle(
    mut cell: Cell,
    case: &Case,
    lack: Option<Lack>,
    found: CaseResult,
    ended: Option<Ended>,
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
            // Where the judge found nothing left to look at, that says no more.
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
        Ok(Observation { unasked: Some(reason), .. }) => {
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
            } else if !case.judges.is_empty() && !case.judges.contains(&e.kind) {
                cell.is_unasked = true;
            }
            cell.failure = Some(e);
        }
    }
    cell
}

/// The verdict on a failure, given how binding the requirement is.
fn verdict(level: Level, failure: &Failure) -> Verdict {
    match (level, failure.kind) {
        (_, FailureKind::Harness | FailureKind::Start) => Verdict::Error,
        (_, FailureKind::Crash) => Verdict::Crash,
        (Level::Must, FailureKind::Timeout) => Verdict::Timeout,
        (Level::Must, _) => Verdict::Fail,
        // Whatever the case is about, wrong bytes are a failed MUST of every echo server. Too few
        // are not: what a stop may cut off is a case's own question.
        (_, kind) if kind.is_wrong_bytes() => Verdict::Fail,
        (Level::Should, _) => Verdict::Miss,
        (Level::Info, _) => Verdict::Info,
    }
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

/// Why a cell says nothing.
fn host_busy(share: f64) -> Outside {
    let percent = 100.0 * share;
    let limit = 100.0 * DISTURBED;
    format!(
        "host busy: judge and server were held back by others for {percent:.0} % of the time, and \
         time is judged up to {limit:.0} %"
    )
    .into()
}

/// CPU time of this thread in seconds, 0 where the system does not tell.
fn thread_cpu() -> f64 {
    #[cfg(unix)]
    {
        let time = rustix::time::clock_gettime(rustix::time::ClockId::ThreadCPUTime);
        time.tv_sec as f64 + time.tv_nsec as f64 / 1e9
    }
    #[cfg(not(unix))]
    0.0
}

/// How many descriptors this process may have, where there is a limit.
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
