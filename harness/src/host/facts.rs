//! Facts that can be read without trying anything, with the same fields on every system. Each
//! system's file fills in what it knows.

use report::host::{Hint, Limits, Seccomp};

/// Facts that the kernel or the environment states; `None` if it does not.
#[derive(Debug, Default)]
pub(super) struct Facts {
    pub(super) kernel: Option<String>,
    pub(super) cpu_model: Option<String>,
    pub(super) memory_bytes: Option<u64>,
    pub(super) virtualisation: Option<Hint>,
    pub(super) container: Option<Hint>,
    pub(super) seccomp: Option<Seccomp>,
    pub(super) tcp_congestion_control: Option<String>,
    pub(super) somaxconn: Option<u32>,
    /// The first and the last port that the kernel gives to clients.
    pub(super) ephemeral_ports: Option<(u16, u16)>,
    /// Whether the limit on locked memory does not bind this process (CAP_IPC_LOCK).
    pub(super) memlock_exempt: bool,
    #[cfg(target_os = "linux")]
    pub(super) privilege: Privilege,
    /// The sysctl kernel.io_uring_disabled, since Linux 6.6.
    #[cfg(target_os = "linux")]
    pub(super) io_uring_disabled: Option<u8>,
    /// The sysctl kernel.perf_event_paranoid.
    #[cfg(target_os = "linux")]
    pub(super) perf_event_paranoid: Option<i32>,
}

/// Capabilities that matter here. They count only in the initial user namespace: root in a rootless
/// container has none of them.
#[cfg(target_os = "linux")]
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Privilege {
    /// CAP_SYS_ADMIN, or membership of kernel.io_uring_group.
    pub(super) io_uring: bool,
    /// CAP_PERFMON or CAP_SYS_ADMIN.
    pub(super) perfmon: bool,
}

#[cfg(unix)]
pub(super) fn limits(facts: &Facts) -> Limits {
    use report::host::{Limit, LimitValue};
    use rustix::process::{Resource, getrlimit};

    let limit = |resource| {
        let value = |amount: Option<u64>| amount.map_or(LimitValue::Unlimited, LimitValue::At);
        let limit = getrlimit(resource);
        Some(Limit { soft: value(limit.current), hard: value(limit.maximum) })
    };
    Limits {
        open_files: limit(Resource::Nofile),
        memlock: limit(Resource::Memlock),
        memlock_exempt: facts.memlock_exempt,
    }
}

#[cfg(not(unix))]
pub(super) fn limits(facts: &Facts) -> Limits {
    Limits { open_files: None, memlock: None, memlock_exempt: facts.memlock_exempt }
}
