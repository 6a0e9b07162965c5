//! What Linux reports about itself, through procfs and the environment.

use std::fs::{self, File};
use std::io::Read;
use std::path::Path;

use report::host::{Hint, Host, Seccomp};

use super::facts::{Facts, Privilege};

// linux/capability.h
const CAP_IPC_LOCK: u64 = 1 << 14;
const CAP_SYS_ADMIN: u64 = 1 << 21;
const CAP_PERFMON: u64 = 1 << 38;

pub(super) fn facts() -> Facts {
    let uname = rustix::system::uname();
    let kernel = uname.release().to_string_lossy().into_owned();
    let build = uname.version().to_string_lossy().into_owned();
    let status = read("/proc/self/status").unwrap_or_default();
    let capabilities = capabilities(&status);
    let cpu = cpuinfo();
    Facts {
        cpu_model: cpu_model(&cpu),
        memory_bytes: read("/proc/meminfo").and_then(|text| memory_bytes(&text)),
        virtualisation: virtualisation(&kernel, &cpu),
        container: container(&build),
        seccomp: field(&status, "Seccomp").and_then(seccomp),
        tcp_congestion_control: read("/proc/sys/net/ipv4/tcp_congestion_control"),
        somaxconn: sysctl("net/core/somaxconn"),
        ephemeral_ports: ephemeral_ports(),
        memlock_exempt: capabilities & CAP_IPC_LOCK != 0,
        privilege: Privilege {
            io_uring: capabilities & CAP_SYS_ADMIN != 0 || in_io_uring_group(&status),
            perfmon: capabilities & (CAP_PERFMON | CAP_SYS_ADMIN) != 0,
        },
        io_uring_disabled: sysctl("kernel/io_uring_disabled"),
        perf_event_paranoid: sysctl("kernel/perf_event_paranoid"),
        kernel: Some(kernel),
    }
}

fn read(path: &str) -> Option<String> {
    Some(fs::read_to_string(path).ok()?.trim().to_owned())
}

fn sysctl<T: std::str::FromStr>(name: &str) -> Option<T> {
    read(&format!("/proc/sys/{name}"))?.parse().ok()
}

/// Value of the first line `name: value` or `name<tab>: value`.
fn field<'a>(text: &'a str, name: &str) -> Option<&'a str> {
    text.lines().find_map(|line| {
        let (key, value) = line.split_once(':')?;
        (key.trim_end() == name).then(|| value.trim())
    })
}

/// The first processors of the file. The kernel generates the rest only if it is read.
fn cpuinfo() -> String {
    let mut bytes = Vec::new();
    if let Ok(file) = File::open("/proc/cpuinfo") {
        // What was read before an error is still useful.
        let _ = file.take(4096).read_to_end(&mut bytes);
    }
    String::from_utf8_lossy(&bytes).into_owned()
}

/// On Arm the file has no model name, only the numbers of the implementer and the part.
fn cpu_model(cpuinfo: &str) -> Option<String> {
    let arm = || {
        let implementer = field(cpuinfo, "CPU implementer")?;
        let part = field(cpuinfo, "CPU part")?;
        Some(format!("Arm implementer {implementer}, part {part}"))
    };
    field(cpuinfo, "model name").or_else(|| field(cpuinfo, "uarch")).map(str::to_owned).or_else(arm)
}

fn memory_bytes(meminfo: &str) -> Option<u64> {
    let kib = field(meminfo, "MemTotal")?.strip_suffix("kB")?.trim();
    Some(kib.parse::<u64>().ok()? * 1024)
}

fn seccomp(mode: &str) -> Option<Seccomp> {
    match mode {
        "0" => Some(Seccomp::Off),
        "1" => Some(Seccomp::Strict),
        "2" => Some(Seccomp::Filter),
        _ => None,
    }
}

/// The effective capabilities, one bit each. 0 outside the initial user namespace, where the kernel
/// does not honour them for what is checked here.
fn capabilities(status: &str) -> u64 {
    let first_user_namespace = read("/proc/self/uid_map")
        .is_some_and(|map| map.split_whitespace().eq(["0", "0", "4294967295"]));
    if !first_user_namespace {
        return 0;
    }
    field(status, "CapEff").and_then(|hex| u64::from_str_radix(hex, 16).ok()).unwrap_or_default()
}

/// Whether the sysctl kernel.io_uring_group, -1 by default, names one of this process's groups.
fn in_io_uring_group(status: &str) -> bool {
    let Some(group) = read("/proc/sys/kernel/io_uring_group") else {
        return false;
    };
    let effective = field(status, "Gid").and_then(|ids| ids.split_whitespace().nth(1));
    field(status, "Groups")
        .into_iter()
        .flat_map(str::split_whitespace)
        .chain(effective)
        .any(|id| id == group)
}

