//! The host of a run: what it is, which drivers it offers, and why others are unavailable. Plain
//! data; the probes in `harness::host` fill it.

use std::fmt;

use serde::{Deserialize, Serialize};

use crate::outside;
use crate::outside::Outside;
use crate::sockets::Sockets;

/// Identity and properties of a host, as a result file stores them. `None` means unknown.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Host {
    /// `linux`, `macos`, `windows`, or another name of Rust's standard library.
    pub os: Outside,
    /// Processor architecture, such as `x86_64` or `aarch64`.
    pub arch: Outside,
    /// Kernel release as the kernel reports it, such as `6.17.0-1002-azure`.
    pub kernel: Option<Outside>,
    pub cpu_model: Option<Outside>,
    /// Processors that this process may use, after affinity and cgroup quota.
    pub cpus: usize,
    /// Main memory of the machine; a cgroup's limit is not subtracted.
    pub memory_bytes: Option<u64>,
    /// The hypervisor or emulator, if there are signs of one.
    pub virtualisation: Option<Hint>,
    /// The container around this process, if there are signs of one.
    pub container: Option<Hint>,
    /// Filtering of system calls (Linux).
    pub seccomp: Option<Seccomp>,
    /// The image of a hosted CI machine, if its environment names one.
    pub runner: Option<Runner>,
    /// Congestion control of new TCP connections, such as `cubic` or `bbr`.
    pub tcp_congestion_control: Option<Outside>,
    /// Limits of this process.
    pub limits: Limits,
    /// The longest accept queue that listen(2) allows.
    pub somaxconn: Option<u32>,
    /// How many ports the kernel has for outgoing connections.
    pub ephemeral_ports: Option<u32>,
    /// Whether IPv6 works on the loopback interface.
    pub ipv6: Availability,
    /// One entry per driver, in a fixed order.
    pub drivers: Vec<Driver>,
    /// What io_uring offers, if it is available.
    pub io_uring: Option<IoUring>,
    /// Ways to see what a server does, and whether they work on this host.
    pub counters: Vec<Counter>,
    /// What the kernel does with sockets.
    #[serde(default)]
    pub sockets: Sockets,
}

/// A guess about the surroundings, and its evidence.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Hint {
    /// Such as `docker` or `KVM`.
    pub name: Outside,
    /// Such as `/.dockerenv exists`.
    pub evidence: Outside,
}

/// Mode of seccomp(2).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Seccomp {
    /// No system call is filtered.
    Off,
    /// Only read, write and exit are allowed.
    Strict,
    /// A filter program decides about system calls.
    Filter,
}

/// A hosted CI machine, from the environment variables of GitHub.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Runner {
    /// `ImageOS`, such as `ubuntu24`.
    pub image: Option<Outside>,
    /// `ImageVersion`, such as `20261101.1.0`.
    pub image_version: Option<Outside>,
    /// `RUNNER_NAME`.
    pub name: Option<Outside>,
}

/// Limits of a process, getrlimit(2); all unknown on Windows.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Limits {
    pub open_files: Option<Limit>,
    /// Bytes that may be locked into memory.
    pub memlock: Option<Limit>,
    /// Whether the process has CAP_IPC_LOCK in the first user namespace, so that `memlock` does not
    /// bind io_uring.
    pub memlock_exempt: bool,
}

/// A soft limit, which binds, and a hard limit, up to which an ordinary user may raise the soft
/// one.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Limit {
    pub soft: LimitValue,
    pub hard: LimitValue,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum LimitValue {
    /// At most this many.
    At(u64),
    /// No limit; greater than every amount.
    Unlimited,
}

impl LimitValue {
    /// Whether `amount` is within the limit.
    #[must_use]
    pub fn allows(self, amount: u64) -> bool {
        self >= Self::At(amount)
    }
}

impl fmt::Display for LimitValue {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::At(amount) => amount.fmt(f),
            Self::Unlimited => f.pad("unlimited"),
        }
    }
}

