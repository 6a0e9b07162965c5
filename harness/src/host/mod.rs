//! Probes the host: its facts, and what each driver answers when it is really created. The result
//! is a `report::host::Host`. `refusal.rs` has the sentences about a refused ring.

mod accept_trial;
mod answer;
#[cfg(any(all(unix, not(target_os = "linux")), test))]
mod bsd;
mod counters;
mod datagrams;
mod drivers;
mod facts;
#[cfg(target_os = "linux")]
mod linux;
#[cfg(target_os = "linux")]
mod refusal;
#[cfg(target_os = "linux")]
mod ring;
#[cfg(target_os = "linux")]
mod ring_trial;
mod sockets;
#[cfg(test)]
mod tests;
#[cfg(target_os = "linux")]
mod threads;
mod timers;
#[cfg(windows)]
mod windows;

use std::net::{Ipv6Addr, UdpSocket};
use std::sync::OnceLock;
use std::time::Duration;
use std::{env, thread};

use report::Outside;
use report::host::{Availability, Host, Runner};

#[cfg(all(unix, not(target_os = "linux")))]
use bsd as system;
#[cfg(target_os = "linux")]
pub(crate) use counters::system_call_tracepoint;
#[cfg(target_os = "linux")]
use linux as system;
#[cfg(target_os = "linux")]
use ring::probe as ring;
#[cfg(windows)]
use windows as system;

/// The name under which a page shows this host: CONFORMANCE_LABEL, which CI sets, or else the
/// operating system.
#[must_use]
pub fn label() -> Outside {
    let from_system =
        || env::var("CONFORMANCE_LABEL").map_or_else(|_| env::consts::OS.into(), Outside::from);
    LABEL.get().cloned().unwrap_or_else(from_system)
}

static LABEL: OnceLock<Outside> = OnceLock::new();

/// Shows this host as `label` from now on. Only the first call counts.
pub fn set_label(label: Outside) {
    // A later call changes nothing.
    let _ = LABEL.set(label);
}

/// Probes the host as this process sees it, under its own limits, filters and container. It takes
/// less than 100 ms on Linux, sends nothing to another host and leaves nothing behind. What cannot
/// be read is `None`. If io_uring answers ENOMEM, the probe waits 50 ms and tries again.
#[must_use]
pub fn probe() -> Host {
    let facts = system::facts();
    let limits = facts::limits(&facts);
    let ring = ring(&facts, &limits);
    Host {
        os: env::consts::OS.to_owned().into(),
        arch: env::consts::ARCH.to_owned().into(),
        cpus: thread::available_parallelism().map_or(1, usize::from),
        runner: runner(|name| env::var(name).ok()),
        drivers: drivers::all(ring.state),
        counters: counters::all(ring.counters, &facts),
        io_uring: ring.offers,
        limits,
        kernel: facts.kernel.map(Into::into),
        cpu_model: facts.cpu_model.map(Into::into),
        memory_bytes: facts.memory_bytes,
        virtualisation: facts.virtualisation,
        container: facts.container,
        seccomp: facts.seccomp,
        tcp_congestion_control: facts.tcp_congestion_control.map(Into::into),
        somaxconn: facts.somaxconn,
        ipv6: ipv6(),
        sockets: sockets::all(),
        ephemeral_ports: facts
            .ephemeral_ports
            .map(|(first, last)| (u32::from(last) + 1).saturating_sub(first.into())),
    }
}

#[cfg(not(target_os = "linux"))]
fn ring(_: &facts::Facts, _: &report::host::Limits) -> answer::RingProbe {
    let none = || answer::unavailable("Linux only");
    answer::RingProbe { state: none(), offers: None, counters: none() }
}

/// The first and the last port that the kernel gives to clients, if the system reports them.
pub(crate) fn ephemeral_ports() -> Option<(u16, u16)> {
    system::ephemeral_ports()
}

/// How long a client port stays in TIME_WAIT.
pub(crate) fn time_wait() -> Duration {
    /// Linux uses a port of the loopback interface again after a second (ip-sysctl,
    /// `tcp_tw_reuse`). Windows uses one again at once for another server.
    #[cfg(any(target_os = "linux", windows))]
    const REUSED: Duration = Duration::from_secs(1);

    cfg_if::cfg_if! {
        if #[cfg(target_os = "linux")] {
            if linux::reuses_ports() { REUSED } else { Duration::from_secs(60) }
        } else if #[cfg(windows)] {
            REUSED
        } else {
            // Twice the maximum segment lifetime, 15 s by default on macOS.
            2 * bsd::segment_lifetime().unwrap_or(Duration::from_secs(15))
        }
    }
}

/// Containers often have no IPv6, not even on the loopback interface.
fn ipv6() -> Availability {
    match UdpSocket::bind((Ipv6Addr::LOCALHOST, 0)) {
        Ok(_) => Availability::Available { details: "a socket on ::1 was bound".to_owned().into() },
        Err(e) => Availability::Unavailable {
            reason: format!("no IPv6 on the loopback interface: bind ::1: {e}").into(),
            fix: (env::consts::OS == "linux").then(|| {
                "sudo sysctl net.ipv6.conf.lo.disable_ipv6=0, or docker run --sysctl of the same"
                    .to_owned()
            }).map(Into::into),
        },
    }
}

/// GitHub's hosted machines report their image; a self-hosted one reports only its name.
fn runner(variable: impl Fn(&str) -> Option<String>) -> Option<Runner> {
    let runner = Runner {
        image: variable("ImageOS").map(Into::into),
        image_version: variable("ImageVersion").map(Into::into),
        name: variable("RUNNER_NAME").map(Into::into),
    };
    let named = runner.image.is_some() || runner.name.is_some();
    named.then_some(runner)
}
