//! How long the threads of a server and of its judge were ready to run but had no processor,
//! because other processes used them all. Time limits do not count this time.
//!
//! Linux counts these waits for each thread (`/proc/PID/task/TID/schedstat`, the second number).
//! This module adds up the longest wait of a judge's thread, of a server's thread, and of a kernel
//! thread that delivers packets. It multiplies the sum by the share of the processors' busy time
//! that other processes used, because the judge and the server also wait for each other. It then
//! adds steal time. Linux counts a wait only when it ends, so this module spreads each wait over
//! the samples before its end. On other systems, nothing counts as held back.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, Once, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

/// How often the counters are read.
const SAMPLE_INTERVAL: Duration = Duration::from_millis(20);
/// Sampling a meter takes at most 1/`SAMPLING_DIVISOR` of a processor's time.
const SAMPLING_DIVISOR: u32 = 100;
/// The share of other processes is taken over at least this time: the host counts its time in
/// ticks, which may be 10 ms long.
const LEAST_WINDOW: Duration = Duration::from_millis(100);

static METERS: Mutex<Meters> = Mutex::new(Meters { next: 0, states: BTreeMap::new() });

struct Meters {
    next: u64,
    /// Each has its own lock: sampling a server with thousands of threads takes long, and no other
    /// judge should wait for that.
    states: BTreeMap<u64, Arc<Mutex<MeterState>>>,
}

/// Measures held-back time until it is dropped.
#[derive(Debug)]
pub struct Meter {
    id: MeterId,
}

/// Identifies a meter, which may be gone.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct MeterId(u64);

/// The processor time of a server, or of its judge, so far.
#[derive(Clone, Debug, Default)]
pub struct ProcessorTime {
    /// How long all its threads have run, including those that have ended.
    pub ran: Duration,
    /// How long each thread was ready to run but not running.
    pub waited: BTreeMap<u32, Duration>,
}

/// Reads the turns of a server; `None` once the server has ended.
type ProcessorTimeReader = Box<dyn FnMut() -> Option<ProcessorTime> + Send>;

/// What a meter watches, and what it has seen so far.
struct MeterState {
    /// The judge's threads. Threads of other judges in this process count as other processes.
    judge: Vec<u32>,
    /// How long the judge's threads that have ended had run.
    ended: Duration,
    servers: Vec<ProcessorTimeReader>,
    due: Instant,
    counters: Counters,
    samples: Vec<Sample>,
}

#[derive(Clone, Copy, Debug)]
struct Sample {
    at: Instant,
    /// How long the judge and the servers had run since the meter began.
    ran: Duration,
    /// How long the processors had been busy since the meter began.
    busy: Duration,
    /// Held-back time since the previous sample.
    held_back: Duration,
}

/// What the system had counted at one moment.
#[derive(Clone, Debug, Default)]
struct Counters {
    judge: ProcessorTime,
    servers: ProcessorTime,
    /// How long each kernel thread that delivers packets was ready to run but not running.
    network: BTreeMap<u32, Duration>,
    host: HostTime,
}

/// Time of all processors of the host, added up: busy, or stolen by a hypervisor.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct HostTime {
    busy: Duration,
    stolen: Duration,
    processors: u32,
}

impl Meter {
    /// Starts to measure the calling thread.
    #[must_use]
    pub fn start() -> Self {
        static SAMPLER: Once = Once::new();
        SAMPLER.call_once(|| {
            // If the thread cannot be started, samples are taken only on demand.
            let _ = thread::Builder::new().name("held-back".to_owned()).spawn(sample_for_ever);
        });
        let judge = vec![system::this_thread()];
        let counters = Counters::read(read_processor_time(&judge, Duration::ZERO), &mut Vec::new());
        let state = MeterState::start(judge, Instant::now(), counters);
        let mut meters = METERS.lock().unwrap_or_else(PoisonError::into_inner);
        meters.next += 1;
        let id = MeterId(meters.next);
        meters.states.insert(id.0, Arc::new(Mutex::new(state)));
        Self { id }
    }

    /// Also measures the server that `look` reads.
    pub fn watch(&self, look: impl FnMut() -> Option<ProcessorTime> + Send + 'static) {
        if let Some(state) = self.id.state() {
            let mut state = state.lock().unwrap_or_else(PoisonError::into_inner);
            state.servers.push(Box::new(look));
            state.sample();
        }
    }

    #[must_use]
    pub fn id(&self) -> MeterId {
        self.id
    }
}

impl Drop for Meter {
    fn drop(&mut self) {
        METERS.lock().unwrap_or_else(PoisonError::into_inner).states.remove(&self.id.0);
    }
}

