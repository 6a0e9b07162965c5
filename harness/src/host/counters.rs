//! Probes which ways to observe a server work on this host.

use report::host::{Availability, Counter};

#[cfg(any(target_os = "linux", target_os = "macos"))]
use super::answer::available;
use super::answer::unavailable;
use super::facts::Facts;
#[cfg(target_os = "linux")]
use crate::error::Error;

/// The tracepoint that counts system calls, the counters of rings, the resources of a process, the
/// kernel's log, the limit on threads, raw sockets, and the queues of sockets.
pub(super) fn all(ring: Availability, facts: &Facts) -> Vec<Counter> {
    [
        ("tracepoints", tracepoints(facts)),
        ("ring", ring),
        ("process", process()),
        ("kernel-log", kernel_log()),
        ("thread-limit", thread_limit()),
        ("raw-sockets", raw_sockets()),
        ("socket-queues", socket_queues()),
    ]
    .map(|(name, state)| Counter { name: name.to_owned().into(), state })
    .into()
}

/// To count the system calls of another process, one needs the tracepoint's number, which tracefs
/// shows only to root by default, and permission to count events inside the kernel.
#[cfg(target_os = "linux")]
fn tracepoints(facts: &Facts) -> Availability {
    match allowed_tracepoint(facts) {
        Ok((_, paranoid)) => available(format!(
            "tracefs is readable, kernel.perf_event_paranoid is {paranoid}; no event was opened"
        )),
        Err(MissingTracepoint { reason, fix }) => {
            Availability::Unavailable { reason: reason.into(), fix: fix.map(Into::into) }
        }
    }
}

/// The number of the tracepoint `raw_syscalls:sys_enter`, if this process may count it.
///
/// # Errors
/// Why it may not, and the remedy.
#[cfg(target_os = "linux")]
pub(crate) fn system_call_tracepoint() -> Result<u64, Error> {
    let found = allowed_tracepoint(&super::linux::facts());
    found.map(|(number, _)| number).map_err(|MissingTracepoint { reason, fix }| {
        Error::CallCount(match fix {
            Some(fix) => format!("{reason}; try: {fix}").into(),
            None => reason.into(),
        })
    })
}

/// Why there is no tracepoint, and the remedy if there is one.
#[cfg(target_os = "linux")]
struct MissingTracepoint {
    reason: String,
    fix: Option<&'static str>,
}

/// The tracepoint's number, and the value of kernel.perf_event_paranoid.
#[cfg(target_os = "linux")]
fn allowed_tracepoint(facts: &Facts) -> Result<(u64, i32), MissingTracepoint> {
    /// The mount point of tracefs, and its place below debugfs, where it was before Linux 4.1.
    const PLACES: [&str; 2] = [
        "/sys/kernel/tracing/events/raw_syscalls/sys_enter/id",
        "/sys/kernel/debug/tracing/events/raw_syscalls/sys_enter/id",
    ];

    let missing = |reason: String, fix| Err(MissingTracepoint { reason, fix });
    let Some(paranoid) = facts.perf_event_paranoid else {
        let reason = "this kernel has no perf events, or /proc is not readable";
        return missing(reason.to_owned(), None);
    };
    if paranoid > 1 && !facts.privilege.perfmon {
        return missing(
            format!("kernel.perf_event_paranoid is {paranoid} and CAP_PERFMON is missing"),
            Some("sudo sysctl kernel.perf_event_paranoid=1"),
        );
    }
    let [first, second] = PLACES.map(std::fs::read_to_string);
    match first.or_else(|error| second.map_err(|_| error)) {
        Ok(text) => match text.trim().parse() {
            Ok(number) => Ok((number, paranoid)),
            Err(error) => missing(format!("the tracepoint's number is '{text}': {error}"), None),
        },
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => missing(
            "tracefs is not mounted".to_owned(),
            Some("sudo mount -t tracefs -o mode=755 tracefs /sys/kernel/tracing"),
        ),
        Err(error) => missing(
            format!("tracefs cannot be read: {error}"),
            Some("sudo mount -o remount,mode=755 /sys/kernel/tracing"),
        ),
    }
}

#[cfg(not(target_os = "linux"))]
fn tracepoints(_: &Facts) -> Availability {
    unavailable("Linux only")
}

#[cfg(target_os = "linux")]
fn process() -> Availability {
    match std::fs::read("/proc/self/stat") {
        Ok(_) => available("/proc/PID has CPU time, memory, threads, descriptors and switches"),
        Err(error) => unavailable(&format!("/proc/self/stat cannot be read: {error}")),
    }
}

#[cfg(target_os = "macos")]
fn process() -> Availability {
    available("libproc has CPU time, memory, threads, descriptors and switches; it was not asked")
}

#[cfg(not(any(target_os = "linux", target_os = "macos")))]
fn process() -> Availability {
    unavailable("they are read from /proc, which only Linux has, or through macOS's libproc")
}

#[cfg(target_os = "linux")]
fn kernel_log() -> Availability {
    let path = crate::kernel_log::PATH;
    match crate::kernel_log::KernelLog::open_at_end() {
        Ok(_) => available(format!("{path} is readable")),
        Err(error) if error.kind() == std::io::ErrorKind::PermissionDenied => {
            Availability::Unavailable {
                reason: format!("{path} is for root: {error}").into(),
                fix: Some("sudo sysctl kernel.dmesg_restrict=0".to_owned().into()),
            }
        }
        Err(error) => unavailable(&format!("{path} cannot be read: {error}")),
    }
}

#[cfg(not(target_os = "linux"))]
fn kernel_log() -> Availability {
    unavailable("Linux only")
}

#[cfg(target_os = "linux")]
fn thread_limit() -> Availability {
    super::threads::limit()
}

#[cfg(not(target_os = "linux"))]
fn thread_limit() -> Availability {
    unavailable("Linux only")
}

#[cfg(target_os = "linux")]
fn socket_queues() -> Availability {
    match crate::sock_diag::try_out() {
        Ok(()) => available("sock_diag(7) showed a listener of this process"),
        Err(error) => Availability::unavailable(
            format!("sock_diag(7) does not show a TCP socket: {error}"),
            Some("sudo modprobe tcp_diag, or a kernel with CONFIG_INET_TCP_DIAG"),
        ),
    }
}

#[cfg(not(target_os = "linux"))]
fn socket_queues() -> Availability {
    unavailable("Linux only")
}

/// Raw sockets send datagrams that no other socket can send. On most systems they need root
/// (raw(7)).
#[cfg(any(target_os = "linux", target_os = "macos"))]
fn raw_sockets() -> Availability {
    use socket2::{Domain, Protocol, Socket, Type};
    match Socket::new(Domain::IPV4, Type::RAW, Some(Protocol::UDP)) {
        Ok(_) => available("a raw socket for UDP could be opened"),
        Err(error) => unavailable(&format!("a raw socket cannot be opened: {error}")),
    }
}

#[cfg(not(any(target_os = "linux", target_os = "macos")))]
fn raw_sockets() -> Availability {
    unavailable("tried on Linux and macOS only")
}
