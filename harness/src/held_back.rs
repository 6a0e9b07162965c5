//! How long the threads of a server and of its judge were ready to run but had no processor because
//! other processes had them all. Limits of time do not count this time.
//!
//! Linux counts it for each thread (`/proc/PID/task/TID/schedstat`, the second number). This module
//! adds the judge's thread that waited longest, the server's thread that did and the kernel's
//! threads that deliver packets, and multiplies the sum by the share of the processors' busy time that other
//! processes used: judge and server also wait for each other, and that is not held back. It then
//! adds steal time. Linux counts a wait only when it ends, so this module enters each wait into the
//! samples before its end. On other systems nothing counts as held back.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, Once, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

/// How often the counters are read.
const EVERY: Duration = Duration::from_millis(20);
/// Sampling a meter may take at most one part in this many of a processor's time.
const SHARE: u32 = 100;
/// The share of others is taken over at least this time: the host counts its time in ticks, which
/// may be 10 ms long.
const LEAST_WINDOW: Duration = Duration::from_millis(100);

static METERS: Mutex<Meters> = Mutex::new(Meters { next: 0, running: BTreeMap::new() });

struct Meters {
    next: u64,
    /// Each under a lock of its own: a server of thousands of threads takes long to look at, and
    /// no other judge is to wait for that.
    running: BTreeMap<u64, Arc<Mutex<Running>>>,
}

/// Measures as long as it lives.
#[derive(Debug)]
pub struct Meter {
    id: MeterId,
}

/// Names a meter that may be gone.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct MeterId(u64);

/// What a server, or its judge, has had of the processors so far.
#[derive(Clone, Debug, Default)]
pub struct Turns {
    /// How long all its threads have run, with those that have ended.
    pub ran: Duration,
    /// How long each thread was ready to run and did not.
    pub held: BTreeMap<u32, Duration>,
}

/// Tells of a server, whenever it is asked; nothing once it has ended.
type Look = Box<dyn FnMut() -> Option<Turns> + Send>;

/// What is watched, and what was seen so far.
struct Running {
    /// The judge's threads. Those of other judges in this process are others.
    judge: Vec<u32>,
    /// How long those threads of the judge have run that have ended.
    ended: Duration,
    servers: Vec<Look>,
    due: Instant,
    counters: Counters,
    samples: Vec<Sample>,
}

/// What was known at one moment.
#[derive(Clone, Copy, Debug)]
struct Sample {
    at: Instant,
    /// How long judge and servers had run since the meter began.
    ran: Duration,
    /// How long the processors had been busy since then.
    busy: Duration,
    /// How much of the time since the sample before was held back.
    held_back: Duration,
}

/// What the system has counted by one moment.
#[derive(Clone, Debug, Default)]
struct Counters {
    judge: Turns,
    servers: Turns,
    /// How long each of the kernel's threads that deliver packets was ready to run and did not.
    network: BTreeMap<u32, Duration>,
    host: HostTime,
}

/// Time of all processors of the host, in which they were busy, or taken by a hypervisor.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct HostTime {
    busy: Duration,
    stolen: Duration,
    processors: u32,
}

impl Meter {
    /// Measures this thread from now on.
    #[must_use]
    pub fn start() -> Self {
        static SAMPLER: Once = Once::new();
        SAMPLER.call_once(|| {
            // Without the thread nothing counts as held back.
            let _ = thread::Builder::new().name("held-back".to_owned()).spawn(sample_for_ever);
        });
        let judge = vec![system::this_thread()];
        let counters = Counters::read(turns_of(&judge, Duration::ZERO), &mut Vec::new());
        let running = Running::start(judge, Instant::now(), counters);
        let mut meters = METERS.lock().unwrap_or_else(PoisonError::into_inner);
        meters.next += 1;
        let id = MeterId(meters.next);
        meters.running.insert(id.0, Arc::new(Mutex::new(running)));
        Self { id }
    }

    /// Measures a server, too, which `look` tells of.
    pub fn watch(&self, look: impl FnMut() -> Option<Turns> + Send + 'static) {
        if let Some(running) = self.id.running() {
            let mut running = running.lock().unwrap_or_else(PoisonError::into_inner);
            running.servers.push(Box::new(look));
            running.sample();
        }
    }

    /// A name for it.
    #[must_use]
    pub fn id(&self) -> MeterId {
        self.id
    }
}

impl Drop for Meter {
    fn drop(&mut self) {
        METERS.lock().unwrap_or_else(PoisonError::into_inner).running.remove(&self.id.0);
    }
}

impl MeterId {
    /// How long since a moment judge and server were held back; none once the meter is gone.
    #[must_use]
    pub fn held_back_since(self, from: Instant) -> Duration {
        let Some(running) = self.running() else { return Duration::ZERO };
        let mut running = running.lock().unwrap_or_else(PoisonError::into_inner);
        running.sample();
        running.held_back_since(from)
    }

