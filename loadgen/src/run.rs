//! A whole load: its threads, from the first connection to the last answer.

use std::sync::atomic::AtomicBool;
use std::sync::mpsc::{self, Receiver, RecvTimeoutError};
use std::thread;
use std::time::Duration;

use anyhow::Context as _;
use report::load::Arrival;

use crate::account::{Account, Recording};
use crate::affinity::pin;
use crate::clock::{Clock, SECOND};
use crate::jitter;
use crate::load::Load;
use crate::load_loop::{LoadLoop, OpenError};
use crate::plan::Plan;
use crate::shared::{News, Shared, Stop};
use crate::tally::{Tally, Window};
use crate::usage;

/// How long after the last connection is open the load begins, so that all threads are in time.
const LEAD_NS: u64 = SECOND / 100;
/// Descriptors that this process has beside its connections.
const OWN_DESCRIPTORS: u64 = 64;

/// What somebody wants to know while a load runs. Called on the thread that runs it.
pub trait Watch {
    /// The measured part begins.
    fn window_begins(&mut self) {}
    /// The measured part is over; so many messages came back in it.
    fn window_ends(&mut self, echoed: u64) {
        let _ = echoed;
    }
    /// Some time has passed.
    fn progress(&mut self, progress: &Progress) {
        let _ = progress;
    }
}

/// For somebody who does not.
impl Watch for () {}

/// How far a load has come.
#[derive(Clone, Copy, Debug)]
pub struct Progress {
    /// Seconds since it began; negative while connections are opened.
    pub seconds: f64,
    /// Messages that have come back, warm-up included.
    pub echoed: u64,
}

/// What came of a thread.
struct ThreadResult {
    tally: Tally,
    stop: Option<Stop>,
}

/// Runs a load to its end, or until `interrupted` is set.
///
/// # Errors
/// A workload that makes no sense, or a host that does not let the generator work. What is wrong
/// with the server is in the measurement, which is then invalid.
pub fn run(
    load: &Load,
    watch: &mut dyn Watch,
    interrupted: &AtomicBool,
) -> anyhow::Result<Recording> {
    let plan = Plan::new(&load.workload, load.patience)?;
    let connections = load.workload.connections + load.workload.idle_connections;
    usage::raise_descriptor_limit(u64::from(connections) + OWN_DESCRIPTORS)?;
    let jitter = match load.workload.arrival {
        Arrival::Closed => None,
        Arrival::Open { messages_per_second } => {
            let interval = SECOND as f64 * f64::from(load.workload.threads) / messages_per_second;
            Some(measure_jitter(&load.cpus, interval as u64)?)
        }
    };
    let noise_limit = u64::try_from(load.noise_limit.as_nanos()).unwrap_or(u64::MAX);
    if let Some(jitter) = jitter.filter(|jitter| *jitter > noise_limit) {
        return Recording::too_noisy(load, jitter);
    }
    let clock = Clock::start();
    let (teller, news) = mpsc::channel();
    let shared = Shared::new(interrupted, plan.threads, teller);
    let mut opening_ns = None;
    let mut ended = thread::scope(|scope| -> anyhow::Result<Vec<ThreadResult>> {
        let (starters, threads): (Vec<_>, Vec<_>) = (0..plan.threads)
            .map(|index| {
                let (starter, start) = mpsc::channel();
                let (plan, shared, cpus) = (&plan, &shared, &load.cpus);
                let work = move || one_thread(plan, shared, cpus, clock, index, &start);
                (starter, scope.spawn(work))
            })
            .unzip();
        if all_open(plan.threads, &news, clock, watch) {
            let open = clock.now();
            opening_ns = Some(open);
            let start = open + LEAD_NS;
            for starter in &starters {
                // One that has ended meanwhile says why below.
                let _ = starter.send(start);
            }
            attend(&plan, &shared, &news, clock, start, watch);
        }
        drop(starters);
        threads.into_iter().map(|thread| joined(thread.join())).collect()
    })?;
    let mut account = Account::new(load, jitter)?;
    account.opening_ns = opening_ns;
    for thread in &mut ended {
        account.add(&thread.tally, thread.stop.take())?;
    }
    Ok(account.recording(shared.is_interrupted()))
}

fn joined<T>(result: thread::Result<anyhow::Result<T>>) -> anyhow::Result<T> {
    result.unwrap_or_else(|panic| std::panic::resume_unwind(panic))
}

