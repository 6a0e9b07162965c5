//! The faults. Each file here holds one kind of fault, with a table of its faults at the top.

mod accepting;
mod binding;
mod bytes;
mod capabilities;
mod children;
mod coincidence;
mod content;
mod crosstalk;
mod datagrams;
mod delays;
mod dying;
mod ending;
mod exposing;
mod hardship;
mod hoarding;
mod hostile;
mod idling;
mod leaking;
mod numbers;
mod odd;
mod passing;
mod peers;
mod pressure;
mod rings;
mod several;
mod starting;
mod stopping;
mod threads;
mod unfair;

use std::fmt;
use std::time::{Duration, Instant};

use crate::datagrams::DatagramHooks;
use crate::hooks::Hooks;
use crate::process::ProcessHooks;

pub(crate) use children::{CHILD, be_child};
pub(crate) use several::Faults;

const TABLES: [&[Fault]; 29] = [
    bytes::FAULTS,
    content::FAULTS,
    numbers::FAULTS,
    delays::FAULTS,
    crosstalk::FAULTS,
    pressure::FAULTS,
    ending::FAULTS,
    dying::FAULTS,
    coincidence::FAULTS,
    accepting::FAULTS,
    unfair::FAULTS,
    capabilities::FAULTS,
    idling::FAULTS,
    hoarding::FAULTS,
    leaking::FAULTS,
    passing::FAULTS,
    children::FAULTS,
    rings::FAULTS,
    stopping::FAULTS,
    starting::FAULTS,
    hardship::FAULTS,
    exposing::FAULTS,
    threads::FAULTS,
    datagrams::FAULTS,
    peers::FAULTS,
    binding::FAULTS,
    hostile::FAULTS,
    odd::FAULTS,
    rings::ODD,
];

/// What a mutant does wrong or, if its name begins with `odd`, does right in an unusual way. Some
/// faults strike rarely, because spoiling every connection would leave too few other cases green.
#[derive(Clone, Copy)]
pub(crate) struct Fault {
    /// Value of `--fault`.
    pub(crate) name: &'static str,
    /// One sentence that says what the server does.
    pub(crate) about: &'static str,
    /// Where it strikes in the loop.
    strikes: Strikes,
    /// What it does outside the loop.
    process: Option<&'static dyn ProcessHooks>,
}

/// Where a fault strikes in the loop. The number says when it strikes (a count of bytes, messages,
/// connections or seconds, depending on the fault); `--fault-at` replaces it.
#[derive(Clone, Copy)]
enum Strikes {
    Connections(fn() -> Box<dyn Hooks>),
    ConnectionsAt(u64, fn(u64) -> Box<dyn Hooks>),
    Datagrams(fn() -> Box<dyn DatagramHooks>),
    DatagramsAt(u64, fn(u64) -> Box<dyn DatagramHooks>),
    Nothing,
}

impl Fault {
    /// A fault of connections.
    const fn new(name: &'static str, about: &'static str, hooks: fn() -> Box<dyn Hooks>) -> Self {
        let strikes = Strikes::Connections(hooks);
        Self { name, about, strikes, process: None }
    }

    /// A fault of connections that strikes at `default`, or at the value of `--fault-at`.
    const fn settable(
        name: &'static str,
        about: &'static str,
        default: u64,
        hooks: fn(u64) -> Box<dyn Hooks>,
    ) -> Self {
        let strikes = Strikes::ConnectionsAt(default, hooks);
        Self { name, about, strikes, process: None }
    }

    /// A fault of datagram sockets.
    const fn datagram(
        name: &'static str,
        about: &'static str,
        hooks: fn() -> Box<dyn DatagramHooks>,
    ) -> Self {
        let strikes = Strikes::Datagrams(hooks);
        Self { name, about, strikes, process: None }
    }

    /// A fault of datagram sockets that strikes at `default`, or at the value of `--fault-at`.
    const fn settable_datagram(
        name: &'static str,
        about: &'static str,
        default: u64,
        hooks: fn(u64) -> Box<dyn DatagramHooks>,
    ) -> Self {
        let strikes = Strikes::DatagramsAt(default, hooks);
        Self { name, about, strikes, process: None }
    }

    /// A fault outside the loop, such as at the start or the stop.
    const fn process(
        name: &'static str,
        about: &'static str,
        process: &'static dyn ProcessHooks,
    ) -> Self {
        Self { name, about, strikes: Strikes::Nothing, process: Some(process) }
    }

    /// Makes the fault also strike outside the loop.
    const fn with_process(self, process: &'static dyn ProcessHooks) -> Self {
        Self { process: Some(process), ..self }
    }