impl MeterId {
    /// How long the judge and the server were held back since `from`; zero once the meter is gone.
    #[must_use]
    pub fn held_back_since(self, from: Instant) -> Duration {
        let Some(state) = self.state() else { return Duration::ZERO };
        let mut state = state.lock().unwrap_or_else(PoisonError::into_inner);
        state.sample();
        state.held_back_since(from)
    }

    /// Counts the calling thread as one of the judge's until the guard is dropped.
    #[must_use]
    pub fn count_this_thread(self) -> CountedThread {
        let thread = system::this_thread();
        if let Some(state) = self.state() {
            let mut state = state.lock().unwrap_or_else(PoisonError::into_inner);
            state.judge.push(thread);
        }
        CountedThread { meter: self, thread }
    }

    fn state(self) -> Option<Arc<Mutex<MeterState>>> {
        let meters = METERS.lock().unwrap_or_else(PoisonError::into_inner);
        meters.states.get(&self.0).map(Arc::clone)
    }
}

/// Counts a thread as one of the judge's until it is dropped.
#[derive(Debug)]
pub struct CountedThread {
    meter: MeterId,
    thread: u32,
}

impl Drop for CountedThread {
    fn drop(&mut self) {
        let Some(state) = self.meter.state() else { return };
        let mut state = state.lock().unwrap_or_else(PoisonError::into_inner);
        // Without this sample, the latest wait of the thread would be lost.
        state.sample();
        state.judge.retain(|thread| *thread != self.thread);
        state.ended += read_processor_time(&[self.thread], Duration::ZERO).ran;
    }
}

/// The turns of these threads of this process. `ended` is how long threads that have ended had run.
fn read_processor_time(threads: &[u32], ended: Duration) -> ProcessorTime {
    let mut turns = ProcessorTime { ran: ended, waited: BTreeMap::new() };
    for thread in threads {
        let Some((ran, waited)) = system::read_thread_time(*thread) else { continue };
        turns.ran += ran;
        turns.waited.insert(*thread, waited);
    }
    turns
}

impl MeterState {
    fn start(judge: Vec<u32>, at: Instant, counters: Counters) -> Self {
        let (ran, busy, held_back) = Default::default();
        let samples = vec![Sample { at, ran, busy, held_back }];
        let (servers, ended) = (Vec::new(), Duration::ZERO);
        Self { judge, ended, servers, due: at + SAMPLE_INTERVAL, counters, samples }
    }

    fn sample(&mut self) {
        let started = Instant::now();
        let judge = read_processor_time(&self.judge, self.ended);
        let now = Counters::read(judge, &mut self.servers);
        self.add(started, now);
        self.due = started + SAMPLE_INTERVAL.max(started.elapsed() * SAMPLING_DIVISOR);
    }

    fn add(&mut self, at: Instant, now: Counters) {
        let since = now.since(&self.counters);
        self.counters = now;
        let last = self.samples[self.samples.len() - 1];
        let (ran, busy) = (last.ran + since.ran, last.busy + since.busy);
        let window = since.waited.max(LEAST_WINDOW);
        let is_before = |sample: &Sample| sample.at + window <= at;
        let then = self.samples.iter().rfind(|one| is_before(one)).unwrap_or(&self.samples[0]);
        let own = (ran - then.ran).as_secs_f64() / (busy - then.busy).as_secs_f64().max(1e-9);
        let held_back = since.waited.mul_f64(1.0 - own.clamp(0.0, 1.0)) + since.stolen;
        self.samples.push(Sample { at, ran, busy, held_back: Duration::ZERO });
        self.spread(held_back, since.waited + since.stolen);
    }

    /// Spreads held-back time over the latest samples that have room for it. Samples that ended
    /// longer than `within` ago get none.
    fn spread(&mut self, mut held_back: Duration, within: Duration) {
        let now = self.samples[self.samples.len() - 1].at;
        for index in (1..self.samples.len()).rev() {
            let before = self.samples[index - 1].at;
            let sample = &mut self.samples[index];
            if held_back.is_zero() || sample.at + within < now {
                break;
            }
            let room = (sample.at - before).saturating_sub(sample.held_back);
            sample.held_back += held_back.min(room);
            held_back = held_back.saturating_sub(room);
        }
    }

    fn held_back_since(&self, from: Instant) -> Duration {
        let now = self.samples[self.samples.len() - 1].at;
        let later = self.samples.iter().rev().take_while(|sample| sample.at > from);
        later
            .map(|sample| sample.held_back)
            .sum::<Duration>()
            .min(now.saturating_duration_since(from))
    }
}

/// What was counted between two moments.
struct CountersDelta {
    /// How long the judge and the servers ran.
    ran: Duration,
    /// The longest waits of a judge's thread, of a server's thread and of a network thread, added
    /// up.
    waited: Duration,
    busy: Duration,
    /// Steal time per processor.
    stolen: Duration,
}

