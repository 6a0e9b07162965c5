//! Which cells a check consists of, and which of them this host can judge: a pure function of rows,
//! suites, filter and host. Listing starts no server.

use std::ffi::OsString;
use std::path::PathBuf;

use report::host::{Host, State};
use report::{Grade, Level, Model};

use crate::case::{Case, Company, Need, Profile, Suite};
use crate::launcher::{Origin, Program};
use crate::registry::Entry;
use crate::suites;

/// A row as the judge needs it.
#[derive(Clone, Debug)]
pub struct Row {
    /// `NAME[-FLAVOR][-DRIVER]`.
    pub name: String,
    /// The group of columns.
    pub model: Model,
    /// The driver here; none where the row does not exist on this operating system.
    pub driver: Option<String>,
    /// The flavor.
    pub flavor: String,
    /// Threads that do I/O.
    pub workers: u32,
    /// What the server does not offer.
    pub lacks: Vec<String>,
    /// The Cargo package of its server, where that is in this repository.
    pub package: Option<String>,
    /// Where its server comes from.
    pub origin: Origin,
}

impl Row {
    /// A row of the registry, its executable not known yet: see [`crate::binaries`].
    #[must_use]
    pub fn of(entry: &Entry) -> Self {
        Self::with_workers(entry, entry.workers)
    }

    /// The same with another number of threads that do I/O.
    #[must_use]
    pub fn with_workers(entry: &Entry, workers: u32) -> Self {
        let driver = entry.driver_here().map(str::to_owned);
        let mut arguments = vec!["--flavor".to_owned(), entry.flavor.clone()];
        arguments.extend(["--workers".to_owned(), workers.to_string()]);
        if let Some(driver) = &driver {
            arguments.extend(["--driver".to_owned(), driver.clone()]);
        }
        Self {
            name: entry.name.clone(),
            model: entry.model,
            driver,
            flavor: entry.flavor.clone(),
            workers,
            lacks: entry.lacks.keys().cloned().collect(),
            package: Some(entry.package.clone()),
            origin: Origin::Contract(Program {
                executable: PathBuf::new(),
                arguments: arguments.into_iter().map(OsString::from).collect(),
            }),
        }
    }

    /// A server of which nothing is declared.
    #[must_use]
    pub fn undeclared(name: &str, origin: Origin) -> Self {
        Self {
            name: name.to_owned(),
            model: Model::Undeclared,
            driver: None,
            flavor: "-".to_owned(),
            workers: 0,
            lacks: Vec::new(),
            package: None,
            origin,
        }
    }

    /// Whether the registry says that its server does not offer this.
    #[must_use]
    pub fn lacks(&self, what: &str) -> bool {
        self.lacks.iter().any(|lacking| lacking == what)
    }

    /// How much its server offers to the judge.
    #[must_use]
    pub fn grade(&self) -> Grade {
        match self.origin {
            Origin::Contract(_) => Grade::Contract,
            Origin::Command(_) => Grade::Command,
            Origin::Address(_) => Grade::Address,
        }
    }
}

/// Which cells are wanted. An empty list wants all; `*` stands for any text.
#[derive(Clone, Debug, Default)]
pub struct Filter {
    /// Names of rows.
    pub rows: Vec<String>,
    /// Names of suites.
    pub suites: Vec<String>,
    /// Ids of cases, `suite/case`.
    pub cases: Vec<String>,
    /// Only cases of this level.
    pub level: Option<Level>,
}

/// One cell that will be judged, or why it can't be.
#[derive(Clone, Debug)]
pub struct Planned {
    /// Index of the row.
    pub row: usize,
    /// The suite.
    pub suite: &'static Suite,
    /// The case.
    pub case: &'static Case,
    /// Why this host can't judge it, known without starting anything.
    pub unavailable: Option<String>,
}

impl Planned {
    /// `suite/case`.
    #[must_use]
    pub fn id(&self) -> String {
        format!("{}/{}", self.suite.name, self.case.name)
    }

    /// The capability, or the kind of listener, that the case asks for and the row lacks: the
    /// server will say so itself.
    #[must_use]
    pub fn lacking(&self, row: &Row) -> Option<&'static str> {
        self.case.asked_for().filter(|asked| row.lacks(asked))
    }
}

impl Filter {
    /// Whether a row is wanted.
    #[must_use]
    pub fn wants_row(&self, name: &str) -> bool {
        self.rows.is_empty() || self.rows.iter().any(|pattern| matches(pattern, name))
    }

    /// Whether a case is wanted.
    #[must_use]
    pub fn wants_case(&self, suite: &Suite, case: &Case) -> bool {
        let id = format!("{}/{}", suite.name, case.name);
        (self.suites.is_empty() || self.suites.iter().any(|p| matches(p, suite.name)))
            && (self.cases.is_empty() || self.cases.iter().any(|p| matches(p, &id)))
            && self.level.is_none_or(|level| level == case.level)
    }
}

/// The cells of `rows` that `filter` wants and `profile` has, those that need the host for
/// themselves at the end.
#[must_use]
pub fn plan(rows: &[Row], filter: &Filter, profile: Profile, host: &Host) -> Vec<Planned> {
    let mut cells = Vec::new();
    for (index, row) in rows.iter().enumerate().filter(|(_, row)| filter.wants_row(&row.name)) {
        for suite in suites::ALL {
            let asked = suite.cases.iter().filter(|case| case.is_asked(row.grade(), profile));
            for case in asked.filter(|case| filter.wants_case(suite, case)) {
                let unavailable = missing_driver(row, host).or_else(|| missing_need(case, host));
                cells.push(Planned { row: index, suite, case, unavailable });
            }
        }
    }
    cells.sort_by_key(|cell| cell.case.company == Company::Exclusive);
    cells
}