/// One of `epoll`, `kqueue`, `afd`, `iocp`, `io_uring`, `threads`, and whether it works on this
/// host.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Driver {
    pub name: Outside,
    pub state: Availability,
}

/// A way to see or to limit what a server does: `tracepoints`, `ring`, `process`, `kernel-log`,
/// `thread-limit`, `raw-sockets`, `socket-queues`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Counter {
    pub name: Outside,
    pub state: Availability,
}

/// Outcome of one probe.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "state", rename_all = "snake_case")]
pub enum Availability {
    /// The probe used it, or only looked at it, if the details say so.
    Available {
        /// What was tried and seen.
        details: Outside,
    },
    /// This host, or the way in which this process was started, refuses it.
    Unavailable {
        /// What was refused and, if known, by what.
        reason: Outside,
        /// What to change; `None` if nothing on this host would help.
        fix: Option<Outside>,
    },
}

/// What the kernel's io_uring offers, by name.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct IoUring {
    /// Feature flags that io_uring_setup(2) returned, such as `fast_poll`.
    pub features: Vec<Outside>,
    /// Flags that io_uring_setup(2) knows, such as `SINGLE_ISSUER`.
    pub setup_flags: Vec<Outside>,
    /// Operations that a network server may want, such as `send_zc`. IORING_REGISTER_PROBE lists
    /// them, or they were tried.
    pub operations: Vec<Outside>,
}

impl Host {
    /// Name of the hint for Windows programs under wine.
    pub const WINE: &'static str = "wine";

    /// Name of the hint for a processor that QEMU emulates in software.
    pub const EMULATOR: &'static str = "QEMU's TCG emulation";

    /// System, processor and kernel, in one line.
    #[must_use]
    pub fn describe(&self) -> Outside {
        let kernel = self.kernel.clone().unwrap_or_else(|| "unknown".into());
        let model = self.cpu_model.clone().unwrap_or_else(|| "unknown processor".into());
        let emulated = if self.is_emulated() { ", emulated" } else { "" };
        let (os, arch, cpus) = (&self.os, &self.arch, self.cpus);
        outside!("{} {}, kernel {}, {} CPUs of {}{}", os, arch, kernel, cpus, model, emulated)
    }

    /// Whether its processor is emulated in software, which makes it slow, and unevenly so.
    #[must_use]
    pub fn is_emulated(&self) -> bool {
        self.virtualisation.as_ref().is_some_and(|hint| hint.name == Self::EMULATOR)
    }

    /// Whether its programs are Windows programs under wine, which is not Windows.
    #[must_use]
    pub fn is_wine(&self) -> bool {
        self.virtualisation.as_ref().is_some_and(|hint| hint.name == Self::WINE)
    }

    /// Availability of the driver `name`; `None` if the probe does not know it.
    #[must_use]
    pub fn driver(&self, name: &str) -> Option<&Availability> {
        self.drivers.iter().find(|driver| driver.name == name).map(|driver| &driver.state)
    }

    /// Availability of the counter `name`; `None` if the probe does not know it.
    #[must_use]
    pub fn counter(&self, name: &str) -> Option<&Availability> {
        self.counters.iter().find(|counter| counter.name == name).map(|counter| &counter.state)
    }
}

impl IoUring {
    /// Entries of the ring that a probe asks for: the default of most runtimes.
    pub const RING_ENTRIES: u32 = 1024;

    /// Locked memory of such a ring, measured on Linux 6.18: 64 KiB of submissions, 32 KiB of
    /// completions, and 8 KiB for the index and counters.
    pub const RING_BYTES: u64 = 104 * 1024;
}

impl Limits {
    /// How many rings of [`IoUring::RING_ENTRIES`] fit into the user's locked memory, if the kernel
    /// charges them to it; `None` if the limit is absent, unknown or does not bind.
    #[must_use]
    pub fn rings(&self) -> Option<u64> {
        match self.memlock?.soft {
            LimitValue::At(bytes) if !self.memlock_exempt => Some(bytes / IoUring::RING_BYTES),
            LimitValue::At(_) | LimitValue::Unlimited => None,
        }
    }
}