impl Counters {
    fn read(judge: ProcessorTime, servers: &mut Vec<ProcessorTimeReader>) -> Self {
        let mut turns = ProcessorTime::default();
        servers.retain_mut(|look| {
            let Some(one) = look() else { return false };
            turns.ran += one.ran;
            turns.waited.extend(one.waited);
            true
        });
        Self { judge, servers: turns, network: system::network_waits(), host: system::host_time() }
    }

    fn since(&self, before: &Self) -> CountersDelta {
        let longest = |now: &BTreeMap<u32, Duration>, then: &BTreeMap<u32, Duration>| {
            // A new thread has done all its waiting since then.
            let since = |(thread, waited): (&u32, &Duration)| {
                waited.saturating_sub(then.get(thread).copied().unwrap_or_default())
            };
            now.iter().map(since).max().unwrap_or_default()
        };
        let stolen = self.host.stolen.saturating_sub(before.host.stolen);
        CountersDelta {
            ran: self.judge.ran.saturating_sub(before.judge.ran)
                + self.servers.ran.saturating_sub(before.servers.ran),
            waited: longest(&self.judge.waited, &before.judge.waited)
                + longest(&self.servers.waited, &before.servers.waited)
                + longest(&self.network, &before.network),
            busy: self.host.busy.saturating_sub(before.host.busy),
            stolen: stolen / self.host.processors.max(1),
        }
    }
}

fn sample_for_ever() {
    loop {
        thread::sleep(SAMPLE_INTERVAL);
        let all: Vec<Arc<Mutex<MeterState>>> = {
            let meters = METERS.lock().unwrap_or_else(PoisonError::into_inner);
            meters.states.values().map(Arc::clone).collect()
        };
        for state in all {
            // If the lock is held, the judge is sampling this meter.
            if let Ok(mut state) = state.try_lock()
                && state.due <= Instant::now()
            {
                state.sample();
            }
        }
    }
}

#[cfg(target_os = "linux")]
mod system {
    use std::collections::BTreeMap;
    use std::fs;
    use std::sync::LazyLock;
    use std::time::Duration;

    use super::HostTime;

    pub(super) fn this_thread() -> u32 {
        rustix::thread::gettid().as_raw_nonzero().get().unsigned_abs()
    }

    /// How long a thread of this process has run, and how long it was ready to run but not running.
    pub(super) fn read_thread_time(thread: u32) -> Option<(Duration, Duration)> {
        schedstat(&format!("/proc/self/task/{thread}/schedstat"))
    }

    /// `ksoftirqd/N` delivers the packets of processor N under load, and waits for its turn like
    /// any other thread. Empty if these threads are not visible, as in a container.
    pub(super) fn network_waits() -> BTreeMap<u32, Duration> {
        static THREADS: LazyLock<Vec<u32>> = LazyLock::new(|| {
            let processes = fs::read_dir("/proc").into_iter().flatten().flatten();
            let numbers = processes.filter_map(|entry| entry.file_name().to_str()?.parse().ok());
            let is_meant = |pid: &u32| {
                let name = fs::read_to_string(format!("/proc/{pid}/comm")).unwrap_or_default();
                name.starts_with("ksoftirqd/")
            };
            numbers.filter(is_meant).collect()
        });
        let waited = |pid: &u32| Some((*pid, schedstat(&format!("/proc/{pid}/schedstat"))?.1));
        THREADS.iter().filter_map(waited).collect()
    }

    /// The first two numbers of a `schedstat`: how long a thread ran, and how long it was ready to
    /// run but not running.
    fn schedstat(path: &str) -> Option<(Duration, Duration)> {
        let text = fs::read_to_string(path).ok()?;
        let mut numbers = text.split_whitespace().map(|number| number.parse().ok());
        let mut next = || Some(Duration::from_nanos(numbers.next()??));
        Some((next()?, next()?))
    }

    /// Reads the first line of `/proc/stat` (`proc_stat(5)`), which counts in clock ticks.
    pub(super) fn host_time() -> HostTime {
        let text = fs::read_to_string("/proc/stat").unwrap_or_default();
        let first = text.lines().next().unwrap_or_default();
        let ticks: Vec<u64> =
            first.split_whitespace().skip(1).map(|number| number.parse().unwrap_or(0)).collect();
        let per_second = rustix::param::clock_ticks_per_second().max(1);
        let time = |index: usize| {
            let ticks = ticks.get(index).copied().unwrap_or(0);
            Duration::from_secs_f64(ticks as f64 / per_second as f64)
        };
        // user, nice, system, idle, iowait, irq, softirq, steal. Interrupts are left out: they
        // belong to no process, and those of loopback are work of the judge and the server.
        let busy = [0, 1, 2].map(time).into_iter().sum();
        let is_processor = |line: &&str| {
            line.strip_prefix("cpu")
                .is_some_and(|rest| rest.starts_with(|c: char| c.is_ascii_digit()))
        };
        let processors = text.lines().filter(is_processor).count();
        HostTime { busy, stolen: time(7), processors: processors.try_into().unwrap_or(1) }
    }
}

