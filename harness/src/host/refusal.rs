//! Why the kernel refused a ring, and what to change: a pure function from an error and facts to
//! two sentences.

use report::host::{Availability, IoUring, LimitValue, Limits, Seccomp, group_digits, size};
use report::outside;
use rustix::io::Errno;

use super::answer::MORE_DESCRIPTORS;
use super::facts::Facts;

/// A system call of io_uring that failed.
#[derive(Clone, Copy, Debug)]
pub(super) struct Refusal {
    pub(super) call: UringCall,
    pub(super) errno: Errno,
}

#[derive(Clone, Copy, Debug)]
pub(super) enum UringCall {
    /// `small_fits`: the kernel then granted a ring of a few entries.
    Setup {
        small_fits: bool,
    },
    Enter,
    Register,
}

impl UringCall {
    fn name(self) -> &'static str {
        match self {
            Self::Setup { .. } => "io_uring_setup",
            Self::Enter => "io_uring_enter",
            Self::Register => "io_uring_register",
        }
    }
}

/// What is wrong, worded to follow "io_uring_setup answers EPERM", and what to change.
struct Diagnosis {
    why: String,
    fix: Option<String>,
}

impl Diagnosis {
    fn new(why: impl Into<String>, fix: impl Into<String>) -> Self {
        Self { why: why.into(), fix: Some(fix.into()) }
    }
}

impl Refusal {
    /// The most likely cause that `facts` and `limits` allow, and its remedy.
    pub(super) fn explain(self, facts: &Facts, limits: &Limits) -> Availability {
        let (name, diagnosis) = match self.errno {
            Errno::PERM => ("EPERM", diagnose_eperm(facts)),
            Errno::ACCESS => ("EACCES", security_module()),
            Errno::NOSYS => ("ENOSYS", diagnose_enosys(facts)),
            Errno::NOMEM => ("ENOMEM", self.no_memory(facts, limits)),
            Errno::MFILE => ("EMFILE", no_descriptor(limits)),
            Errno::NFILE => ("ENFILE", system_out_of_descriptors()),
            other => return describe_unexpected(self.call, other),
        };
        Availability::Unavailable {
            reason: format!("{} answers {name}: {}", self.call.name(), diagnosis.why).into(),
            fix: diagnosis.fix.map(Into::into),
        }
    }

    fn no_memory(self, facts: &Facts, limits: &Limits) -> Diagnosis {
        let Some((LimitValue::At(bytes), rings)) =
            limits.memlock.map(|limit| limit.soft).zip(limits.rings())
        else {
            return memlock_is_not_it(facts, limits);
        };
        let limit = size(bytes);
        let ring = size(IoUring::RING_BYTES);
        let entries = group_digits(IoUring::RING_ENTRIES.into());
        let small = match self.call {
            UringCall::Setup { small_fits: true } => "; only a ring of 8 entries fits",
            UringCall::Setup { small_fits: false } | UringCall::Enter | UringCall::Register => "",
        };
        if rings == 0 {
            return Diagnosis::new(
                format!(
                    "the memory-lock limit (RLIMIT_MEMLOCK) is {limit}, and a ring of {entries} \
                     entries is charged {ring} of it{small}"
                ),
                raise_memlock(facts),
            );
        }
        let used_up = format!(
            "the memory-lock limit (RLIMIT_MEMLOCK) is {limit}, room for {rings} rings of \
             {entries} entries, and it is used up: newer kernels charge rings per user, over all \
             processes, and give the memory back late{small}"
        );
        match facts.seccomp {
            Some(Seccomp::Filter | Seccomp::Strict) => Diagnosis::new(
                format!("{used_up}; or the seccomp filter over this process answers so"),
                format!("{}; or let the filter allow {CALLS}", raise_memlock(facts)),
            ),
            Some(Seccomp::Off) | None => Diagnosis::new(used_up, raise_memlock(facts)),
        }
    }
}

const CALLS: &str = "io_uring_setup, io_uring_enter and io_uring_register";

