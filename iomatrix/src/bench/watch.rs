//! Reads a server's counters when the measured part of a load begins and when it ends.

use harness::process::{CallCounter, CpuTimes, Process, Submissions, Switches};
use loadgen::Watch;
use report::Failure;
use report::bench::{Count, ServerUse};
use report::{Outside, outside};

/// What a server has used so far, as far as the system reports it.
struct UsageReading {
    cpu: Result<CpuTimes, Failure>,
    submissions: Result<Submissions, Failure>,
    switches: Result<Switches, Failure>,
}

/// Watches a server's process during a load.
pub(super) struct ServerWatch {
    process: Process,
    driver: Outside,
    before: Option<UsageReading>,
    pub(super) used: Option<ServerUse>,
}

impl ServerWatch {
    pub(super) fn new(process: Process, driver: Outside) -> Self {
        Self { process, driver, before: None, used: None }
    }

    fn read_usage(&self) -> UsageReading {
        UsageReading {
            cpu: self.process.cpu_times(),
            submissions: self.process.submissions(),
            switches: self.process.switches(),
        }
    }

    /// What the server used per message between two looks.
    fn since(&self, before: &UsageReading, now: &UsageReading, messages: u64) -> ServerUse {
        let each = |total: f64| total / messages as f64;
        let cpu = match (&before.cpu, &now.cpu) {
            (Ok(before), Ok(now)) => Ok(now.since(before)),
            (Err(e), _) | (_, Err(e)) => Err(e),
        };
        let of_split = |part: fn(&harness::process::Cpu) -> std::time::Duration| match cpu {
            Ok(used) => match &used.split {
                Some(split) => Count::Of(each(part(split).as_nanos() as f64)),
                None => Count::none("too little CPU time to tell who ran"),
            },
            Err(e) => unreadable_count(e),
        };
        ServerUse {
            cpu_ns: match &cpu {
                Ok(used) => Count::Of(each(used.total.as_nanos() as f64)),
                Err(e) => unreadable_count(e),
            },
            user_ns: of_split(|cpu| cpu.user),
            system_ns: of_split(|cpu| cpu.system),
            submissions: match (&before.submissions, &now.submissions) {
                (Ok(before), Ok(now)) => now.since(before).map_or_else(
                    || Count::none(outside!("{} has no ring", self.driver)),
                    |submitted| Count::Of(each(submitted as f64)),
                ),
                (Err(e), _) | (_, Err(e)) => unreadable_count(e),
            },
            context_switches: match (&before.switches, &now.switches) {
                (Ok(before), Ok(now)) => {
                    let all = |s: &Switches| s.voluntary + s.involuntary;
                    Count::Of(each(all(now).saturating_sub(all(before)) as f64))
                }
                (Err(e), _) | (_, Err(e)) => unreadable_count(e),
            },
            resident_bytes: count(self.process.resident_bytes(), |bytes| bytes as f64),
            threads: count(self.process.threads(), |threads| threads.all as f64),
        }
    }
}

impl Watch for ServerWatch {
    fn window_begins(&mut self) {
        self.before = Some(self.read_usage());
    }

    fn window_ends(&mut self, echoed: u64) {
        let now = self.read_usage();
        if let Some(before) = self.before.take()
            && echoed > 0
        {
            self.used = Some(self.since(&before, &now, echoed));
        }
    }
}

/// Counts a server's system calls during a load.
pub(super) struct CallWatch {
    counter: Result<CallCounter, harness::Error>,
    before: Option<harness::process::Calls>,
    pub(super) calls: Count,
}

impl CallWatch {
    pub(super) fn new(process: &Process) -> Self {
        let calls = Count::none("the load did not come so far");
        // Attached before the measured part, because attaching takes time.
        let counter = process.count_calls();
        Self { counter, before: None, calls }
    }

    fn count(&mut self, echoed: Option<u64>) {
        let counted = self.counter.as_mut().map(CallCounter::calls);
        let now = match counted {
            Ok(Ok(now)) => now,
            Ok(Err(error)) => return self.calls = Count::none(error.to_string()),
            Err(error) => return self.calls = Count::none(error.to_string()),
        };
        match (echoed, self.before) {
            (Some(echoed), Some(before)) => self.calls = now.per_message(before, echoed),
            (Some(_), None) | (None, _) => self.before = Some(now),
        }
    }
}

impl Watch for CallWatch {
    fn window_begins(&mut self) {
        self.count(None);
    }

    fn window_ends(&mut self, echoed: u64) {
        self.count(Some(echoed));
    }
}

/// Reads a server's resident memory when the measured part ends.
pub(super) struct MemoryWatch {
    process: Process,
    pub(super) resident: Option<Result<u64, Failure>>,
}

impl MemoryWatch {
    pub(super) fn new(process: Process) -> Self {
        Self { process, resident: None }
    }
}

impl Watch for MemoryWatch {
    fn window_ends(&mut self, _: u64) {
        self.resident = Some(self.process.resident_bytes());
    }
}

fn count<T>(found: Result<T, Failure>, number: impl Fn(T) -> f64) -> Count {
    match found {
        Ok(found) => Count::Of(number(found)),
        Err(e) => unreadable_count(&e),
    }
}

/// The count of something that could not be read, with the reason.
pub(super) fn unreadable_count(failure: &Failure) -> Count {
    Count::none(outside!("{}: {}", failure.expected, failure.actual))
}