#[cfg(not(target_os = "linux"))]
mod system {
    use std::collections::BTreeMap;
    use std::time::Duration;

    use super::HostTime;

    pub(super) fn this_thread() -> u32 {
        0
    }

    pub(super) fn read_thread_time(_: u32) -> Option<(Duration, Duration)> {
        None
    }

    pub(super) fn network_waits() -> BTreeMap<u32, Duration> {
        BTreeMap::new()
    }

    pub(super) fn host_time() -> HostTime {
        HostTime::default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const fn ms(milliseconds: u64) -> Duration {
        Duration::from_millis(milliseconds)
    }

    fn counters(judge: (u64, u64), server: (u64, u64), busy: u64) -> Counters {
        Counters {
            judge: ProcessorTime { ran: ms(judge.0), waited: BTreeMap::from([(0, ms(judge.1))]) },
            servers: ProcessorTime {
                ran: ms(server.0),
                waited: BTreeMap::from([(7, ms(server.1))]),
            },
            network: BTreeMap::new(),
            host: HostTime { busy: ms(busy), stolen: ms(0), processors: 2 },
        }
    }

    /// A meter that has read these counters. Each number is milliseconds since the meter began.
    fn seen(all: impl IntoIterator<Item = (u64, Counters)>) -> (MeterState, Instant) {
        let start = Instant::now();
        let mut state = MeterState::start(vec![0], start, counters((0, 0), (0, 0), 0));
        all.into_iter().for_each(|(at, counters)| state.add(start + ms(at), counters));
        (state, start)
    }

    #[test]
    fn only_what_others_took_is_held_back() {
        let since_start = |now: Counters| {
            let (state, start) = seen([(1000, now)]);
            state.held_back_since(start)
        };
        // Nobody else ran: the judge and the server made each other wait.
        assert_eq!(since_start(counters((500, 100), (500, 200), 1000)), ms(0));
        // Other processes had nine tenths of the processors' busy time.
        assert_eq!(since_start(counters((100, 100), (100, 200), 2000)), ms(270));
        // Never more than the elapsed time.
        assert_eq!(since_start(counters((0, 900), (0, 900), 2000)), ms(1000));
    }

    #[test]
    fn a_wait_that_is_counted_at_its_end_is_held_back_from_its_beginning() {
        // The server is given the processor at 1000 ms, for the first time since 400 ms.
        let waiting = |at: u64| counters((0, 0), (0, if at < 1000 { 0 } else { 600 }), 2 * at);
        let (state, start) = seen((1..=60).map(|n| (n * 20, waiting(n * 20))));
        assert_eq!(state.held_back_since(start), ms(600));
        assert_eq!(state.held_back_since(start + ms(400)), ms(600));
        assert_eq!(state.held_back_since(start + ms(700)), ms(300));
        assert_eq!(state.held_back_since(start + ms(1000)), ms(0));
    }

    #[test]
    fn a_hypervisor_holds_back_everybody() {
        let mut now = counters((0, 0), (0, 0), 0);
        now.host.stolen = ms(300);
        let (state, start) = seen([(1000, now)]);
        assert_eq!(state.held_back_since(start), ms(150));
    }

    #[cfg(target_os = "linux")]
    #[test]
    fn a_thread_counts_while_it_is_counted_and_what_it_ran_afterwards() {
        let meter = Meter::start();
        let ran = |meter: &Meter| {
            let state = meter.id.state().expect("it lives");
            let state = state.lock().expect("nothing panics with it");
            read_processor_time(&state.judge, state.ended).ran
        };
        let busy = ms(30);
        let spin = move || {
            let before = system::read_thread_time(system::this_thread());
            let before = before.expect("a thread can read of itself").0;
            while read_processor_time(&[system::this_thread()], ms(0)).ran < before + busy {}
        };
        thread::spawn(spin).join().expect("it only counts");
        assert!(ran(&meter) < busy, "another judge's thread");
        let id = meter.id();
        let counted = thread::spawn(move || {
            let _counted = id.count_this_thread();
            spin();
        });
        counted.join().expect("it only counts");
        assert!(ran(&meter) >= busy);
    }

    #[test]
    fn a_meter_that_is_gone_has_seen_nothing() {
        let meter = Meter::start();
        let (id, start) = (meter.id(), Instant::now());
        assert!(id.held_back_since(start) <= start.elapsed() + SAMPLE_INTERVAL);
        drop(meter);
        assert_eq!(id.held_back_since(start), ms(0));
    }
}