fn diagnose_eperm(facts: &Facts) -> Diagnosis {
    match (facts.io_uring_disabled, facts.seccomp) {
        (Some(2), seccomp) => Diagnosis::new(
            "the sysctl kernel.io_uring_disabled is 2, off for every process",
            switch_on(facts, seccomp),
        ),
        (Some(1), seccomp) if !facts.privilege.io_uring => Diagnosis::new(
            "the sysctl kernel.io_uring_disabled is 1, off but for CAP_SYS_ADMIN and members of \
             the group kernel.io_uring_group",
            switch_on(facts, seccomp),
        ),
        (disabled, Some(Seccomp::Filter | Seccomp::Strict)) => Diagnosis::new(
            format!(
                "most likely the seccomp filter over this process{}; {}",
                profile_of(facts),
                sysctl_is_not_it(disabled),
            ),
            allow_calls(facts),
        ),
        (disabled, Some(Seccomp::Off)) => Diagnosis {
            why: format!(
                "no seccomp filter is active and {}, so a security module or an outer sandbox \
                 denies it",
                sysctl_is_not_it(disabled),
            ),
            ..security_module()
        },
        (_, None) => Diagnosis::new(
            "a seccomp filter, a sysctl or a sandbox; /proc/self/status could not be read to \
             tell which",
            format!("mount /proc, run doctor again; a container must allow {CALLS}"),
        ),
    }
}

fn switch_on(facts: &Facts, seccomp: Option<Seccomp>) -> String {
    let place = match facts.container {
        Some(_) => " (on the host, not in the container)",
        None => "",
    };
    let then = match seccomp {
        Some(Seccomp::Filter | Seccomp::Strict) => {
            format!("; the seccomp filter over this process must allow {CALLS} as well")
        }
        Some(Seccomp::Off) | None => String::new(),
    };
    format!("sudo sysctl kernel.io_uring_disabled=0{place}{then}")
}

fn sysctl_is_not_it(disabled: Option<u8>) -> String {
    match disabled {
        Some(value) => format!("the sysctl kernel.io_uring_disabled, {value}, allows it"),
        None => "this kernel has no sysctl kernel.io_uring_disabled".to_owned(),
    }
}

fn security_module() -> Diagnosis {
    Diagnosis::new(
        "a security module such as SELinux denies it",
        "find the denial: sudo ausearch -m avc -ts recent, or sudo dmesg | tail",
    )
}

fn diagnose_enosys(facts: &Facts) -> Diagnosis {
    let release = facts.kernel.as_deref().unwrap_or("of unknown release");
    if container_is(facts, &["gVisor"]) {
        return Diagnosis::new(
            "gVisor stands in for the kernel here and does not offer io_uring",
            "run under runc (docker run --runtime=runc ...) or outside the container",
        );
    }
    if facts.kernel.as_deref().is_some_and(predates_io_uring) {
        return Diagnosis::new(
            format!("Linux {release} is too old, io_uring came with 5.1"),
            "boot a newer kernel; 6.1 has what the runtimes use",
        );
    }
    match facts.seccomp {
        Some(Seccomp::Filter | Seccomp::Strict) => Diagnosis::new(
            format!(
                "Linux {release} is new enough, so most likely the seccomp filter over this \
                 process{} answers in its place",
                profile_of(facts),
            ),
            allow_calls(facts),
        ),
        Some(Seccomp::Off) | None => Diagnosis::new(
            format!(
                "Linux {release} is new enough, so it was built without CONFIG_IO_URING, or a \
                 sandbox or emulator (gVisor, qemu-user) answers in its place"
            ),
            "run outside the sandbox or emulator, or boot a kernel built with CONFIG_IO_URING=y",
        ),
    }
}

/// Whether a release such as `4.19.0-27-amd64` is before 5.1. Asked only after ENOSYS, because
/// distributions backport io_uring to older releases.
fn predates_io_uring(release: &str) -> bool {
    let mut numbers =
        release.split(|c: char| !c.is_ascii_digit()).map_while(|number| number.parse::<u32>().ok());
    match (numbers.next(), numbers.next()) {
        (Some(major), Some(minor)) => (major, minor) < (5, 1),
        (Some(_) | None, _) => false,
    }
}