/// Opens one thread's connections, waits for the common start, and runs its share.
fn one_thread(
    plan: &Plan,
    shared: &Shared<'_>,
    cpus: &[usize],
    clock: Clock,
    index: usize,
    start: &Receiver<u64>,
) -> anyhow::Result<ThreadResult> {
    let work = || {
        pin(cpus).with_context(|| format!("run on processors {cpus:?}"))?;
        let load_loop = match LoadLoop::open(plan, shared, clock, index) {
            Ok(load_loop) => load_loop,
            Err(OpenError::Stopped(stop)) => {
                return Ok(ThreadResult { tally: Tally::new()?, stop: Some(stop) });
            }
            Err(OpenError::Failed(error)) => return Err(error),
        };
        shared.opened();
        let Ok(start) = start.recv() else {
            return Ok(ThreadResult { tally: Tally::new()?, stop: Some(Stop::Asked) });
        };
        let (tally, stop) = load_loop.run(start);
        Ok(ThreadResult { tally, stop })
    };
    let ended = work();
    if !matches!(ended, Ok(ThreadResult { stop: None, .. })) {
        shared.give_up();
    }
    shared.ended();
    ended
}

/// Waits until every thread has its connections. Says whether that came about.
fn all_open(threads: usize, news: &Receiver<News>, clock: Clock, watch: &mut dyn Watch) -> bool {
    let mut opened = 0;
    while opened < threads {
        match news.recv_timeout(TICK) {
            Ok(News::Opened) => opened += 1,
            Err(RecvTimeoutError::Timeout) => {
                let seconds = -crate::clock::seconds(clock.now());
                watch.progress(&Progress { seconds, echoed: 0 });
            }
            Ok(News::WindowOver | News::Ended) | Err(RecvTimeoutError::Disconnected) => {
                return false;
            }
        }
    }
    true
}

/// How often progress is told.
const TICK: Duration = Duration::from_millis(250);

/// Tells the watch of the measured part's beginning and end, and of progress between.
fn attend(
    plan: &Plan,
    shared: &Shared<'_>,
    news: &Receiver<News>,
    clock: Clock,
    start: u64,
    watch: &mut dyn Watch,
) {
    let window = plan.window(start);
    let mut attendance =
        Attendance { window, at_begin: None, is_over: false, threads_over: 0, threads_ended: 0 };
    loop {
        let now = clock.now();
        attendance.look(now, shared, watch);
        let next = attendance.next(now);
        match news.recv_timeout(Duration::from_nanos(next.saturating_sub(now))) {
            Err(RecvTimeoutError::Timeout) => {
                let seconds = clock.now() as f64 / 1e9 - start as f64 / 1e9;
                watch.progress(&Progress { seconds, echoed: shared.echoed() });
            }
            Ok(News::Opened) => {}
            Ok(News::WindowOver) => {
                attendance.threads_over += 1;
                if attendance.threads_over == plan.threads {
                    attendance.end(shared, watch);
                }
            }
            Ok(News::Ended) => {
                attendance.threads_ended += 1;
                if attendance.threads_ended == plan.threads {
                    return attendance.end(shared, watch);
                }
            }
            Err(RecvTimeoutError::Disconnected) => return attendance.end(shared, watch),
        }
    }
}

/// Where the measured part stands.
struct Attendance {
    window: Window,
    /// Echoes at its beginning, once it has begun.
    at_begin: Option<u64>,
    is_over: bool,
    threads_over: usize,
    threads_ended: usize,
}

impl Attendance {
    /// Begins or ends the measured part if it is time.
    fn look(&mut self, now: u64, shared: &Shared<'_>, watch: &mut dyn Watch) {
        if now >= self.window.start && self.at_begin.is_none() {
            // As at the end, the count first: what is looked at next then spans the same messages.
            self.at_begin = Some(shared.echoed());
            watch.window_begins();
        }
        if now >= self.window.end {
            self.end(shared, watch);
        }
    }

    fn end(&mut self, shared: &Shared<'_>, watch: &mut dyn Watch) {
        let Some(before) = self.at_begin else { return };
        if !self.is_over {
            self.is_over = true;
            watch.window_ends(shared.echoed() - before);
        }
    }

    /// When there is something to do next.
    fn next(&self, now: u64) -> u64 {
        let tick = now + TICK.as_nanos() as u64;
        if self.at_begin.is_none() {
            tick.min(self.window.start)
        } else if self.is_over {
            tick
        } else {
            tick.min(self.window.end)
        }
    }
}

/// Measures it on the processors on which the generator will run.
fn measure_jitter(cpus: &[usize], interval_ns: u64) -> anyhow::Result<u64> {
    thread::scope(|scope| {
        let measured = scope.spawn(|| {
            pin(cpus).with_context(|| format!("run on processors {cpus:?}"))?;
            jitter::p99_ns(interval_ns)
        });
        joined(measured.join())
    })
}
