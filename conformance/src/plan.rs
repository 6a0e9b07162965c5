//! Which cells a check has, and which of them this host can judge. A pure function of rows, suites,
//! filter and host, so listing cells starts no server.

use harness::pattern::{Pattern, matches_any};
use harness::row::Row;
use harness::schedule::Sharing;
use report::host::{Availability, Host, group_digits};
use report::sockets::{AcceptAtLimit, ProbeResult};
use report::{Grade, Level};
use report::{Outside, outside};

use crate::case::{Case, Need, Suite};
use crate::profile::Profile;
use crate::suites;

/// Selects cells. An empty list selects everything; `*` stands for any text.
#[derive(Clone, Debug, Default)]
pub struct Filter {
    pub rows: Vec<Pattern>,
    pub suites: Vec<Pattern>,
    /// Ids of cases, `suite/case`.
    pub cases: Vec<Pattern>,
    pub level: Option<Level>,
    /// Ids of cases that are not judged. A row with such a case gets no certificate.
    pub skipped: Vec<Pattern>,
}

/// A cell to judge, or the reason why it cannot be judged.
#[derive(Clone, Debug)]
pub struct PlannedCell {
    /// The index of the row.
    pub row: usize,
    pub suite: &'static Suite,
    pub case: &'static Case,
    /// Why this host cannot judge the cell, as far as is known without starting a server.
    pub unavailable: Option<Outside>,
    /// Why the server does not get the case: it is declared to lack a feature that the case relies
    /// on.
    pub declared_lack: Option<Outside>,
}

impl PlannedCell {
    /// `suite/case`.
    #[must_use]
    pub fn id(&self) -> String {
        format!("{}/{}", self.suite.name, self.case.name)
    }

    /// The capability or kind of listener that the case asks for and that the row lacks, by the
    /// registry. The server itself must say so too.
    #[must_use]
    pub fn missing_optional_part(&self, row: &Row) -> Option<&'static str> {
        self.case.optional_part().filter(|asked| row.lacks(asked))
    }
}

impl Filter {
    #[must_use]
    pub fn wants_row(&self, name: &str) -> bool {
        matches_any(&self.rows, name)
    }

    #[must_use]
    pub fn wants_case(&self, suite: &Suite, case: &Case, grade: Grade) -> bool {
        let id = format!("{}/{}", suite.name, case.name);
        matches_any(&self.suites, suite.name)
            && matches_any(&self.cases, &id)
            && !self.skipped.iter().any(|pattern| pattern.matches(&id))
            && self.level.is_none_or(|level| level == case.level_at(grade))
    }
}

/// The cells of `rows` that `filter` selects and `profile` contains. Cells that run alone come
/// last.
#[must_use]
pub fn plan(rows: &[Row], filter: &Filter, profile: Profile, host: &Host) -> Vec<PlannedCell> {
    let mut cells = Vec::new();
    for (index, row) in rows.iter().enumerate().filter(|(_, row)| filter.wants_row(&row.name)) {
        for suite in suites::ALL {
            let asked = suite.cases.iter().filter(|case| case.is_asked(row, profile));
            for case in asked.filter(|case| filter.wants_case(suite, case, row.grade())) {
                let unavailable = row.missing_driver(host).or_else(|| find_unmet_need(case, host));
                let words = case.features.iter().map(|feature| feature.word());
                let declared_lack = words.into_iter().find(|word| row.lacks(word));
                let declared_lack =
                    declared_lack.map(|word| format!("declared by --without {word}").into());
                cells.push(PlannedCell { row: index, suite, case, unavailable, declared_lack });
            }
        }
    }
    cells.sort_by_key(|cell| cell.case.sharing == Sharing::Exclusive);
    cells
}

fn find_unmet_need(case: &Case, host: &Host) -> Option<Outside> {
    if case.is_timed && host.is_emulated() {
        return Some(
            "the host is emulated, and a case that judges latency needs a real one".into(),
        );
    }
    case.needs.iter().find_map(|need| unmet_need_reason(*need, host))
}

