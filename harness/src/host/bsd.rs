//! What macOS and the BSDs report about themselves, through one call of `sysctl`.

#[cfg(all(unix, not(target_os = "linux")))]
use std::time::Duration;

use report::host::Hint;

use super::facts::Facts;

/// Names differ between the systems; `sysctl` skips those it does not know.
#[cfg(all(unix, not(target_os = "linux")))]
const NAMES: [&str; 13] = [
    "machdep.cpu.brand_string",
    "hw.model",
    "hw.memsize",
    "hw.physmem",
    "kern.hv_vmm_present",
    "kern.vm_guest",
    "kern.ipc.somaxconn",
    "kern.ipc.soacceptqueue",
    "net.inet.ip.portrange.first",
    "net.inet.ip.portrange.last",
    "net.inet.ip.portrange.hifirst",
    "net.inet.ip.portrange.hilast",
    "net.inet.tcp.cc.algorithm",
];

#[cfg(all(unix, not(target_os = "linux")))]
pub(super) fn ephemeral_ports() -> Option<(u16, u16)> {
    facts().ephemeral_ports
}

/// How long a segment may live in the network, in the system's view.
#[cfg(all(unix, not(target_os = "linux")))]
pub(super) fn segment_lifetime() -> Option<Duration> {
    let printed = std::process::Command::new("sysctl").args(["-n", "net.inet.tcp.msl"]).output();
    let milliseconds = String::from_utf8(printed.ok()?.stdout).ok()?.trim().parse().ok()?;
    Some(Duration::from_millis(milliseconds))
}

#[cfg(all(unix, not(target_os = "linux")))]
pub(super) fn facts() -> Facts {
    let printed = std::process::Command::new("sysctl")
        .args(NAMES)
        .output()
        .map(|output| String::from_utf8_lossy(&output.stdout).into_owned())
        .unwrap_or_default();
    let release = rustix::system::uname();
    Facts { kernel: Some(release.release().to_string_lossy().into_owned()), ..parse(&printed) }
}

/// Reads lines such as `kern.ipc.somaxconn: 128`.
fn parse(printed: &str) -> Facts {
    let text = |name: &str| {
        printed.lines().find_map(|line| {
            let value = line.strip_prefix(name)?.strip_prefix(':')?.trim();
            (!value.is_empty()).then(|| value.to_owned())
        })
    };
    let number = |name: &str| text(name)?.parse::<u64>().ok();
    let small = |name: &str| u32::try_from(number(name)?).ok();
    let port = |name: &str| u16::try_from(number(name)?).ok();
    let range = |first: &str, last: &str| Some((port(first)?, port(last)?));
    Facts {
        cpu_model: text("machdep.cpu.brand_string").or_else(|| text("hw.model")),
        memory_bytes: number("hw.memsize").or_else(|| number("hw.physmem")),
        virtualisation: virtualisation(
            number("kern.hv_vmm_present"),
            text("kern.vm_guest").as_deref(),
        ),
        tcp_congestion_control: text("net.inet.tcp.cc.algorithm"),
        somaxconn: small("kern.ipc.soacceptqueue").or_else(|| small("kern.ipc.somaxconn")),
        // An implicit bind uses the high range on macOS, and the other range on FreeBSD. Where both
        // exist, they are the same by default.
        ephemeral_ports: range("net.inet.ip.portrange.first", "net.inet.ip.portrange.last")
            .or_else(|| range("net.inet.ip.portrange.hifirst", "net.inet.ip.portrange.hilast")),
        ..Facts::default()
    }
}

fn virtualisation(hv_vmm_present: Option<u64>, vm_guest: Option<&str>) -> Option<Hint> {
    let hint = |name: &str, evidence: &str| {
        Some(Hint { name: name.to_owned().into(), evidence: evidence.to_owned().into() })
    };
    match (hv_vmm_present, vm_guest) {
        (Some(1), _) => hint("virtual machine", "kern.hv_vmm_present is 1"),
        (_, Some(guest)) if guest != "none" => hint(guest, "kern.vm_guest names it"),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_what_macos_prints() {
        let facts = parse(
            "machdep.cpu.brand_string: Apple M1 (Virtual)\nhw.model: VirtualMac2,1\n\
             hw.memsize: 7516192768\nkern.hv_vmm_present: 1\nkern.ipc.somaxconn: 128\n\
             net.inet.ip.portrange.first: 49152\nnet.inet.ip.portrange.last: 65535\n",
        );
        assert_eq!(facts.cpu_model.as_deref(), Some("Apple M1 (Virtual)"));
        assert_eq!(facts.memory_bytes, Some(7 << 30));
        assert_eq!(facts.somaxconn, Some(128));
        assert_eq!(facts.ephemeral_ports, Some((49_152, 65_535)));
        assert_eq!(facts.virtualisation.unwrap().name, "virtual machine");
    }

    #[test]
    fn reads_what_freebsd_prints() {
        let facts = parse(
            "hw.model: AMD EPYC\nkern.vm_guest: kvm\nkern.ipc.soacceptqueue: 128\n\
             net.inet.tcp.cc.algorithm: cubic\n",
        );
        assert_eq!(facts.cpu_model.as_deref(), Some("AMD EPYC"));
        assert_eq!(facts.virtualisation.unwrap().name, "kvm");
        assert_eq!(facts.tcp_congestion_control.as_deref(), Some("cubic"));
        assert_eq!(facts.ephemeral_ports, None);
    }
}