    /// Counts this thread as one of the judge's, until the guard is dropped.
    #[must_use]
    pub fn count_this_thread(self) -> CountedThread {
        let thread = system::this_thread();
        if let Some(running) = self.running() {
            let mut running = running.lock().unwrap_or_else(PoisonError::into_inner);
            running.judge.push(thread);
        }
        CountedThread { meter: self, thread }
    }

    fn running(self) -> Option<Arc<Mutex<Running>>> {
        let meters = METERS.lock().unwrap_or_else(PoisonError::into_inner);
        meters.running.get(&self.0).map(Arc::clone)
    }
}

/// Lets a thread of the judge's count as such while it lives.
#[derive(Debug)]
pub struct CountedThread {
    meter: MeterId,
    thread: u32,
}

impl Drop for CountedThread {
    fn drop(&mut self) {
        let Some(running) = self.meter.running() else { return };
        let mut running = running.lock().unwrap_or_else(PoisonError::into_inner);
        // What it waited until now would be lost with it.
        running.sample();
        running.judge.retain(|thread| *thread != self.thread);
        running.ended += turns_of(&[self.thread], Duration::ZERO).ran;
    }
}

/// What these threads of this process have had, and `ended`, for which others had run before.
fn turns_of(threads: &[u32], ended: Duration) -> Turns {
    let mut turns = Turns { ran: ended, held: BTreeMap::new() };
    for thread in threads {
        let Some((ran, held)) = system::turns_of_thread(*thread) else { continue };
        turns.ran += ran;
        turns.held.insert(*thread, held);
    }
    turns
}

impl Running {
    fn start(judge: Vec<u32>, at: Instant, counters: Counters) -> Self {
        let (ran, busy, held_back) = Default::default();
        let samples = vec![Sample { at, ran, busy, held_back }];
        let (servers, ended) = (Vec::new(), Duration::ZERO);
        Self { judge, ended, servers, due: at + EVERY, counters, samples }
    }

    fn sample(&mut self) {
        let started = Instant::now();
        let judge = turns_of(&self.judge, self.ended);
        let now = Counters::read(judge, &mut self.servers);
        self.add(started, now);
        self.due = started + EVERY.max(started.elapsed() * SHARE);
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
        self.enter(held_back, since.waited + since.stolen);
    }