/// Why this host lacks what a case needs; `None` if it has it.
fn unmet_need_reason(need: Need, host: &Host) -> Option<Outside> {
    let on_linux = |what: &str| {
        (host.os != "linux")
            .then(|| format!("{what} is read through procfs, which is Linux's").into())
    };
    let told = |what: &str| {
        let is_told = host.os == "linux" || host.os == "macos";
        (!is_told)
            .then(|| format!("{what} is read on Linux (procfs) and macOS (libproc) only").into())
    };
    let on_unix = |what: &str| {
        (host.os == "windows")
            .then(|| format!("Windows has no {what} that a process can set").into())
    };
    let sockets = &host.sockets;
    match need {
        Need::Descriptors(count) => descriptor_shortage(count, host),
        Need::SocketsBesideWork | Need::PromptCleanUp | Need::PortOfTwoAddresses => {
            host.is_wine().then(|| wine_reason(need).into())
        }
        Need::AcceptQueue(wanted) => shortage(wanted, &sockets.accept_queue, "clients in a queue"),
        Need::QueueAtLimit => closed_queue_reason(&sockets.accept_at_limit),
        Need::ClientPorts(wanted) => {
            shortage(wanted, &ProbeResult::Seen(host.ephemeral_ports?), "ports for clients")
        }
        Need::UdpBytes(wanted) => shortage(wanted, &sockets.udp_longest, "bytes in a UDP datagram"),
        Need::UnixgramBytes(wanted) => {
            shortage(wanted, &sockets.unixgram_longest, "bytes in a Unix datagram")
        }
        Need::DeniedCalls => (host.os != "linux")
            .then(|| "io_uring is Linux's, and so is the filter that denies it".into()),
        Need::LockedMemoryLimit => (host.os != "linux")
            .then(|| "the limit on locked memory matters to io_uring, which is Linux's".into()),
        Need::ThreadLimit => match host.counter("thread-limit") {
            Some(state @ Availability::Unavailable { .. }) => state.lack(),
            None | Some(Availability::Available { .. }) => on_linux("a limit on threads"),
        },
        Need::RawSockets => match host.counter("raw-sockets") {
            Some(state @ Availability::Unavailable { .. }) => state.lack(),
            Some(Availability::Available { .. }) => None,
            None => Some("whether this host has raw sockets was not tried".into()),
        },
        Need::DescriptorLimit => on_unix("descriptor limit"),
        Need::Signals => on_unix("signal for another process"),
        Need::DescriptorCount => told("the number of another process's descriptors"),
        Need::CpuTime => told("another process's CPU time"),
        Need::ResidentMemory => told("another process's resident memory"),
        Need::Threads => told("what another process's threads do"),
        Need::EndedChildren => on_linux("which children of another process have ended"),
        Need::ContextSwitches => told("the number of another process's context switches"),
        Need::KernelThreads => on_linux("which threads of a process are the kernel's"),
        Need::IoWait => on_linux("who waits for I/O"),
        Need::KernelLog => match host.counter("kernel-log") {
            Some(state @ Availability::Unavailable { .. }) => state.lack(),
            None | Some(Availability::Available { .. }) => on_linux("the kernel's log"),
        },
        Need::SocketQueues => match host.counter("socket-queues") {
            Some(state @ Availability::Unavailable { .. }) => state.lack(),
            None | Some(Availability::Available { .. }) => on_linux("what waits in sockets"),
        },
        Need::Attestation => on_linux("what another process holds"),
        Need::LoopbackNetwork => (host.os != "linux" && host.os != "windows")
            .then(|| outside!("{} has one address of 127.0.0.0/8 only", host.os)),
        Need::UrgentData => on_unix("urgent data with the same meaning"),
        Need::UnixSockets => (host.os == "windows")
            .then(|| "the standard library has no Unix sockets on Windows".into()),
        Need::AbstractNames => {
            (host.os != "linux").then(|| "abstract names of Unix sockets are Linux's".into())
        }
        Need::Ipv6 => host.ipv6.lack(),
    }
}