/// Why this host cannot run a row's driver.
#[must_use]
pub fn missing_driver(row: &Row, host: &Host) -> Option<String> {
    let Some(driver) = &row.driver else {
        if row.grade() != Grade::Contract {
            return None;
        }
        return Some(format!("{} does not exist on {}", row.name, host.os));
    };
    let known = host.drivers.iter().find(|known| known.name == *driver)?;
    match &known.state {
        State::Available { .. } => None,
        State::Unavailable { reason, fix } => {
            Some(format!("{driver}: {}", unavailable(reason, fix.as_deref())))
        }
    }
}

fn unavailable(reason: &str, fix: Option<&str>) -> String {
    fix.map_or_else(|| reason.to_owned(), |fix| format!("{reason}; fix: {fix}"))
}

fn missing_need(case: &Case, host: &Host) -> Option<String> {
    case.needs.iter().find_map(|need| lacking(*need, host))
}

/// Why this host lacks what a case needs.
fn lacking(need: Need, host: &Host) -> Option<String> {
    let on_linux = |what: &str| {
        (host.os != "linux").then(|| format!("{what} is read through procfs, which is Linux's"))
    };
    let told = |what: &str| {
        let is_told = ["linux", "macos"].contains(&host.os.as_str());
        (!is_told).then(|| format!("{what} is read on Linux (procfs) and macOS (libproc) only"))
    };
    let on_unix = |what: &str| {
        (host.os == "windows").then(|| format!("Windows has no {what} that a process can set"))
    };
    match need {
        Need::Descriptors(count) if host.is_wine() && count >= WINE_CONNECTIONS => Some(format!(
            "wine serves the sockets of all programs from one thread: {count} at once take minutes"
        )),
        Need::SocketsBesideWork => host.is_wine().then(|| {
            "wine's one thread for sockets has to wait for a core behind the server's work".into()
        }),
        Need::PromptCleanUp => host
            .is_wine()
            .then(|| "wine closes the sockets of a killed program when it gets to it".to_owned()),
        Need::Descriptors(count) => {
            let limit = host.limits.open_files?;
            let wanted = count + SPARE_DESCRIPTORS;
            (!limit.hard.allows(wanted))
                .then(|| format!("needs {wanted} open files, the hard limit is {}", limit.hard))
        }
        Need::AcceptQueue(wanted) => {
            let most = host.somaxconn?;
            (most < wanted)
                .then(|| format!("needs an accept queue of {wanted}, somaxconn is {most}"))
        }
        Need::DeniedCalls => (host.os != "linux")
            .then(|| "io_uring is Linux's, and so is the filter that denies it".to_owned()),
        Need::LockedMemoryLimit => (host.os != "linux")
            .then(|| "the limit on locked memory matters to io_uring, which is Linux's".to_owned()),
        Need::DescriptorLimit => on_unix("descriptor limit"),
        Need::Signals => on_unix("signal for another process"),
        Need::DescriptorCount => told("the number of another process's descriptors"),
        Need::CpuTime => told("another process's CPU time"),
        Need::ResidentMemory => told("another process's resident memory"),
        Need::Threads => told("what another process's threads do"),
        Need::ContextSwitches => told("the number of another process's context switches"),
        Need::KernelThreads => on_linux("which threads of a process are the kernel's"),
        Need::IoWait => on_linux("who waits for I/O"),
        Need::KernelLog => match host.counter("kernel-log") {
            None | Some(State::Available { .. }) => on_linux("the kernel's log"),
            Some(State::Unavailable { reason, fix }) => Some(unavailable(reason, fix.as_deref())),
        },
        Need::SocketQueues => on_linux("what waits in another process's sockets"),
        Need::Attestation => on_linux("what another process holds"),
        Need::LoopbackNetwork => (!["linux", "windows"].contains(&host.os.as_str()))
            .then(|| format!("{} has one address of 127.0.0.0/8 only", host.os)),
        Need::UrgentData => on_unix("urgent data with the same meaning"),
        Need::UnixSockets => (host.os == "windows")
            .then(|| "the standard library has no Unix sockets on Windows".to_owned()),
        Need::AbstractNames => {
            (host.os != "linux").then(|| "abstract names of Unix sockets are Linux's".to_owned())
        }
        Need::Ipv6 => match &host.ipv6 {
            State::Available { .. } => None,
            State::Unavailable { reason, fix } => Some(unavailable(reason, fix.as_deref())),
        },
    }
}

/// Connections at once that are too many for wine.
const WINE_CONNECTIONS: u64 = 500;

/// What harness and server need beside the connections of one case, with cells side by side.
const SPARE_DESCRIPTORS: u64 = 128;

/// Whether `text` is `pattern`, in which each `*` stands for any text.
#[must_use]
pub fn matches(pattern: &str, text: &str) -> bool {
    let Some((head, rest)) = pattern.split_once('*') else { return pattern == text };
    let Some(tail) = text.strip_prefix(head) else { return false };
    (0..=tail.len()).filter(|&i| tail.is_char_boundary(i)).any(|i| matches(rest, &tail[i..]))
}

#[cfg(test)]
mod tests {
    use super::matches;

    #[test]
    fn a_star_stands_for_any_text() {
        assert!(matches("tokio*", "tokio-uring"));
        assert!(matches("*/*fin*", "tcp-half-close/echo-then-fin"));
        assert!(!matches("tokio", "tokio-uring"));
        assert!(!matches("*-echo/one", "tcp-echo/one-byte"));
    }
}