    /// Enters what was held back into the last samples that have room for it, none of which ended
    /// longer than `within` ago.
    fn enter(&mut self, mut held_back: Duration, within: Duration) {
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
struct Counted {
    /// How long judge and servers ran.
    ran: Duration,
    /// For how long they were ready to run, and did not.
    waited: Duration,
    /// How long the processors were busy.
    busy: Duration,
    /// What a hypervisor took from each of them.
    stolen: Duration,
}

impl Counters {
    fn read(judge: Turns, servers: &mut Vec<Look>) -> Self {
        let mut turns = Turns::default();
        servers.retain_mut(|look| {
            let Some(one) = look() else { return false };
            turns.ran += one.ran;
            turns.held.extend(one.held);
            true
        });
        Self { judge, servers: turns, network: system::network_held(), host: system::host_time() }
    }

    fn since(&self, before: &Self) -> Counted {
        let longest = |now: &BTreeMap<u32, Duration>, then: &BTreeMap<u32, Duration>| {
            // What a new thread has waited, it has waited since.
            let since = |(thread, held): (&u32, &Duration)| {
                held.saturating_sub(then.get(thread).copied().unwrap_or_default())
            };
            now.iter().map(since).max().unwrap_or_default()
        };
        let stolen = self.host.stolen.saturating_sub(before.host.stolen);
        Counted {
            ran: self.judge.ran.saturating_sub(before.judge.ran)
                + self.servers.ran.saturating_sub(before.servers.ran),
            waited: longest(&self.judge.held, &before.judge.held)
                + longest(&self.servers.held, &before.servers.held)
                + longest(&self.network, &before.network),
            busy: self.host.busy.saturating_sub(before.host.busy),
            stolen: stolen / self.host.processors.max(1),
        }
    }
}

fn sample_for_ever() {
    loop {
        thread::sleep(EVERY);
        let all: Vec<Arc<Mutex<Running>>> = {
            let meters = METERS.lock().unwrap_or_else(PoisonError::into_inner);
            meters.running.values().map(Arc::clone).collect()
        };
        for running in all {
            // A meter whose lock is held is being sampled by its judge.
            if let Ok(mut running) = running.try_lock()
                && running.due <= Instant::now()
            {
                running.sample();
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

    /// How long a thread of this process has run, and for how long it was ready to.
    pub(super) fn turns_of_thread(thread: u32) -> Option<(Duration, Duration)> {
        schedstat(&format!("/proc/self/task/{thread}/schedstat"))
    }

    /// `ksoftirqd/N` delivers the packets of processor N when it has much to do, and waits for its
    /// turn like any other thread. None where it is not to be seen, as in a container.
    pub(super) fn network_held() -> BTreeMap<u32, Duration> {
        static THREADS: LazyLock<Vec<u32>> = LazyLock::new(|| {
            let processes = fs::read_dir("/proc").into_iter().flatten().flatten();
            let numbers = processes.filter_map(|entry| entry.file_name().to_str()?.parse().ok());
            let is_meant = |pid: &u32| {
                let name = fs::read_to_string(format!("/proc/{pid}/comm")).unwrap_or_default();
                name.starts_with("ksoftirqd/")
            };
            numbers.filter(is_meant).collect()
        });
        let held = |pid: &u32| Some((*pid, schedstat(&format!("/proc/{pid}/schedstat"))?.1));
        THREADS.iter().filter_map(held).collect()
    }

    /// The first two numbers of a `schedstat`: for how long a thread ran, and was ready to.
    fn schedstat(path: &str) -> Option<(Duration, Duration)> {
        let text = fs::read_to_string(path).ok()?;
        let mut numbers = text.split_whitespace().map(|number| number.parse().ok());
        let mut next = || Some(Duration::from_nanos(numbers.next()??));
        Some((next()?, next()?))
    }

    /// The first line of `/proc/stat` (`proc_stat(5)`), in ticks of the clock.
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
        // user, nice, system, idle, iowait, irq, softirq, steal. Interrupts are left out: they are
        // nobody's, and those of loopback are the work of judge and server.
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

    pub(super) fn turns_of_thread(_: u32) -> Option<(Duration, Duration)> {
        None
    }

    pub(super) fn network_held() -> BTreeMap<u32, Duration> {
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
            judge: Turns { ran: ms(judge.0), held: BTreeMap::from([(0, ms(judge.1))]) },
            servers: Turns { ran: ms(server.0), held: BTreeMap::from([(7, ms(server.1))]) },
            network: BTreeMap::new(),
            host: HostTime { busy: ms(busy), stolen: ms(0), processors: 2 },
        }
    }

    /// A meter that read these counters. The number is milliseconds since the meter began.
    fn seen(all: impl IntoIterator<Item = (u64, Counters)>) -> (Running, Instant) {
        let start = Instant::now();
        let mut running = Running::start(vec![0], start, counters((0, 0), (0, 0), 0));
        all.into_iter().for_each(|(at, counters)| running.add(start + ms(at), counters));
        (running, start)
    }

    #[test]
    fn only_what_others_took_is_held_back() {
        let since_start = |now: Counters| {
            let (running, start) = seen([(1000, now)]);
            running.held_back_since(start)
        };
        // Nobody else was there: judge and server kept each other waiting.
        assert_eq!(since_start(counters((500, 100), (500, 200), 1000)), ms(0));
        // Others had nine tenths of what the processors did.
        assert_eq!(since_start(counters((100, 100), (100, 200), 2000)), ms(270));
        // Never more than the time that has passed.
        assert_eq!(since_start(counters((0, 900), (0, 900), 2000)), ms(1000));
    }

    #[test]
    fn a_wait_that_is_counted_at_its_end_is_held_back_from_its_beginning() {
        // The server is given the processor at 1000 ms, for the first time since 400 ms.
        let waiting = |at: u64| counters((0, 0), (0, if at < 1000 { 0 } else { 600 }), 2 * at);
        let (running, start) = seen((1..=60).map(|n| (n * 20, waiting(n * 20))));
        assert_eq!(running.held_back_since(start), ms(600));
        assert_eq!(running.held_back_since(start + ms(400)), ms(600));
        assert_eq!(running.held_back_since(start + ms(700)), ms(300));
        assert_eq!(running.held_back_since(start + ms(1000)), ms(0));
    }

    #[test]
    fn a_hypervisor_holds_back_everybody() {
        let mut now = counters((0, 0), (0, 0), 0);
        now.host.stolen = ms(300);
        let (running, start) = seen([(1000, now)]);
        assert_eq!(running.held_back_since(start), ms(150));
    }

    #[cfg(target_os = "linux")]
    #[test]
    fn a_thread_counts_while_it_is_counted_and_what_it_ran_afterwards() {
        let meter = Meter::start();
        let ran = |meter: &Meter| {
            let running = meter.id.running().expect("it lives");
            let running = running.lock().expect("nothing panics with it");
            turns_of(&running.judge, running.ended).ran
        };
        let busy = ms(30);
        let spin = move || {
            let before = system::turns_of_thread(system::this_thread());
            let before = before.expect("a thread can read of itself").0;
            while turns_of(&[system::this_thread()], ms(0)).ran < before + busy {}
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
        assert!(id.held_back_since(start) <= start.elapsed() + EVERY);
        drop(meter);
        assert_eq!(id.held_back_since(start), ms(0));
    }
}