/// How wine fails a need that Windows meets.
fn wine_reason(need: Need) -> &'static str {
    if need == Need::SocketsBesideWork {
        "wine's one thread for sockets has to wait for a core behind the server's work"
    } else if need == Need::PromptCleanUp {
        "wine closes the sockets of a killed program when it gets to it"
    } else {
        "wine takes a port at all addresses for a socket of one of them"
    }
}

/// Why `count` connections at the same time are too many for this host, if they are.
fn descriptor_shortage(count: u64, host: &Host) -> Option<Outside> {
    if host.is_wine() && count >= WINE_CONNECTIONS {
        let from = "wine serves the sockets of all programs from one thread";
        return Some(format!("{from}: {count} at once take minutes").into());
    }
    let limit = host.limits.open_files?;
    let wanted = count + SPARE_DESCRIPTORS;
    (!limit.hard.allows(wanted))
        .then(|| format!("needs {wanted} open files, the hard limit is {}", limit.hard).into())
}

/// Why clients may not wait in the accept queue of a server that has no free descriptor.
fn closed_queue_reason(tried: &ProbeResult<AcceptAtLimit>) -> Option<Outside> {
    let question = "a client for which accept finds no descriptor";
    match tried {
        ProbeResult::Seen(AcceptAtLimit::Waits) => None,
        ProbeResult::Seen(AcceptAtLimit::Closed) => {
            Some(format!("the kernel closes {question}").into())
        }
        ProbeResult::Unknown(reason) => {
            Some(outside!("whether the kernel keeps {} is not known: {}", question, reason))
        }
    }
}

/// Why the host has, or may have, less than `wanted`.
fn shortage(wanted: u32, tried: &ProbeResult<u32>, what: &str) -> Option<Outside> {
    let needs = format!("needs {} {what}", group_digits(wanted.into()));
    match tried {
        ProbeResult::Seen(most) if *most >= wanted => None,
        ProbeResult::Seen(most) => {
            let most = group_digits(u64::from(*most));
            Some(format!("{needs}, and this host has {most}").into())
        }
        ProbeResult::Unknown(reason) => Some(outside!("{}, which is not known: {}", needs, reason)),
    }
}

/// Wine takes too long for this many connections at the same time.
const WINE_CONNECTIONS: u64 = 500;

/// Descriptors that judge and server need in addition to the connections of one case, while other
/// cells run in parallel.
pub(crate) const SPARE_DESCRIPTORS: u64 = 128;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_kernel_does_not_offer_is_said_with_its_quantity() {
        let said = |tried: ProbeResult<u32>| {
            let lack = shortage(1000, &tried, "clients in a queue");
            lack.map(|lack| format!("{lack:?}"))
        };
        assert_eq!(said(ProbeResult::Seen(1000)), None);
        let short = said(ProbeResult::Seen(128)).unwrap();
        assert!(short.contains("needs 1,000 clients in a queue, and this host has 128"), "{short}");
        let unknown = said(ProbeResult::Unknown("EMFILE".into())).unwrap();
        assert!(unknown.contains("not known: EMFILE"), "{unknown}");
    }

    #[test]
    fn a_skipped_case_is_not_in_the_plan() {
        let filter = Filter { skipped: vec!["*/one-byte".into()], ..Filter::default() };
        let wants = |name: &str| {
            let suite = suites::ALL.iter().find(|suite| suite.name == "tcp-echo").unwrap();
            let case = suite.cases.iter().find(|case| case.name == name).unwrap();
            filter.wants_case(suite, case, Grade::Contract)
        };
        assert!(!wants("one-byte"));
        assert!(wants("partial-write"));
    }

    #[test]
    fn a_client_at_the_limit_must_be_known_to_wait() {
        assert_eq!(closed_queue_reason(&ProbeResult::Seen(AcceptAtLimit::Waits)), None);
        let closed = closed_queue_reason(&ProbeResult::Seen(AcceptAtLimit::Closed)).unwrap();
        assert!(closed.contains("the kernel closes a client"), "{closed:?}");
        assert!(closed_queue_reason(&ProbeResult::default()).unwrap().contains("not known"));
    }
}
