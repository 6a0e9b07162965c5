//! How long the threads of a server and of its judge were ready to run but had no processor because
//! other processes had them all. Limits of time do not count this time.
//!
//! Linux counts it for each thread (`/proc/PID/task/TID/schedstat`, the second number). This module
//! adds the judge's thread and the server thread that waited longest, and multiplies the sum by the
//! share of the processors' busy time that other processes used: waiting for each other does not
//! count. It then adds steal time. On other systems nothing counts as held back.

use std::collections::BTreeMap;
use std::sync::{Mutex, Once, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

/// How often the counters are read.
const EVERY: Duration = Duration::from_millis(20);
/// Sampling a meter may take at most one part in this many of a processor's time.
const SHARE: u32 = 100;

static METERS: Mutex<Meters> = Mutex::new(Meters { next: 0, running: BTreeMap::new() });

struct Meters {
    next: u64,
    running: BTreeMap<u64, Running>,
}

/// Measures as long as it lives.
#[derive(Debug)]
pub struct Meter {
    id: MeterId,
}

/// Names a meter that may be gone.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct MeterId(u64);

/// What a server has had of the processors so far.
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
    judge: u32,
    servers: Vec<Look>,
    due: Instant,
    counters: Counters,
    /// How much had been held back by each moment, since the meter began.
    samples: Vec<(Instant, Duration)>,
}

/// What the system has counted by one moment.
#[derive(Clone, Debug, Default)]
struct Counters {
    judge: (Duration, Duration),
    servers: Turns,
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
        let judge = system::this_thread();
        let counters = Counters::read(judge, &mut Vec::new());
        let now = Instant::now();
        let samples = vec![(now, Duration::ZERO)];
        let running = Running { judge, servers: Vec::new(), due: now + EVERY, counters, samples };
        let mut meters = METERS.lock().unwrap_or_else(PoisonError::into_inner);
        meters.next += 1;
        let id = MeterId(meters.next);
        meters.running.insert(id.0, running);
        Self { id }
    }

    /// Measures a server, too, which `look` tells of.
    pub fn watch(&self, look: impl FnMut() -> Option<Turns> + Send + 'static) {
        let mut meters = METERS.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(running) = meters.running.get_mut(&self.id.0) {
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
        let mut meters = METERS.lock().unwrap_or_else(PoisonError::into_inner);
        let Some(running) = meters.running.get_mut(&self.0) else { return Duration::ZERO };
        running.sample();
        running.held_back_since(from)
    }
}

impl Running {
    fn sample(&mut self) {
        let started = Instant::now();
        let (last, held_before) = self.samples[self.samples.len() - 1];
        let now = Counters::read(self.judge, &mut self.servers);
        let held = now.held_back_since(&self.counters, started.saturating_duration_since(last));
        self.counters = now;
        self.samples.push((started, held_before + held));
        self.due = started + EVERY.max(started.elapsed() * SHARE);
    }

    fn held_back_since(&self, from: Instant) -> Duration {
        let total = self.samples[self.samples.len() - 1].1;
        let index = self.samples.partition_point(|(at, _)| *at <= from);
        let before = index.checked_sub(1).map_or(Duration::ZERO, |index| self.samples[index].1);
        total.saturating_sub(before)
    }
}

impl Counters {
    fn read(judge: u32, servers: &mut Vec<Look>) -> Self {
        let mut turns = Turns::default();
        servers.retain_mut(|look| {
            let Some(one) = look() else { return false };
            turns.ran += one.ran;
            turns.held.extend(one.held);
            true
        });
        Self { judge: system::turns_of_this(judge), servers: turns, host: system::host_time() }
    }

    /// How much of `interval` judge or server were held back by others.
    fn held_back_since(&self, before: &Self, interval: Duration) -> Duration {
        let since = |now: (Duration, Duration), then: (Duration, Duration)| {
            (now.0.saturating_sub(then.0), now.1.saturating_sub(then.1))
        };
        let (judge_ran, judge_held) = since(self.judge, before.judge);
        let ran = judge_ran + self.servers.ran.saturating_sub(before.servers.ran);
        let mut server_held = Duration::ZERO;
        for (thread, now) in &self.servers.held {
            // What a new thread has waited, it has waited since.
            let then = before.servers.held.get(thread).copied().unwrap_or_default();
            server_held = server_held.max(now.saturating_sub(then));
        }
        let busy = self.host.busy.saturating_sub(before.host.busy);
        let others = busy.saturating_sub(ran).as_secs_f64() / busy.as_secs_f64().max(1e-9);
        let stolen = self.host.stolen.saturating_sub(before.host.stolen);
        let stolen = stolen / self.host.processors.max(1);
        let held = (judge_held + server_held).mul_f64(others.clamp(0.0, 1.0));
        (held + stolen).min(interval)
    }
}

fn sample_for_ever() {
    loop {
        thread::sleep(EVERY);
        let mut meters = METERS.lock().unwrap_or_else(PoisonError::into_inner);
        let now = Instant::now();
        meters.running.values_mut().filter(|running| running.due <= now).for_each(Running::sample);
    }
}

#[cfg(target_os = "linux")]
mod system {
    use std::fs;
    use std::time::Duration;

    use super::HostTime;

    pub(super) fn this_thread() -> u32 {
        rustix::thread::gettid().as_raw_nonzero().get().unsigned_abs()
    }

    /// How long this process has run, which has threads for its clients, and for how long this
    /// thread of it was ready to.
    pub(super) fn turns_of_this(thread: u32) -> (Duration, Duration) {
        let text = fs::read_to_string(format!("/proc/self/task/{thread}/schedstat"));
        let held = text.ok().and_then(|text| text.split_whitespace().nth(1)?.parse().ok());
        let ran = rustix::time::clock_gettime(rustix::time::ClockId::ProcessCPUTime);
        let ran = Duration::try_from(ran).unwrap_or_default();
        (ran, Duration::from_nanos(held.unwrap_or(0)))
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
    use std::time::Duration;

    use super::HostTime;

    pub(super) fn this_thread() -> u32 {
        0
    }

    pub(super) fn turns_of_this(_: u32) -> (Duration, Duration) {
        (Duration::ZERO, Duration::ZERO)
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
            judge: (ms(judge.0), ms(judge.1)),
            servers: Turns { ran: ms(server.0), held: BTreeMap::from([(7, ms(server.1))]) },
            host: HostTime { busy: ms(busy), stolen: ms(0), processors: 2 },
        }
    }

    #[test]
    fn only_what_others_took_is_held_back() {
        let before = counters((0, 0), (0, 0), 0);
        let since = |now: Counters| now.held_back_since(&before, ms(1000));
        // Nobody else was there: judge and server kept each other waiting.
        assert_eq!(since(counters((500, 100), (500, 200), 1000)), ms(0));
        // Others had nine tenths of what the processors did.
        assert_eq!(since(counters((100, 100), (100, 200), 2000)), ms(270));
        // Never more than the time that has passed.
        assert_eq!(since(counters((0, 900), (0, 900), 2000)), ms(1000));
    }

    #[test]
    fn a_hypervisor_holds_back_everybody() {
        let before = counters((0, 0), (0, 0), 0);
        let mut now = counters((0, 0), (0, 0), 0);
        now.host.stolen = ms(300);
        assert_eq!(now.held_back_since(&before, ms(1000)), ms(150));
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