/// `bytes` in the largest binary unit in which it is at least 1, such as `64 KiB` or `15.6 GiB`.
#[must_use]
pub fn size(bytes: u64) -> String {
    const UNITS: [(u32, &str); 4] = [(40, "TiB"), (30, "GiB"), (20, "MiB"), (10, "KiB")];
    let Some((shift, unit)) = UNITS.into_iter().find(|(shift, _)| bytes >> shift > 0) else {
        return format!("{bytes} bytes");
    };
    let tenths = (u128::from(bytes) * 10) >> shift;
    match tenths % 10 {
        0 => format!("{} {unit}", tenths / 10),
        tenth => format!("{}.{tenth} {unit}", tenths / 10),
    }
}

/// `number` with thousands separators, such as `28,232`.
#[must_use]
pub fn group_digits(number: u64) -> String {
    let digits = number.to_string();
    let mut text = String::new();
    for (at, digit) in digits.chars().enumerate() {
        if at > 0 && (digits.len() - at).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

impl Availability {
    /// Why it is unavailable, and what would help, if known.
    #[must_use]
    pub fn lack(&self) -> Option<Outside> {
        match self {
            Self::Available { .. } => None,
            Self::Unavailable { reason, fix: None } => Some(reason.clone()),
            Self::Unavailable { reason, fix: Some(fix) } => {
                Some(outside!("{}; fix: {}", reason, fix))
            }
        }
    }

    #[must_use]
    pub fn available(details: impl Into<Outside>) -> Self {
        Self::Available { details: details.into() }
    }

    /// Nothing on this host would help, unless `fix` says what would.
    #[must_use]
    pub fn unavailable(reason: impl Into<Outside>, fix: Option<&str>) -> Self {
        Self::Unavailable { reason: reason.into(), fix: fix.map(Outside::from) }
    }

    #[must_use]
    pub fn is_available(&self) -> bool {
        matches!(self, Self::Available { .. })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_limit_is_above_every_amount() {
        assert!(LimitValue::Unlimited.allows(u64::MAX));
        assert!(LimitValue::At(1100).allows(1100));
        assert!(!LimitValue::At(1099).allows(1100));
    }

    #[test]
    fn rings_are_counted_only_where_the_limit_binds() {
        let limits = |soft, memlock_exempt| Limits {
            open_files: None,
            memlock: Some(Limit { soft, hard: soft }),
            memlock_exempt,
        };
        assert_eq!(limits(LimitValue::At(8 << 20), false).rings(), Some(78));
        assert_eq!(limits(LimitValue::At(65_536), false).rings(), Some(0));
        assert_eq!(limits(LimitValue::At(65_536), true).rings(), None);
        assert_eq!(limits(LimitValue::Unlimited, false).rings(), None);
    }

    #[test]
    fn numbers_are_read_at_a_glance() {
        assert_eq!(group_digits(999), "999");
        assert_eq!(group_digits(1_048_576), "1,048,576");
        assert_eq!(size(0), "0 bytes");
        assert_eq!(size(65_536), "64 KiB");
        assert_eq!(size(8 << 20), "8 MiB");
        assert_eq!(size(16_800_000_000), "15.6 GiB");
    }

    #[test]
    fn a_state_reads_back_from_json() {
        let state = Availability::unavailable("EPERM", None);
        let driver = Driver { name: "io_uring".into(), state };
        let text = serde_json::to_string(&driver).unwrap();
        assert_eq!(
            text,
            r#"{"name":"io_uring","state":{"state":"unavailable","reason":"EPERM","fix":null}}"#
        );
        assert_eq!(serde_json::from_str::<Driver>(&text).unwrap(), driver);
    }
}