fn memlock_is_not_it(facts: &Facts, limits: &Limits) -> Diagnosis {
    let because = match (limits.memlock_exempt, limits.memlock) {
        (true, _) => "CAP_IPC_LOCK is held",
        (false, Some(_)) => "it is unlimited",
        (false, None) => "it is unknown",
    };
    match facts.seccomp {
        Some(Seccomp::Filter | Seccomp::Strict) => Diagnosis::new(
            format!(
                "the memory-lock limit does not bind ({because}), so most likely the seccomp \
                 filter over this process{} answers so, else the kernel is short of memory",
                profile_of(facts),
            ),
            format!("{}; else free memory", allow_calls(facts)),
        ),
        Some(Seccomp::Off) | None => Diagnosis::new(
            format!(
                "the memory-lock limit does not bind ({because}), so the kernel is short of \
                 memory or the memory limit of this cgroup is used up"
            ),
            "free memory, or raise memory.max of the cgroup (docker run --memory)",
        ),
    }
}

fn raise_memlock(facts: &Facts) -> String {
    let lasting = "LimitMEMLOCK=infinity in a systemd unit, or '* - memlock unlimited' in \
                   /etc/security/limits.conf and a new login";
    if container_is(facts, &["docker", "podman"]) {
        return format!("docker run --ulimit memlock=-1:-1 ... (outside a container: {lasting})");
    }
    lasting.to_owned()
}

fn no_descriptor(limits: &Limits) -> Diagnosis {
    let why = match limits.open_files.map(|limit| limit.soft) {
        Some(LimitValue::At(count)) => {
            format!("all {count} descriptors of the limit on open files are in use")
        }
        Some(LimitValue::Unlimited) | None => "this process has no free descriptor".to_owned(),
    };
    Diagnosis::new(why, MORE_DESCRIPTORS)
}

fn system_out_of_descriptors() -> Diagnosis {
    Diagnosis::new(
        "the whole system is out of descriptors",
        "raise the sysctl fs.file-max, or stop what holds them",
    )
}

fn describe_unexpected(call: UringCall, errno: Errno) -> Availability {
    Availability::Unavailable {
        reason: format!("{} answers {}", call.name(), std::io::Error::from(errno)).into(),
        fix: None,
    }
}

fn container_is(facts: &Facts, names: &[&str]) -> bool {
    facts.container.as_ref().is_some_and(|hint| names.iter().any(|name| hint.name.equals(name)))
}

/// Where the filter comes from, if the container shows it (moby/moby#46762,
/// containerd/containerd#9320).
fn profile_of(facts: &Facts) -> String {
    match &facts.container {
        Some(hint) if container_is(facts, &DENYING_CONTAINERS) => {
            let hint = outside!("{} denies io_uring by default; {}", hint.name, hint.evidence);
            format!(" ({})", hint.on_terminal())
        }
        Some(_) | None => String::new(),
    }
}

const DENYING_CONTAINERS: [&str; 5] = ["docker", "podman", "libpod", "kubernetes", "kubepods"];

fn allow_calls(facts: &Facts) -> String {
    if container_is(facts, &["kubernetes", "kubepods"]) {
        return format!(
            "in the pod's securityContext set seccompProfile.type: Unconfined, or a Localhost \
             profile that allows {CALLS}"
        );
    }
    if container_is(facts, &["docker", "podman", "libpod"]) {
        // docker/for-mac#7707
        let desktop = match facts.kernel.as_deref() {
            Some(kernel) if kernel.contains("linuxkit") => {
                "; Docker Desktop since 4.42 denies it even so"
            }
            Some(_) | None => "",
        };
        return format!(
            "docker run --security-opt seccomp=unconfined ..., or a profile that allows \
             {CALLS}{desktop}"
        );
    }
    format!("start it without that filter, or let the filter allow {CALLS} (systemd: @aio)")
}
