//! Which of the ways to see what a server does work here.

use report::host::{Counter, State};

#[cfg(any(target_os = "linux", target_os = "macos"))]
use super::drivers::available;
use super::drivers::foreign;
use super::facts::Facts;

/// System calls by tracepoint, completions by ring, what the kernel keeps of a process, and what it
/// says of it.
pub(super) fn all(ring: State, facts: &Facts) -> Vec<Counter> {
    [
        ("tracepoints", tracepoints(facts)),
        ("ring", ring),
        ("process", process()),
        ("kernel-log", kernel_log()),
    ]
    .map(|(name, state)| Counter { name: name.to_owned(), state })
    .into()
}

/// Counting the system calls of another process takes the tracepoint's number, which tracefs
/// keeps for root by default, and leave to count events inside the kernel.
#[cfg(target_os = "linux")]
fn tracepoints(facts: &Facts) -> State {
    const NUMBER: &str = "/sys/kernel/tracing/events/raw_syscalls/sys_enter/id";

    let unavailable =
        |reason: String, fix: &str| State::Unavailable { reason, fix: Some(fix.to_owned()) };
    let Some(paranoid) = facts.perf_event_paranoid else {
        return foreign("this kernel has no perf events, or /proc is not readable");
    };
    if paranoid > 1 && !facts.privilege.perfmon {
        return unavailable(
            format!("kernel.perf_event_paranoid is {paranoid} and CAP_PERFMON is missing"),
            "sudo sysctl kernel.perf_event_paranoid=1",
        );
    }
    match std::fs::read(NUMBER) {
        Ok(_) => available(format!(
            "tracefs is readable, kernel.perf_event_paranoid is {paranoid}; no event was opened"
        )),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => unavailable(
            "tracefs is not mounted".to_owned(),
            "sudo mount -t tracefs -o mode=755 tracefs /sys/kernel/tracing",
        ),
        Err(error) => unavailable(
            format!("tracefs cannot be read: {error}"),
            "sudo mount -o remount,mode=755 /sys/kernel/tracing",
        ),
    }
}

#[cfg(not(target_os = "linux"))]
fn tracepoints(_: &Facts) -> State {
    foreign("Linux only")
}

#[cfg(target_os = "linux")]
fn process() -> State {
    match std::fs::read("/proc/self/stat") {
        Ok(_) => available("/proc/PID has CPU time, memory, threads, descriptors and switches"),
        Err(error) => foreign(&format!("/proc/self/stat cannot be read: {error}")),
    }
}

#[cfg(target_os = "macos")]
fn process() -> State {
    available("libproc has CPU time, memory, threads, descriptors and switches; it was not asked")
}

#[cfg(not(any(target_os = "linux", target_os = "macos")))]
fn process() -> State {
    foreign("they are read from /proc, which only Linux has, or through macOS's libproc")
}

#[cfg(target_os = "linux")]
fn kernel_log() -> State {
    let path = crate::kernel_log::PATH;
    match crate::kernel_log::KernelLog::from_now_on() {
        Ok(_) => available(format!("{path} is readable")),
        Err(error) if error.kind() == std::io::ErrorKind::PermissionDenied => State::Unavailable {
            reason: format!("{path} is for root: {error}"),
            fix: Some("sudo sysctl kernel.dmesg_restrict=0".to_owned()),
        },
        Err(error) => foreign(&format!("{path} cannot be read: {error}")),
    }
}

#[cfg(not(target_os = "linux"))]
fn kernel_log() -> State {
    foreign("Linux only")
}