/// The ends of ip_local_port_range. Reserved ports between them are included.
pub(super) fn ephemeral_ports() -> Option<(u16, u16)> {
    let range = read("/proc/sys/net/ipv4/ip_local_port_range")?;
    let mut ends = range.split_whitespace().map(str::parse);
    Some((ends.next()?.ok()?, ends.next()?.ok()?))
}

/// Whether the kernel gives a port in TIME_WAIT to a new client of the loopback interface.
pub(super) fn reuses_ports() -> bool {
    sysctl::<u32>("net/ipv4/tcp_tw_reuse").is_some_and(|reuse| reuse != 0)
}

fn hint(name: &str, evidence: &str) -> Option<Hint> {
    Some(Hint { name: name.to_owned().into(), evidence: evidence.to_owned().into() })
}

fn virtualisation(kernel: &str, cpuinfo: &str) -> Option<Hint> {
    if kernel.contains("microsoft") {
        return hint("WSL", "the kernel's release names Microsoft");
    }
    if let Some(evidence) = emulation(cpuinfo) {
        return hint(Host::EMULATOR, evidence);
    }
    let dmi = |name| read(&format!("/sys/class/dmi/id/{name}"));
    let hypervisor = field(cpuinfo, "flags")
        .is_some_and(|flags| flags.split_whitespace().any(|flag| flag == "hypervisor"));
    match (hypervisor, dmi("sys_vendor"), dmi("product_name")) {
        (true, Some(vendor), Some(product)) => hint(
            &format!("{vendor} {product}"),
            "the processor's flags include hypervisor; name from DMI",
        ),
        (true, _, _) => hint("virtual machine", "the processor's flags include hypervisor"),
        // Arm has no such flag, but its virtual machines often name themselves.
        (false, Some(vendor), Some(product)) if names_a_hypervisor(&vendor, &product) => {
            hint(&format!("{vendor} {product}"), "DMI names a hypervisor")
        }
        (false, _, _) => None,
    }
}

/// Signs of QEMU's processor `max`. One that is emulated under the name of a real
/// model cannot be told from that model.
fn emulation(cpuinfo: &str) -> Option<&'static str> {
    let model = field(cpuinfo, "model name").unwrap_or_default();
    let implementer = field(cpuinfo, "CPU implementer").unwrap_or_default();
    if model.contains("QEMU TCG") {
        Some("the processor's model is QEMU TCG")
    } else if implementer == "0x00" {
        Some("the processor's implementer is 0x00, reserved for software")
    } else {
        None
    }
}

fn names_a_hypervisor(vendor: &str, product: &str) -> bool {
    ["QEMU", "KVM", "VMware", "Xen", "Virtual"]
        .iter()
        .any(|name| vendor.contains(name) || product.contains(name))
}

fn container(kernel_build: &str) -> Option<Hint> {
    // gVisor answers uname(2) itself, with the build date of Linux 4.4 whatever release it reports.
    if kernel_build.contains("Sun Jan 10 15:06:54 PST 2016") {
        return hint("gVisor", "uname names gVisor's build date");
    }
    if std::env::var_os("KUBERNETES_SERVICE_HOST").is_some() {
        return hint("kubernetes", "KUBERNETES_SERVICE_HOST is set");
    }
    if Path::new("/run/.containerenv").exists() {
        return hint("podman", "/run/.containerenv exists");
    }
    if Path::new("/.dockerenv").exists() {
        return hint("docker", "/.dockerenv exists");
    }
    if let Ok(name) = std::env::var("container") {
        return hint(&name, "the variable container is set");
    }
    let cgroup = read("/proc/self/cgroup")?;
    ["docker", "kubepods", "libpod", "lxc"]
        .into_iter()
        .find(|name| cgroup.contains(name))
        .and_then(|name| hint(name, "/proc/self/cgroup names it"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_processors_of_both_kinds() {
        let intel = "processor\t: 0\nmodel name\t: AMD EPYC\nflags\t\t: fpu hypervisor lm\n";
        let arm = "processor\t: 0\nCPU implementer\t: 0x41\nCPU part\t: 0xd49\n";
        assert_eq!(cpu_model(intel).as_deref(), Some("AMD EPYC"));
        assert_eq!(cpu_model(arm).as_deref(), Some("Arm implementer 0x41, part 0xd49"));
    }

    #[test]
    fn reads_memory_in_bytes() {
        assert_eq!(memory_bytes("MemTotal:       16 kB\n"), Some(16_384));
    }

    #[test]
    fn knows_gvisor_by_its_build_date() {
        let build = "#1 SMP Sun Jan 10 15:06:54 PST 2016";
        assert_eq!(container(build).unwrap().name, "gVisor");
    }

    #[test]
    fn facts_of_this_machine_are_complete() {
        let facts = facts();
        assert!(facts.kernel.is_some());
        assert!(facts.cpu_model.is_some());
        assert!(facts.memory_bytes.is_some_and(|bytes| bytes > 1 << 20));
        assert!(facts.seccomp.is_some());
    }
}