    /// What the fault does to connections. `at` replaces the number at which it strikes.
    fn hooks(&self, at: Option<u64>) -> Option<Box<dyn Hooks>> {
        match self.strikes {
            Strikes::Connections(hooks) => Some(hooks()),
            Strikes::ConnectionsAt(default, hooks) => Some(hooks(at.unwrap_or(default))),
            Strikes::Datagrams(_) | Strikes::DatagramsAt(..) | Strikes::Nothing => None,
        }
    }

    /// What the fault does to datagrams. `at` replaces the number at which it strikes.
    fn datagram_hooks(&self, at: Option<u64>) -> Option<Box<dyn DatagramHooks>> {
        match self.strikes {
            Strikes::Datagrams(hooks) => Some(hooks()),
            Strikes::DatagramsAt(default, hooks) => Some(hooks(at.unwrap_or(default))),
            Strikes::Connections(_) | Strikes::ConnectionsAt(..) | Strikes::Nothing => None,
        }
    }

    /// What the fault does outside the loop, if anything.
    pub(crate) fn process_hooks(&self) -> Option<&'static dyn ProcessHooks> {
        self.process
    }

    fn is_of_datagrams(&self) -> bool {
        matches!(self.strikes, Strikes::Datagrams(_) | Strikes::DatagramsAt(..))
    }
}

impl fmt::Debug for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name)
    }
}

/// Every fault, in the order of the tables.
pub(crate) fn all() -> impl Iterator<Item = &'static Fault> {
    TABLES.into_iter().flatten()
}

pub(crate) fn find(name: &str) -> Option<&'static Fault> {
    all().find(|fault| fault.name == name)
}

/// One line per fault: its name and its sentence.
pub(crate) fn list() -> String {
    all().map(|fault| format!("{:<32} {}\n", fault.name, fault.about)).collect()
}

/// Converts a number of connections, datagrams or bytes.
fn limit(at: u64) -> usize {
    usize::try_from(at).unwrap_or(usize::MAX)
}

/// Uses about `ms` milliseconds of CPU time.
fn compute(ms: u64) {
    compute_steps(1_000_000 * ms);
}

/// Computes. A step takes about 1 ns.
fn compute_steps(steps: u64) {
    let step = |x: u64, i: u64| std::hint::black_box(x.wrapping_mul(31).wrapping_add(i));
    std::hint::black_box((0..steps).fold(1, step));
}

/// Counts how often something happens within a `span`.
struct Burst {
    span: Duration,
    began: Option<Instant>,
    count: usize,
}

impl Burst {
    fn new(span: Duration) -> Self {
        Self { span, began: None, count: 0 }
    }

    /// Counts one more, and returns the count since the span began.
    fn count(&mut self) -> usize {
        if self.began.is_none_or(|began| began.elapsed() > self.span) {
            self.began = Some(Instant::now());
            self.count = 0;
        }
        self.count += 1;
        self.count
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    fn names(faults: &[Fault]) -> BTreeSet<String> {
        faults.iter().map(|fault| fault.name.to_owned()).collect()
    }

    #[test]
    fn every_fault_has_a_name_of_its_own_and_a_sentence() {
        let mut seen = BTreeSet::new();
        for fault in all() {
            assert!(seen.insert(fault.name), "{} is there twice", fault.name);
            assert!(fault.about.len() > 10, "{} has no sentence", fault.name);
        }
    }

    /// Mutants that test the judge itself are in hostile.rs, and correct servers in the odd tables.
    #[test]
    fn the_tables_and_mutants_toml_have_the_same_faults() {
        let file: toml::Table = include_str!("../../mutants.toml").parse().unwrap();
        let rows = |kind: &str| -> BTreeSet<String> {
            let rows = file[kind].as_array().unwrap().iter();
            rows.map(|row| row["fault"].as_str().unwrap().to_owned()).collect()
        };
        let odd = &names(odd::FAULTS) | &names(rings::ODD);
        let of_the_harness = names(hostile::FAULTS);
        let mut wrong: BTreeSet<String> = all().map(|fault| fault.name.to_owned()).collect();
        wrong.retain(|name| !odd.contains(name) && !of_the_harness.contains(name));
        assert_eq!(rows("mutant"), wrong);
        assert_eq!(rows("odd"), odd);
    }

    #[test]
    fn a_burst_ends_with_its_span() {
        let mut long = Burst::new(Duration::from_secs(3600));
        assert_eq!([long.count(), long.count(), long.count()], [1, 2, 3]);
        let mut none = Burst::new(Duration::ZERO);
        none.count();
        std::thread::sleep(Duration::from_millis(1));
        assert_eq!(none.count(), 1);
    }
}
