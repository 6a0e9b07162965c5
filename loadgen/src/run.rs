//! Runs a load with all its threads, from the first connection to the last answer.

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
use crate::shared::{Shared, Stop, ThreadEvent};
use crate::tally::{Tally, Window};
use crate::usage;

/// The load begins this long after the last connection is open, so that no thread starts late.
const LEAD_NS: u64 = SECOND / 100;
/// Descriptors that this process needs in addition to its connections.
const OWN_DESCRIPTORS: u64 = 64;

/// Callbacks while a load runs, on the thread that called [`run`].
pub trait Watch {
    /// The measured part begins.
    fn window_begins(&mut self) {}
    /// The measured part is over; `echoed` messages came back in it.
    fn window_ends(&mut self, echoed: u64) {
        let _ = echoed;
    }
    /// Called about every 250 ms.
    fn progress(&mut self, progress: &Progress) {
        let _ = progress;
    }
}

/// Ignores all callbacks.
impl Watch for () {}

#[derive(Clone, Copy, Debug)]
pub struct Progress {
    /// Seconds since the load began. While connections are opened, minus the seconds since that
    /// began.
    pub seconds: f64,
    /// Messages that have come back, including those of the warm-up.
    pub echoed: u64,
}

struct ThreadResult {
    tally: Tally,
    stop: Option<Stop>,
}

/// Runs a load to its end, or until `interrupted` is set.
///
/// # Errors
/// The workload makes no sense, or the generator cannot work on this host. A fault of the server is
/// no error: it is in the measurement, which is then invalid.
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
    let (sender, events) = mpsc::channel();
    let shared = Shared::new(interrupted, plan.threads, sender);
    let mut opening_ns = None;
    let mut ended = thread::scope(|scope| -> anyhow::Result<Vec<ThreadResult>> {
        let (starters, threads): (Vec<_>, Vec<_>) = (0..plan.threads)
            .map(|index| {
                let (starter, start) = mpsc::channel();
                let (plan, shared, cpus) = (&plan, &shared, &load.cpus);
                let work = move || run_thread(plan, shared, cpus, clock, index, &start);
                (starter, scope.spawn(work))
            })
            .unzip();
        if wait_until_open(plan.threads, &events, clock, watch) {
            let open = clock.now();
            opening_ns = Some(open);
            let start = open + LEAD_NS;
            for starter in &starters {
                // A thread that has already ended reports its reason below.
                let _ = starter.send(start);
            }
            report_progress(&plan, &shared, &events, clock, start, watch);
        }
        drop(starters);
        threads.into_iter().map(|thread| unwrap_joined(thread.join())).collect()
    })?;
    let mut account = Account::new(load, jitter)?;
    account.opening_ns = opening_ns;
    for thread in &mut ended {
        account.add(&thread.tally, thread.stop.take())?;
    }
    Ok(account.into_recording(shared.is_interrupted()))
}

fn unwrap_joined<T>(result: thread::Result<anyhow::Result<T>>) -> anyhow::Result<T> {
    result.unwrap_or_else(|panic| std::panic::resume_unwind(panic))
}

/// Opens one thread's connections, waits for the common start, and runs its share.
fn run_thread(
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
        shared.report_opened();
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
    shared.report_ended();
    ended
}

/// Waits until every thread has opened its connections. Returns `false` if a thread ends instead.
fn wait_until_open(
    threads: usize,
    events: &Receiver<ThreadEvent>,
    clock: Clock,
    watch: &mut dyn Watch,
) -> bool {
    let mut opened = 0;
    while opened < threads {
        match events.recv_timeout(PROGRESS_INTERVAL) {
            Ok(ThreadEvent::Opened) => opened += 1,
            Err(RecvTimeoutError::Timeout) => {
                let seconds = -crate::clock::seconds(clock.now());
                watch.progress(&Progress { seconds, echoed: 0 });
            }
            Ok(ThreadEvent::WindowOver | ThreadEvent::Ended)
            | Err(RecvTimeoutError::Disconnected) => {
                return false;
            }
        }
    }
    true
}

/// How often [`Watch::progress`] is called.
const PROGRESS_INTERVAL: Duration = Duration::from_millis(250);

/// Calls `watch` at the start and the end of the measured part, and with progress.
fn report_progress(
    plan: &Plan,
    shared: &Shared<'_>,
    events: &Receiver<ThreadEvent>,
    clock: Clock,
    start: u64,
    watch: &mut dyn Watch,
) {
    let window = plan.window(start);
    let mut window_progress = WindowProgress {
        window,
        echoed_before: None,
        is_over: false,
        threads_over: 0,
        threads_ended: 0,
    };
    loop {
        let now = clock.now();
        window_progress.check(now, shared, watch);
        let next = window_progress.next_check(now);
        match events.recv_timeout(Duration::from_nanos(next.saturating_sub(now))) {
            Err(RecvTimeoutError::Timeout) => {
                let seconds = clock.now() as f64 / 1e9 - start as f64 / 1e9;
                watch.progress(&Progress { seconds, echoed: shared.echoed() });
            }
            Ok(ThreadEvent::Opened) => {}
            Ok(ThreadEvent::WindowOver) => {
                window_progress.threads_over += 1;
                if window_progress.threads_over == plan.threads {
                    window_progress.end(shared, watch);
                }
            }
            Ok(ThreadEvent::Ended) => {
                window_progress.threads_ended += 1;
                if window_progress.threads_ended == plan.threads {
                    return window_progress.end(shared, watch);
                }
            }
            Err(RecvTimeoutError::Disconnected) => return window_progress.end(shared, watch),
        }
    }
}

/// The state of the measured part.
struct WindowProgress {
    window: Window,
    /// Echoes before the measured part; `None` until it has begun.
    echoed_before: Option<u64>,
    is_over: bool,
    threads_over: usize,
    threads_ended: usize,
}

impl WindowProgress {
    /// Begins or ends the measured part if it is time.
    fn check(&mut self, now: u64, shared: &Shared<'_>, watch: &mut dyn Watch) {
        if now >= self.window.start && self.echoed_before.is_none() {
            // Count first, as at the end, so that what the watch measures spans the same messages.
            self.echoed_before = Some(shared.echoed());
            watch.window_begins();
        }
        if now >= self.window.end {
            self.end(shared, watch);
        }
    }

    fn end(&mut self, shared: &Shared<'_>, watch: &mut dyn Watch) {
        let Some(before) = self.echoed_before else { return };
        if !self.is_over {
            self.is_over = true;
            watch.window_ends(shared.echoed() - before);
        }
    }

    /// When there is something to do next.
    fn next_check(&self, now: u64) -> u64 {
        let tick = now + PROGRESS_INTERVAL.as_nanos() as u64;
        if self.echoed_before.is_none() {
            tick.min(self.window.start)
        } else if self.is_over {
            tick
        } else {
            tick.min(self.window.end)
        }
    }
}

/// Measures the jitter on the processors on which the generator will run.
fn measure_jitter(cpus: &[usize], interval_ns: u64) -> anyhow::Result<u64> {
    thread::scope(|scope| {
        let measured = scope.spawn(|| {
            pin(cpus).with_context(|| format!("run on processors {cpus:?}"))?;
            jitter::p99_ns(interval_ns)
        });
        unwrap_joined(measured.join())
    })
}
